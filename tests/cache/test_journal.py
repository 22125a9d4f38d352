"""Tests of journals: entries that were written are read back, torn or damaged lines are ignored."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfrun.cache.journal import (
    FinishedNode,
    FinishedOutput,
    Journal,
    RunHeader,
    next_number,
    read_journal,
    with_checksum,
)
from nfrun.cache.work_dir import JOURNAL, WorkDir
from nfrun.core.pipeline import OutputId

STARTED = RunHeader("20260101-000000-abcdef", "p.yaml", 7)
OUTPUT = FinishedOutput("a.x", 3, 24, "n: int64", "xxh3_128:00", 498, "ff", "a.x.1.arrow")
FINISHED = [
    FinishedNode(
        "a", "k1", {"text": "1", "code steps:f": "2"}, (OUTPUT, replace(OUTPUT, id="a.y", file=None)), {}, 0.5
    ),
    FinishedNode("b", None, {}, (), {"out.csv": "0f"}, 0.25, reused=True, cached=True),
]


def write(folder: Path, ended: str = "ok") -> Path:
    journal = Journal(folder)
    journal.started(STARTED)
    for finished in FINISHED:
        journal.finished(finished)
    if ended:
        journal.ended(ended)
    journal.close()
    return folder / JOURNAL


def test_a_journal_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = write(tmp_path)
    journal = read_journal(tmp_path)
    assert journal.started == STARTED
    assert journal.finished == tuple(replace(finished, folder=tmp_path) for finished in FINISHED)
    assert journal.ended == "ok"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == [
        "started",
        "finished",
        "finished",
        "ended",
    ]


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

    monkeypatch.setattr("nfrun.cache.journal.read_regular_file", refuse)
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
        assert (journal.started is not None) + len(journal.finished) + bool(journal.ended) == lines


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_flipped_bit_loses_only_the_lines_that_it_hits(tmp_path_factory: Any, at: int, flip: int) -> None:
    folder = tmp_path_factory.mktemp("flip")
    path = write(folder)
    data = bytearray(path.read_bytes())
    at %= len(data)
    data[at] ^= flip
    path.write_bytes(bytes(data))
    journal = read_journal(folder)
    found = [journal.started, *journal.finished, journal.ended or None]
    expected = [STARTED, *(replace(finished, folder=folder) for finished in FINISHED), "ok"]
    entries = [entry for entry in found if entry is not None]
    assert all(entry in expected for entry in entries)
    assert len(entries) >= len(expected) - 2  # two are lost if a newline was hit


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        '{"event": "started"}',
        '{"event": "started", "run": "r", "pipeline": "p", "number": 1, "more": 2}',
        '{"event": "finished", "node": "a"}',
        '{"event": "finished", "outputs": [1]}',
        '{"event": "finished", "outputs": null}',
        '{"event": ["finished"]}',
        '{"event": "ended"}',
        '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}",
    ],
)
def test_a_malformed_line_is_ignored(tmp_path: Path, line: str) -> None:
    (tmp_path / JOURNAL).write_bytes(with_checksum(line))
    journal = read_journal(tmp_path)
    assert (journal.started, journal.finished, journal.ended) == (None, (), "")


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


def test_a_partly_written_line_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    monkeypatch.setattr(os, "write", lambda file, data: len(data) - 1)
    with pytest.raises(OSError, match="No space left on device") as error:
        journal.started(STARTED)
    assert error.value.errno == errno.ENOSPC


def test_with_fsync_every_line_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    journal = Journal(tmp_path, fsync=True)
    journal.started(STARTED)
    journal.ended("ok")
    assert len(synced) == 2


def test_the_next_run_number_follows_the_lock_file_or_the_journals(tmp_path: Path) -> None:
    work = WorkDir(tmp_path)
    assert next_number(41, work) == 42
    assert next_number(None, work) == 1
    write(work.make_run_folder("20260101-000000-aaaaaa"))
    work.make_run_folder("20260101-000000-bbbbbb")
    assert next_number(None, work) == 8
