"""Tests of journals: entries that were written are read back, and lines that are not understood are ignored."""

from __future__ import annotations

import errno
import resource
from dataclasses import replace
from pathlib import Path

import pytest
from recorded_lines import lines_of

from nfrun.core.errors import Cause
from nfrun.core.events import Failure, Frame
from nfrun.core.pipeline import OutputId
from nfrun.history.database import DATABASE, Database, Journal, read_journal
from nfrun.history.journal import FinishedOutput, RecordedNode, RunEnding, RunHeader, contents_of
from nfrun.history.work_dir import WorkDir

STARTED = RunHeader(
    *("20260101-000000-abcdef", "p.yaml", 7, 1764.5),
    command=("nfrun", "run", "p.yaml"),
    params={"n": 1, "names": ["a", None]},
    versions={"nfrun": "1"},
    host="here",
)
OUTPUT = FinishedOutput("a.x", 3, 24, "n: int64", "xxh3_128:00", 498, "ff", "a.x.1.arrow")
FINISHED = [
    RecordedNode(
        "a", "ok", "k1", {"text": "1", "code steps:f": "2"}, (OUTPUT, replace(OUTPUT, id="a.y", file=None)), {}, 0.5
    ),
    RecordedNode("b", "reused", None, {}, (), {"out.csv": "0f"}, 0.25, cached=True, started=1.5, attempts=3, home="r"),
]
FAILURE = Failure(Cause.PERMISSION, "E", "it", (Frame("s.py", 3, "f", "f()"),), "more", ("t: 1 row, n: int64",), 13)
UNFINISHED = [
    RecordedNode("c", "failed", failure=FAILURE, attempts=2, started=0.5, duration=1.5, reason="its code changed"),
    RecordedNode("d", "skipped", because="c"),
    RecordedNode("e", "cancelled", because="node 'c' failed"),
]
ENDING = {"at": 1765.25, "duration": 0.5, "counts": {"ok": 1, "reused": 1}, "error": "the disk is full"}


def write(work: Path, ended: str = "ok") -> Path:
    folder = WorkDir(work).make_run_folder(STARTED.run)
    journal = Journal(folder)
    journal.started(STARTED)
    for finished in FINISHED:
        journal.add(finished)
    journal.add(*UNFINISHED)
    if ended:
        journal.ended(ended, **ENDING)
    journal.close()
    return folder


def test_a_journal_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = write(tmp_path)
    journal = read_journal(folder)
    assert journal.started == STARTED
    assert journal.finished == tuple(replace(finished, folder=folder) for finished in FINISHED)
    assert journal.unfinished == tuple(UNFINISHED)
    assert journal.ending == RunEnding("ok", **ENDING)
    assert journal.ended == "ok"
    assert (tmp_path / DATABASE).stat().st_mode & 0o777 == 0o600
    assert [line["event"] for line in lines_of(folder)] == [
        "started",
        "finished",
        "finished",
        "unfinished",
        "unfinished",
        "unfinished",
        "ended",
    ]


def test_a_run_without_an_end_has_no_ending(tmp_path: Path) -> None:
    journal = read_journal(write(tmp_path, ended=""))
    assert (journal.ending, journal.ended) == (None, "")


def test_ids_of_outputs_are_read_with_their_parts(tmp_path: Path) -> None:
    ids = OutputId("fit@v1.5", "metrics"), OutputId("fit@v1.5")
    folder = WorkDir(tmp_path).make_run_folder(STARTED.run)
    journal = Journal(folder)
    journal.started(STARTED)
    outputs = tuple(replace(OUTPUT, id=id) for id in ids)
    journal.add(RecordedNode("fit@v1.5", "ok", "k1", {}, outputs, {}))
    journal.close()
    (finished,) = read_journal(folder).finished
    found = [output.id for output in finished.outputs]
    assert found == list(ids)
    assert [(id.node, id.name) for id in found] == [("fit@v1.5", "metrics"), ("fit@v1.5", "")]


def test_the_lines_of_an_existing_run_are_not_overwritten(tmp_path: Path) -> None:
    folder = write(tmp_path)
    with pytest.raises(FileExistsError):
        Journal(folder).started(STARTED)
    assert read_journal(folder).started == STARTED


def test_fields_of_a_newer_nfrun_do_not_lose_a_line(tmp_path: Path) -> None:
    folder = write(tmp_path)
    lines = lines_of(folder)
    expected = contents_of(folder, lines)
    for line in lines:
        for item in (line, *line.get("outputs", ()), line.get("failure") or {}):
            item["newer"] = {"than": "this"}
    assert contents_of(folder, lines) == expected == read_journal(folder)


def test_a_folder_without_a_record_is_read_as_empty(tmp_path: Path) -> None:
    folder = WorkDir(tmp_path).make_run_folder(STARTED.run)
    assert read_journal(folder).started is None
    assert not (tmp_path / DATABASE).exists()


def test_a_disk_that_is_full_is_an_error_with_its_reason(tmp_path: Path) -> None:
    folder = WorkDir(tmp_path).make_run_folder(STARTED.run)
    journal = Journal(folder)
    journal.started(STARTED)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as error:
            journal.add(*FINISHED)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        journal.close()
    assert (error.value.errno, error.value.filename) == (errno.EFBIG, str(tmp_path / DATABASE))
    assert (read_journal(folder).started, read_journal(folder).finished) == (STARTED, ())


@pytest.mark.parametrize(("fsync", "level"), [(False, 1), (True, 2)])
def test_with_fsync_every_line_is_synced(tmp_path: Path, fsync: bool, level: int) -> None:
    database = Database(WorkDir(tmp_path), print)
    journal = Journal(WorkDir(tmp_path).make_run_folder(STARTED.run), database, fsync=fsync)
    journal.started(STARTED)
    with database.writing() as db:
        assert db.execute("pragma journal_mode").fetchone() == ("wal",)
        assert db.execute("pragma synchronous").fetchone() == (level,)
    journal.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [DATABASE, "runs"]
