"""Writes a table into a file or stream that is open, as Arrow, CSV, JSON lines or Parquet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from nfrun.core.text import ellipsize
from nfrun.tables.dictionaries import with_plain_words
from nfrun.tables.formats import endings
from nfrun.tables.json_values import encode_line, in_range, is_bytes, json_form, json_values

_BATCH = 65536  # rows converted to JSON at a time


def _write_arrow(table: pa.Table, file: Any, path: Path) -> None:
    # The file format allows one dictionary per column, but each chunk may have its own.
    table = table.unify_dictionaries()
    with pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def _write_parquet(table: pa.Table, file: Any, path: Path) -> None:
    from pyarrow.parquet import write_table as write

    columns = [_with_zone(_plain(column)) for column in table.columns]
    write(pa.table(columns, table.schema.names) if columns else table, file)


def _write_csv(table: pa.Table, file: Any, path: Path) -> None:
    from pyarrow import csv

    if not table.num_columns:
        raise ValueError("it has no columns")
    columns = [_csv_text(column) for column in table.columns]
    if len(columns) == 1 and columns[0].null_count and not _has_texts(columns[0]):
        # A null in the only column is a blank line, which some readers skip. Only among texts is "" another value.
        columns = [columns[0].cast(pa.large_string()).fill_null("")]
    delimiter = "\t" if endings(path.name)[0] == ".tsv" else ","
    csv.write_csv(pa.table(columns, table.schema.names), file, csv.WriteOptions(delimiter=delimiter))


def _write_jsonl(table: pa.Table, file: Any, path: Path) -> None:
    names = table.schema.names
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"it has several columns named '{twice}'")
    columns = [_plain(column) for column in table.columns]
    forms = [json_form(column.type) for column in columns]
    for batch in pa.table(columns, names).to_batches(max_chunksize=_BATCH):
        values = [json_values(array, form) for array, form in zip(batch.columns, forms, strict=True)]
        rows = (dict(zip(names, row, strict=True)) for row in zip(*values, strict=True))
        file.write("".join([encode_line(row) + "\n" for row in rows]).encode())


# By format. A writer gets the table, the open file and its path, whose ending says more about the format.
_WRITERS: Mapping[str, Callable[[pa.Table, Any, Path], None]] = {
    "arrow": _write_arrow,
    "csv": _write_csv,
    "jsonl": _write_jsonl,
    "parquet": _write_parquet,
}


def write_as(format: str, table: pa.Table, file: Any, path: Path) -> None:
    """Write the table into an open file. Raises ValueError and `ArrowException` if the format cannot hold it, OSError.

    `path` says more about the format by its ending. The message names the column, if it is one by itself.
    """
    table = with_plain_words(table)
    try:
        _WRITERS[format](table, file, path)
    except (pa.ArrowException, ValueError):
        for i, field in enumerate(table.schema):
            try:
                _WRITERS[format](table.select([i]), pa.MockOutputStream(), path)
            except (pa.ArrowException, ValueError) as error:
                said, type_ = str(error).rstrip("."), ellipsize(str(field.type))
                what = f"its column '{ellipsize(field.name)}'{'' if type_ in said else f' ({type_})'}: {said}"
                raise ValueError(f'{what}; make a text of it, as with "{field.name}"::varchar in a query') from error
        raise


def _has_texts(column: pa.ChunkedArray) -> bool:
    kind = column.type.value_type if pt.is_dictionary(column.type) else column.type
    return bool(pt.is_string(kind) or pt.is_large_string(kind))


def _csv_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the column in a form that pyarrow can write to csv: as it is, or as text."""
    column = _plain(column)
    kind = column.type.value_type if pt.is_dictionary(column.type) else column.type
    if pt.is_string_view(kind):
        return column.cast(pa.large_string())
    if (pt.is_date(kind) or pt.is_timestamp(kind)) and not pt.is_dictionary(column.type):
        import pyarrow.compute as pc

        for value in pc.min_max(column).values():
            in_range(value.cast(pa.string()).as_py() or "")
    if not (pt.is_nested(kind) or pt.is_interval(kind) or is_bytes(kind) or isinstance(kind, pa.BaseExtensionType)):
        return column
    form = json_form(kind)
    encode = encode_line if pt.is_nested(kind) else str
    chunks = [[None if v is None else encode(v) for v in json_values(chunk, form)] for chunk in column.chunks]
    return pa.chunked_array([pa.array(chunk, pa.large_string()) for chunk in chunks], pa.large_string())


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the column with run-end encoding removed: only Arrow files can hold it."""
    import pyarrow.compute as pc

    return pc.run_end_decode(column) if pt.is_run_end_encoded(column.type) else column


def _with_zone(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the column without a dictionary of times: readers of Parquet would give them another zone."""
    import pyarrow.compute as pc

    kind = column.type
    return pc.dictionary_decode(column) if pt.is_dictionary(kind) and pt.is_timestamp(kind.value_type) else column
