"""Which nodes run in processes: what was asked for, what the file says, and what runs have shown."""

from __future__ import annotations

import pytest

from nfrun.core.pipeline import NodeSpec, Pipeline
from nfrun.engine.node_stats import NodeStats
from nfrun.engine.placement import gains_from_process, nodes_in_processes

NONE = NodeStats({}, {}, {}, {})


def pipeline(**executors: str) -> Pipeline:
    nodes = {
        name: NodeSpec(name, "run" if name == "script" else "python", "m:f", (), {}, (), (), {}, executor=executor)
        for name, executor in executors.items()
    }
    return Pipeline("p.yaml", ".", "p", "", {}, {}, nodes, {})


def seen(took: float, locked: float, process: float | None = None) -> NodeStats:
    return NodeStats({"a": took}, {"a": took}, {"a": locked}, {} if process is None else {"a": process})


def test_the_file_decides_where_nothing_is_asked_for() -> None:
    nodes = pipeline(a="process", b="thread", c="", script="process")
    assert nodes_in_processes(nodes, "", NONE) == {"a"}


@pytest.mark.parametrize(("asked", "found"), [("process", {"a", "b", "c"}), ("thread", set()), ("auto", {"a"})])
def test_what_is_asked_for_goes_for_all_nodes_but_those_that_are_processes(asked: str, found: set[str]) -> None:
    nodes = pipeline(a="thread", b="process", c="", script="")
    assert nodes_in_processes(nodes, asked, seen(2.0, 1.0)) == found


@pytest.mark.parametrize(
    ("recorded", "gain"),
    [
        (NONE, False),
        (seen(2.0, 1.0), True),
        (seen(2.0, 0.3), False),  # a small part of its time
        (seen(0.06, 0.04), False),  # no time at all
        (seen(2.0, 1.0, process=1.2), True),
        (seen(2.0, 1.0, process=2.5), False),  # its tables are large, perhaps
    ],
)
def test_what_gains(recorded: NodeStats, gain: bool) -> None:
    assert gains_from_process("a", recorded) is gain
