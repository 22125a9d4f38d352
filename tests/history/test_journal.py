"""Tests of journals: entries that were written are read back, torn or damaged lines are ignored."""

from __future__ import annotations

import errno
import json
import os
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfrun.core.errors import Cause
from nfrun.core.events import Failure, Frame
from nfrun.core.pipeline import OutputId
from nfrun.history.journal import (
    FinishedNode,
    FinishedOutput,
    Journal,
    RunEnding,
    RunHeader,
    UnfinishedNode,
    read_journal,
    with_checksum,
)
from nfrun.history.work_dir import JOURNAL

STARTED = RunHeader(
    *("20260101-000000-abcdef", "p.yaml", 7, 1, 1764.5),
    command=("nfrun", "run", "p.yaml"),
    params={"n": 1, "names": ["a", None]},
    versions={"nfrun": "1"},
    host="here",
)
OUTPUT = FinishedOutput("a.x", 3, 24, "n: int64", "xxh3_128:00", 498, "ff", "a.x.1.arrow")
FINISHED = [
    FinishedNode(
        "a", "k1", {"text": "1", "code steps:f": "2"}, (OUTPUT, replace(OUTPUT, id="a.y", file=None)), {}, 0.5
    ),
    FinishedNode(
        "b", None, {}, (), {"out.csv": "0f"}, 0.25, reused=True, cached=True, started=1.5, attempts=3, home="r"
    ),
]
FAILURE = Failure(Cause.PERMISSION, "E", "it", (Frame("s.py", 3, "f", "f()"),), "more", ("t: 1 row, n: int64",), 13)
UNFINISHED = [
    UnfinishedNode("c", "failed", FAILURE, 2, 0.5, 1.5, reason="its code changed"),
    UnfinishedNode("d", "skipped", because="c"),
    UnfinishedNode("e", "cancelled", because="node 'c' failed"),
]
ENDING = {"at": 1765.25, "duration": 0.5, "counts": {"ok": 1, "reused": 1}, "error": "the disk is full"}


def write(folder: Path, ended: str = "ok") -> Path:
    journal = Journal(folder)
    journal.started(STARTED)
    for finished in FINISHED:
        journal.finished(finished)
    journal.unfinished(UNFINISHED)
    if ended:
        journal.ended(ended, **ENDING)
    journal.close()
    return folder / JOURNAL


def test_a_journal_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = write(tmp_path)
    journal = read_journal(tmp_path)
    assert journal.started == STARTED
    assert journal.finished == tuple(replace(finished, folder=tmp_path) for finished in FINISHED)
    assert journal.unfinished == tuple(UNFINISHED)
    assert journal.ending == RunEnding("ok", **ENDING)
    assert journal.ended == "ok"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == [
        "started",
        "finished",
        "finished",
        "unfinished",
        "unfinished",
        "unfinished",
        "ended",
    ]


def test_a_run_without_an_end_has_no_ending(tmp_path: Path) -> None:
    write(tmp_path, ended="")
    journal = read_journal(tmp_path)
    assert (journal.ending, journal.ended) == (None, "")


def test_ids_of_outputs_are_read_with_their_parts(tmp_path: Path) -> None:
    ids = OutputId("fit@v1.5", "metrics"), OutputId("fit@v1.5")
    journal = Journal(tmp_path)
    outputs = tuple(replace(OUTPUT, id=id) for id in ids)
    journal.finished(FinishedNode("fit@v1.5", "k1", {}, outputs, {}))
    journal.close()
    (finished,) = read_journal(tmp_path).finished
    found = [output.id for output in finished.outputs]
    assert found == list(ids)
    assert [(id.node, id.name) for id in found] == [("fit@v1.5", "metrics"), ("fit@v1.5", "")]


def test_a_journal_without_read_permission_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("nfrun.history.journal.read_regular_file", refuse)
    with pytest.raises(PermissionError):
        read_journal(tmp_path)


