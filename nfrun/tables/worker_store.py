"""The store as another process sees it: inputs are files to be mapped, outputs files to be written. Knows no runs."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nfrun.core.errors import HandoffError
from nfrun.core.events import OutputRef
from nfrun.tables.ipc import open_file
from nfrun.tables.output_files import output_path, write_output

if TYPE_CHECKING:
    import pyarrow as pa


class WorkerStore:
    """Hands on through the files in the folder of a run. The run's own `Store` adopts what is published here."""

    def __init__(self, folder: Path, *, fsync: bool = False) -> None:
        self._folder = folder
        self.fsync = fsync

    def publish(self, output: str, attempt: int, value: pa.Table | pa.RecordBatchReader) -> OutputRef:
        """Write an output to its file. Raises HandoffError, and whatever a reader that is given raises."""
        path = Path(output_path(self._folder, output, attempt))
        return write_output(path, output, attempt, value, fsync=self.fsync)

    def open(self, ref: OutputRef) -> pa.Table:
        """The table, memory-mapped. Raises HandoffError."""
        return open_file(self.file(ref), ref.size)

    def file(self, ref: OutputRef) -> Path:
        """The path of the output's Arrow IPC file."""
        if ref.path is None:
            raise HandoffError(f"the output '{ref.id}' has no file")
        return Path(ref.path)

    def discard(self, ref: OutputRef) -> None:
        """The output does not count: remove its file."""
        with suppress(OSError):
            self.file(ref).unlink()
