"""Writes the output of a node to its Arrow file and describes it as an `OutputRef`; holds its state in the store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from nfrun.core.errors import HandoffError
from nfrun.core.events import OutputRef
from nfrun.core.pipeline import OutputId
from nfrun.core.text import file_stem
from nfrun.core.values import frozen, mutable, replace
from nfrun.system.os_errors import reason
from nfrun.tables.dictionaries import has_dictionary
from nfrun.tables.ipc import described, schema_line, size_of, write_file
from nfrun.tables.stored_form import as_stored, read_all
from nfrun.tables.write_queue import Key


@mutable
class StoredOutput:
    """The state of one output in a `TableStore`: its table in memory or mapped, and whether its file is written.

    The write queue contains its key until it is written or hashed.
    """

    key: Key
    ref: OutputRef
    table: Any = None
    file_requested: bool = False  # a caller of `file` waits for it
    committed: bool = False
    released: bool = False
    error: HandoffError | None = None
    written: bool = False
    no_readers: bool = False  # it has no more readers, but its file stays
    temporary: bool = False  # if it has a file, that goes with it, even in a persistent store
    plain: bool = False  # whether its table has plain types alone, as far as that is known: see `described`


def output_path(folder: Path, output: str, attempt: int) -> str:
    """Return the path of an output's Arrow file in the folder of its run: `<folder>/<output>.<attempt>.arrow`."""
    return f"{folder!s}{os.sep}{file_stem(output)}.{attempt}.arrow"


def in_memory(output: OutputId, attempt: int, value: pa.Table | pa.RecordBatchReader, path: str | None) -> StoredOutput:
    """Return the state of an output that readers get from memory; `path` is that of the file that it gets, if any.

    Reads all batches of a reader, whose exceptions pass through. Raises FormatError if a file cannot hold a dictionary.
    """
    if isinstance(value, pa.RecordBatchReader):
        value = read_all(value)
    schema, plain = described(value.schema)
    value = as_stored(value, plain)
    schema = schema if plain else schema_line(value.schema)  # its types may be others now
    ref = OutputRef(output, value.num_rows, size_of(value), schema, path, None, attempt)
    return StoredOutput((output, attempt), ref, value, plain=plain)


def hashed(ref: OutputRef, table: pa.Table) -> OutputRef:
    """Return the reference with the digests of the table."""
    from nfrun.tables.digest import Digest

    content = Digest(table.schema)
    content.add(table)
    return replace(ref, digest=content.hexdigest(), schema_digest=content.schema_digest(table))


@frozen
class WriteResult:
    """What became of an output that was written or hashed: its reference with the digest, or the error.

    `written` says whether it has a file. `mapped` is the table in the file, None if nobody is to read it.
    """

    ref: OutputRef
    written: bool = False
    mapped: Any = None
    error: HandoffError | None = None


def write_stored(entry: StoredOutput, table: pa.Table, path: str, *, fsync: bool = False) -> WriteResult:
    """Write the table of an output to its file at `path`, or compute the digest alone if it gets no file.

    Stops before the next batch if the output is released.
    """
    ref, written = entry.ref, False

    def stop_if_released() -> None:
        if entry.released:
            raise HandoffError("nobody needs it any more")

    try:
        if ref.path is None and not entry.file_requested:
            return WriteResult(hashed(ref, table))
        file = write_file(table, path, stop_if_released, fsync=fsync)
        written, ref = True, file.described(ref)
        return WriteResult(ref, True, None if entry.no_readers else file.opened(path))
    except Exception as error:  # any error must reach the callers that wait for this output
        return WriteResult(ref, written, error=failed_write(error, ref.id, ref.bytes))


def write_output(
    path: Path | str, output: OutputId, attempt: int, value: pa.Table | pa.RecordBatchReader, *, fsync: bool = False
) -> OutputRef:
    """Write an output to its file and return its `OutputRef`, including the digest.

    A reader is written batch by batch; one with a dictionary column is read into memory first. Raises HandoffError if
    the file cannot be written; exceptions of the reader pass through.
    """
    if isinstance(value, pa.RecordBatchReader) and has_dictionary(pa.struct(value.schema)):
        value = read_all(value)
    received = value.nbytes if isinstance(value, pa.Table) else 0  # bytes so far, for the error message
    reader_errors: list[Exception] = []

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal received
        try:
            for batch in value:
                received += batch.nbytes
                yield batch
        except Exception as error:  # raised by the node's reader: pass it on unchanged, whatever its type
            reader_errors.append(error)
            raise

    source = value if isinstance(value, pa.Table) else pa.RecordBatchReader.from_batches(value.schema, batches())
    try:
        written = write_file(source, path, fsync=fsync)
    except BaseException as error:
        if reader_errors:
            # pop: the error refers to this frame, and a reference cycle would keep its tables alive.
            raise reader_errors.pop() from None
        if isinstance(error, OSError | pa.ArrowException):
            raise failed_write(error, output, received) from error
        raise
    return OutputRef(
        output,
        written.rows,
        written.bytes,
        schema_line(value.schema),
        str(path),
        written.digest,
        attempt,
        written.size,
        written.checksum,
        written.schema_digest,
    )


def failed_write(error: Exception, output: str, size: int) -> HandoffError:
    """Return the error for an output of `size` bytes that could not be written."""
    return HandoffError(f"cannot write the output '{output}' ({size:,} bytes): {reason(error)}", error)