def test_an_existing_journal_is_not_overwritten(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(FileExistsError):
        Journal(tmp_path)


def test_all_whole_lines_of_a_truncated_journal_are_read(tmp_path: Path) -> None:
    path = write(tmp_path)
    whole = path.read_bytes()
    borders = [i for i, byte in enumerate(whole) if byte == 10]
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        journal = read_journal(tmp_path)
        lines = sum(border <= cut for border in borders)  # a line is whole with or without its newline
        found = len(journal.finished) + len(journal.unfinished)
        assert (journal.started is not None) + found + bool(journal.ended) == lines


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_flipped_bit_loses_only_the_lines_that_it_hits(tmp_path_factory: Any, at: int, flip: int) -> None:
    folder = tmp_path_factory.mktemp("flip")
    path = write(folder)
    data = bytearray(path.read_bytes())
    at %= len(data)
    data[at] ^= flip
    path.write_bytes(bytes(data))
    journal = read_journal(folder)
    found = [journal.started, *journal.finished, *journal.unfinished, journal.ended or None]
    expected = [STARTED, *(replace(finished, folder=folder) for finished in FINISHED), *UNFINISHED, "ok"]
    entries = [entry for entry in found if entry is not None]
    assert all(entry in expected for entry in entries)
    assert len(entries) >= len(expected) - 2  # two are lost if a newline was hit


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        '{"event": "started"}',
        '{"event": "started", "run": "r", "pipeline": "p", "number": 1, "command": 2}',
        '{"event": "finished", "node": "a"}',
        '{"event": "finished", "outputs": [1]}',
        '{"event": "finished", "outputs": null}',
        '{"event": ["finished"]}',
        '{"event": "unfinished", "node": "a"}',
        '{"event": "unfinished", "node": "a", "status": "failed", "failure": {"cause": "bad luck"}}',
        '{"event": "ended"}',
        '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}",
    ],
)
def test_a_malformed_line_is_ignored(tmp_path: Path, line: str) -> None:
    (tmp_path / JOURNAL).write_bytes(with_checksum(line))
    journal = read_journal(tmp_path)
    assert (journal.started, journal.finished, journal.unfinished, journal.ended) == (None, (), (), "")


def test_fields_of_a_newer_nfrun_do_not_lose_a_line(tmp_path: Path) -> None:
    path = write(tmp_path)
    expected = read_journal(tmp_path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        del line["check"]
        for item in (line, *line.get("outputs", ()), line.get("failure") or {}):
            item["newer"] = {"than": "this"}
    path.write_bytes(b"".join(with_checksum(json.dumps(line)) for line in lines))
    assert read_journal(tmp_path) == expected


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


def test_a_journal_without_the_command_line_and_the_failures_is_read(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_text(OLDER)
    journal = read_journal(tmp_path)
    assert journal.started == RunHeader("20260101-000000-abcdef", "p.yaml", 7)
    output = FinishedOutput(OutputId("a"), 2, 16, "x: int64", "d", 512, "c", "a.1.arrow", "s")
    a = FinishedNode("a", "k", {"text": "t"}, (output,), {"out.csv": "w"}, 1.5, reads={"in.csv": "r"}, obstacle="o")
    b = FinishedNode("b", None, {}, (), {}, 0.25, reused=True, cached=True)
    assert journal.finished == tuple(replace(finished, folder=tmp_path) for finished in (a, b))
    assert (journal.unfinished, journal.ending) == ((), RunEnding("failed"))


def test_a_journal_of_another_version_gives_no_finished_nodes(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.started(replace(STARTED, version=2))
    journal.finished(FINISHED[0])
    journal.close()
    assert read_journal(tmp_path).finished == ()


def test_a_folder_without_a_journal_is_read_as_empty(tmp_path: Path) -> None:
    assert read_journal(tmp_path).started is None
    (tmp_path / JOURNAL).mkdir()
    assert read_journal(tmp_path).started is None


def test_a_partly_written_line_is_an_error_with_its_reason(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as error:
            journal.started(STARTED)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        journal.close()
    assert error.value.errno == errno.EFBIG
    assert (tmp_path / JOURNAL).stat().st_size == 50
    assert read_journal(tmp_path).started is None


def test_a_line_that_the_system_takes_in_parts_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:7]))
    journal = Journal(tmp_path)
    journal.started(STARTED)
    journal.close()
    assert read_journal(tmp_path).started == STARTED


def test_with_fsync_every_line_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    journal = Journal(tmp_path, fsync=True)
    journal.started(STARTED)
    journal.ended("ok")
    assert len(synced) == 2
