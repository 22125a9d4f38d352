"""Takes rows of tables by their numbers, for every type that Arrow has."""

from __future__ import annotations

from typing import Any

import pyarrow as pa


def take(table: pa.Table, rows: pa.Array) -> pa.Table:
    """Return the rows with these numbers, which may repeat, in the order of the numbers."""
    size = len(rows)
    if not table.num_columns:
        return table.slice(0, 0) if not size else pa.table({"": pa.nulls(size)}).select([])
    columns = [_taken(column, rows) for column in table.columns]
    return pa.Table.from_arrays(columns, schema=table.schema)


def _taken(column: pa.ChunkedArray, rows: pa.Array) -> Any:
    if column.num_chunks > 1 and column.type.num_fields:
        column = _joined(column)  # `take` joins the chunks of nested types one value at a time
    try:
        return column.take(rows)
    except pa.ArrowNotImplementedError:
        # There is no kernel for views, run-end encodings and types that contain them.
        chunks = [chunk for row in rows.to_pylist() for chunk in column.slice(row, 1).chunks]
        return _joined(pa.chunked_array(chunks, column.type))


def _joined(column: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return pa.chunked_array([pa.concat_arrays(column.chunks)], column.type)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return column
