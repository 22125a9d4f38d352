"""Computes checksums of files, texts and lines (xxh3), and remembers those of large files.

`tables/digest.py` computes digests of tables.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import stat
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

from xxhash import xxh3_128

from nfrun.core.values import frozen

LARGE = 64_000_000  # bytes; of larger files the checksums are remembered across runs
LAYOUT = "/./"  # the end of the recorded name of a folder that was written as a whole
_MADE_UP = ("/proc/", "/sys/", "/dev/")
_MEMORY = "/dev/shm/"  # has ordinary files
_PAGE = 4_096
_CHUNK = 1 << 20
_SLOW_SECONDS = 0.004  # for a chunk that is hashed and written: ten times what it takes if no other thread has the GIL
# A file that was changed so short a time before it is read may be changed again without getting another time.
_FRESH_NANOSECONDS = 2_000_000_000
_MOST = 10_000  # files that are remembered

FileId = tuple[int, int]  # device and inode
FileState = tuple[int, int, int]  # size, mtime and ctime in nanoseconds


@frozen
class FileLook:
    """The content of a file, and its state: device, inode, size, mtime and ctime. Every edit changes the state.

    An edit that was taken back leaves the content as it was. So do `touch` and `chmod`, which change the state too.
    """

    checksum: str
    state: tuple[int, ...]


MISSING = FileLook("", ())


class FileChecksums:
    """Takes checksums of files and remembers them: a file is read again only if it may have changed. Thread-safe.

    A file has not changed if its device, inode, size, mtime and ctime are the same, and if these proved something when
    it was read: it had not just been written, it did not change meanwhile, and nobody had it open for writing. Threads
    that ask for the same file wait for one reading of it; other files do not wait for that. Those of large files can be
    `remembered` from earlier runs.
    """

    def __init__(self, remembered: RememberedChecksums | None = None) -> None:
        self._remembered = remembered
        self._locks: dict[FileId, threading.Lock] = {}
        # By file: its state before it was read, whether that state proves nothing, and the checksum.
        self._known: dict[FileId, tuple[FileState, bool, str]] = {}

    def of(self, path: Path | str, *, recheck: bool = False) -> str:
        """Return the checksum of a file, "" if there is no regular file or it cannot be read.

        With `recheck`, also reads a file again whose times do not prove that it is the same.
        """
        return self.look(path, recheck=recheck).checksum

    def look(self, path: Path | str, *, recheck: bool = False) -> FileLook:
        """Return the checksum of a file as `of` does, and the state that it had before it was read."""
        with suppress(OSError):
            found = os.stat(path)  # noqa: PTH116  (a Path takes longer)
            if stat.S_ISREG(found.st_mode) and not _is_made_up(path, found):  # reading a pipe would block
                file = (found.st_dev, found.st_ino)
                with self._locks.setdefault(file, threading.Lock()):
                    known = self._known.get(file)
                    if known is None or known[0] != _state(found) or (recheck and known[1]):
                        known = self._known[file] = self._take(path, file, _state(found))
                    return FileLook(known[2], (*file, *known[0]))
        return MISSING

    def _take(self, path: Path | str, file: FileId, state: FileState) -> tuple[FileState, bool, str]:
        memory = self._remembered if state[0] > LARGE else None
        if memory is not None and (checksum := memory.get(file, state)):
            return state, False, checksum
        is_fresh = time.time_ns() - state[2] < _FRESH_NANOSECONDS
        checksum, is_open = _read(path)
        proves_nothing = is_fresh or _state(os.stat(path)) != state  # noqa: PTH116
        # It is unknown whether a large file of another user is open. It counts as closed, because reading it takes too
        # long.
        if memory is not None and not proves_nothing and is_open is not True:
            memory.put(file, state, checksum)
            return state, False, checksum
        return state, proves_nothing or is_open is not False, checksum


def _state(found: os.stat_result) -> FileState:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _is_made_up(path: Path | str, found: os.stat_result) -> bool:
    """Return whether the system makes up the content of a file while it is read, which may never end.

    Such files have no size, or that of a page.
    """
    if found.st_size not in (0, _PAGE):
        return False
    real = os.path.realpath(path)
    return real.startswith(_MADE_UP) and not real.startswith(_MEMORY)


def _read(path: Path | str) -> tuple[str, bool | None]:
    """Return the checksum of a file, and whether somebody had it open for writing before. Raises OSError."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        is_open = _is_open_for_writing(file)
        return _checksum(file), is_open
    finally:
        os.close(file)


def _is_open_for_writing(file: int) -> bool | None:
    """Return whether somebody has an open file open for writing: a write through a mapping may change no times.

    Only a read lease proves that nobody has. The system refuses it for some files, such as those of another user: None.
    """
    with suppress(OSError, AttributeError):  # there are no leases outside of Linux
        # Sent to this process if the file is opened now. Ignored, while SIGIO would kill it.
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        try:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except BlockingIOError:
            return True
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)  # closing is not enough if a fork has a copy
        return False
    return None


