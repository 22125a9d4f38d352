"""Opens the file of the index, and the file with its checksum, by which damage is found.

The file with the checksum is locked while the index changes. SQLite has locks of its own; this one covers both files.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nfrun.core.errors import HandoffError
from nfrun.system.checksums import file_checksum

if TYPE_CHECKING:
    import sqlite3  # imported where it is used: most commands need no index

_BUSY_SECONDS = 5.0
_POLL_SECONDS = 0.005
_CHECKSUM_BYTES = 32


def require_sqlite() -> None:
    """Import SQLite. Raises HandoffError if this Python has been built without it."""
    try:
        import sqlite3  # noqa: F401
    except ImportError:
        what = "this Python has no module sqlite3, and nfrun needs it to find the results of earlier runs"
        what_to_do = "install it, or build Python again where the headers of SQLite are installed: libsqlite3-dev"
        raise HandoffError(f"{what} ({what_to_do})") from None


def connect(uri: str) -> sqlite3.Connection:
    """Open a database."""
    import sqlite3

    db = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    db.execute("pragma synchronous = off")  # after a power loss it is made anew if need be
    return db


def uri(path: Path, mode: str) -> str:
    """Return the name of a file for SQLite; it may have any bytes."""
    plain = b"/.-_"
    name = "".join(chr(b) if (b < 128 and chr(b).isalnum()) or b in plain else f"%{b:02x}" for b in os.fsencode(path))
    return f"file:{name}?mode={mode}"


def is_file(path: Path) -> bool:
    """Return whether there is an ordinary file: a pipe would block, and a link may lead anywhere."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


@contextmanager
def open_checksum(path: Path, *, read_only: bool) -> Iterator[int]:
    """Open and lock the file with the checksum. Yields its descriptor. Raises DatabaseError if that is not possible."""
    import sqlite3

    flags = (os.O_RDONLY if read_only else os.O_RDWR | os.O_CREAT) | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        checksum = os.open(path, flags, 0o600)
    except OSError as error:
        raise sqlite3.DatabaseError(str(error)) from None
    try:
        _lock(checksum, fcntl.LOCK_SH if read_only else fcntl.LOCK_EX)
        yield checksum
    finally:
        os.close(checksum)


def is_intact(checksum: int, index: Path) -> bool:
    """Return whether the index is as nfrun left it. An empty one is."""
    try:
        return not index.stat().st_size or os.pread(checksum, _CHECKSUM_BYTES, 0) == file_checksum(index).encode()
    except OSError:
        return False


def write_checksum(checksum: int, index: Path) -> None:
    """Write the checksum of the index. If it cannot be written, the index is made anew next time."""
    with suppress(OSError):
        os.pwrite(checksum, file_checksum(index).encode(), 0)


def _lock(file: int, kind: int) -> None:
    import sqlite3

    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            return fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                locked = sqlite3.OperationalError("the index is locked")
                locked.sqlite_errorcode = sqlite3.SQLITE_BUSY
                raise locked from None
        except OSError:  # a file system without locks
            return None
        time.sleep(_POLL_SECONDS)
