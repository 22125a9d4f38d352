"""Tests of node statistics: the durations and GIL waits of nodes that a run records for later runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nfrun.core.errors import Cause
from nfrun.core.events import Failure, NodeFailed, NodeFinished, RunFinished
from nfrun.engine.node_stats import NodeStats, NodeStatsFile, read_node_stats, write_node_stats

NONE = NodeStats({}, {}, {}, {})


def record(file: Path, **seconds: float) -> None:
    write_node_stats(file, read_node_stats(file).with_run(seconds, {}, {}))


def test_new_durations_are_merged_with_recorded_ones(tmp_path: Path) -> None:
    file = tmp_path / "timings" / "p.yaml.json"
    assert read_node_stats(file) == NONE
    record(file, a=1.23456789, b=2)
    record(file, b=3)
    assert read_node_stats(file).durations == {"a": 1.234567, "b": 2.5}, "up by half: beside others it takes longer"
    record(file, b=1)
    assert read_node_stats(file).durations == {"a": 1.234567, "b": 1.0}, "down at once"
    assert [p.name for p in (tmp_path / "timings").iterdir()] == ["p.yaml.json"]


def test_a_work_folder_that_was_removed_is_not_made_again(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_node_stats(tmp_path / ".nfrun" / "timings" / "p.yaml.json", NONE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "durations"),
    [
        ("", {}),
        ("[1]", {}),
        ("{", {}),
        ("[" * 100_000, {}),
        ("\xff", {}),
        ('{"a": 1.5}', {}),
        ('{"took": [1], "thread": {}, "locked": {}, "process": {}}', {}),
        ('{"took": {"a": "x"}, "thread": {}, "locked": {}, "process": {}}', {}),
        (
            '{"took": {"a": 1000000, "d": -1, "e": NaN, "f": Infinity, "h": 1%s}, "thread": {}, "locked": {}, '
            '"process": {}}' % ("0" * 400),
            {"a": 1.0},
        ),
    ],
)  # fmt: skip
def test_damaged_statistics_are_ignored(tmp_path: Path, text: str, durations: dict[str, float]) -> None:
    (tmp_path / "p.yaml.json").write_bytes(text.encode("latin-1"))
    assert read_node_stats(tmp_path / "p.yaml.json").durations == durations


def test_durations_and_gil_waits_are_recorded_per_executor() -> None:
    first = NONE.with_run({"a": 2.0, "b": 2.0}, {"a": 1.0}, {})
    assert first == NodeStats({"a": 2.0, "b": 2.0}, {"a": 2.0}, {"a": 1.0}, {})
    second = first.with_run({"a": 1.1}, {}, {"a": "process", "b": "elsewhere"})
    assert (second.thread, second.gil_waits, second.process) == ({"a": 2.0}, {"a": 1.0}, {"a": 1.1})
    third = second.with_run({"a": 1.0}, {}, {})
    assert (third.thread, third.gil_waits, third.process) == ({"a": 1.0}, {"a": 0.0}, {"a": 1.1}), (
        "alone it does not wait"
    )


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "p.yaml.json").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_node_stats(tmp_path / "p.yaml.json", NONE)
    assert [p.name for p in tmp_path.iterdir()] == ["p.yaml.json"]


def test_durations_are_written_at_the_end_of_the_run(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml.json"
    stats_file = NodeStatsFile(file, NONE)
    stats_file.event(NodeFinished(1.0, "a", 1, duration=0.5, gil_wait=0.04))
    stats_file.event(NodeFinished(1.0, "c", 1, duration=0.5, gil_wait=0.06))
    stats_file.event(NodeFailed(1.0, "b", 1, Failure(Cause.NODE, "", "no"), duration=0.7))
    assert read_node_stats(file).durations == {}
    stats_file.event(RunFinished(2.0, "failed"))
    assert read_node_stats(file) == NodeStats({"a": 0.5, "c": 0.5}, {"c": 0.5}, {"c": 0.06}, {})


def test_without_finished_nodes_nothing_is_written_and_write_errors_are_ignored(tmp_path: Path) -> None:
    stats_file = NodeStatsFile(tmp_path / "timings" / "p.yaml.json", NONE)
    stats_file.event(RunFinished(2.0, "failed"))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "timings").write_text("in the way")
    stats_file.event(NodeFinished(1.0, "a", 1, duration=0.5))
    stats_file.event(RunFinished(2.0, "ok"))
    assert json.dumps([p.name for p in tmp_path.iterdir()]) == '["timings"]'
