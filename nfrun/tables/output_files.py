"""Writes the output of a node to its Arrow file and describes it as an `OutputRef`; holds its state in the store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

from nfrun.core.errors import HandoffError
from nfrun.core.events import OutputRef
from nfrun.core.file_source import FileSource
from nfrun.core.pipeline import TABLE, OutputId, file_name, form_of
from nfrun.core.values import frozen, mutable, replace
from nfrun.system.atomic_files import remove
from nfrun.system.kept_files import NotKeepable, content_of, keep
from nfrun.system.os_errors import reason
from nfrun.tables.file_table import FileTable, read_source
from nfrun.tables.formats import FormatError
from nfrun.tables.ipc import described, open_file, schema_line, size_of, write_file
from nfrun.tables.places.stored_outputs import StoredFile
from nfrun.tables.stored_form import as_stored, has_dictionary, is_streamed, read_all
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
    files: FileTable | None = None  # what holds its table, which may not be loaded yet
    bytes: int = 0  # of its table in memory
    stored: StoredFile | None = None  # what fetches it, if it is in a place that machines share, and not here


def output_path(folder: Path, output: str, attempt: int, type: str = TABLE) -> str:
    """Return the path of an output in the folder of its run: `<folder>/<output>.<attempt>.arrow`, if it is a table."""
    return f"{folder!s}{os.sep}{file_name(output, attempt, type)}"


Value: TypeAlias = pa.Table | pa.RecordBatchReader | FileTable


def in_memory(output: OutputId, attempt: int, value: Value, path: str | None) -> StoredOutput:
    """Return the state of an output that readers get from memory; `path` is that of the file that it gets, if any.

    The table in files is not loaded here. Reads all batches of a reader, whose exceptions pass through. Raises
    FormatError if a file cannot hold a dictionary.
    """
    files = value if isinstance(value, FileTable) else None
    data: Any = value if files is None else files.take()
    if files is not None and data is None:
        return StoredOutput((output, attempt), files.described(output, attempt), files=files, temporary=True)
    if isinstance(data, pa.RecordBatchReader):
        data = read_all(data)
    schema, plain = described(data.schema)
    data = as_stored(data, plain)
    schema = schema if plain else schema_line(data.schema)  # its types may be others now
    ref = OutputRef(output, data.num_rows, size_of(data), schema, path, None, attempt)
    entry = StoredOutput((output, attempt), ref, data, plain=plain, files=files, bytes=ref.bytes)
    if files is not None:
        ref = files.described(output, attempt, ref)
        entry.ref = ref if path is None else replace(ref, digest=None)  # it has one when the file is written
    return entry


def is_written_at_once(value: Value, mode: str) -> bool:
    """Return whether an output is written to its file, if it may have one, before anyone reads it."""
    if isinstance(value, FileTable):
        return mode == "mmap" and value.is_loaded
    return mode == "mmap" or is_streamed(value)


def gone(output: str) -> HandoffError:
    """Return the error for an output that is asked for after its release."""
    return HandoffError(f"the output '{output}' is gone: all its readers had ended")


def hashed(ref: OutputRef, table: pa.Table) -> OutputRef:
    """Return the reference with the digests of the table."""
    from nfrun.tables.digest import Digest

    content = Digest(table.schema)
    content.add(table)
    return replace(ref, digest=content.hexdigest(), schema_digest=content.schema_digest(table))


@frozen
class WriteResult:
    """The result of writing or hashing an output: its reference with the digest, or the error.

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
        if entry.files is not None:
            ref = entry.files.described(ref.id, ref.attempt, ref)
        return WriteResult(ref, True, None if entry.no_readers else file.opened(path))
    except Exception as error:  # any error must reach the callers that wait for this output
        return WriteResult(ref, written, error=failed_write(error, ref.id, ref.bytes))


def write_output(path: Path | str, output: OutputId, attempt: int, value: Value, *, fsync: bool = False) -> OutputRef:
    """Write an output to its file and return its `OutputRef`, including the digest.

    The table in files is not written if it is not loaded. A reader is written batch by batch; one with a dictionary
    column is read into memory first. Raises HandoffError if the file cannot be written; exceptions of the reader pass
    through.
    """
    files = value if isinstance(value, FileTable) else None
    data: Any = value if files is None else files.take()
    if files is not None and data is None:
        return files.described(output, attempt)
    if isinstance(data, pa.RecordBatchReader) and has_dictionary(pa.struct(data.schema)):
        data = read_all(data)
    received = data.nbytes if isinstance(data, pa.Table) else 0  # bytes so far, for the error message
    reader_errors: list[Exception] = []

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal received
        try:
            for batch in data:
                received += batch.nbytes
                yield batch
        except Exception as error:  # raised by the node's reader: pass it on unchanged, whatever its type
            reader_errors.append(error)
            raise

    source = data if isinstance(data, pa.Table) else pa.RecordBatchReader.from_batches(data.schema, batches())
    try:
        written = write_file(source, path, fsync=fsync)
    except BaseException as error:
        if reader_errors:
            # pop: the error refers to this frame, and a reference cycle would keep its tables alive.
            raise reader_errors.pop() from None
        if isinstance(error, OSError | pa.ArrowException):
            raise failed_write(error, output, received) from error
        raise
    ref = OutputRef(output, written.rows, written.bytes, schema_line(data.schema), str(path), None, attempt)
    ref = written.described(ref)
    return ref if files is None else files.described(output, attempt, ref)


