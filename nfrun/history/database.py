"""Keeps what runs leave in the database of a work folder: the lines of their journals, and where to find results.

The database is the SQLite file `history.db`. Each line has a checksum, since SQLite does not notice other bytes in a
value. What is compared before a result is reused is in its line; the other columns are there to find lines. A database
that is damaged, or of another version, is kept under another name, and the results of its runs are made again.

`database_file.py` opens and closes it.
"""

from __future__ import annotations

import errno
import json
import os
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xxhash import xxh3_64_intdigest

from nfrun.core.errors import HandoffError
from nfrun.core.events import NOT_SELECTED
from nfrun.core.text import format_count
from nfrun.core.values import frozen
from nfrun.history.database_file import VERSION, DatabaseFile, identity, sql_text
from nfrun.history.journal import (
    ENDED,
    RESULTS,
    STARTED,
    FinishedOutput,
    JournalContents,
    RecordedNode,
    RunEnding,
    RunHeader,
    contents_of,
    event_of,
    line_of,
    node_of,
    reader_digest,
)
from nfrun.history.json_values import as_json
from nfrun.history.work_dir import WorkDir
from nfrun.system.atomic_files import PARTIAL

if TYPE_CHECKING:
    import sqlite3  # imported where it is used: most commands need no database

DATABASE = "history.db"
# What is kept, beside the lines of runs: the plans of runs by their ids, and others by the names of pipelines.
PLANS, TIMINGS, CODE, CHECKS, PREVIEWS, CHECKSUMS = "plans", "timings", "code", "checks", "previews", "checksums"
_SCHEMA = f"""
create table runs (
    ref integer primary key, id text unique, pipeline text, profile text, number integer, status text,
    swept integer default 0
);
create table lines (
    id integer primary key, node text, event text, line text, checksum integer,
    home text, key integer, definition integer, wrote integer
);
create index entries on lines (node, home, key, definition, wrote) where home is not null;
create table kept (what text, name text, text text, checksum integer, primary key (what, name)) without rowid;
create table tables (
    home text, file text, pipeline text, number integer, output text, key text, content text, size integer,
    seconds real, cached integer, shown integer, primary key (home, file)
) without rowid;
pragma user_version = {VERSION};
"""
# The number of a line is that of its run, and behind it 24 bits for its place in the run.
_PLACES = 24
_OF_RUN = f"lines.id >= ref << {_PLACES} and lines.id < (ref + 1) << {_PLACES}"
# The home of a line with a result is the run in which the node ran, and that of any other line is null. Of several
# lines with the same home, the last one counts: runs that reuse a result do not make the search longer.
_FIND_ENTRIES = f"""
select max(lines.id) from lines join runs on ref = lines.id >> {_PLACES}
where node = ? and home is not null and pipeline = ? {{}} group by home order by 1 desc
"""
# Conditions for it. Keys and definitions are hashes of 64 bits: lines say whether they are those that were asked for.
ANY, WITH_KEY, WITH_DEFINITION, WROTE = "", "and (key = ? or wrote)", "and definition = ?", "and wrote"
WITH_ANY_KEY_AND_PROFILE = "and key is not null and profile = ?"
_OF_LAST_RUN = f"""
select id, node, line, checksum from lines, (select max(ref) as ref from runs where pipeline = ?)
where {_OF_RUN} and home is not null order by lines.id
"""
_ENDS = f"""
select ref, runs.id, first.line, first.checksum, last.line, last.checksum
from runs left join lines as first on first.id = ref << {_PLACES}
left join lines as last on last.id = (select max(id) from lines where {_OF_RUN}) and last.event = 'ended'
where {{}} order by ref desc limit ?
"""
_GIVEN = ("input", "needs", "file")  # key inputs that are not part of the definition
_OUTPUT_FILE = re.compile(r".+\.arrow|.+\.[0-9]+(\.[A-Za-z0-9]+)*(?<!\.bad)")  # of a table, a file or a folder
_CHECKPOINT_SECONDS = 1.0  # a copy that lacks the WAL lacks no more


