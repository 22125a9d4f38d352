"""Tables that were removed: an attempt that lacks one does nothing, and its node starts again once it is there."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from random_seeds import seeds

from nfrun.core.errors import Cause
from nfrun.core.events import (
    Event,
    Failure,
    NodeCancelled,
    NodeFailed,
    NodeFinished,
    NodeSkipped,
    NodeStarted,
    NodeWaiting,
    Outcome,
    OutputRef,
    OutputReleased,
)
from nfrun.core.pipeline import OutputId, Retry
from nfrun.core.plan import Node, make_plan
from nfrun.core.scheduler import Scheduler, State

BROKE = Failure(Cause.NODE, "ValueError", "broke")


def ref(node: str, attempt: int = 1) -> OutputRef:
    return OutputRef(OutputId(node), 1, 8, "x: int64", attempt=attempt)


def reused(node: str) -> Outcome:
    return Outcome(node, 1, outputs={OutputId(node): ref(node)}, reused=True)


def ran(node: str, attempt: int = 1) -> Outcome:
    return Outcome(node, attempt, outputs={OutputId(node): ref(node, attempt)})


def reader(node: str, *inputs: str, timeout: float | None = None) -> Node:
    return Node(node, inputs, reads=tuple(map(OutputId, inputs)), timeout=timeout)


def started(events: list[Event]) -> list[tuple[str, int]]:
    return [(event.node, event.attempt) for event in events if isinstance(event, NodeStarted)]


def test_the_maker_runs_again_and_then_the_reader_with_the_new_table() -> None:
    s = Scheduler(make_plan([reader("a"), reader("b", "a"), reader("c", "b")]))
    s.begin(0.0)
    s.outcome(1.0, reused("a"))
    assert started(s.outcome(2.0, reused("b"))) == [("c", 1)]
    events = s.outcome(3.0, Outcome("c", 1, lacking=(ref("b"),)))
    assert (events[0], started(events)) == (NodeWaiting(3.0, "c", 1), [("b", 2)])
    assert (s.state("b"), s.state("c"), s.done) == (State.RUNNING, State.WAITING, False)
    # Its own input is not there either, though it had been released.
    assert started(s.outcome(4.0, Outcome("b", 2, lacking=(ref("a"),)))) == [("a", 2)]
    assert started(s.outcome(5.0, ran("a", 2))) == [("b", 2)]
    events = s.outcome(6.0, ran("b", 2))
    assert events[0] == NodeFinished(6.0, "b", 2, {"b": ref("b", 2)})
    assert events[1] == OutputReleased(6.0, "a", ref("a", 2))
    assert events[2] == NodeStarted(6.0, "c", 1, {"b": ref("b", 2)})
    s.outcome(7.0, ran("c"))
    assert s.finish(8.0)[0].status == "ok"  # type: ignore[union-attr]


def test_two_readers_have_a_table_made_again_once() -> None:
    s = Scheduler(make_plan([reader("a"), reader("b", "a"), reader("c", "a")], slots=2))
    s.begin(0.0)
    assert started(s.outcome(1.0, reused("a"))) == [("b", 1), ("c", 1)]
    assert started(s.outcome(2.0, Outcome("b", 1, lacking=(ref("a"),)))) == [("a", 2)]
    assert started(s.outcome(3.0, Outcome("c", 1, lacking=(ref("a"),)))) == []
    assert started(s.outcome(4.0, ran("a", 2))) == [("b", 1), ("c", 1)]


def test_a_reader_that_lacked_a_table_that_is_there_by_now_starts_again() -> None:
    s = Scheduler(make_plan([reader("a"), reader("b", "a"), reader("c", "a")], slots=3))
    s.begin(0.0)
    s.outcome(1.0, reused("a"))
    s.outcome(2.0, Outcome("b", 1, lacking=(ref("a"),)))
    s.outcome(3.0, ran("a", 2))
    assert started(s.outcome(4.0, Outcome("c", 1, lacking=(ref("a"),)))) == [("c", 1)]


def test_a_reader_is_skipped_if_the_table_cannot_be_made_again() -> None:
    s = Scheduler(
        make_plan([reader("a"), reader("b", "a"), reader("c", "a"), reader("d", "c")], slots=2), keep_going=True
    )
    s.begin(0.0)
    s.outcome(1.0, reused("a"))
    s.outcome(2.0, Outcome("b", 1, lacking=(ref("a"),)))
    events = s.outcome(3.0, Outcome("a", 2, BROKE))
    assert [type(event) for event in events] == [NodeFailed, NodeSkipped]
    events = s.outcome(4.0, Outcome("c", 1, lacking=(ref("a"),)))
    assert events == [
        NodeWaiting(4.0, "c", 1),
        NodeSkipped(4.0, "c", "a"),
        OutputReleased(4.0, "a", ref("a")),
        NodeSkipped(4.0, "d", "a"),
    ]
    assert s.done


def test_the_timeout_of_the_reader_counts_from_its_new_start() -> None:
    s = Scheduler(make_plan([reader("a"), reader("b", "a", timeout=10.0)]))
    s.begin(0.0)
    s.outcome(1.0, reused("a"))
    assert s.wake_at == 11.0
    s.outcome(2.0, Outcome("b", 1, lacking=(ref("a"),)))
    assert s.wake_at is None
    s.outcome(100.0, ran("a", 2))
    assert s.wake_at == 110.0


def test_after_a_cancel_nothing_is_made_again() -> None:
    s = Scheduler(make_plan([reader("a"), reader("b", "a")]))
    s.begin(0.0)
    s.outcome(1.0, reused("a"))
    s.cancel(2.0, "stopped")
    assert s.outcome(3.0, Outcome("b", 1, lacking=(ref("a"),)))[0] == NodeCancelled(3.0, "b", "stopped")
    assert s.done


@pytest.mark.parametrize("seed", seeds(30, 300))
def test_no_attempt_runs_without_its_inputs_and_every_run_ends(seed: int) -> None:
    """In random graphs, some nodes are reused and have no tables, some run, and some fail."""
    dice = random.Random(seed)
    names = [f"n{i}" for i in range(dice.randint(2, 12))]
    nodes = [reader(name, *dice.sample(names[:i], min(i, dice.randint(0, 3)))) for i, name in enumerate(names)]
    nodes = [replace(node, retry=Retry(max=dice.randint(0, 1), delay=0.0)) for node in nodes]
    hits = {name for name in names if dice.random() < 0.6}
    removed = {name for name in hits if dice.random() < 0.6}
    failing = dice.choice([0.0, 0.0, 0.2])
    s = Scheduler(make_plan(nodes, slots=dice.randint(1, 4)), keep_going=dice.random() < 0.5)
    running = [event for event in s.begin(0.0) if isinstance(event, NodeStarted)]
    asked: set[str] = set()
    again: set[str] = set()
    there: set[OutputRef] = set()
    for now in range(1, 1000):
        if s.wake_at is not None and not running:
            events = s.tick(s.wake_at)
        elif running:
            start = running.pop(dice.randrange(len(running)))
            assert tuple(start.inputs) == s.plan.nodes[start.node].reads
            outcome = _outcome(start, dice, hits, removed, there, failing)
            asked.update(found.id.node for found in outcome.lacking)
            if start.node in hits and not outcome.reused and not outcome.lacking:
                again.add(start.node)
            events = s.outcome(float(now), outcome)
        else:
            break
        for event in events:
            if isinstance(event, NodeStarted):
                running.append(event)
            elif isinstance(event, OutputReleased):
                there.discard(event.ref)
    assert s.done
    assert again <= asked
    if not failing:
        assert s.finish(1000.0)[0].status == "ok"  # type: ignore[union-attr]
        assert all(s.state(name) is State.FINISHED for name in names)


def _outcome(
    start: NodeStarted, dice: random.Random, hits: set[str], removed: set[str], there: set[OutputRef], failing: float
) -> Outcome:
    if start.node in hits and start.attempt == 1:
        if start.node not in removed:
            there.add(ref(start.node))
        return reused(start.node)
    if lacking := tuple(found for found in start.inputs.values() if found not in there):
        return Outcome(start.node, start.attempt, lacking=lacking)
    if dice.random() < failing:
        return Outcome(start.node, start.attempt, BROKE)
    there.add(ref(start.node, start.attempt))
    return ran(start.node, start.attempt)
