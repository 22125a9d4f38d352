"""Tests of node statistics: the durations and GIL waits of nodes that a run records for later runs."""

from __future__ import annotations

from typing import Any

import pytest

from nfrun.core.errors import Cause
from nfrun.core.events import Failure, NodeFailed, NodeFinished, RunFinished
from nfrun.engine.node_stats import NodeStats, NodeStatsReporter, node_stats

NONE = NodeStats({}, {}, {}, {})


def test_new_durations_are_merged_with_recorded_ones() -> None:
    stats = NONE.with_run({"a": 1.5, "b": 2}, {}, {}).with_run({"b": 3}, {}, {})
    assert stats.durations == {"a": 1.5, "b": 2.5}, "up by half: beside others it takes longer"
    assert stats.with_run({"b": 1}, {}, {}).durations == {"a": 1.5, "b": 1.0}, "down at once"


def test_durations_and_gil_waits_are_recorded_per_executor() -> None:
    first = NONE.with_run({"a": 2.0, "b": 2.0}, {"a": 1.0}, {})
    assert first == NodeStats({"a": 2.0, "b": 2.0}, {"a": 2.0}, {"a": 1.0}, {})
    second = first.with_run({"a": 1.1}, {}, {"a": "process", "b": "elsewhere"})
    assert (second.thread, second.gil_waits, second.process) == ({"a": 2.0}, {"a": 1.0}, {"a": 1.1})
    third = second.with_run({"a": 1.0}, {}, {})
    assert (third.thread, third.gil_waits, third.process) == ({"a": 1.0}, {"a": 0.0}, {"a": 1.1}), (
        "alone it does not wait"
    )


def test_durations_are_kept_at_the_end_of_the_run() -> None:
    kept: list[Any] = []
    reporter = NodeStatsReporter(kept.append, NONE)
    reporter.event(NodeFinished(1.0, "a", 1, duration=1.23456789, gil_wait=0.04))
    reporter.event(NodeFinished(1.0, "c", 1, duration=0.5, gil_wait=0.06))
    reporter.event(NodeFailed(1.0, "b", 1, Failure(Cause.NODE, "", "no"), duration=0.7))
    assert not kept
    reporter.event(RunFinished(2.0, "failed"))
    (found,) = kept
    assert node_stats(found) == NodeStats({"a": 1.234567, "c": 0.5}, {"c": 0.5}, {"c": 0.06}, {})
    assert node_stats({}) == NONE


def test_without_finished_nodes_nothing_is_kept() -> None:
    NodeStatsReporter(pytest.fail, NONE).event(RunFinished(2.0, "failed"))
