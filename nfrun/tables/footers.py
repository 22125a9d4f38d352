"""Finds what columns a table has: in the ends of Parquet and Arrow files, and in headers of CSV files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from nfrun.core.file_source import FileSource
from nfrun.tables.csv_options import CsvOptions
from nfrun.tables.file_io import SCHEMAS, InputFile, arrow_schema, csv_header, parquet_shape
from nfrun.tables.file_table import check_unchanged
from nfrun.tables.formats import format_of
from nfrun.tables.partitions import partitions_of
from nfrun.tables.text_files import FILE_NAME, NO_TYPES

_MAY_LACK = {b"may lack": b"columns"}


def joined_schema(
    files: Mapping[str, Path],
    source: str,
    format: str | None = None,
    types: Mapping[str, Any] = NO_TYPES,
    csv: CsvOptions = CsvOptions(),  # noqa: B008
) -> pa.Schema | None:
    """Return the schema of the table in the files of a source, which are there by their names; None if it is not known.

    The type null stands for one that is not known. The other arguments are as in `read_table`.
    """
    schemas = []
    if not all(file.is_file() for file in files.values()):  # what is read of a pipe is gone
        return None
    try:
        for name, file in files.items():
            schema = _schema_of(InputFile(name, str(file)), format or format_of(name) or "", csv, types)
            schema.names  # noqa: B018  (raises where a name is not UTF-8)
            schemas.append(schema)
        partitions = partitions_of(source, [*files], types)
        found = merged_schema(schemas)
        if found is None or not partitions.types:
            return found
        return partitions.add_to(found.empty_table(), next(iter(files))).schema
    except (pa.ArrowException, ValueError, OSError):  # whoever reads the table says what is wrong
        return None


def merged_schema(schemas: Sequence[pa.Schema]) -> pa.Schema | None:
    """Return the columns that a table may have which has one of these schemas, or is joined of such tables by name.

    A column whose types differ has the type null. Returns None where these say too little: of nested columns, queries
    may take parts.
    """
    first, *others = schemas
    if all(schema.equals(first) for schema in others):
        return first
    types: dict[str, set[pa.DataType]] = {}
    for schema in schemas:
        if len(set(schema.names)) < len(schema.names):
            return None
        for field in schema:
            types.setdefault(field.name, set()).add(field.type)
    if any(len(found) > 1 and any(map(pt.is_nested, found)) for found in types.values()):
        return None
    return pa.schema([(name, found.pop() if len(found) == 1 else pa.null()) for name, found in types.items()])


def lacking_columns(schema: pa.Schema) -> pa.Schema:
    """Return a schema that says that a table may lack some of its columns."""
    return schema.with_metadata(_MAY_LACK)


def may_lack_columns(schema: pa.Schema) -> bool:
    """Return whether a table with this schema may lack some of its columns."""
    return (schema.metadata or {}).items() >= _MAY_LACK.items()


def source_schema(source: FileSource) -> pa.Schema:
    """Return the schema of the table in the files."""
    return pa.ipc.read_schema(pa.py_buffer(source.schema))


def null_counts(source: FileSource, names: Sequence[str]) -> dict[str, int] | None:
    """Return how many nulls columns have, as the ends of Parquet files say it; None if they do not for one of these.

    Names that the files do not have are left out.
    """
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


def _schema_of(file: InputFile, format: str, csv: CsvOptions, types: Mapping[str, Any]) -> pa.Schema:
    if format in SCHEMAS:
        return SCHEMAS[format]
    if format == "csv":
        return pa.schema([(name, types.get(name, pa.null())) for name in csv_header(file, csv)])
    return arrow_schema(file) if format == "arrow" else parquet_shape(file)[0]