@frozen
class KeptTable:
    """A table that is kept, in one file.

    `size` is that of the file in bytes, and `seconds` is how long it takes to make the table again. `last_used` is the
    number of the last run that has it as an output. A table that `is_protected` is never removed.
    """

    path: Path
    size: int
    seconds: float
    last_used: int
    is_protected: bool = False

    @property
    def seconds_per_byte(self) -> float:
        """The seconds in which a byte of the table is made again."""
        return self.seconds / max(1, self.size)


@frozen
class RecordedRun:
    """The first and the last line of a run; None where the run was killed or is under way."""

    folder: Path
    header: RunHeader
    ending: RunEnding | None


class Database(DatabaseFile):
    """The database of a work folder. Thread-safe. It is opened when it is first asked.

    `warn(message)` is called when it is damaged and put aside. Without `warn`, nothing in the folder is changed, and a
    damaged one is an error; if there is none, it is empty. All methods raise OSError, and HandoffError. Making it
    raises HandoffError if this Python has no SQLite.
    """

    def __init__(self, work: WorkDir, warn: Callable[[str], object] | None = None) -> None:
        super().__init__(work.path / DATABASE, _SCHEMA, warn)
        self.work = work
        self._last: dict[str, dict[str, tuple[int, str, int]]] = {}  # lines of last runs, by pipeline and node

    def close(self) -> None:
        """Close the file. The next question opens it again."""
        super().close()
        self._last.clear()

    # -- runs and their lines ----------------------------------------------------------------------------------------

    def runs(self, pipeline: str | None = None) -> Iterator[RecordedRun]:
        """Yield the runs of a pipeline, or of all pipelines, the newest first, but for those without a first line."""
        condition, values = ("ref < ?", ()) if pipeline is None else ("ref < ? and pipeline = ?", (pipeline,))
        before, limit = 1 << 62, 4
        while found := self._rows(_ENDS.format(condition), (before, *values, limit)):
            for _, id, *ends in found:
                contents = self._ends(id, *ends)
                if contents.started is not None:
                    yield RecordedRun(contents.folder, contents.started, contents.ending)
            before, limit = found[-1][0], 100

    def ends(self, run: str) -> tuple[RunHeader | None, RunEnding | None]:
        """Return the first and the last line of a run; None where it has no such line."""
        for _, id, *ends in self._rows(_ENDS.format("runs.id = ?"), (run, 1)):
            contents = self._ends(id, *ends)
            return contents.started, contents.ending
        return None, None

    def _ends(self, run: str, first: Any, first_checksum: Any, last: Any, last_checksum: Any) -> JournalContents:
        lines = _verified(run, first, first_checksum), _verified(run, last, last_checksum)
        return contents_of(self._folder(run), lines)

    def contents(self, run: str) -> JournalContents:
        """Return the journal of a run, without damaged lines, and without fields that this nfrun does not have."""
        return contents_of(self._folder(run), (line for _, line in self.lines(run)))

    def lines(self, run: str, *, after: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the lines of a run as they were written, with their numbers, if these are above `after`."""
        query = f"select lines.id, line, checksum from lines, runs where runs.id = ? and {_OF_RUN}"
        query += " and lines.id > ? order by lines.id"
        for id, line, checksum in self._rows(query, (run, after)):
            yield id, _verified(run, line, checksum)

    def remove(self, runs: Collection[str]) -> None:
        """Take out runs. What other runs share with them stays."""
        with self.writing() as db:
            known = dict(db.execute("select id, ref from runs").fetchall())
            gone = {known[run] for run in runs if run in known}
            for ref in gone:
                (id,) = db.execute("delete from runs where ref = ? returning id", (ref,)).fetchone()
                db.execute("delete from lines where id >= ? and id < ?", (ref << _PLACES, (ref + 1) << _PLACES))
                db.execute("delete from tables where home = ?", (id,))
                db.execute("delete from kept where what = ? and name = ?", (PLANS, id))
            # They have rows of tables.
            kept = "select pipeline from runs where pipeline is not null"
            db.execute(f"delete from kept where what = ? and name not in ({kept})", (PREVIEWS,))

    def shrink(self) -> None:
        """Give the space of removed runs back to the system, if there is room for a copy meanwhile."""
        import sqlite3

        with self._lock, suppress(sqlite3.OperationalError):
            self._opened().execute("vacuum")

    # -- what later runs need not compute again -----------------------------------------------------------------------

    def kept(self, what: str, name: str = "") -> tuple[Callable[[], dict[str, Any]], Callable[[Any], None]]:
        """Return the functions that read and replace the JSON values that are kept under a name.

        What is missing or damaged is {}, and what cannot be written is left out: these values can be made again. Values
        of classes are read as those of `value_of`.
        """
        return partial(self._read_kept, what, name), partial(self._keep, what, name)

    def _read_kept(self, what: str, name: str) -> dict[str, Any]:
        with suppress(OSError, HandoffError):
            for found in self._rows("select text, checksum from kept where what = ? and name = ?", (what, name)):
                return _verified(f"{what} {name}", *found)
        return {}

    def _keep(self, what: str, name: str, found: Any) -> None:
        text = as_json(found)
        values = what, sql_text(name), text, _checksum(f"{what} {name}", text)
        with suppress(OSError, HandoffError):
            if not self._is_writing:  # else a WAL is there already, or a durable run writes
                self.begin_writing(fsync=False)
            with self.writing() as db:
                db.execute("insert or replace into kept values (?, ?, ?, ?)", values)

    # -- results -----------------------------------------------------------------------------------------------------

    def entries(self, pipeline: str, node: str, which: str = ANY, *values: int | str) -> Iterator[RecordedNode]:
        """Yield the recorded results of a node, the latest run first. A line is read when it is its turn.

        A run has several where the node was reused, and then its table was made again: the later one first. `which` is
        a condition of this module, and `values` are its values.
        """
        last = self._of_last_run(pipeline).get(node) if which == ANY else None
        if last is not None and (entry := self._entry(node, *last)) is not None:
            yield entry
        for (id,) in self._rows(_FIND_ENTRIES.format(which), (node, pipeline, *values)):
            if last is None or id != last[0]:
                for found in self._rows("select id, line, checksum from lines where id = ?", (id,)):
                    if (entry := self._entry(node, *found)) is not None:
                        yield entry

    def _entry(self, node: str, id: int, text: str, checksum: int) -> RecordedNode | None:
        for (run,) in self._rows("select id from runs where ref = ? and typeof(id) = 'text'", (id >> _PLACES,)):
            line = _verified(run, text, checksum)
            return node_of(line, self._folder(run)) if line.get("node") == node else None
        return None

    def _of_last_run(self, pipeline: str) -> Mapping[str, tuple[int, str, int]]:
        """Return the last lines of the results of the last run: most callers need no others."""
        with self._lock:
            if pipeline not in self._last:
                found = self._rows(_OF_LAST_RUN, (pipeline,))
                self._last[pipeline] = {node: (id, text, checksum) for id, node, text, checksum in found}
            return self._last[pipeline]

    def last_runs(self) -> dict[str, int]:
        """Return the number of the last run of each pipeline, by its name."""
        return dict(self._rows("select pipeline, max(number) from runs where pipeline is not null group by pipeline"))

    # -- tables ------------------------------------------------------------------------------------------------------

    def table_bytes(self) -> int:
        """Return how many bytes the tables take, also those that somebody has removed by hand."""
        ((total,),) = self._rows("select coalesce(sum(size), 0) from tables where not instr(home, ':')")
        return int(total)

    def tables(self, busy: Collection[str] = ()) -> list[KeptTable]:
        """Return the tables that are there, those first that the last run used.

        Protected are the outputs that a pipeline shows, of its last run and of its last run that ended with `ok`; what
        the nodes read that did not finish in its last run, and what those of them gave that failed a check; tables of
        nodes with `cache: true`, for each cache key those of the last run that has them; and all tables that runs of
        the `busy` pipelines use. A table that a later run has made again costs nothing to remove.
        """
        names: dict[str, set[str]] = {}

        def path_of(home: str, file: str) -> Path | None:
            if home not in names:
                names[home] = names_in(self._folder(home))
            return self._folder(home) / file if file in names[home] else None

        return self._kept("not instr(home, ':')", path_of, busy)

    def stored_tables(self, place: str, names: Collection[str]) -> list[KeptTable]:
        """Return the tables among the `names` in a place that machines share, each with its name there as its path."""
        return self._kept(
            "instr(home, ':')", lambda home, file: Path(file) if file in names and home == place else None
        )

    def runs_with_stored(self) -> set[int]:
        """Return the numbers of the last runs that have the outputs in places which machines share."""
        return {number for (number,) in self._rows("select cast(number as integer) from tables where instr(home, ':')")}

    def forget_tables(self, paths: Iterable[Path]) -> None:
        """Forget tables whose files have been removed."""
        with self.writing() as db:
            names = ((path.parent.name, path.name) for path in paths)
            db.executemany("delete from tables where home = ? and file = ?", names)

    def _kept(
        self, condition: str, path_of: Callable[[str, str], Path | None], busy: Collection[str] = ()
    ) -> list[KeptTable]:
        needed = self._needed()
        columns = "home, file, pipeline, output, key, content, size, seconds, cast(number as integer), cached, shown"
        order = "order by number desc, home, file"
        found: list[KeptTable] = []
        is_cached: dict[tuple[str, str], bool] = {}  # whether a node has `cache: true`, by what its last run says
        pinned: set[tuple[str, ...]] = set()
        contents: set[tuple[str, ...]] = set()
        for row in self._rows(f"select {columns} from tables where {condition} {order}"):
            home, file, pipeline, output, key, content, size, seconds, number, cached, shown = row
            if (path := path_of(home, file)) is None:
                continue
            last, read, of_last_ok = needed.get(pipeline, (0, (), ()))
            protected = pipeline in busy or (number >= last and (shown or output in read)) or (home, file) in of_last_ok
            if is_cached.setdefault((pipeline, output), cached) and cached:
                protected |= _is_first(pinned, (pipeline, output, key))
            is_only = _is_first(contents, (pipeline, key, output, content))
            found.append(KeptTable(path, size, seconds if is_only else 0.0, number, bool(protected)))
        return found

    def _needed(self) -> dict[str, tuple[int, Collection[str], Collection[tuple[str, str]]]]:
        """Return by pipeline the number of its last run, what nodes read that did not finish there, and what it shows.

        The last is that of its last run that ended well with all nodes, none if that is the last one of all.
        """
        query = "select pipeline, cast(max(number) as integer), max(ref),"
        query += " max(case when status = 'ok' then ref end) from runs"
        found: dict[str, tuple[int, Collection[str], Collection[tuple[str, str]]]] = {}
        for pipeline, number, last, last_ok in self._rows(f"{query} where pipeline is not null group by pipeline"):
            read = [output for run in self._of_ref(last) for node in run.unfinished for output in _read_by(node)]
            of_ok = self._of_ref(last_ok) if last_ok not in (None, last) else ()
            nodes = [(run.folder.name, node) for run in of_ok for node in (*run.finished, *run.refused)]
            files = [(node, *file) for run, node in nodes for file in _files_of(run, node)]
            shown = {(home, file) for node, home, file, output in files if _is_shown(node, output)}
            found[pipeline] = number, {*read}, shown
        return found

    def _of_ref(self, ref: int) -> Iterator[JournalContents]:
        for (run,) in self._rows("select id from runs where ref = ? and typeof(id) = 'text'", (ref,)):
            yield self.contents(run)

    def unrecorded(self, under_way: Callable[[], Collection[str]]) -> Iterator[Path]:
        """Yield the outputs of ended runs that no line names: their runs were killed, or could not write it.

        Each run is looked at once. `under_way` returns the runs under way. A run takes its lock before it is recorded,
        so it is asked after the runs were listed.
        """
        with self.writing() as db:
            listed = [run for (run,) in db.execute("select id from runs where not swept and typeof(id) = 'text'")]
            busy = under_way()
            runs = [run for run in listed if run not in busy]
            db.executemany("update runs set swept = 1 where id = ?", ((run,) for run in runs))
            named = {run: {*db.execute("select file from tables where home = ?", (run,))} for run in runs}
        for run in runs:
            for name in names_in(self._folder(run)):
                if _OUTPUT_FILE.fullmatch(name) and not name.endswith(PARTIAL) and (name,) not in named[run]:
                    yield self._folder(run) / name

    # -- opening -----------------------------------------------------------------------------------------------------

    def _folder(self, run: str) -> Path:
        return self.work.path / "runs" / run

    def _made(self) -> None:
        lost = len([folder for folder in self.work.run_folders() if names_in(folder)])
        if lost and self._warn is not None and not self._is_told:
            have = "has" if lost == 1 else "have"
            what = f"{self.path} is new, and lacks what {format_count(lost, 'run')} {have} left"
            self._warn(f"{what}: the results are made again")


class Journal:
    """Writes the lines of a run, and rows by which they are found. Not thread-safe. `folder` is that of the run.

    With `fsync`, all lines survive a power loss before the next ones are written.
    """

    def __init__(self, folder: Path, database: Database | None = None, *, fsync: bool = False) -> None:
        self.folder = folder
        self._database = database or Database(WorkDir(folder.parent.parent), print)
        self.path = self._database.path
        self._fsync = fsync
        self._run, self._pipeline, self._number = folder.name, "", 0
        self._db: sqlite3.Connection | None = None
        self._next = 0  # the number of the next line
        self._is_whole = True  # no node is left out
        self._state = identity(folder), (0, 0)
        self._checked = 0.0  # when the WAL was last moved into the file

    def started(self, started: RunHeader) -> None:
        """Write the first line. Raises OSError, and FileExistsError if there is a run of this folder already."""
        self._pipeline, self._number = sql_text(started.pipeline), started.number
        with self._writing() as db:
            columns = self._run, self._pipeline, sql_text(started.profile), started.number
            taken = db.execute("select 1 from runs where id = ?", (self._run,)).fetchone()
            if taken:
                raise FileExistsError(errno.EEXIST, f"it has a run {self._run} already")
            query = "insert into runs (id, pipeline, profile, number) values (?, ?, ?, ?) returning ref"
            ((ref,),) = db.execute(query, columns).fetchall()
            self._next = ref << _PLACES
            self._add(db, STARTED, [started])

    def add(self, *nodes: RecordedNode) -> None:
        """Write the lines of nodes that have ended, which may be many, at once. Raises OSError."""
        self._is_whole = self._is_whole and all(node.status != NOT_SELECTED for node in nodes)
        with self._writing() as db:
            self._add(db, "", nodes)
            rows = [row for node in nodes for row in self._tables_of(node)]
            db.executemany("insert or replace into tables values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def ended(self, status: str, **more: Any) -> None:
        """Write the last line, with the fields of a `RunEnding`. Raises OSError."""
        # The outputs of the last good run of all nodes are kept: a run of some shows only some of them.
        kept = status if self._is_whole or status != "ok" else "part"
        with self._writing() as db:
            self._add(db, ENDED, [RunEnding(status, **more)])
            db.execute("update runs set status = ? where id = ?", (kept, self._run))

    def gone(self) -> Iterator[str]:
        """Yield the paths that are gone: of the folder of the run, and of the database."""
        if self._state[0] != identity(self.folder):
            yield f"{self.folder}, the folder of this run,"
        if self._state[1] != identity(self.path):
            yield f"{self.path}, the history of runs,"

    def close(self) -> None:
        """End the writing. Closing again does nothing."""
        if self._db is not None:
            self._db = None
            self._database.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        is_first = self._db is None
        if is_first:
            self._database.begin_writing(fsync=self._fsync)
        with self._database.writing() as db:
            if not is_first and self._db is not db:  # a question has found the damage, and there is a new database
                raise OSError(errno.EIO, "it was damaged", str(self.path))
            yield db
        self._db = db
        now = time.monotonic()
        if is_first:
            self._state = self._state[0], identity(self.path)
        elif now - self._checked > _CHECKPOINT_SECONDS:
            self._database.checkpoint()
        self._checked = now if is_first or now - self._checked > _CHECKPOINT_SECONDS else self._checked

    def _add(self, db: sqlite3.Connection, event: str, values: Sequence[Any]) -> None:
        """Add the lines of values; those of nodes have an `event` each."""
        rows = []
        for id, value in enumerate(values, self._next):
            of = event or event_of(value)
            text = line_of(of, value)
            found_by = (None, None, None, None) if event else _found_by(self._run, of, value)
            node = None if event else value.node
            rows.append((id, node, of, text, _checksum(self._run, text), *found_by))
        db.executemany("insert into lines values (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        self._next += len(rows)

    def _tables_of(self, node: RecordedNode) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a node in `tables`; none if it has no result."""
        total = sum([output.size for output in node.outputs])
        for home, file, output in _files_of(self._run, node):
            seconds = node.duration * output.size / total if total else 0.0
            of_result = output.id, node.key or "", reader_digest(output), output.size, seconds, node.cached
            yield home, file, self._pipeline, self._number, *of_result, _is_shown(node, output)


def read_journal(folder: Path) -> JournalContents:
    """Return the journal of the run with this folder, see `Database.contents`."""
    with closing(Database(WorkDir(folder.parent.parent))) as database:
        return database.contents(folder.name)


# ------------------------------------------------------------------ rows


def _checksum(run: str, text: str) -> int:
    """Return the checksum of a line: 64 bits with a sign. The line of another run has another one."""
    return hash_of(f"{run} {text}")


def _verified(run: str, text: Any, checksum: Any) -> dict[str, Any]:
    """Return the object in a line; empty where the checksum does not match."""
    if not isinstance(text, str) or checksum != _checksum(run, text):
        return {}
    found: dict[str, Any] = json.loads(text)
    return found


def _found_by(run: str, event: str, node: RecordedNode) -> tuple[str | None, int | None, int | None, bool | None]:
    """Return the columns of a result by which it is found.

    They are null in lines without one, and where one is refused again: its entry is that of its run.
    """
    if event not in RESULTS or (event == "refused" and node.reused):
        return None, None, None, None
    key, definition = None if node.key is None else hash_of(node.key), hash_of_definition(node.key_inputs)
    return node.home or run, key, definition, bool(node.wrote)


def _files_of(run: str, node: RecordedNode) -> Iterator[tuple[str, str, FinishedOutput]]:
    """Yield the outputs of a node that are in files: where each is, its name there, and the output."""
    for output in node.outputs:
        home, file = output.home or run, output.file
        if output.stored:
            from nfrun.tables.places.base import place_and_name  # most lines have none

            home, file = place_and_name(output.stored)
        if file:
            yield home, file, output


def _is_shown(node: RecordedNode, output: FinishedOutput) -> bool:
    """Return whether the next run needs an output: it is shown, or checks of it failed and may be others then."""
    return output.shown or event_of(node) == "refused"


def _read_by(node: RecordedNode) -> Sequence[str]:
    """Return what a node reads that did not finish, and is to run in the next run."""
    # Without those that a condition left out: the next run goes on without them, too.
    is_left_out = node.status == "skipped" and node.tolerated
    return () if is_left_out or node.status == NOT_SELECTED else node.inputs


def _is_first(seen: set[tuple[str, ...]], key: tuple[str, ...]) -> bool:
    """Add the key, and return whether it is new."""
    is_new = key not in seen
    seen.add(key)
    return is_new


def definition_of(key_inputs: Mapping[str, str]) -> dict[str, str]:
    """Return the key inputs that the pipeline file and the code of a node give, without its inputs and its files."""
    return {part: value for part, value in key_inputs.items() if part.partition(" ")[0] not in _GIVEN}


def hash_of_definition(key_inputs: Mapping[str, str]) -> int:
    """Return a hash of the definition that is among the key inputs of a node, as the database has it."""
    return hash_of(repr(sorted(definition_of(key_inputs).items())))


def hash_of(text: str) -> int:
    """Return a hash of a text as the database has it: 64 bits with a sign."""
    return xxh3_64_intdigest(text.encode(errors="surrogatepass")) - (1 << 63)


# ------------------------------------------------------------------ files


def names_in(folder: Path) -> set[str]:
    """Return the names of the files in the folder of a run, none if it cannot be listed."""
    with suppress(OSError):
        return set(os.listdir(folder))  # noqa: PTH208
    return set()
