"""Tests of the last line of a run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from planned_record import record_of_plan

from nfrun.core.errors import Cause
from nfrun.core.events import Event, Failure, NodeCancelled, NodeFailed, NodeFinished, NodeSkipped, RunFinished
from nfrun.core.plan import Node, make_plan
from nfrun.reports.last_line import last_line
from nfrun.reports.run_record import RunRecord

FAILURE = Failure(Cause.NODE, "", "")
END: dict[str, Callable[[str], Event]] = {
    "ok": lambda node: NodeFinished(0.0, node, 1),
    "reused": lambda node: NodeFinished(0.0, node, 1, reused=True),
    "failed": lambda node: NodeFailed(0.0, node, 1, FAILURE),
    "tolerated": lambda node: NodeFailed(0.0, node, 1, FAILURE, tolerated=True),
    "skipped": lambda node: NodeSkipped(0.0, node, "n0"),
    "cancelled": lambda node: NodeCancelled(0.0, node, "Ctrl-C"),
}


def record(status: str, seconds: float, name: str = "p", **counts: int) -> RunRecord:
    """Return the record of a run in which so many nodes ended with each status."""
    statuses = [state for state, count in counts.items() for _ in range(count)]
    found = record_of_plan(make_plan([Node(f"n{i}") for i in range(len(statuses))], slots=1), name)
    for name, state in zip(found.nodes, statuses, strict=True):
        found.event(END[state](name))
    found.event(RunFinished(seconds, status))
    return found


@pytest.mark.parametrize(
    ("run", "line"),
    [
        (record("ok", 0.41, ok=3, reused=17), "ok, 3 ran, 17 reused, 0.4 s"),
        (record("ok", 0.0412, reused=20), "ok, 20 reused, 41.2 ms"),
        (record("failed", 12.3, ok=9, failed=2, skipped=4), "failed, 9 ran, 2 failed, 4 skipped, 12 s"),
        (record("cancelled", 9.96, ok=1200, cancelled=3), "cancelled, 1,200 ran, 3 cancelled, 10 s"),
        (record("ok", 0.1, ok=3, tolerated=1, skipped=2), "ok, 3 ran, 1 failed (tolerated), 2 skipped, 0.1 s"),
        (record("failed", 0.1, failed=2, tolerated=1), "failed, 3 failed (1 tolerated), 0.1 s"),
        (record("failed", 250.0, failed=1), "failed, 1 failed, 4 m 10 s"),
    ],
)
def test_the_line_has_status_counts_and_time(run: RunRecord, line: str) -> None:
    assert last_line(run) == f"p: {line}"


def test_the_line_of_a_run_without_an_end_says_that_it_failed() -> None:
    found = record("ok", 1.0, ok=1)
    found.end = None
    assert last_line(found) == "p: failed, 1 ran, 1.0 s"


def test_the_command_stands_on_a_line_of_its_own_after_a_run_that_did_not_end_well() -> None:
    for status in ("failed", "cancelled"):
        lines = last_line(record(status, 1.0, failed=1), "nfrun run 'a b.yaml'").splitlines()
        assert lines == [f"p: {status}, 1 failed, 1.0 s", "to go on from here: nfrun run 'a b.yaml'"]
    assert last_line(record("ok", 1.0, ok=1), "nfrun run p.yaml") == "p: ok, 1 ran, 1.0 s"


def test_control_characters_are_escaped() -> None:
    assert last_line(record("failed", 1.0, "p\x1b", failed=1), "nfrun \x1b").splitlines() == [
        "p\\x1b: failed, 1 failed, 1.0 s",
        "to go on from here: nfrun \\x1b",
    ]
