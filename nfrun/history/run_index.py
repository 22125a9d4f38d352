"""Keeps an index of the journals of a work folder, so that a lookup reads the lines that it needs and no others.

The index is `index.db`, an SQLite file that points to lines of journals and lists the tables that they name. The
journals have all of it, so losing it loses nothing: it is made anew if it is of another version, or if it is not as
nfrun left it, which the checksum in `index.sum` shows. It is brought up to date when it is opened and when a run ends,
in one transaction. Where it cannot be written, a copy in memory takes its place. It holds names of runs and files, and
no other paths.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from nfrun.core.errors import HandoffError
from nfrun.core.values import replace
from nfrun.history.index_tables import (
    ANY,
    APPLICATION,
    FIND_ENTRIES,
    INDEX_VERSION,
    LIST_GONE,
    LIST_GONE_OF_RUN,
    LIST_TABLES,
    MARK_TABLE,
    OF_LAST_RUN,
    SCHEMA,
    IndexedTable,
    RunRows,
    SharedRows,
    add_run,
    add_shown,
    indexed_table,
    names_in,
    read_rows,
    remove_runs,
    transaction,
)
from nfrun.history.journal import FinishedNode, finished_node, present_address
from nfrun.history.work_dir import JOURNAL, WorkDir
from nfrun.system.atomic_files import PARTIAL, read_regular_file
from nfrun.system.checksums import file_checksum
from nfrun.system.kept_files import size_of

if TYPE_CHECKING:
    import sqlite3  # imported where it is used: commands that need no index do without it


_T = TypeVar("_T")

INDEX = "index.db"
_OUTPUT_FILE = re.compile(r".+\.arrow|.+\.[0-9]+(\.[A-Za-z0-9]+)*(?<!\.bad)")  # of a table, a file or a folder
CHECKSUM = "index.sum"
_LONGEST_LINE = 1 << 28
# SQLite's codes of errors that say nothing about the content: no permission, locked, no memory, read-only, I/O error,
# full, cannot be opened.
_NOT_DAMAGED = (3, 5, 6, 7, 8, 10, 13, 14)
_BUSY_SECONDS = 5.0
_POLL_SECONDS = 0.005
_CHECKSUM_BYTES = 32


class RunIndex:
    """The index of a work folder. Thread-safe.

    It is opened and brought up to date when it is first asked. With `read_only`, nothing in the folder is changed. With
    `from_journals`, neither is the file of the index read: it is made in memory. All methods raise OSError if the runs
    cannot be listed, and PermissionError if a journal cannot be read. Making it raises HandoffError if this Python has
    no SQLite.
    """

    def __init__(self, work: WorkDir, *, read_only: bool = False, from_journals: bool = False) -> None:
        require_sqlite()
        self.work = work
        self._read_only = read_only or from_journals
        self._from_journals = from_journals
        self._lock = threading.RLock()
        self._folders: dict[str, Path] = {}  # of the runs, by id
        self._last: dict[str, dict[str, tuple[str, int, int]]] = {}  # the lines of last runs, by pipeline and node
        self._journal = ("", -1)  # the run whose journal was read last, and its open file
        self._db: sqlite3.Connection | None = None

    def close(self) -> None:
        """Close the files. The next question opens them again, and brings the index up to date."""
        with self._lock:
            if self._db is not None:
                self._db.close()
            self._db = None
            self._last.clear()
            self._close_journal()

    def save(self, rows: RunRows | None = None) -> None:
        """Bring the file up to date at the end of a run, whose journal has these rows.

        If it cannot be written, the next run does this.
        """
        import sqlite3

        with self._lock, suppress(sqlite3.Error, OSError):
            self.close()
            self._db = self._open_file(rows)

    def entries(self, pipeline: str, node: str, which: str = ANY, *hashes: int) -> Iterator[FinishedNode]:
        """Yield the journal entries of a node, the latest run first. A line is read when it is its turn.

        A run has several where the node was reused, and then its table was made again: the later one first. `which` is
        a condition of `index_tables`, and `hashes` its values.
        """
        given: set[tuple[str, int]] = set()
        pointers = self._pointers(pipeline, node, which, *hashes)
        was_wrong = False
        while (pointer := next(pointers, None)) is not None:
            run, start, length = pointer
            if (run, start) in given:
                continue
            with self._lock:
                entry = self._entry(run, start, length, node)
                if entry is None and run in self._folders and not was_wrong:
                    self._make_anew()
                    was_wrong, pointers = True, self._pointers(pipeline, node, which, *hashes)
            if entry is not None:
                given.add((run, start))
                yield entry

    def last_runs(self) -> dict[str, int]:
        """Return the number of the last run of each pipeline, by its name."""
        found = "select pipeline, max(number) from runs where number is not null group by pipeline"
        return dict(self._answer(_row, found))

    def table_bytes(self) -> int:
        """Return how many bytes the tables take, but for those that were gone when tables were last listed."""
        ((total,),) = self._answer(_row, "select coalesce(sum(size), 0) from tables where not gone and not is_stored")
        return int(total)

    def tables(self) -> list[tuple[Path, IndexedTable]]:
        """Return the tables that are there, with their paths, those first that the last run used.

        Beside those that journals name, these are the tables of runs that were killed or could not write their journal.
        """
        found = self._answer(indexed_table, LIST_TABLES, (False,))
        names = {run: names_in(self._folders.get(run)) for run in {table.run for table in found}}
        marked = {*self._answer(_row, LIST_GONE)}
        # A run that has ended meanwhile is in the index, but was not there when the folders were listed.
        is_gone = {(t.run, t.file): t.file not in names[t.run] for t in found if t.run in self._folders}
        self._mark((gone, *table) for table, gone in is_gone.items() if gone != (table in marked))
        return [(self._folders[table.run] / table.file, table) for table in found if table.file in names[table.run]]

    def stored_tables(self) -> list[IndexedTable]:
        """Return the tables that journals name in places which machines share. They need not be there."""
        run = self.work.path / "runs" / "any"
        found = self._answer(indexed_table, LIST_TABLES, (True,))
        return [replace(table, run=present_address(table.run, run)) for table in found]

    def _mark(self, tables: Iterable[tuple[bool, str, str]]) -> None:
        """Write into the index which tables are gone or are there again. Without it, the next list finds out again."""
        import sqlite3

        marks = list(tables)
        with self._lock, suppress(sqlite3.Error):
            db, path = self._opened(), self.work.path / INDEX
            is_in_memory = not db.execute("pragma database_list").fetchone()[2]
            if not marks or self._read_only or is_in_memory:
                return
            with open_checksum(self.work.path / CHECKSUM, read_only=False) as checksum:
                if is_intact(checksum, path):
                    with transaction(db):
                        db.executemany(MARK_TABLE, marks)
                    write_checksum(checksum, path)

    # -- lookups -----------------------------------------------------------------------------------------------------

    def _pointers(self, pipeline: str, node: str, which: str, *hashes: int) -> Iterator[tuple[str, int, int]]:
        """Yield run, start and length of the lines of a node, some more than once.

        Most callers need the last one only, and most are in the last run: those are looked up for all nodes at once.
        """
        last = self._of_last_run(pipeline).get(node) if which == ANY else None
        if last is not None:
            yield last
        query, values = FIND_ENTRIES.format(which), (node, pipeline, *hashes)
        limit, given = 1 if last is None else 100, 0
        while rows := self._answer(_row, query, (*values, limit, given)):
            yield from rows
            limit, given = 100, given + len(rows)

    def _of_last_run(self, pipeline: str) -> Mapping[str, tuple[str, int, int]]:
        with self._lock:
            if pipeline not in self._last:
                found = self._answer(_row, OF_LAST_RUN, (pipeline,))
                self._last[pipeline] = {name: (run, start, length) for name, run, start, length in found}
            return self._last[pipeline]

    def _entry(self, run: str, start: int, length: int, node: str) -> FinishedNode | None:
        """Read a line of a journal; None if it is not that of this node."""
        folder = self._folders.get(run)
        if folder is None:
            return None
        try:
            if self._journal[0] != run:
                self._close_journal()
                self._journal = run, os.open(folder / JOURNAL, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            # A wrong length must not take all memory.
            entry = finished_node(os.pread(self._journal[1], min(length, _LONGEST_LINE), start), folder)
        except PermissionError:
            raise
        except (OSError, OverflowError, TypeError, ValueError):
            return None
        return entry if entry is not None and entry.node == node else None

    def _close_journal(self) -> None:
        if self._journal[1] >= 0:
            os.close(self._journal[1])
        self._journal = ("", -1)

    def _answer(self, make: Callable[..., _T], query: str, values: tuple[Any, ...] = ()) -> list[_T]:
        """Return what `make` makes of each row of the answer. If the index is damaged, it is made anew first."""
        import sqlite3

        with self._lock:
            try:
                return [make(*row) for row in self._opened().execute(query, values).fetchall()]
            except (sqlite3.Error, TypeError, ValueError) as error:
                self._make_anew(error)
                return [make(*row) for row in self._opened().execute(query, values).fetchall()]

    # -- opening -----------------------------------------------------------------------------------------------------

    def _opened(self) -> sqlite3.Connection:
        """Open the index and bring it up to date, or make it anew, if need be in memory."""
        import sqlite3

        if self._db is None and self._from_journals:
            self._make_anew()
        elif self._db is None:
            try:
                self._db = self._open_file()
            except sqlite3.Error as error:
                self._make_anew(error)
        assert self._db is not None
        return self._db

    def _make_anew(self, error: Exception | None = None) -> None:
        """Make the index again from all journals; in memory if the file cannot be written."""
        import sqlite3

        self.close()
        self._list_folders()
        if not self._read_only and self._remove_damaged(error):
            with suppress(sqlite3.Error):
                self._db = self._open_file()
                return
        self._db = self._brought_up_to_date(connect(":memory:"))

    def _list_folders(self) -> None:
        self._folders = {folder.name: folder for folder in self.work.run_folders()}

    def _open_file(self, rows: RunRows | None = None) -> sqlite3.Connection:
        import sqlite3

        path = self.work.path / INDEX
        if not self._read_only:
            with suppress(OSError):  # if it is there; else it is made so that only its owner can read it
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        if not is_file(path):
            raise sqlite3.DatabaseError("the index is not an ordinary file")
        with open_checksum(self.work.path / CHECKSUM, read_only=self._read_only) as checksum:
            if not is_intact(checksum, path):
                raise sqlite3.DatabaseError("the index is damaged")
            self._list_folders()  # not before the lock is held: another run that ended meanwhile is in the index
            db = self._open_whole(path, rows)
            if not self._read_only:
                write_checksum(checksum, path)
        return db

    def _open_whole(self, path: Path, rows: RunRows | None) -> sqlite3.Connection:
        db = connect(uri(path, "ro" if self._read_only else "rw"))
        try:
            if self._read_only and self._changes(db) != ([], []):
                file, db = db, connect(":memory:")
                with closing(file):
                    file.backup(db)
            return self._brought_up_to_date(db, rows)
        except BaseException:
            db.close()
            raise

    def _remove_damaged(self, error: Exception | None) -> bool:
        """Remove a damaged index. Returns False if the error does not say that it is damaged, or it cannot be removed.

        A file of which nobody can say whether it is nfrun's is kept under another name.
        """
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _NOT_DAMAGED:
            return False
        path = self.work.path / INDEX
        try:
            is_ours = False
            if is_file(path):
                with path.open("rb") as file:
                    is_ours = file.read(72)[68:] == APPLICATION.to_bytes(4, "big")
            path.with_name(f"{INDEX}-journal").unlink(missing_ok=True)
            if is_ours:
                path.unlink()
            else:
                path.replace(path.with_name(f"{INDEX}.bad"))
        except OSError:
            return False
        return True

    # -- writing -----------------------------------------------------------------------------------------------------

    def _brought_up_to_date(self, db: sqlite3.Connection, known: RunRows | None = None) -> sqlite3.Connection:
        """Add new and changed journals, and take out the runs that are gone. Returns the index.

        The rows of one journal may be `known`.
        """
        import sqlite3

        (version,) = db.execute("pragma user_version").fetchone()
        (application,) = db.execute("pragma application_id").fetchone()
        if not version and not application and not db.execute("select 1 from sqlite_master").fetchone():
            with transaction(db):
                if not db.execute("select 1 from sqlite_master").fetchone():  # nor has another process made it now
                    for statement in SCHEMA.split(";"):
                        db.execute(statement)
        elif (version, application) != (INDEX_VERSION, APPLICATION):
            raise sqlite3.DatabaseError("the index is of another version")
        if self._changes(db) != ([], []):
            with transaction(db):
                gone, changed = self._changes(db)
                lost = remove_runs(db, gone) if gone else None
                for run in changed:
                    self._add(db, known if known is not None and known.id == run else self._rows(run))
                if lost is not None:
                    self._find_again(db, lost)
        return db

    def _changes(self, db: sqlite3.Connection) -> tuple[list[str], list[str]]:
        """Return the ids of runs that are gone, and of those whose journal is new or has another size.

        Journals only grow. A shorter one is another one, so its run is both. A run that was under way and was killed
        counts as changed once, as it may have left tables.
        """
        sizes: dict[str, int] = {}
        for run, folder in self._folders.items():
            with suppress(FileNotFoundError, NotADirectoryError):
                sizes[run] = os.stat(f"{folder}{os.sep}{JOURNAL}").st_size  # noqa: PTH116  (of all runs, each time)
        known = dict(db.execute("select id, size from runs"))
        gone = [run for run, size in known.items() if sizes.get(run, -1) < size]
        unsettled = {run for (run,) in db.execute("select id from runs where not settled")}
        killed = unsettled - self.work.runs_under_way() if unsettled else unsettled
        return gone, [run for run, size in sizes.items() if known.get(run) != size or run in killed]

    def _add(self, db: sqlite3.Connection, rows: RunRows) -> None:
        """Add the rows of a journal, and the tables in the folder of its run that it does not name."""
        folder = self._folders[rows.id]
        # Asked before the folder is listed: what a run under way has written may get a line later.
        settled = bool(rows.status) or rows.id not in self.work.runs_under_way()
        recorded = {table[1] for table in rows.tables if table[0] == rows.id}
        files = []
        for name in names_in(folder) - recorded:
            is_output = _OUTPUT_FILE.fullmatch(name) and not name.endswith(PARTIAL)
            if is_output and not (folder / name).is_symlink():
                with suppress(OSError):
                    files.append((name, size_of(folder / name)))
        add_run(db, rows, files, settled=settled)
        for home, file in db.execute(LIST_GONE_OF_RUN, (rows.id,)).fetchall():
            if home in self._folders and os.path.lexists(self._folders[home] / file):
                db.execute(MARK_TABLE, (False, home, file))

    def _rows(self, run: str) -> RunRows:
        data = b""
        try:
            data = read_regular_file(self._folders[run] / JOURNAL)
        except PermissionError:  # another user's journal exists: don't treat it as missing
            raise
        except OSError:
            pass
        return read_rows(run, data)

    def _find_again(self, db: sqlite3.Connection, lost: SharedRows) -> None:
        """Look in older runs for what removed runs shared with them, the latest first."""
        older = "select id from runs where number <= ? order by number desc, id desc"
        for (run,) in db.execute(older, (lost.number,)).fetchall():
            if not lost.entries and not lost.tables:
                break
            rows = self._rows(run)
            entries = [entry for entry in rows.entries if entry[:2] in lost.entries]
            tables = [table for table in rows.tables if table[:2] in lost.tables]
            self._add(db, replace(rows, entries=entries, tables=tables))
            lost.entries.difference_update(entry[:2] for entry in entries)
            lost.tables.difference_update(table[:2] for table in tables)
        last = "select id from runs where pipeline = ? and status = 'ok' order by number desc, id desc limit 1"
        for pipeline in lost.pipelines:
            for (run,) in db.execute(last, (pipeline,)).fetchall():
                add_shown(db, self._rows(run))


def _row(*values: Any) -> tuple[Any, ...]:
    return values


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
