"""The table store inside a worker process: maps the files of inputs and writes the files of outputs."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pyarrow as pa

from nfrun.core.errors import HandoffError
from nfrun.core.events import OutputRef
from nfrun.core.file_source import FileSource
from nfrun.core.output_types import TABLE
from nfrun.core.pipeline import OutputId
from nfrun.system.kept_files import remove
from nfrun.tables.file_table import read_source
from nfrun.tables.ipc import open_file
from nfrun.tables.output_files import Value, file_output, output_path, write_output
from nfrun.tables.stored_form import as_stored


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