def failed_write(error: Exception, output: str, size: int) -> HandoffError:
    """Return the error for an output of `size` bytes that could not be written."""
    return HandoffError(f"cannot write the output '{output}' ({size:,} bytes): {reason(error)}", error)


# ------------------------------------------------------------------ files and folders


def hand_on(output: OutputId, attempt: int, path: Path, type: str, *, has_own_name: bool = True) -> OutputRef:
    """Return the reference of an output that is a file or folder which stays where it is.

    What its readers see beside the content is the ending of the path, and whether the file can be executed. If it
    `has_own_name`, which nfrun has not given to it, they see this name, too. Raises FormatError if it cannot be handed
    on, and HandoffError if it cannot be read.
    """
    try:
        content = content_of(path)
    except NotKeepable as error:
        raise FormatError(f"the {form_of(type)} '{output}' cannot be handed on: {error}") from None
    except OSError as error:
        raise HandoffError(f"cannot read {error.filename or path}: {reason(error)}", error) from error
    seen = f"{type}{' program' if content.is_executable else ''}{f' {path.name}' if has_own_name else ''}"
    size = content.size
    digest = f"xxh3_128:{content.digest}"  # as those of tables
    return OutputRef(output, 0, size, "", str(path), digest, attempt, size, content.digest, seen, type=type)


def file_output(
    folder: Path, output: OutputId, attempt: int, path: Path, type: str, *, moved: bool, fsync: bool = False
) -> OutputRef:
    """Return the reference of an output that is a file or folder, and move it to the `folder` of the run, read-only.

    Unless it is `moved`, it stays where it is. Its digest is computed at once. Raises FormatError if it cannot be
    handed on, and HandoffError if it cannot be read or moved.
    """
    is_kept = path.is_relative_to(folder.parent)  # by this run or an earlier one
    made = hand_on(output, attempt, path, type, has_own_name=not moved and not is_kept)
    if not moved:
        return made
    final = f"{folder!s}{os.sep}{file_name(output, attempt, type)}"
    try:
        keep(path, Path(final), fsync=fsync)
    except OSError as error:
        what = f"cannot keep the output '{output}' ({made.bytes:,} bytes)"
        raise HandoffError(f"{what}: {reason(error)}", error) from error
    return replace(made, path=final)


# ------------------------------------------------------------------ in a worker process


class WorkerStore:
    """Reads and writes tables as files in the work folder of a run.

    The run's `TableStore` takes over the outputs published here with `register_file`.
    """

    def __init__(self, folder: Path, *, fsync: bool = False) -> None:
        self._folder = folder
        self.fsync = fsync

    def publish(self, output: OutputId, attempt: int, value: Value) -> OutputRef:
        """Write an output to its file and return its reference. A `FileTable` that is not loaded is not written.

        Raises HandoffError if the file cannot be written; exceptions of a `RecordBatchReader` pass through.
        """
        return write_output(output_path(self._folder, output, attempt), output, attempt, value, fsync=self.fsync)

    def publish_file(self, output: OutputId, attempt: int, path: Path, type: str, *, moved: bool) -> OutputRef:
        """Take over an output that is a file or folder, see `file_output`."""
        return file_output(self._folder, output, attempt, path, type, moved=moved, fsync=self.fsync)

    def open(self, ref: OutputRef) -> pa.Table | Path:
        """Return the table, memory-mapped, or the path of a file or folder.

        Reads a table that the run has not loaded from its files. Raises FormatError if that fails, and HandoffError if
        it has no file, or the file cannot be opened.
        """
        if ref.type != TABLE:
            return self.file(ref)
        if ref.path is None and ref.files is not None:
            return as_stored(read_source(ref.files))
        return open_file(self.file(ref), ref.size)

    def files(self, ref: OutputRef) -> FileSource:
        """Return the files that hold the table of `ref.files`."""
        assert ref.files is not None
        return ref.files

    def file(self, ref: OutputRef) -> Path:
        """Return the path of the output's Arrow IPC file. Raises HandoffError if it has none."""
        if ref.path is None:
            raise HandoffError(f"the output '{ref.id}' has no file")
        return Path(ref.path)

    def discard(self, ref: OutputRef) -> None:
        """Remove the file of an output whose attempt does not count. OSError is ignored."""
        with suppress(OSError):
            if str(path := self.file(ref)) == output_path(self._folder, ref.id, ref.attempt, ref.type):
                remove(path)
