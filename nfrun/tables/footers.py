"""Reads the ends of Parquet and Arrow files, which say what columns a table has, without the table."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa

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
