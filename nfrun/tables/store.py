"""Passes Arrow tables from node to node: by reference at first, as a memory-mapped IPC file once that is written.

`TableStore` decides which outputs become files, `tables/write_queue.py` in which order; the scheduler decides when an
output is released. A file is written under a temporary name, renamed, and from then on only mapped or unlinked:
truncating a mapped file kills its readers with SIGBUS. Files are written with ordinary writes, because a writable
memory map raises SIGBUS on a full disk.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from nfrun.core.errors import HandoffError
from nfrun.core.events import OutputRef
from nfrun.core.file_source import FileSource
from nfrun.core.pipeline import TABLE, OutputId
from nfrun.core.values import replace
from nfrun.system.atomic_files import remove, remove_partials
from nfrun.system.runtime import available_memory
from nfrun.system.threads import start_thread
from nfrun.tables.file_table import FileTable
from nfrun.tables.ipc import open_file
from nfrun.tables.output_files import (
    StoredOutput,
    Value,
    file_output,
    gone,
    in_memory,
    is_written_at_once,
    output_path,
    write_output,
    write_stored,
)
from nfrun.tables.places.stored_outputs import StoredFile, StoredOutputs
from nfrun.tables.stored_form import as_registered
from nfrun.tables.write_queue import Key, WriteQueue

_CLOSE_SECONDS = 0.1  # how long `close(wait=False)` waits for the writer thread


class TableStore:
    """Keeps the outputs of one run. Its methods are thread-safe.

    `mode`:
    - `auto`: readers get the table at once; files are written in the background.
    - `mmap`: the file is written before anyone reads, and all readers map it.
    - `memory`: a file is written only if `file` asks for one.

    The digest of each output in `retained` is always computed, and its file stays when the store is closed. At most
    `budget` bytes are queued for writing (default: a quarter of the memory); beyond that, `publish` waits. With
    `persistent`, which needs a mode with files, every file stays after its last reader, so that another run can reuse
    it; but of the outputs in `unwritten`, only the digest is computed, and a file that `file` asks for goes with the
    table. With `fsync`, files survive a power loss. `stored` fetches outputs that are in a place which machines share;
    there they stay.

    `on_published(ref)` is called once for each output that is committed and written or hashed; `on_error(error)` when
    one cannot be written. They run on the thread of the store or the caller's thread, and must not raise.
    `on_published` runs with the store's lock held: it must not call the store.
    """

    def __init__(
        self,
        folder: Path,
        *,
        mode: str = "auto",
        retained: frozenset[str] = frozenset(),
        budget: int | None = None,
        persistent: bool = False,
        unwritten: frozenset[str] = frozenset(),
        fsync: bool = False,
        stored: StoredOutputs | None = None,
        on_published: Callable[[OutputRef], None] = lambda ref: None,
        on_error: Callable[[HandoffError], None] = lambda error: None,
    ) -> None:
        self._folder, self._mode = folder, mode
        self._retained = retained
        self.persistent = persistent
        self._unwritten = unwritten
        self.fsync = fsync
        self._stored, self._on_published = stored or StoredOutputs(), on_published
        self.place = self._stored.place
        self._on_error = on_error
        self._entries: dict[Key, StoredOutput] = {}
        budget = available_memory() // 4 if budget is None else budget
        self._write_queue = WriteQueue(budget)
        self._closed = False
        self._lock = threading.Lock()
        self._change = threading.Condition(self._lock)
        self._work = threading.Condition(self._lock)  # wakes the thread only when there is work for it
        self._busy = False
        self._thread: threading.Thread | None = None

    # -- called by nodes -------------------------------------------------------------------------------------------

    def publish(self, output: OutputId, attempt: int, value: Value) -> OutputRef:
        """Store an output and return its reference. Waits while the write queue is full.

        Some outputs are written to the file at once, batch by batch: `is_streamed`. Other readers, and all if the mode
        is `memory`, are read into memory. A `FileTable` that is not loaded stays so until the table is opened.

        Raises HandoffError if the file cannot be written or the store is closed, and FormatError if it cannot hold a
        dictionary; exceptions of a reader pass through.
        """
        self._refuse_if_closed(output)
        temporary = output in self._unwritten
        path = None if self._mode == "memory" or temporary else self.path(output, attempt)
        if path is not None and is_written_at_once(value, self._mode):
            ref = write_output(path, output, attempt, value, fsync=self.fsync)
            self._register(ref)
            return ref
        entry = in_memory(output, attempt, value, path)
        entry.table = self._held(entry.table)
        with self._lock:
            if entry.table is not None and (path is not None or temporary or output in self._retained):
                self._wait_for_room(entry.bytes)
                self._refuse_if_closed(output)
                if temporary:
                    self._keep_for_now(entry)
                elif not entry.ref.digest:
                    self._add(entry)
            self._entries[entry.key] = entry
        return entry.ref

    def publish_file(self, output: OutputId, attempt: int, path: Path, type: str, *, moved: bool) -> OutputRef:
        """Take over an output that is a file or folder, see `file_output`. Raises HandoffError if it comes too late."""
        self._refuse_if_closed(output)
        ref = file_output(self._folder, output, attempt, path, type, moved=moved, fsync=self.fsync)
        self._register(ref)
        return ref

    def path(self, output: str, attempt: int, type: str = TABLE) -> str:
        """Return the path of an output's file in the folder of the run. It need not be there."""
        return output_path(self._folder, output, attempt, type)

    def register_file(self, ref: OutputRef) -> OutputRef:
        """Add an output that another process or an earlier run wrote to its file, and return its reference.

        A file of an earlier run must have been verified. It stays in the folder of that run, and this store never
        removes it. If the mode is `memory`, or the output in `unwritten`, a file of this run is unlinked as soon as it
        is mapped. One that is remote is fetched when it is read. Raises HandoffError if the file cannot be opened or
        the store is closed.
        """
        if ref.files is not None and ref.path is None and ref.stored is None:
            return self.publish(ref.id, ref.attempt, FileTable(ref.files, ref.rows))
        if ref.type != TABLE or not self._is_own(ref) or not (self._mode == "memory" or ref.id in self._unwritten):
            self._register(ref, StoredFile(ref, self._stored) if ref.is_remote else None)
            return ref
        table = open_file(path := Path(self._path_of(ref)))
        path.unlink(missing_ok=True)
        return self.publish(ref.id, ref.attempt, FileTable(ref.files, ref.rows, table) if ref.files else table)

    def holds(self, ref: OutputRef) -> bool:
        """Return whether the output has a table here: it was published or registered, and is not released."""
        with self._lock:
            return (ref.id, ref.attempt) in self._entries

    def wait_digest(self, ref: OutputRef) -> OutputRef:
        """Wait until the output's digest is computed, and return its reference with the digest.

        Raises HandoffError if the output was released, could not be written, or is not queued for a digest.
        """
        if ref.digest is not None:
            return ref
        with self._lock:
            entry = self._entries.get((ref.id, ref.attempt))
            if entry is not None:
                self._change.wait_for(lambda: entry.key not in self._write_queue or entry.released)
            if entry is None or entry.ref.digest is None:
                if entry is not None and entry.error:
                    raise HandoffError(str(entry.error), entry.error)
                raise gone(ref.id)
            return entry.ref

    def open(self, ref: OutputRef) -> pa.Table | Path:
        """Return the table: the published one until its file is written, then the file, mapped once for all readers.

        Of an output that is a file or folder, returns the path. Raises HandoffError if the output is released,
        NotStored if its place does not have it any more, and FormatError if its table is in files that cannot be read.
        """
        table, plain = self._kept(ref)
        return table if plain else as_registered(table)  # the reader may have registered types

    def files(self, ref: OutputRef) -> FileSource:
        """Return the files that hold the table of `ref.files`. Raises HandoffError if the output is released."""
        entry = self._entries.get((ref.id, ref.attempt))
        if entry is None or entry.files is None:
            raise gone(ref.id)
        return entry.files.source

    def file(self, ref: OutputRef) -> Path:
        """Return the path of the output's Arrow IPC file. Has it written if it is not, and waits until it is complete.

        Raises HandoffError if the output is released or cannot be written, and FormatError as `open`.
        """
        entry = self._entries.get((ref.id, ref.attempt))
        if entry is not None and entry.stored is not None and not entry.released:
            return entry.stored.path()
        self._kept(ref)
        with self._lock:
            entry = self._entries.get((ref.id, ref.attempt))
            while entry is not None and not entry.written and not entry.released:
                if entry.error:  # a new one for each caller: an exception holds on to the frames that it was raised in
                    raise HandoffError(str(entry.error), entry.error)
                entry.file_requested = True
                if entry.key not in self._write_queue:  # kept in memory, or already hashed without a file
                    self._add(entry)
                self._change.wait_for(lambda: entry.key not in self._write_queue)
            # The output can be released during the wait: a detached attempt may still be running.
            if entry is None or entry.released:
                raise gone(ref.id)
            return Path(self._path_of(entry.ref))

    def stored(self, ref: OutputRef) -> OutputRef:
        """Return the reference with the address of the output in `place`. Puts it there once, if it is not there.

        It may be one that this store does not hold, if it has a path. Raises HandoffError.
        """
        if ref.stored is None and self.holds(ref):
            path = self.file(ref)
            ref = replace(self.wait_digest(ref), path=str(path))
        return self._stored.put(ref) if ref.stored is None else ref

    # -- called by the run -----------------------------------------------------------------------------------------

    def commit(self, ref: OutputRef) -> None:
        """Count an output, whose node has finished: `on_published` is called now, or when it is written or hashed."""
        with self._lock:
            entry = self._entries.get((ref.id, ref.attempt))
            if entry is not None:
                entry.committed = True
                if entry.ref.digest is not None:
                    self._on_published(entry.ref)

    def release(self, ref: OutputRef) -> None:
        """Drop an output that has no more readers: its table, its file, and its place in the write queue.

        In a persistent store the file stays, or is still written. Does no I/O itself: the writer thread unlinks files.
        """
        with self._lock:
            entry = self._entries.get((ref.id, ref.attempt)) if self.persistent else None
            if entry is not None and entry.key in self._write_queue:
                entry.no_readers = True
            elif entry is None or entry.temporary:
                if self.persistent or ref.type == TABLE:  # a file may have been handed on: `close` removes it
                    self._release(ref.id, ref.attempt)
            else:
                del self._entries[entry.key]

    def discard(self, ref: OutputRef) -> None:
        """Drop an output whose attempt does not count, including its file, even in a persistent store."""
        with self._lock:
            self._release(ref.id, ref.attempt)

    def flushed(self, seconds: float | None = None) -> bool:
        """Wait until there is nothing to write, hash or unlink now. Return False if that takes more than `seconds`.

        Without `seconds`, wait without limit.
        """
        with self._lock:
            return self._change.wait_for(lambda: not (self._write_queue.has_work() or self._busy), seconds)

    def close(self, *, wait: bool = True) -> None:
        """Stop the writer thread and drop all tables. Only the files of retained outputs stay, or all if persistent.

        With `wait=False`, outputs that are not written yet are dropped. Closing again does nothing.
        """
        with self._lock:
            if self._closed:
                return
            # Refuse to publish from now on: only detached attempts still do, and nothing would remove their files.
            self._closed = True
            for (output, attempt), entry in list(self._entries.items()):
                stays = not entry.temporary and (self.persistent or output in self._retained)
                if not stays or not wait:
                    self._release(output, attempt, keep_file=stays)
            self._change.notify_all()
            self._work.notify()
        if self._thread is not None:
            self._thread.join(None if wait else _CLOSE_SECONDS)
        with self._lock:
            self._entries.clear()
        remove_partials(self._folder)  # of attempts that were detached while they wrote

    def _kept(self, ref: OutputRef) -> tuple[Any, bool]:
        """Return the table, in the form that this store keeps, and whether its types are known to be plain."""
        entry = self._entries.get((ref.id, ref.attempt))
        if entry is not None and entry.stored is not None and not entry.released:
            return entry.stored.open(), entry.plain
        if entry is not None and entry.table is None and entry.files is not None and not entry.released:
            self._load(entry, entry.files)
        if entry is None or (held := entry.table) is None:
            raise gone(ref.id)
        return self._shown(held), entry.plain

    def _held(self, table: pa.Table | None) -> Any:
        """Return what is kept of a table in memory, until its file is written: the table."""
        return table

    def _shown(self, held: Any) -> Any:
        """Return the table of which this is kept."""
        return held

    def _load(self, entry: StoredOutput, files: FileTable) -> None:
        """Load the table of an output into memory, unless another thread does."""
        with files.lock:
            if entry.table is None:
                files.load()
                loaded = in_memory(entry.ref.id, entry.ref.attempt, files, None)
                with self._lock:
                    entry.table, entry.plain = self._held(loaded.table), loaded.plain
                    if not entry.released:
                        entry.bytes = loaded.bytes
                        self._keep_for_now(entry)

    def _path_of(self, ref: OutputRef) -> str:
        return ref.path or self.path(ref.id, ref.attempt)

    def _is_own(self, ref: OutputRef) -> bool:
        if ref.type != TABLE:  # what a node hands on belongs to another node, or to the user
            return ref.path == self.path(ref.id, ref.attempt, ref.type)
        is_here = Path(self._path_of(ref)).parent == self._folder  # not in the folder of an earlier run
        return is_here and not ref.is_remote

    # -- called with the lock held ---------------------------------------------------------------------------------

    def _keep_for_now(self, entry: StoredOutput) -> None:
        """Count a table that stays in memory until it is released. Over a quarter of the budget they become files."""
        entry.temporary, entry.file_requested = True, self._write_queue.count_temporary(entry.bytes)
        if entry.file_requested or not entry.ref.digest:
            self._add(entry)

    def _refuse_if_closed(self, output: str) -> None:
        if self._closed:
            raise HandoffError(f"the output '{output}' comes too late: the run is over")

    def _release(self, output: str, attempt: int, *, keep_file: bool = False) -> None:
        entry = self._entries.pop((output, attempt), None)
        if entry is None:
            return
        entry.released = True
        self._write_queue.count_temporary(-entry.bytes if entry.temporary else 0)
        if self._write_queue.cancel(entry.key):  # otherwise `_write` drops the table and the file when it is done
            entry.table = None
            self._change.notify_all()
            path = self._path_of(entry.ref)
            if entry.written and not keep_file and self._is_own(entry.ref):
                self._write_queue.unlink(path)
                self._wake()

    # -- the writer thread -----------------------------------------------------------------------------------------

    def _write(self, entry: StoredOutput) -> None:
        path = self._path_of(entry.ref)
        table = entry.table  # keeps the table alive, so that it is freed after the lock is released
        done = write_stored(entry, self._shown(table), path, fsync=self.fsync)
        with self._lock:
            released, first = entry.released, entry.ref.digest is None
            entry.ref, entry.written, entry.error = done.ref, done.written, done.error
            if first and entry.committed and not done.error and not released:
                self._on_published(entry.ref)
            if done.written and (released or (entry.no_readers and entry.temporary)):
                self._write_queue.unlink(path)
            if released or entry.no_readers:
                entry.table = None
                if entry.no_readers and self._entries.get(entry.key) is entry:
                    del self._entries[entry.key]
                    self._write_queue.count_temporary(-entry.bytes if entry.temporary else 0)
            elif done.mapped is not None and self._mode != "memory":
                entry.table = done.mapped  # from now on all readers share the pages of the file
            self._write_queue.finish(entry.key)
            self._change.notify_all()
        if done.error and not released:
            self._on_error(done.error)

    def _register(self, ref: OutputRef, stored: StoredFile | None = None) -> None:
        path = Path(self._path_of(ref))
        table: Any = None if stored is not None else open_file(path, ref.size) if ref.type == TABLE else path
        with self._lock:
            if self._closed and self._is_own(ref):
                remove(path)
            self._refuse_if_closed(ref.id)
            key = ref.id, ref.attempt
            self._entries[key] = entry = StoredOutput(key, ref, table, written=True, plain=ref.type != TABLE)
            entry.files, entry.stored = FileTable(ref.files, ref.rows) if ref.files else None, stored

    # -- the thread that writes files and unlinks others, so that nodes do not wait for it ---------------------------

    def _wake(self) -> None:
        """Start the thread, or tell it that there is work. Raises HandoffError if it cannot be started."""
        if self._thread is None:
            self._thread = start_thread(self._run, "nfrun-writer")
        self._work.notify()

    def _add(self, entry: StoredOutput) -> None:
        """Queue an output. Raises HandoffError if the thread cannot be started."""
        self._wake()  # before the output is queued; the lock is held until it is
        self._write_queue.add(entry.key, entry.bytes)

    def _wait_for_room(self, size: int) -> None:
        """Wait until the queue has room for so many bytes, or the store is closed."""
        if not self._write_queue.has_room(size):
            self._write_queue.waiters += 1
            pa.default_memory_pool().release_unused()  # of the inputs of nodes that have ended
            try:
                self._change.wait_for(lambda: self._closed or self._write_queue.has_room(size))
            finally:
                self._write_queue.waiters -= 1

    def _run(self) -> None:
        """Do one task of the queue after the other, until the store is closed and there is none."""
        with suppress(Exception):  # too many open files, for instance: then each write fails
            import nfrun.tables.digest  # noqa: F401  (now, not while the end of the run waits for it)

        queue = self._write_queue
        while True:
            with self._lock:
                self._busy = False
                self._change.notify_all()
                self._work.wait_for(lambda: queue.has_work() or self._closed)
                under_pressure = queue.under_pressure()
                task = queue.next()
                if task is None:
                    return
                self._busy = True
                job = task if isinstance(task, str) else self._entries[task]
            if isinstance(job, str):
                with suppress(OSError):
                    remove(Path(job))
            else:
                self._write(job)
                if under_pressure or queue.under_pressure():
                    # Allocators keep freed memory, glibc's up to several times the budget, until asked to return it.
                    pa.default_memory_pool().release_unused()
