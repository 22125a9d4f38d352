"""The checksums of files that nodes read: content counts, and a change during the run is noticed."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

import pytest

from nfrun.core.pipeline import NodeSpec
from nfrun.nodes.external_files import ExternalInputs


def read_node(body: str) -> NodeSpec:
    return NodeSpec("r", "read", body, (), {}, (), (), {})


def test_a_file_counts_by_its_content_and_not_by_its_times(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("n\n1\n")
    external_inputs = ExternalInputs(tmp_path)
    before = external_inputs.snapshot(read_node("x.csv"))
    os.utime(tmp_path / "x.csv", (1, 1))
    assert (
        external_inputs.recheck(read_node("x.csv")) == before == ExternalInputs(tmp_path).snapshot(read_node("x.csv"))
    )


def test_a_file_that_changed_since_the_snapshot_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("n\n1\n")
    external_inputs = ExternalInputs(tmp_path)
    assert external_inputs.snapshot(read_node("x.csv")) is not None
    (tmp_path / "x.csv").write_text("n\n2\n")
    assert external_inputs.recheck(read_node("x.csv")) is None


def test_a_change_that_keeps_the_times_of_the_file_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("n\n1\n")
    external_inputs = ExternalInputs(tmp_path)
    with (tmp_path / "x.csv").open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[2:3] = b"2"
        assert external_inputs.snapshot(read_node("x.csv")) is not None
        mapped[2:3] = b"3"  # the page is dirty already, so the times of the file do not change
        assert external_inputs.recheck(read_node("x.csv")) is None


def test_a_file_is_hashed_once_by_snapshot_and_once_by_recheck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.csv").write_text("n\n1\n")
    hashed: list[Any] = []
    monkeypatch.setattr("nfrun.nodes.external_files.file_checksum", lambda path: hashed.append(path) or "c")
    external_inputs = ExternalInputs(tmp_path)
    assert (
        external_inputs.snapshot(read_node("x.csv")) == external_inputs.snapshot(read_node("x.csv")) == {"x.csv": "c"}
    )
    assert len(hashed) == 1
    assert external_inputs.recheck(read_node("x.csv")) == {"x.csv": "c"}
    assert len(hashed) == 2


def test_all_files_of_a_pattern_count_and_one_more_is_a_change(tmp_path: Path) -> None:
    for name in ("1.csv", "2.csv"):
        (tmp_path / name).write_text("n\n1\n")
    external_inputs = ExternalInputs(tmp_path)
    assert set(external_inputs.snapshot(read_node("*.csv")) or {}) == {"1.csv", "2.csv"}
    (tmp_path / "3.csv").write_text("n\n1\n")
    assert external_inputs.recheck(read_node("*.csv")) is None


def test_remote_files_are_unknown(tmp_path: Path) -> None:
    external_inputs = ExternalInputs(tmp_path)
    assert external_inputs.snapshot(read_node("s3://bucket/x.csv")) is None
    assert external_inputs.recheck(read_node("s3://bucket/x.csv")) is None


def test_a_named_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.csv")
    assert ExternalInputs(tmp_path).snapshot(read_node("x.csv")) == {"x.csv": ""}


def test_sql_nodes_have_the_files_of_their_query_and_run_nodes_have_none(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("n\n1\n")
    sql = NodeSpec("q", "sql", "select * from 'x.csv' where a <> 'y.csv'", (), {}, (), (), {})
    external_inputs = ExternalInputs(tmp_path)
    assert set(external_inputs.snapshot(sql) or {}) == {"x.csv"}
    assert external_inputs.recheck(sql) == external_inputs.snapshot(sql)
    (tmp_path / "y.csv").write_text("n\n1\n")
    assert external_inputs.recheck(sql) is None, "it may have been read"
    run = NodeSpec("r", "run", "cat 'x.csv'", (), {}, (), (), {})
    assert external_inputs.recheck(run) == {}
