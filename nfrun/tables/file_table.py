"""Stands for the table in local Parquet files, which is read when somebody needs it: queries read the files themselves.

Such an output is identified by the content of its files, so that it has the same digest whether its table was made or
not. A file that is changed or replaced meanwhile is noticed by its state, after it is read.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from glob import has_magic
from pathlib import Path
from typing import Any

import pyarrow as pa

from nfrun.core.errors import HandoffError
from nfrun.core.events import OutputRef
from nfrun.core.file_source import DIGEST_OF_FILES, FileSource, SourceFile
from nfrun.core.pipeline import NOTHING, OutputId
from nfrun.core.values import replace
from nfrun.system.checksums import FileLook, bytes_checksum, file_checksum, text_checksum
from nfrun.system.os_errors import reason
from nfrun.tables.formats import FormatError, format_of, local_source
from nfrun.tables.ipc import schema_line
from nfrun.tables.stored_form import check_types, registered_schema


class FileTable:
    """The table in the files of a `source`, with this number of rows. Thread-safe but for `take`."""

    def __init__(self, source: FileSource, rows: int, table: pa.Table | None = None) -> None:
        self.source = source
        self._rows = rows
        self._table = table
        self.lock = threading.Lock()  # for who loads the table, so that it is made once

    @property
    def is_loaded(self) -> bool:
        """Whether the table is in memory."""
        return self._table is not None

    def load(self) -> None:
        """Read the table now. Raises FormatError, HandoffError."""
        self._table = read_source(self.source)

    def take(self) -> pa.Table | None:
        """Return the table if it is loaded, and let go of it."""
        table, self._table = self._table, None
        return table

    def described(self, output: OutputId, attempt: int, ref: OutputRef | None = None) -> OutputRef:
        """Return the reference to the output: `ref`, if given, with what is known of the files.

        Its `bytes` are those of the files. Its digest covers the content of the files, and what is selected of them.
        """
        source = self.source
        schema = pa.ipc.read_schema(pa.py_buffer(source.schema))
        content: list[Any] = ["parquet", source.columns, [file.checksum for file in source.files]]
        if source.partitions:
            types = [str(schema.field(name).type) for name in source.partitions]
            content += [source.partitions, types, [file.partition for file in source.files]]
        return replace(
            ref or OutputRef(output, self._rows, 0, schema_line(schema), attempt=attempt),
            bytes=sum(file.state[2] for file in source.files),
            digest=f"{DIGEST_OF_FILES}{text_checksum(json.dumps(content))}",
            schema_digest=bytes_checksum(source.schema),
            files=source,
        )


def open_files(
    source: str,
    *,
    base: Path,
    look: Callable[[Path], FileLook],
    format: str | None = None,
    columns: Sequence[str] | None = None,
    types: Mapping[str, Any] = NOTHING,
    **others: Any,
) -> FileTable | None:
    """Return the table in the Parquet files that `source` names, not read yet. None if `read_table` must read them.

    The arguments are those of `read_table`; `look` takes the checksum of a file. Raises FormatError, OSError.
    """
    if others or (format or format_of(source) or "parquet") != "parquet":
        return None
    from nfrun.tables.file_io import input_files, parquet_shape, selected_columns  # few runs need it
    from nfrun.tables.partitions import partitions_of

    files = input_files(source, base)
    if any(file.filesystem or (format or format_of(file.path)) != "parquet" for file in files):
        return None
    partitions = partitions_of(local_source(source) or "", [file.name for file in files], types)
    looks = [look(Path(file.path)) for file in files]
    shapes = [parquet_shape(file) for file in files]
    schema = shapes[0][0]
    is_one = len(schema) and all(found.equals(schema) for found, _ in shapes[1:])
    is_pattern = any(has_magic(os.path.abspath(file.path)) for file in files)  # noqa: PTH100  (for DuckDB)
    if not is_one or is_pattern or not all(seen.checksum for seen in looks):
        return None
    check_types(schema)
    if partitions.types:
        schema = partitions.add_to(schema.empty_table(), files[0].name).schema
    if columns is not None:
        names = selected_columns(schema.names, columns, source)
        schema = pa.schema([schema.field(name) for name in names], schema.metadata)
    in_paths = [name for name in partitions.types if name in schema.names]
    found = FileSource(
        tuple(
            SourceFile(
                file.name,
                os.path.abspath(file.path),  # noqa: PTH100
                seen.checksum,
                seen.state,
                tuple([partitions.texts[file.name][name] for name in in_paths]),
            )
            for file, seen in zip(files, looks, strict=True)
        ),
        None if columns is None else tuple(columns),
        registered_schema(schema).serialize().to_pybytes(),
        tuple(in_paths),
    )
    return FileTable(found, sum(rows for _, rows in shapes))


def read_source(source: FileSource) -> pa.Table:
    """Read the whole table. Raises FormatError, also if a file was changed; HandoffError for errors of the system."""
    from nfrun.tables.file_io import InputFile, read_parquet
    from nfrun.tables.partitions import Partitions

    files = [InputFile(file.name, file.path) for file in source.files]
    schema = pa.ipc.read_schema(pa.py_buffer(source.schema))
    texts = {file.name: dict(zip(source.partitions, file.partition, strict=True)) for file in source.files}
    in_paths = Partitions(texts, {name: schema.field(name).type for name in source.partitions})
    try:
        table = read_parquet(files, source.columns, in_paths)
    except (FormatError, OSError) as error:
        check_unchanged(source)
        if isinstance(error, FormatError) or not error.errno:
            raise
        raise HandoffError(f"cannot read {files[0].name}: {reason(error)}", error) from error
    check_unchanged(source)
    return table


def check_unchanged(source: FileSource) -> None:
    """Raise FormatError if a file has another content than when its checksum was taken."""
    for file in source.files:
        try:
            found = os.stat(file.path)  # noqa: PTH116
            state = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            if state == file.state or file_checksum(file.path) == file.checksum:
                continue
        except OSError as error:
            raise FormatError(f"{file.name} cannot be read any more: {reason(error)}") from error
        raise FormatError(f"{file.name} was changed while the run was reading it: start the run again")
