"""Files that nodes read count by their content, as it was before they were read."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

import pytest

from nfrun.core.pipeline import NodeSpec
from nfrun.nodes.external_files import ExternalInputs


def read(body: str) -> NodeSpec:
    return NodeSpec("r", "read", body, (), {}, (), (), {})


def test_a_file_counts_by_its_content_and_not_by_its_times(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("n\n1\n")
    reads = ExternalInputs(tmp_path)
    before = reads.snapshot(read("x.csv"))
    os.utime(tmp_path / "x.csv", (1, 1))
    assert reads.recheck(read("x.csv")) == before == ExternalInputs(tmp_path).snapshot(read("x.csv"))


def test_a_file_that_changed_meanwhile_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("n\n1\n")
    reads = ExternalInputs(tmp_path)
    assert reads.snapshot(read("x.csv")) is not None
    (tmp_path / "x.csv").write_text("n\n2\n")
    assert reads.recheck(read("x.csv")) is None


def test_a_change_that_shows_in_no_time_is_one(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("n\n1\n")
    reads = ExternalInputs(tmp_path)
    with (tmp_path / "x.csv").open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[2:3] = b"2"
        assert reads.snapshot(read("x.csv")) is not None
        mapped[2:3] = b"3"  # the page was written to before: no time of the file changes
        assert reads.recheck(read("x.csv")) is None


def test_it_is_looked_at_once_before_and_once_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.csv").write_text("n\n1\n")
    looks: list[Any] = []
    monkeypatch.setattr("nfrun.nodes.external_files.file_checksum", lambda path: looks.append(path) or "c")
    reads = ExternalInputs(tmp_path)
    assert reads.snapshot(read("x.csv")) == reads.snapshot(read("x.csv")) == {"x.csv": "c"}
    assert len(looks) == 1
    assert reads.recheck(read("x.csv")) == {"x.csv": "c"}
    assert len(looks) == 2


def test_all_files_of_a_pattern_count_and_one_more_is_a_change(tmp_path: Path) -> None:
    for name in ("1.csv", "2.csv"):
        (tmp_path / name).write_text("n\n1\n")
    reads = ExternalInputs(tmp_path)
    assert set(reads.snapshot(read("*.csv")) or {}) == {"1.csv", "2.csv"}
    (tmp_path / "3.csv").write_text("n\n1\n")
    assert reads.recheck(read("*.csv")) is None


def test_what_is_not_on_this_machine_is_unknown(tmp_path: Path) -> None:
    reads = ExternalInputs(tmp_path)
    assert reads.snapshot(read("s3://bucket/x.csv")) is None
    assert reads.recheck(read("s3://bucket/x.csv")) is None


def test_a_pipe_is_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.csv")
    assert ExternalInputs(tmp_path).snapshot(read("x.csv")) == {"x.csv": ""}


def test_the_files_of_a_query_count_and_other_kinds_have_none(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("n\n1\n")
    sql = NodeSpec("q", "sql", "select * from 'x.csv' where a <> 'y.csv'", (), {}, (), (), {})
    reads = ExternalInputs(tmp_path)
    assert set(reads.snapshot(sql) or {}) == {"x.csv"}
    assert reads.recheck(sql) == reads.snapshot(sql)
    (tmp_path / "y.csv").write_text("n\n1\n")
    assert reads.recheck(sql) is None, "it may have been read"
    run = NodeSpec("r", "run", "cat 'x.csv'", (), {}, (), (), {})
    assert reads.recheck(run) == {}
