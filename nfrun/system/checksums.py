"""Computes checksums of files, texts and lines (xxh3). `tables/digest.py` computes digests of tables."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from xxhash import xxh3_64_hexdigest, xxh3_128

_CHUNK = 1 << 20
# A file that was changed so short a time before it is read may be changed again without getting another time.
_FRESH_NANOSECONDS = 2_000_000_000


class FileChecksums:
    """Takes checksums of files and remembers them: a file is read again only if it may have changed. Thread-safe.

    A file has not changed if its device, inode, size, mtime and ctime are the same, and if these proved something when
    it was read: it had not just been written, and nobody had it open for writing. Threads that ask for the same file
    wait for one reading of it; other files do not wait for that.
    """

    def __init__(self) -> None:
        self._locks: dict[tuple[int, int], threading.Lock] = {}
        # By device and inode: size and times before the reading, whether they prove nothing, and the checksum.
        self._known: dict[tuple[int, int], tuple[tuple[int, int, int], bool, str]] = {}

    def of(self, path: Path, *, recheck: bool = False) -> str:
        """Return the checksum of a file, "" if there is no regular file or it cannot be read.

        With `recheck`, also reads a file again whose times do not prove that it is the same.
        """
        with suppress(OSError):
            found = path.stat()
            if stat.S_ISREG(found.st_mode):  # reading a pipe would block
                file, state = (found.st_dev, found.st_ino), (found.st_size, found.st_mtime_ns, found.st_ctime_ns)
                with self._locks.setdefault(file, threading.Lock()):
                    known = self._known.get(file)
                    if known is None or known[0] != state or (recheck and known[1]):
                        is_fresh = time.time_ns() - found.st_ctime_ns < _FRESH_NANOSECONDS
                        known = self._known[file] = (state, is_fresh or _may_be_open(path), file_checksum(path))
                    return known[2]
        return ""


def _may_be_open(path: Path) -> bool:
    """Return whether somebody may have the file open for writing: a write through a mapping may change no times.

    Only a read lease proves that nobody has. The system refuses it for some files, such as those of another user.
    """
    with suppress(OSError, AttributeError):  # there are no leases outside of Linux
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            # Sent to this process if the file is opened now. Ignored, while SIGIO would kill it.
            fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)  # closing is not enough if a fork has a copy
            return False
        finally:
            os.close(file)
    return True


def file_checksum(path: Path | str) -> str:
    """Return the checksum of a file, 32 hex digits. Reads it in chunks. Raises OSError.

    Does not map the file: if it were truncated meanwhile, SIGBUS would kill this process.
    """
    hasher = xxh3_128()
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123  (a Path takes longer)
        while chunk := file.read(_CHUNK):
            hasher.update(chunk)
    return hasher.hexdigest()


def bytes_checksum(data: Any) -> str:
    """Return the checksum of a file with these bytes, 32 hex digits. `data` is any object with a buffer."""
    return xxh3_128(data).hexdigest()


def text_checksum(text: str) -> str:
    """Return the checksum of a text, 32 hex digits. Lone surrogates are allowed."""
    return xxh3_128(text.encode(errors="surrogatepass")).hexdigest()


def line_checksum(line: bytes) -> str:
    """Return the checksum of a line, 16 hex digits."""
    return xxh3_64_hexdigest(line)
