"""Opens the SQLite file of a work folder, and puts it aside if it is damaged.

While a run writes, the database is in WAL mode, so that a batch of lines takes no sync: a killed run leaves the lines
that are committed. At rest it is one file that can be copied, and read in a folder that is read-only. No other code in
a process may open this file: when it closes it, the system takes away the locks that SQLite has.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfrun.core.errors import HandoffError
from nfrun.system.atomic_files import PARTIAL, sync
from nfrun.system.mounts import mount_of

if TYPE_CHECKING:
    import sqlite3  # imported where it is used: most commands need no database

VERSION = 4  # raise this when the tables change: a database of another version is put aside
_BUSY_SECONDS = 60.0  # another process writes for moments only
# SQLite's messages about what the system refused. All others say that the file is none of its own, or damaged.
_OF_SYSTEM = {
    "database or disk is full": errno.ENOSPC,
    "attempt to write a readonly database": errno.EROFS,
    "access permission denied": errno.EACCES,
    "unable to open database file": errno.EIO,
    "disk I/O error": errno.EIO,
    "locking protocol": errno.ENOLCK,
    "database is locked": errno.EBUSY,
    "database table is locked": errno.EBUSY,
}
_UNSURE = (errno.EIO, errno.EROFS)  # SQLite also says so where there is another reason


class DatabaseFile:
    """A database at a path, with the tables of `schema`. Thread-safe. It is opened when it is first asked.

    `warn(message)` is called when it is damaged and put aside. Without `warn`, nothing in the folder is changed, and a
    damaged one is an error; if there is none, it is made in memory. Making it raises HandoffError if this Python has no
    SQLite.
    """

    def __init__(self, path: Path, schema: str, warn: Callable[[str], object] | None) -> None:
        require_sqlite()
        self.path = path
        self._schema = schema
        self._warn = warn
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._opened_file = (0, 0)
        self._is_told = False  # that it was put aside
        self._is_writing = False  # `begin_writing` was called since it was opened

    def _make_tables(self, db: sqlite3.Connection) -> None:
        with transaction(db):
            if db.execute("select 1 from sqlite_master").fetchone():
                return  # another process has just made them
            for statement in self._schema.split(";"):
                db.execute(statement)
        self._made()

    def _made(self) -> None:
        """Called when the tables have been made."""

    def close(self) -> None:
        """Close the file, and leave no WAL unless another process uses it. The next question opens it again."""
        import sqlite3

        with self._lock:
            if self._db is not None:
                with suppress(sqlite3.Error):
                    if self._is_writing:
                        self._db.execute("pragma busy_timeout = 0")
                        self._db.execute("pragma journal_mode = delete").fetchall()
                self._db.close()
            self._db, self._is_writing = None, False

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of the answer. A damaged database is put aside first, and has none."""
        import sqlite3

        values = [sql_text(value) if isinstance(value, str) else value for value in values]
        with self._lock:
            try:
                return self._opened().execute(query, values).fetchall()
            except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter for a message with damaged names
                self._put_aside(error)
                return self._opened().execute(query, values).fetchall()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Make changes that are committed together. If the database turns out to be damaged, this is an error."""
        import sqlite3

        with self._lock:
            try:
                with transaction(self._opened()) as db:
                    yield db
            except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter for a message with damaged names
                self._put_aside(error)
                raise OSError(errno.EIO, f"it was damaged ({error})", str(self.path)) from None

    def begin_writing(self, *, fsync: bool) -> None:
        """Prepare for many small changes. With `fsync`, each survives a power loss before the next one is made."""
        import sqlite3

        mode = "delete" if mount_of(self.path.parent).is_network else "wal"
        with self._lock:
            try:
                self._is_writing = True
                with suppress(sqlite3.OperationalError):  # somebody is in the way, or the file system cannot do it
                    self._opened().execute(f"pragma journal_mode = {mode}").fetchall()
                self._opened().execute(f"pragma synchronous = {'full' if fsync else 'normal'}")
            except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter for a message with damaged names
                self._put_aside(error)
                self.begin_writing(fsync=fsync)

    def checkpoint(self) -> None:
        """Move committed changes from the WAL into the file."""
        import sqlite3

        with self._lock, suppress(sqlite3.OperationalError):
            self._opened().execute("pragma wal_checkpoint(passive)").fetchall()

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            self._db = self._open()
        return self._db

    def _open(self) -> sqlite3.Connection:
        import sqlite3

        path = self.path
        if self._warn is not None:
            with suppress(FileExistsError):  # else it is made so that only its owner can read it
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        elif not os.path.lexists(path):
            return self._in_memory()
        self._opened_file = identity(path)
        if not is_file(path):
            raise sqlite3.DatabaseError("it is not an ordinary file")
        if not os.access(path, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        may_write = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
        db = connect(f"{path.absolute().as_uri()}?{'mode=rw' if may_write else 'mode=ro&immutable=1'}")
        try:
            db.execute("begin")  # both answers are of one moment: another process may make the tables
            (version,) = db.execute("pragma user_version").fetchone()
            is_empty = not version and not db.execute("select 1 from sqlite_master").fetchone()
            db.execute("commit")
            if is_empty and self._warn is not None:
                self._make_tables(db)
            elif is_empty:
                db.close()
                return self._in_memory()
            elif version != VERSION:
                raise sqlite3.DatabaseError("it is of another version")
        except BaseException:
            db.close()
            raise
        return db

    def _in_memory(self) -> sqlite3.Connection:
        db = connect("file::memory:")
        self._make_tables(db)
        return db

    def _put_aside(self, error: Exception) -> None:
        """Rename a damaged database. Raises OSError for an error of the system, and HandoffError if it may not."""
        if (number := _OF_SYSTEM.get(str(error))) is not None:
            raise _of_system(self.path, number) from None
        import sqlite3

        self._is_writing = False
        self.close()
        if isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError):  # a bug
            raise error
        if self._warn is None:
            what = f"{self.path} cannot be used: {error} ('nfrun run' keeps it under another name, and makes another)"
            raise HandoffError(what) from None
        names = (f"{self.path}.bad{number}" for number in ("", *range(2, 1_000)))
        kept = Path(next(name for name in names if not os.path.lexists(name)))  # an earlier one stays
        if identity(self.path) == self._opened_file:  # else another process has just made a new one
            for ending in ("", "-wal", "-shm", "-journal"):  # all: a new one would take them up
                with suppress(FileNotFoundError):
                    os.replace(f"{self.path}{ending}", f"{kept}{ending}")  # noqa: PTH105
        if not self._is_told:
            self._is_told = True
            self._warn(f"{self.path} is damaged ({error}): it is kept as {kept.name}, and results are made again")


def _of_system(path: Path, number: int) -> OSError:
    """Return the error of the system behind one of SQLite, which often hides it: then that of another write."""
    probe = path.with_name(f"{path.name}.{threading.get_ident():x}{PARTIAL}")
    try:
        if number in _UNSURE:
            probe.write_bytes(bytes(4096))
            sync(probe)
    except OSError as error:
        number = error.errno or number
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
    return OSError(number, os.strerror(number), str(path))


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
    db.text_factory = _decoded
    return db


def _decoded(data: bytes) -> str:
    """Return a text. Damaged bytes are no error: the checksum of the line shows them."""
    return data.decode(errors="replace")


def is_file(path: Path) -> bool:
    """Return whether there is an ordinary file: a pipe would block, and a link may lead anywhere."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def identity(path: Path) -> tuple[int, int]:
    """Return device and inode of a file or folder, zeros if there is none."""
    with suppress(OSError):
        found = path.lstat()
        return found.st_dev, found.st_ino
    return 0, 0


def sql_text(name: str) -> str:
    """Return a name as SQLite takes it, also that of a file that is not UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode()


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Make changes that are committed together."""
    db.execute("begin immediate")
    try:
        yield db
        db.execute("commit")
    except BaseException:
        if db.in_transaction:
            db.execute("rollback")
        raise
