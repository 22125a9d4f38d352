"""Defines the tables of the index of journals, and fills them from a journal. `run_index.py` keeps the file."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xxhash import xxh3_64_intdigest

from nfrun.core.events import NOT_SELECTED
from nfrun.core.values import frozen
from nfrun.history.journal import OF_ANOTHER_VERSION, RESULTS, VERSION, RunHeader, header_of, journal_lines

if TYPE_CHECKING:
    import sqlite3  # imported where it is used: most commands need no index

INDEX_VERSION = 4  # raise this when the tables change: the index is made anew then
APPLICATION = 0x6E667275  # marks the file as one of nfrun, which may remove it
SCHEMA = f"""
create table runs (
    ref integer primary key, id text unique, size integer, pipeline text, number integer, status text, settled integer
);
create table entries (
    node text, home text, run integer, number integer, start integer, length integer,
    key integer, definition integer, wrote integer, primary key (node, home)
) without rowid;
create table tables (
    home text, file text, run integer, number integer, node text, output text, key text, content text,
    size integer, seconds real, cached integer, needed integer, shown_ok integer default 0, gone integer default 0,
    is_stored integer as (instr(home, ':') > 0), primary key (home, file)
) without rowid;
create index gone_tables on tables (run) where gone;
pragma application_id = {APPLICATION};
pragma user_version = {INDEX_VERSION};
"""
_ADD_RUN = """
insert into runs (id, size, pipeline, number, status, settled) values (?, ?, ?, ?, ?, ?)
on conflict (id) do update set size = excluded.size, pipeline = excluded.pipeline, number = excluded.number,
    status = excluded.status, settled = excluded.settled
