"""Reads the ends of Parquet and Arrow files, which say what columns a table has, without the table."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from nfrun.core.file_source import FileSource
from nfrun.tables.file_table import check_unchanged
from nfrun.tables.formats import format_of
from nfrun.tables.text_files import FILE_NAME


def common_schema(files: Iterable[Path], format: str | None = None) -> pa.Schema | None:
    """Return the schema of a table in files that all have the same; None if they have not, or cannot be read.

    `format` overrides the endings of the files.
    """
    found: pa.Schema | None = None
    for file in files:
        try:
            schema = _schema_of(file, format or format_of(file.name) or "")
            schema.names  # noqa: B018  (raises where a name is not UTF-8)
        except (pa.ArrowException, ValueError, OSError):  # whoever reads the table says what is wrong
            return None
        if found is not None and not found.equals(schema):
            return None
        found = schema
    return found


def source_schema(source: FileSource) -> pa.Schema:
    """Return the schema of the table in the files."""
    return pa.ipc.read_schema(pa.py_buffer(source.schema))


def null_counts(source: FileSource, names: Sequence[str]) -> dict[str, int] | None:
    """Return how many nulls columns have, as the ends of Parquet files say it; None if they do not for one of these.

    Names that the files do not have are left out.
    """
    if source.format != "parquet":
        return None
    from pyarrow.parquet import ParquetFile

    counts = dict.fromkeys([name for name in names if name in source_schema(source).names], 0)
    try:
        for file in source.files:
            of_path = dict(zip(source.partitions, file.partition, strict=True))
            with pa.OSFile(os.fsencode(file.path), "rb") as opened, ParquetFile(opened) as parquet:
                of_file = _null_counts(parquet.metadata, [name for name in counts if name not in of_path])
                rows = parquet.metadata.num_rows
            if of_file is None:
                return None
            of_file |= {name: rows if text is None else 0 for name, text in of_path.items()}
            counts = {name: counts[name] + of_file[name] for name in counts}
    except (pa.ArrowException, ValueError, OSError):  # whoever reads the table says what is wrong
        return None
    check_unchanged(source)
    return counts


def _null_counts(metadata: Any, names: Iterable[str]) -> dict[str, int] | None:
    """Return how many nulls plain columns have in a file. Those of a list or a struct say nothing of itself."""
    paths = [metadata.schema.column(i).path for i in range(metadata.num_columns)]
    times, places = Counter(paths), {path: i for i, path in enumerate(paths)}
    counts = {}
    for name in names:
        if times[name] != 1:  # 's.x' may be a column, and a part of the column 's'
            return None
        groups = [metadata.row_group(i).column(places[name]) for i in range(metadata.num_row_groups)]
        known = [
            group.statistics.null_count for group in groups if group.statistics and group.statistics.has_null_count
        ]
        if len(known) < metadata.num_row_groups:
            return None
        counts[name] = sum(known)
    return counts


def named_schema(schema: pa.Schema, names: Sequence[str], *, with_file: bool) -> pa.Schema | None:
    """Return the schema of these columns, and the one that names the file; None if a name is there twice."""
    names = [*names, FILE_NAME] if with_file else names
    if len(set(names)) < len(names) or len(set(schema.names)) < len(schema.names):
        return None
    fields = {field.name: field for field in (pa.field(FILE_NAME, pa.string()), *schema)}
    return pa.schema([fields[name] for name in names])


def _schema_of(file: Path, format: str) -> pa.Schema:
    with pa.OSFile(os.fsencode(file), "rb") as source:
        if format == "parquet":
            from pyarrow.parquet import ParquetFile

            with ParquetFile(source) as parquet:
                return parquet.schema_arrow
        if source.read(6) == b"ARROW1":
            with pa.ipc.open_file(source) as reader:
                return reader.schema
        source.seek(0)
        with pa.ipc.open_stream(source) as stream:
            return stream.schema