def file_checksum(path: Path | str) -> str:
    """Return the checksum of a file, 32 hex digits. Reads it in chunks. Raises OSError.

    Does not map the file: if it were truncated meanwhile, SIGBUS would kill this process.
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # a file object takes longer
    try:
        return _checksum(file)
    finally:
        os.close(file)


def _checksum(file: int) -> str:
    """Return the checksum of the rest of an open file."""
    hasher = xxh3_128()
    while chunk := os.read(file, _CHUNK):
        hasher.update(chunk)
    return hasher.hexdigest()


class HashedFile:
    """Writes to an unbuffered file, and takes the checksum of its bytes. Arrow accepts it as a file.

    It hashes and writes blocks of 1 MiB in turns: a block is still in the processor's cache when it is written, and the
    kernel finds the memory for it at once. With 10 MB in one call, it looks for larger pages, which a virtual machine
    may have to ask its host for: five times as long. But each call waits up to 5 ms for the GIL while other threads
    compute in Python, so that what follows a slow block is written with one call.
    """

    closed = False

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self._hasher = xxh3_128()
        self._block: int | None = _CHUNK  # None: all at once

    def write(self, data: Any) -> int:
        """Write all of an object with a buffer. Raises OSError."""
        whole = left = memoryview(data).cast("B")
        while left:
            began = time.perf_counter()
            block = left[: self._block]
            left = left[len(block) :]
            self._hasher.update(block)
            while block:
                block = block[self._file.write(block) :]
            if time.perf_counter() - began > _SLOW_SECONDS:
                self._block = None
        return len(whole)

    def flush(self) -> None:
        """Do nothing: all is written."""

    def close(self) -> None:
        """Do nothing: who has opened the file closes it."""

    def checksum(self) -> str:
        """Return the checksum of the file, 32 hex digits."""
        return self._hasher.hexdigest()


def bytes_checksum(data: Any) -> str:
    """Return the checksum of a file with these bytes, 32 hex digits. `data` is any object with a buffer."""
    return xxh3_128(data).hexdigest()


def stream_checksum(stream: Any) -> tuple[int, str]:
    """Return how many bytes a stream has, and the checksum of a file with these bytes. Reads it in chunks."""
    hasher, size = xxh3_128(), 0
    while chunk := stream.read(_CHUNK):
        hasher.update(chunk)
        size += len(chunk)
    return size, hasher.hexdigest()


def shown_name(name: str) -> str:
    """Return the recorded name of a file or folder as people see it."""
    return name.removesuffix("./") if name.endswith(LAYOUT) else name


def layout_checksum(folder: Path | str) -> str:
    """Return the checksum of the names in a folder, not of the content of files; "" if there is no folder.

    It depends on the paths of files, folders and links, on whether files can be executed, and on where links lead.
    """
    top = Path(folder)
    if not top.is_dir():
        return ""
    found: list[tuple[str, int, bool, str]] = []
    for above, inner, files in os.walk(top):
        for path in (Path(above, name) for name in (*inner, *files)):
            with suppress(OSError):
                mode = path.lstat().st_mode
                target = str(path.readlink()) if stat.S_ISLNK(mode) else ""
                is_program = stat.S_ISREG(mode) and bool(mode & stat.S_IXUSR)
                found.append((str(path.relative_to(top)), stat.S_IFMT(mode), is_program, target))
    return text_checksum(json.dumps(sorted(found)))


def text_checksum(text: str) -> str:
    """Return the checksum of a text, 32 hex digits. Lone surrogates are allowed."""
    return xxh3_128(text.encode(errors="surrogatepass")).hexdigest()


class RememberedChecksums:
    """Checksums by device and inode, each valid while size and times of the file are the same. Thread-safe.

    `read()` returns those of earlier runs, as JSON values, when one is asked for first, unless they are to be taken
    again (`verify`). `write(found)` keeps them. Several runs may do so at once.
    """

    def __init__(
        self, read: Callable[[], dict[str, Any]], write: Callable[[dict[str, Any]], object], *, verify: bool = False
    ) -> None:
        self._read, self._write = read, write
        self._lock = threading.Lock()
        self._known: dict[str, list[object]] | None = {} if verify else None
        self._learned: dict[str, list[object]] = {}

    def get(self, file: FileId, state: FileState) -> str | None:
        """Return the checksum of a file in this state, None if it is not known."""
        with self._lock:
            if self._known is None:
                self._known = self._read()
            found = self._known.get(_name(file))
            return str(found[3]) if found is not None and tuple(found[:3]) == state else None

    def put(self, file: FileId, state: FileState, checksum: str) -> None:
        """Remember a checksum."""
        with self._lock:
            learned: list[object] = [*state, checksum]
            self._learned.pop(_name(file), None)  # the latest are the last
            self._learned[_name(file)] = learned
            if self._known is not None:
                self._known[_name(file)] = learned

    def save(self) -> None:
        """Add what has been learned to those that are kept.

        If another run does that at the same moment, the checksums of one of them are lost, and are taken again.
        """
        with self._lock:
            if self._learned:
                others = [(name, known) for name, known in self._read().items() if name not in self._learned]
                self._write(dict([*others, *self._learned.items()][-_MOST:]))
                self._learned = {}


def _name(file: FileId) -> str:
    return f"{file[0]}:{file[1]}"
