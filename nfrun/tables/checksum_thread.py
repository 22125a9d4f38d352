"""Takes the checksums of output files on a thread, so that neither nodes nor the writer of the store wait for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Condition

from nfrun.core.events import OutputRef
from nfrun.core.values import replace
from nfrun.system.checksums import file_checksum
from nfrun.system.threads import start_thread
from nfrun.tables.output_files import StoredOutput


class ChecksumThread:
    """Reads the files of outputs one by one, and puts their checksums into the references.

    `on_taken(ref)` is called for each that is not released, with the lock of `change` held; then `change` is notified.
    The checksum stays None if the file cannot be read: the journal writer, which needs it, reports the error. `pending`
    counts the outputs that are not done; read it with the lock held.
    """

    def __init__(self, change: Condition, on_taken: Callable[[OutputRef], None]) -> None:
        self.pending = 0
        self._change = change
        self._on_taken = on_taken
        self._queue: SimpleQueue[tuple[StoredOutput, str] | None] = SimpleQueue()
        start_thread(self._run, "nfrun-checksums")

    def add(self, output: StoredOutput, path: str) -> None:
        """Queue an output whose file is at `path`. Call it with the lock held."""
        self.pending += 1
        self._queue.put((output, path))

    def close(self) -> None:
        """End the thread once the queue is empty."""
        self._queue.put(None)

    def _run(self) -> None:
        while (task := self._queue.get()) is not None:
            output, path = task
            with suppress(Exception):
                output.ref = replace(output.ref, checksum=file_checksum(path))
            with self._change:
                self.pending -= 1
                if not output.released:
                    self._on_taken(output.ref)
                self._change.notify_all()
