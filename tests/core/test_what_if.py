"""Predictions of runs with other slots and faster nodes, against runs of the same plan in virtual time."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfrun.core.budgets import Budget
from nfrun.core.call_events import CallsEnded, CallStarted
from nfrun.core.errors import Cause
from nfrun.core.events import Event, Failure, NodeFinished, NodeRetrying, NodeStarted, Outcome
from nfrun.core.map_counts import OpenedMap, PiecePath
from nfrun.core.map_spec import MapSpec
from nfrun.core.pipeline import Retry
from nfrun.core.plan import Node, Plan, make_plan
from nfrun.core.simulation import simulate
from nfrun.core.values import replace
from nfrun.core.what_if import PastAttempt, PastNode, PastRun

BUDGETS = {"gpu": Budget(2.0, "2"), "api": Budget(5.0, "5/s", per=1.0)}
GPU, API = ("gpu", 1.0), ("api", 1.0)


def plan_by_chance(seed: int, count: int, slots: int) -> tuple[Plan, Mapping[str, float], Mapping[str, int]]:
    """A plan, the seconds of its nodes, and how often each fails before it succeeds."""
    draw = random.Random(seed)
    nodes = [
        Node(
            f"n{i}",
            needs=tuple(f"n{j}" for j in sorted(draw.sample(range(i), min(i, draw.randint(0, 3))))),
            estimated_duration=draw.uniform(0.1, 3.0),
            retry=Retry(3, delay=0.5),
            resources=(("cpu", draw.choice((1.0, 1.0, 0.5, 2.0, 9.0))), *draw.choice(((), (), (GPU,), (API,)))),
        )
        for i in range(count)
    ]
    seconds = {node.name: draw.uniform(0.05, 2.0) for node in nodes}
    fails = {node.name: draw.choice((0, 0, 0, 0, 1, 2)) for node in nodes}
    return make_plan(nodes, slots=slots, budgets=BUDGETS), seconds, fails


def run(plan: Plan, slots: int, seconds: Mapping[str, float], fails: Mapping[str, int], seed: int) -> list[Event]:
    """A run in virtual time."""

    def outcome(start: NodeStarted) -> Outcome:
        failure = Failure(Cause.NODE, "", "no") if start.attempt <= fails[start.node] else None
        return Outcome(start.node, start.attempt, failure, duration=seconds[start.node] * (0.3 if failure else 1.0))

    return simulate(replace(plan, budget={**plan.budget, "cpu": slots}), outcome, seed=seed)


def recorded(plan: Plan, log: list[Event]) -> PastRun:
    """What the events of a run say of its nodes."""
    started: dict[str, float] = {}
    failed: dict[str, list[PastAttempt]] = {name: [] for name in plan.nodes}
    found: dict[str, PastNode] = {}
    for event in log:
        if isinstance(event, NodeStarted):
            started[event.node] = event.at
        elif isinstance(event, NodeRetrying):
            failed[event.node].append(PastAttempt(event.at - started[event.node], event.delay))
        elif isinstance(event, NodeFinished):
            node, took = plan.nodes[event.node], event.at - started[event.node]
            tried = tuple(failed[event.node])
            found[event.node] = PastNode(node.needs, took, node.resources, node.estimated_duration, tried)
    return PastRun({name: found[name] for name in plan.nodes}, plan.budgets)


@given(seed=st.integers(0, 10_000), count=st.integers(1, 40), slots=st.sampled_from((1, 2, 3, 8)))
def test_predictions_are_what_a_run_takes(seed: int, count: int, slots: int) -> None:
    plan, seconds, fails = plan_by_chance(seed, count, 2)
    past = recorded(plan, run(plan, 2, seconds, fails, seed))
    for other in (2, slots):
        taken = run(plan, other, seconds, fails, seed)[-1].at
        assert past.seconds(other) == pytest.approx(taken)


@given(seed=st.integers(0, 10_000), factor=st.sampled_from((0.0, 0.5)))
def test_faster_nodes_are_predicted_as_a_run_with_such_nodes(seed: int, factor: float) -> None:
    plan, seconds, fails = plan_by_chance(seed, 20, 2)
    past = recorded(plan, run(plan, 2, seconds, fails, seed))
    changed = {"n3": factor, "n7": factor}
    faster = {name: value * changed.get(name, 1.0) for name, value in seconds.items()}
    assert past.seconds(2, changed) == pytest.approx(run(plan, 2, faster, fails, seed)[-1].at)


def test_what_did_not_run_takes_no_time_and_no_slot() -> None:
    nodes = {"reused": PastNode(), "a": PastNode(("reused",), 1.0, (("cpu", 1.0),)), "gone": PastNode(("a",))}
    nodes["b"] = PastNode(("gone",), 2.0, (("cpu", 1.0),))
    assert PastRun(nodes).seconds(1) == pytest.approx(3.0)


class Rows:
    """Pieces of one row each."""

    def __init__(self, count: int) -> None:
        self.count = count

    def rows_of(self, piece: PiecePath) -> int:
        return 1

    def can_halve(self, piece: PiecePath) -> bool:
        return False


@pytest.mark.parametrize(("count", "seconds"), [(40, 0.5), (1, 3.0), (900, 0.001)])
@pytest.mark.parametrize("slots", [1, 2, 5])
def test_the_calls_of_mapped_nodes_share_the_slots(count: int, seconds: float, slots: int) -> None:
    def outcome(start: NodeStarted) -> Outcome:
        if isinstance(start, CallStarted):
            return Outcome(start.node, start.attempt, duration=seconds * len(start.pieces), call=start.call)
        if start.node == "mapped" and not isinstance(start, CallsEnded):
            return Outcome(start.node, start.attempt, opened=OpenedMap(Rows(count), count))
        return Outcome(start.node, start.attempt, duration=0.0 if start.node == "mapped" else 1.0)

    cpu = (("cpu", 1.0),)
    plan = make_plan([Node("mapped", map=MapSpec("rows")), Node("other"), Node("last", ("mapped",))], slots=slots)
    mapped = PastNode((), count * seconds, cpu, calls=count)
    past = PastRun({"mapped": mapped, "other": PastNode((), 1.0, cpu), "last": PastNode(("mapped",), 1.0, cpu)})
    assert past.seconds(slots) == pytest.approx(simulate(plan, outcome)[-1].at)
    assert past.seconds(slots) >= (count * seconds + 2.0) / slots - 1e-9


def test_budgets_that_the_nodes_did_not_have_are_refused() -> None:
    with pytest.raises(ValueError, match="asks for 1 of 'gpu'"):
        PastRun({"a": PastNode((), 1.0, (GPU,))}, {})


def test_a_long_wait_before_a_retry_is_kept() -> None:
    past = PastRun({"a": PastNode((), 1.0, (("cpu", 1.0),), failed=(PastAttempt(1.0, 1e6),))})
    assert past.seconds(4) == pytest.approx(1e6 + 2)
    assert math.isfinite(past.seconds(4, {"a": 0.0}))
