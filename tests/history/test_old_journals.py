"""Tests of the journals of nfrun 0.1: a new database takes them over, without lines that are torn or damaged."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_lines import lines_of
from xxhash import xxh3_64_hexdigest

from nfrun.core.pipeline import OutputId
from nfrun.history.database import DATABASE, Database, read_journal
from nfrun.history.journal import FinishedOutput, JournalContents, RecordedNode, RunEnding, RunHeader
from nfrun.history.old_journals import JOURNAL, old_journals
from nfrun.history.work_dir import WorkDir

RUN = "20260101-000000-abcdef"
OLDER = """\
{"event": "started", "run": "20260101-000000-abcdef", "pipeline": "p.yaml", "number": 7, "version": 1, \
"check": "a03e1191ca2c69cc"}
{"event": "finished", "node": "a", "key": "k", "parts": {"text": "t"}, "wrote": {"out.csv": "w"}, "took": 1.5, \
"reused": false, "cached": false, "reads": {"in.csv": "r"}, "obstacle": "o", "outputs": [{"id": "a", "rows": 2, \
"bytes": 16, "schema": "x: int64", "digest": "d", "size": 512, "checksum": "c", "file": "a.1.arrow", "traits": "s"}], \
"check": "026c59a92fc97cf6"}
{"event": "finished", "node": "b", "key": null, "parts": {}, "wrote": {}, "took": 0.25, "reused": true, \
"cached": true, "reads": {}, "obstacle": "", "outputs": [], "check": "fee02913587b6fdb"}
{"event": "ended", "status": "failed", "check": "1ee6580a80231034"}
"""


WHOLE = OLDER.encode()


def with_checksum(text: str) -> bytes:
    return f'{text[:-1]}, "check": "{xxh3_64_hexdigest(text.encode())}"}}\n'.encode()


def write(work: Path, data: bytes = WHOLE, run: str = RUN) -> Path:
    folder = WorkDir(work).make_run_folder(run)
    (folder / JOURNAL).write_bytes(data)
    return folder


def taken_over(folder: Path) -> JournalContents:
    """Make a database that changes files, and return what it has of a run."""
    with closing(Database(WorkDir(folder.parent.parent), print)) as database:
        return database.contents(folder.name)


def test_a_journal_without_the_command_line_and_the_failures_is_taken_over(tmp_path: Path) -> None:
    folder = write(tmp_path)
    expected = read_journal(folder)
    assert not (tmp_path / DATABASE).exists(), "who only reads changes nothing"
    journal = taken_over(folder)
    assert journal == expected
    assert journal.started == RunHeader(RUN, "p.yaml", 7)
    output = FinishedOutput(OutputId("a"), 2, 16, "x: int64", "d", 512, "c", "a.1.arrow", "s")
    a = RecordedNode(
        "a", "ok", "k", {"text": "t"}, (output,), {"out.csv": "w"}, 1.5, reads={"in.csv": "r"}, obstacle="o"
    )
    b = RecordedNode("b", "reused", duration=0.25, cached=True)
    assert journal.finished == tuple(replace(end, folder=folder, started=0.0, attempts=1) for end in (a, b))
    assert (journal.unfinished, journal.ending) == ((), RunEnding("failed"))


def test_a_database_takes_journals_over_once(tmp_path: Path) -> None:
    folder = write(tmp_path)
    taken_over(folder)
    later = write(tmp_path, WHOLE.replace(b"abcdef", b"fedcba"), "20260101-000000-fedcba")
    (folder / JOURNAL).unlink()
    assert len(lines_of(folder)) == 4
    assert lines_of(later) == []


def test_runs_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number, run in ((2, "20260101-000000-aaaaaa"), (10, "20260101-000000-bbbbbb"), (1, "20260101-000000-cccccc")):
        line = {"event": "started", "run": run, "pipeline": "p.yaml", "number": number, "version": 1}
        write(tmp_path, with_checksum(json.dumps(line)), run)
    with closing(Database(WorkDir(tmp_path))) as database:
        assert [run.header.number for run in database.runs()] == [10, 2, 1]


def test_all_whole_lines_of_a_truncated_journal_are_read(tmp_path: Path) -> None:
    folder = write(tmp_path)
    borders = [i for i, byte in enumerate(WHOLE) if byte == 10]
    for cut in range(0, len(WHOLE), 7):
        (folder / JOURNAL).write_bytes(WHOLE[:cut])
        lines = sum(border <= cut for border in borders)  # a line is whole with or without its newline
        assert [len(journal.lines) for journal in old_journals([folder])] == [lines] * bool(lines)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_flipped_bit_loses_only_the_lines_that_it_hits(
    tmp_path_factory: pytest.TempPathFactory, at: int, flip: int
) -> None:
    work = tmp_path_factory.mktemp("flip")
    folder = write(work)
    expected = [line for journal in old_journals([folder]) for line in journal.lines]
    data = bytearray(WHOLE)
    data[at % len(data)] ^= flip
    (folder / JOURNAL).write_bytes(bytes(data))
    found = [line for journal in old_journals([folder]) for line in journal.lines]
    assert all(line in expected for line in found)
    assert not found or len(found) >= len(expected) - 2  # two are lost if a newline was hit
    shutil.rmtree(work)


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        '{"event": "finished", "node": "a"}',
        '{"event": "finished", "outputs": [1]}',
        '{"event": "finished", "outputs": null}',
        '{"event": ["finished"]}',
        '{"event": "unfinished", "node": "a"}',
        '{"event": "ended"}',
        '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}",
    ],
)
def test_a_malformed_line_is_left_out(tmp_path: Path, line: str) -> None:
    first = WHOLE.partition(b"\n")[0]
    found = taken_over(write(tmp_path, first + b"\n" + with_checksum(line)))
    assert (found.started, found.finished, found.unfinished) == (RunHeader(RUN, "p.yaml", 7), (), ())


def test_a_journal_of_another_version_is_left_out(tmp_path: Path) -> None:
    line = {"event": "started", "run": RUN, "pipeline": "p.yaml", "number": 7, "version": 2}
    assert old_journals([write(tmp_path, with_checksum(json.dumps(line)))]) == []


def test_what_is_no_journal_is_left_out(tmp_path: Path) -> None:
    folder = WorkDir(tmp_path).make_run_folder(RUN)
    assert old_journals([folder]) == []
    (folder / JOURNAL).mkdir()
    assert old_journals([folder]) == []
