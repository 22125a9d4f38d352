"""Hands Arrow tables from node to node: by reference at once, through a memory-mapped IPC file once there is one.

Decides which outputs become files; the backlog, in which order. Knows outputs by their `Ref`, not which node comes
next: the scheduler says when an output is released. Files are written once under another name, renamed, and from then
on only mapped or unlinked: truncating a mapped file kills its readers with SIGBUS. They are written through ordinary
writes: on a full disk a memory map opened for writing dies in the same way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfrun.core.errors import HandoffError
from nfrun.core.events import OutputRef
from nfrun.system.runtime import quarter_of_memory
from nfrun.tables.ipc import has_dictionary, open_bytes, open_file, schema_line, size_of, write_file
from nfrun.tables.output_files import failed_write, output_path, write_output
from nfrun.tables.write_queue import Key, WriteQueue

if TYPE_CHECKING:
    import pyarrow as pa

MODES = ("auto", "mmap", "memory")
_HURRY_SECONDS = 0.1  # for the writer, where nobody wants to wait for it


@dataclass(slots=True)
class _Entry:
    """One output. It has a table, a file, or both for a moment; until it is settled the backlog has it too."""

    key: Key
    ref: OutputRef
    table: Any = None
    file_wanted: bool = False  # someone waits for its file
    released: bool = False
    error: str = ""
    written: bool = False
    unread: bool = False  # nobody will open it any more, though its file stays


class TableStore:
    """The outputs of one run.

    `mode` is `auto` (readers get the table at once, files are written behind them), `mmap` (the file is written before
    anyone reads, and everyone maps it) or `memory` (no files but those that someone asks for). Outputs in `keep` are
    always settled: their digest is computed and, unless the mode is `memory`, their file written. In `auto` those in
    `keep` and `ahead` (whose files someone will ask for) are written at once, the others only if memory is short. At
    most `budget` bytes wait to be written; beyond that `publish` waits. With `lasting`, which needs a mode that has
    files, every output is written at once and its file outlives its readers: another run may go on from it; with
    `durable` it outlives a power loss.

    `published(ref)` is called, on the writer's thread or the caller's, when an output is settled; `broken(message)`
    when one cannot be written. Neither may raise.
    """

    def __init__(
        self,
        folder: Path,
        *,
        mode: str = "auto",
        retained: frozenset[str] = frozenset(),
        write_first: frozenset[str] = frozenset(),
        budget: int | None = None,
        persistent: bool = False,
        fsync: bool = False,
        on_published: Callable[[OutputRef], None] = lambda ref: None,
        on_error: Callable[[str], None] = lambda message: None,
    ) -> None:
        self._folder = folder
        self._mode = mode
        self._retained = retained
        self.persistent = persistent
        self.fsync = fsync
        self._on_published = on_published
        self._on_error = on_error
        self._entries: dict[Key, _Entry] = {}
        self._write_queue = WriteQueue(
            quarter_of_memory() if budget is None else budget, retained | write_first, persistent=persistent
        )
        self._busy = False
        self._closed = False
        self._lock = threading.Lock()
        self._change = threading.Condition(self._lock)
        # Of its own: the writer is woken when there is work for it, not by everything that changes.
        self._work = threading.Condition(self._lock)
        self._writer: threading.Thread | None = None

    # -- what nodes do ---------------------------------------------------------------------------------------------

    def publish(self, output: str, attempt: int, value: pa.Table | pa.RecordBatchReader) -> OutputRef:
        """Take over an output and return what travels in its place.

        A reader is written batch by batch as it is read, or read into memory where the mode is `memory`. Raises
        HandoffError if the file cannot be written or the store is closed; whatever the reader raises passes through.
        """
        import pyarrow as pa

        self._refuse_if_closed(output)
        path = None if self._mode == "memory" else output_path(self._folder, output, attempt)
        if isinstance(value, pa.RecordBatchReader):
            if path is not None and not any(has_dictionary(column.type) for column in value.schema):
                return self._publish_file(output, attempt, path, value)
            value = value.read_all()
        ref = OutputRef(output, value.num_rows, size_of(value), schema_line(value.schema), path, None, attempt)
        if self._mode == "mmap" and path is not None:
            return self._publish_file(output, attempt, path, value)
        entry = _Entry((output, attempt), ref, value)
        with self._lock:
            if path is not None or output in self._retained:
                self._make_room(ref.bytes)
                self._refuse_if_closed(output)
                self._enqueue(entry)
            self._entries[entry.key] = entry
        return ref

    def register_file(self, ref: OutputRef) -> OutputRef:
        """Take over an output that another process has written to its file; returns what travels in its place.

        Where the mode is `memory` the file goes as soon as it is mapped. Raises HandoffError as `publish` does.
        """
        if self._mode != "memory":
            self._register(ref)
            return ref
        path = Path(self._path_of(ref))
        table = open_file(path)
        with suppress(OSError):
            path.unlink()
        return self.publish(ref.id, ref.attempt, table)

    def reuse(self, ref: OutputRef) -> None:
        """Take over an output whose file another run has made, and which is known to be what it was.

        Raises HandoffError as `publish` does.
        """
        self._register(ref)

    def wait_digest(self, ref: OutputRef) -> OutputRef:
        """The output with the digest of its content, once that is known. Raises HandoffError if it never will be."""
        if ref.digest is not None:
            return ref
        with self._lock:
            entry = self._entries.get((ref.id, ref.attempt))
            if entry is not None:
                self._change.wait_for(lambda: entry.key not in self._write_queue or entry.released)
            if entry is None or entry.ref.digest is None:
                gone = f"the output '{ref.id}' is gone: all its readers had ended"
                raise HandoffError(entry.error if entry is not None and entry.error else gone)
            return entry.ref

    def open(self, ref: OutputRef) -> pa.Table:
        """The table: the very one that was published until it has a file, then that, mapped once for all readers.

        Raises HandoffError if it is released.
        """
        entry = self._entries.get((ref.id, ref.attempt))
        table = entry.table if entry else None
        if table is None:
            raise HandoffError(f"the output '{ref.id}' is gone: all its readers had ended")
        return table

    def file(self, ref: OutputRef) -> Path:
        """The path of the output's Arrow IPC file, once it is complete. Writes it now if nobody has."""
        with self._lock:
            entry = self._entries.get((ref.id, ref.attempt))
            while entry is not None and not entry.written and not entry.released:
                if entry.error:
                    raise HandoffError(entry.error)
                entry.file_wanted = True
                if entry.key not in self._write_queue:  # kept in memory, or hashed just before it was wanted
                    self._enqueue(entry)
                elif self._write_queue.prioritize(entry.key):
                    self._wake()
                self._change.wait_for(lambda: entry.key not in self._write_queue)
            # Released while somebody waits: an attempt that was given up is still at it.
            if entry is None or entry.released:
                raise HandoffError(f"the output '{ref.id}' is gone: all its readers had ended")
            return Path(self._path_of(entry.ref))

    # -- what the run does -----------------------------------------------------------------------------------------

    def release(self, ref: OutputRef) -> None:
        """Nobody will open this output any more: forget the table, remove the file or do not write it at all.

        The file stays, or is still written, if this store's are lasting. Does no I/O itself: files are unlinked by the
        writer, off the path of whoever calls.
        """
        with self._lock:
            entry = self._entries.get((ref.id, ref.attempt)) if self.persistent else None
            if entry is None:
                self._release(ref.id, ref.attempt)
            elif entry.key in self._write_queue:
                entry.unread = True
            else:
                del self._entries[entry.key]

    def discard(self, ref: OutputRef) -> None:
        """The attempt that gave this output does not count: nothing of it stays."""
        with self._lock:
            self._release(ref.id, ref.attempt)

    def flushed(self, seconds: float | None = None) -> bool:
        """Wait until nothing is left to write now, to hash or to unlink, at most these seconds; whether that is so."""
        with self._lock:
            return self._change.wait_for(lambda: not (self._write_queue.has_work() or self._busy), seconds)

    def close(self, *, wait: bool = True) -> None:
        """End the writer and let go of all tables; files of kept outputs stay, and no others.

        Unless `wait`, what is not written yet is given up. Closing again does nothing.
        """
        with self._lock:
            if self._closed:
                return
            # From now on nothing is published: who comes late was given up, and nobody would clean up behind it.
            self._closed = True
            for output, attempt in list(self._entries):
                stays = self.persistent or output in self._retained
                if not stays or not wait:
                    self._release(output, attempt, keep_file=stays)
            self._change.notify_all()
            self._work.notify()
        if self._writer is not None:
            self._writer.join(None if wait else _HURRY_SECONDS)
        with self._lock:
            self._entries.clear()
        for partial in self._folder.glob("*.partial"):  # of attempts that were given up while they wrote
            with suppress(OSError):
                partial.unlink()
        with suppress(OSError):
            self._folder.rmdir()  # only if nothing is in it

    def _path_of(self, ref: OutputRef) -> str:
        return ref.path or output_path(self._folder, ref.id, ref.attempt)

    # -- with the lock held ----------------------------------------------------------------------------------------

    def _make_room(self, size: int) -> None:
        if not self._write_queue.has_room(size):
            self._write_queue.waiters += 1
            self._wake()
            try:
                self._change.wait_for(lambda: self._closed or self._write_queue.has_room(size))
            finally:
                self._write_queue.waiters -= 1

    def _refuse_if_closed(self, output: str) -> None:
        if self._closed:
            raise HandoffError(f"the output '{output}' comes too late: the run is over")

    def _release(self, output: str, attempt: int, *, keep_file: bool = False) -> None:
        entry = self._entries.pop((output, attempt), None)
        if entry is None:
            return
        entry.released = True
        if self._write_queue.cancel(entry.key):  # else the writer sees to it
            entry.table = None
            self._change.notify_all()
            if entry.written and not keep_file:
                self._write_queue.unlink(self._path_of(entry.ref))
                self._wake()

    def _enqueue(self, entry: _Entry) -> None:
        self._write_queue.add(entry.key, entry.ref.bytes, urgent=entry.file_wanted)
        if self._writer is None or self._write_queue.has_work():
            self._wake()

    def _wake(self) -> None:
        if self._writer is None:
            self._writer = threading.Thread(target=self._write_behind, name="nfrun-writer", daemon=True)
            self._writer.start()
        self._work.notify()

    # -- the writer ------------------------------------------------------------------------------------------------

    def _write_behind(self) -> None:
        import pyarrow as pa

        import nfrun.tables.digest  # noqa: F401  (now, when nobody waits for it, and not behind the last node)

        while True:
            with self._lock:
                self._busy = False
                self._change.notify_all()
                self._work.wait_for(lambda: self._write_queue.has_work() or self._closed)
                under_pressure = self._write_queue.under_pressure()
                task = self._write_queue.next()
                if task is None:
                    return
                self._busy = True
                job = task if isinstance(task, str) else self._entries[task]
            if isinstance(job, str):
                with suppress(OSError):
                    Path(job).unlink()
            else:
                self._write(job)
                if (
                    under_pressure
                ):  # glibc keeps what is freed, several times the budget of it, until it is told to return it
                    pa.default_memory_pool().release_unused()

    def _write(self, entry: _Entry) -> None:
        error, written, content, mapped, size, checksum, schema_digest = "", False, None, None, None, None, None
        path = self._path_of(entry.ref)
        table = entry.table  # what is dropped further down goes when this function ends, not while it holds the lock

        def give_up_if_released() -> None:
            if entry.released:
                raise HandoffError("nobody needs it any more")

        try:
            if entry.ref.path is not None or entry.file_wanted:
                file = write_file(table, path, give_up_if_released, fsync=self.fsync)
                written, content, size, checksum = True, file.digest, file.size, file.checksum
                schema_digest = file.schema_digest
                # To map less than a page takes more memory than it frees, longer than to write it, and one of the
                # 65,530 maps that Linux lets a process have. What was published is let go of all the same: it may be a
                # view of something large, or of what its node goes on to change.
                if not entry.unread:
                    mapped = open_file(Path(path), size) if file.whole is None else open_bytes(file.whole)
            else:
                from nfrun.tables.digest import table_digest

                content = table_digest(table)
        except Exception as failed:  # whatever went wrong here must reach those who wait for it
            error = failed_write(failed, entry.ref.id, entry.ref.bytes)
        first = entry.ref.digest is None
        ref = replace(entry.ref, digest=content, size=size, checksum=checksum, schema_digest=schema_digest)
        if first and not error and not entry.released:
            self._on_published(ref)  # before anyone who waits for it goes on
        with self._lock:
            released, entry.ref = entry.released, ref
            entry.written, entry.error = written, error
            if released and written:
                self._write_queue.unlink(path)
            if released or entry.unread:
                entry.table = None
                if entry.unread and self._entries.get(entry.key) is entry:
                    del self._entries[entry.key]
            elif mapped is not None and self._mode != "memory":
                entry.table = mapped  # from now on readers share the file's pages
            self._write_queue.finish(entry.key)
            self._change.notify_all()
        if error and not released:  # else it concerns nobody any more
            self._on_error(error)

    def _publish_file(self, output: str, attempt: int, path: str, value: Any) -> OutputRef:
        ref = write_output(Path(path), output, attempt, value, fsync=self.fsync)
        self._register(ref)
        return ref

    def _register(self, ref: OutputRef) -> None:
        path = Path(self._path_of(ref))
        mapped = open_file(path, ref.size)
        with self._lock:
            if self._closed:
                with suppress(OSError):
                    path.unlink()
            self._refuse_if_closed(ref.id)
            key = ref.id, ref.attempt
            self._entries[key] = _Entry(key, ref, mapped, written=True)
        self._on_published(ref)
