"""Defines a piece of the input of a mapped node, the rows that one call gets, and takes rows by their numbers."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from nfrun.core.values import frozen

_WIDTH = 8  # bytes per row number


@frozen
class Piece:
    """Some rows of the mapped input, in their order. Small enough to be sent to another process.

    Their numbers are those from `start` to `stop`, or if `listed` is not empty, the 64-bit numbers in it. `keys`
    are the keys of the results, 16 bytes each: one for each row if `row_wise`, otherwise one for the piece.
    """

    keys: bytes
    start: int = 0
    stop: int = 0
    listed: bytes = b""
    row_wise: bool = True

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.listed) // _WIDTH or self.stop - self.start

    def numbers(self) -> list[int]:
        """Return the numbers of the rows in the input, which count from 0."""
        if self.listed:
            found: list[int] = int64_array(self.listed).to_pylist()
            return found
        return [*range(self.start, self.stop)]

    def table(self, whole: pa.Table) -> pa.Table:
        """Return the rows of the input, as a view if they are adjacent."""
        if not self.listed:
            return whole.slice(self.start, self.stop - self.start)
        return take(whole, int64_array(self.listed))


def counted(size: int) -> pa.Array:
    """Return the numbers from 0 to `size` - 1."""
    import pyarrow.compute as pc

    return pc.subtract(pc.cumulative_sum(pa.repeat(pa.scalar(1, pa.int64()), size)), 1)


def int64_array(data: bytes | pa.Buffer) -> pa.Array:
    """Return the 64-bit numbers in a buffer as an array, without a copy."""
    buffer = pa.py_buffer(data) if isinstance(data, bytes) else data
    return pa.Array.from_buffers(pa.int64(), buffer.size // _WIDTH, [None, buffer])


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
