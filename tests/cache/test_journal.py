"""Journals: what is written is read again, and what is torn or damaged is not believed."""

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

STARTED = RunHeader("20260101-000000-abcdef", "p.yaml", 7)
OUTPUT = FinishedOutput("a.x", 3, 24, "n: int64", "xxh3_128:00", 498, "ff", "a.x.1.arrow")
ENDS = [
    FinishedNode(
        "a", "k1", {"text": "1", "code steps:f": "2"}, (OUTPUT, replace(OUTPUT, id="a.y", file=None)), {}, 0.5
    ),
    FinishedNode("b", None, {}, (), {"out.csv": "0f"}, 0.25, reused=True, cached=True),
]


def write(folder: Path, ended: str = "ok") -> Path:
    journal = Journal(folder)
    journal.started(STARTED)
    for finished in ENDS:
        journal.finished(finished)
    if ended:
        journal.ended(ended)
    journal.close()
    return folder / JOURNAL


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path)
    told = read_journal(tmp_path)
    assert told.started == STARTED
    assert told.finished == tuple(replace(finished, folder=tmp_path) for finished in ENDS)
    assert told.ended == "ok"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == [
        "started",
        "finished",
        "finished",
        "ended",
    ]


def test_a_journal_that_may_not_be_read_is_not_taken_for_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("nfrun.cache.journal.read_regular_file", refuse)
    with pytest.raises(PermissionError):
        read_journal(tmp_path)


def test_a_journal_is_never_written_twice(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(FileExistsError):
        Journal(tmp_path)


def test_wherever_a_journal_was_cut_off_what_is_whole_counts(tmp_path: Path) -> None:
    path = write(tmp_path)
    whole = path.read_bytes()
    borders = [i for i, byte in enumerate(whole) if byte == 10]
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        told = read_journal(tmp_path)
        lines = sum(border <= cut for border in borders)  # a line counts, with its newline or without
        assert (told.started is not None) + len(told.finished) + bool(told.ended) == lines


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_flipped_bit_takes_one_line_and_no_more(tmp_path_factory: Any, at: int, flip: int) -> None:
    folder = tmp_path_factory.mktemp("flip")
    path = write(folder)
    data = bytearray(path.read_bytes())
    at %= len(data)
    data[at] ^= flip
    path.write_bytes(bytes(data))
    told = read_journal(folder)
    found = [told.started, *told.finished, told.ended or None]
    expected = [STARTED, *(replace(finished, folder=folder) for finished in ENDS), "ok"]
    kept = [thing for thing in found if thing is not None]
    assert all(thing in expected for thing in kept)
    assert len(kept) >= len(expected) - 2  # two where a newline was hit


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
def test_a_line_of_another_form_is_left_out(tmp_path: Path, line: str) -> None:
    (tmp_path / JOURNAL).write_bytes(with_checksum(line))
    told = read_journal(tmp_path)
    assert (told.started, told.finished, told.ended) == (None, (), "")


def test_a_journal_of_another_version_tells_nothing_of_nodes(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.started(replace(STARTED, version=2))
    journal.finished(ENDS[0])
    journal.close()
    assert read_journal(tmp_path).finished == ()


def test_a_folder_without_a_journal_tells_nothing(tmp_path: Path) -> None:
    assert read_journal(tmp_path).started is None
    (tmp_path / JOURNAL).mkdir()
    assert read_journal(tmp_path).started is None


def test_a_line_that_the_disk_took_half_of_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    monkeypatch.setattr(os, "write", lambda file, data: len(data) - 1)
    with pytest.raises(OSError, match="No space left on device") as error:
        journal.started(STARTED)
    assert error.value.errno == errno.ENOSPC


def test_every_line_is_synced_where_it_has_to_survive_a_power_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    journal = Journal(tmp_path, fsync=True)
    journal.started(STARTED)
    journal.ended("ok")
    assert len(synced) == 2


def test_runs_are_numbered_by_the_last_one_or_by_their_journals(tmp_path: Path) -> None:
    work = WorkDir(tmp_path)
    assert next_number(41, work) == 42
    assert next_number(None, work) == 1
    write(work.make_run_folder("20260101-000000-aaaaaa"))
    work.make_run_folder("20260101-000000-bbbbbb")
    assert next_number(None, work) == 8