returning ref
"""
# An entry is known by its node and the run in which that ran. Of several lines with it, that of the last run counts.
_IS_LATER = """
where excluded.number > number or (
    excluded.number = number and (select id from runs where ref = excluded.run) >= (select id from runs where ref = run)
)
"""
_ADD_ENTRY = f"""
insert into entries values (?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (node, home)
do update set run = excluded.run, number = excluded.number, start = excluded.start, length = excluded.length,
    key = excluded.key, definition = excluded.definition, wrote = excluded.wrote {_IS_LATER}
"""
_ADD_TABLE = f"""
insert into tables (home, file, run, number, node, output, key, content, size, seconds, cached, needed)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (home, file)
do update set run = excluded.run, number = excluded.number, node = excluded.node, output = excluded.output,
    key = excluded.key, content = excluded.content, size = excluded.size, seconds = excluded.seconds,
    cached = excluded.cached, needed = excluded.needed {_IS_LATER}
"""
# A file without a line: its run was killed, or could not write its journal.
_ADD_UNRECORDED = """
insert or ignore into tables (home, file, run, number, node, output, key, content, size, seconds, cached, needed)
values (?, ?, ?, ?, '', '', '', '', ?, 0, 0, 0)
"""
_REMOVE_UNRECORDED = "delete from tables where home = ? and output = ''"
_SHOW_TABLE = "update tables set shown_ok = max(shown_ok, ?) where home = ? and file = ?"
FIND_ENTRIES = """
select id, start, length from entries join runs on ref = run
where node = ? and pipeline = ? {} order by entries.number desc, id desc, start desc limit ? offset ?
"""
# Conditions for it. Keys and definitions are hashes of 64 bits: lines say whether they are those that were asked for.
ANY, WITH_KEY, WITH_DEFINITION, WROTE = "", "and (key = ? or wrote)", "and definition = ?", "and wrote"
_GIVEN = ("input", "needs", "file")  # key inputs that are not part of the definition
OF_LAST_RUN = """
select node, id, start, length from entries join runs on ref = run
where ref = (select ref from runs where pipeline = ? order by number desc, id desc limit 1) order by start
"""
LIST_TABLES = """
select home, file, pipeline, output, key, content, tables.size, seconds, tables.number, cached,
    (needed and tables.number >= (select max(number) from runs where pipeline = used.pipeline)) or (shown_ok and
    shown_ok >= (select max(number) from runs where pipeline = used.pipeline and status = 'ok'))
from tables join runs as used on ref = run where is_stored = ? order by tables.number desc, home, file
"""
LIST_GONE = "select home, file from tables where gone"
LIST_GONE_OF_RUN = "select home, file from tables where gone and run = (select ref from runs where id = ?)"
MARK_TABLE = "update tables set gone = ? where home = ? and file = ?"


@frozen
class IndexedTable:
    """The file `file` of a table, which the run `run` has made. The other fields are of the last run that used it.

    If the table is in a place that machines share, `run` is the address of the place, and `file` the name there.

    `content` is its reader digest, `seconds` its share of the time that its node took, and `number` that of the run.
    `cached`: its node had `cache: true`. `needed`: the pipeline shows it in its last run or in its last good one, or a
    node that did not finish in its last run reads it or has made it. `output` is "" for a file that no journal names.
    """

    run: str
    file: str
    pipeline: str
    output: str
    key: str
    content: str
    size: int
    seconds: float
    number: int
    cached: bool
    needed: bool


@frozen
class RunRows:
    """The rows that the index has for one journal, as values of columns.

    `entries` are node, home, start and length of lines, then the hashes of key and definition, and whether the node
    wrote files. `tables` begin with home and file.
    """

    id: str
    size: int
    pipeline: str | None
    number: int | None
    status: str
    entries: Sequence[tuple[str, str, int, int, int | None, int, bool]]
    tables: Sequence[tuple[Any, ...]]


@frozen
class SharedRows:
    """Rows that removed runs shared with others: entries by node and home, tables by home and file.

    Only runs with a number up to `number` may have them. `pipelines` are those of the removed runs.
    """

    entries: set[tuple[str, str]]
    tables: set[tuple[str, str]]
    number: int
    pipelines: set[str]


class JournalRows:
    """Collects the rows of a journal line by line, while it is written or when it is read."""

    def __init__(self, id: str) -> None:
        self._id = id
        self._header: RunHeader | None = None
        self._status = ""
        self._is_whole = True
        self._entries: list[tuple[str, str, int, int, int | None, int, bool]] = []
        self._tables: list[tuple[Any, ...]] = []
        self._needed: set[str] = set()  # the outputs that unfinished nodes read

    def add(self, start: int, length: int, line: Mapping[str, Any]) -> None:
        """Add a line of `length` bytes that begins at `start`. Raises OF_ANOTHER_VERSION."""
        kind = line["event"]
        if kind in RESULTS:
            if outputs := line["outputs"]:
                self._tables += self._tables_of(line, outputs)
            if kind == "refused" and line["reused"]:  # what is right to reuse is the entry of the run that made it
                return
            key, definition = line["key"] and hash_of(line["key"]), hash_of_definition(line["parts"])
            place = line["node"], line.get("home") or self._id, start, length
            self._entries.append((*place, key, definition, bool(line["wrote"])))
        elif kind == "unfinished" and line["status"] == NOT_SELECTED:
            self._is_whole = False
        elif kind == "unfinished" and not (line["status"] == "skipped" and line.get("tolerated")):
            # Without those that a condition left out: the next run goes on without them, too.
            self._needed.update(line.get("inputs", ()))
        elif kind == "started":
            self._header = header_of(line)
        elif kind == "ended":
            status = str(line["status"])
            # The outputs of the last good run of all nodes are kept: a run of some shows only some of them.
            self._status = status if self._is_whole or status != "ok" else "part"

    def rows(self, size: int) -> RunRows:
        """Return the rows of the journal, which has `size` bytes."""
        header = self._header
        if header is None or header.version != VERSION:
            return RunRows(self._id, size, None, None, "", (), ())
        tables = [(*table[:-1], table[-1] or table[3] in self._needed) for table in self._tables]
        return RunRows(self._id, size, header.pipeline, header.number, self._status, self._entries, tables)

    def _tables_of(self, line: Mapping[str, Any], outputs: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Any, ...]]:
        total = sum([output["size"] for output in outputs])
        is_older = self._header is not None and not self._header.at
        for output in outputs:
            home, file = output.get("home") or self._id, output["file"]
            if stored := output.get("stored"):
                home, file = _place_and_name(stored)
            if file:
                size = output["size"]
                seconds = line["took"] * size / total if total else 0.0
                # An older nfrun does not say which outputs are shown.
                shown = output.get("shown", False) or is_older or line["event"] != RESULTS[0]
                content = f"{output['digest']} {output.get('traits', '')}"
                of_result = (line["node"], str(output["id"]), line["key"] or "", content)
                yield home, file, *of_result, size, seconds, line["cached"], shown


def _place_and_name(address: str) -> tuple[str, str]:
    """Return the place and the name there of an address in a journal, "" for what is no address."""
    from nfrun.tables.places.base import (
        PlaceError,
        place_and_name,  # most journals have none
    )

    try:
        return place_and_name(address)
    except PlaceError:
        return "", ""


def definition_of(key_inputs: Mapping[str, str]) -> dict[str, str]:
    """Return the key inputs that the pipeline file and the code of a node give, without its inputs and its files."""
    return {part: value for part, value in key_inputs.items() if part.partition(" ")[0] not in _GIVEN}


def hash_of_definition(key_inputs: Mapping[str, str]) -> int:
    """Return a hash of the definition that is among the key inputs of a node, as the index has it."""
    return hash_of(repr(sorted(definition_of(key_inputs).items())))


def hash_of(text: str) -> int:
    """Return a hash of a text as the index has it: 64 bits with a sign."""
    return xxh3_64_intdigest(text.encode(errors="surrogatepass")) - (1 << 63)


def read_rows(id: str, data: bytes) -> RunRows:
    """Return the rows of a journal: `data` are its bytes, and `id` is its run."""
    rows = JournalRows(id)
    for start, length, line in journal_lines(data):
        try:
            rows.add(start, length, line)
        except OF_ANOTHER_VERSION:
            continue
    return rows.rows(len(data))


def add_run(
    db: sqlite3.Connection, rows: RunRows, files: Iterable[tuple[str, int]] = (), *, settled: bool = True
) -> None:
    """Add the rows of a journal, in place of those of earlier runs with the same entries and tables.

    `files` are the names and sizes of the tables in the folder of the run, for those that no journal names. A run is
    `settled` if no more of them will come.
    """
    number = rows.number
    run = (rows.id, rows.size, rows.pipeline, number, rows.status, settled)
    ((ref,),) = db.execute(_ADD_RUN, run).fetchall()
    db.execute(_REMOVE_UNRECORDED, (rows.id,))
    db.executemany(_ADD_ENTRY, ((*entry[:2], ref, number, *entry[2:]) for entry in rows.entries))
    db.executemany(_ADD_TABLE, ((*table[:2], ref, number, *table[2:]) for table in rows.tables))
    if number is not None:
        db.executemany(_ADD_UNRECORDED, ((rows.id, file, ref, number, size) for file, size in files))
    add_shown(db, rows)


def add_shown(db: sqlite3.Connection, rows: RunRows) -> None:
    """Mark the tables that a run shows, if the run ended with `ok`."""
    if rows.status == "ok":
        db.executemany(_SHOW_TABLE, [(rows.number, *table[:2]) for table in rows.tables if table[-1]])


def remove_runs(db: sqlite3.Connection, gone: Collection[str]) -> SharedRows:
    """Take out runs. Returns what they shared with other runs, which may have it too."""
    ids = [(id,) for id in gone]
    known = db.execute("select ref, id, number, pipeline from runs where number is not null").fetchall()
    runs = {ref: (id, number, pipeline) for ref, id, number, pipeline in known if id in gone}
    numbers = [(number,) for _, number, _ in runs.values()]
    db.executemany("delete from runs where id = ?", ids)
    db.executemany("delete from tables where home = ?", ids)
    db.executemany("update tables set shown_ok = 0 where shown_ok = ?", numbers)
    orphans = "where run not in (select ref from runs)"
    entries = {
        (node, home)
        for node, home, run in db.execute(f"select node, home, run from entries {orphans}")
        if run in runs and home != runs[run][0]
    }
    tables = {*db.execute(f"select home, file from tables {orphans}")}
    db.execute(f"delete from entries {orphans}")
    db.execute(f"delete from tables {orphans}")
    pipelines = {pipeline for _, _, pipeline in runs.values()}
    return SharedRows(entries, tables, max(numbers, default=(0,))[0], pipelines)


def names_in(folder: Path | None) -> set[str]:
    """Return the names of the files in the folder of a run, none if it cannot be listed."""
    if folder is not None:
        with suppress(OSError):
            return set(os.listdir(folder))  # noqa: PTH208
    return set()


def indexed_table(*values: Any) -> IndexedTable:
    """Make a table of a row of LIST_TABLES."""
    run, file, pipeline, output, key, content, size, seconds, number, cached, needed = values
    return IndexedTable(
        run, file, pipeline, output, key, content, size, seconds, number, cached=bool(cached), needed=bool(needed)
    )


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Make changes to the index that are written together."""
    db.execute("begin immediate")
    try:
        yield
        db.execute("commit")
    except BaseException:
        if db.in_transaction:
            db.execute("rollback")
        raise
