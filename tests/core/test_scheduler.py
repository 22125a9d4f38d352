"""The scheduler: the events that each call returns. `test_laws.py` checks laws over whole runs."""

from __future__ import annotations

import pytest

from nfrun.core.errors import Cause, HandoffError
from nfrun.core.events import (
    AttemptStopped,
    Event,
    Failure,
    NodeCancelled,
    NodeFailed,
    NodeFinished,
    NodeRetrying,
    NodeSkipped,
    NodeStarted,
    Outcome,
    OutputRef,
    OutputReleased,
    RunFinished,
    RunStarted,
)
from nfrun.core.pipeline import Retry
from nfrun.core.plan import Node, make_plan, with_barriers
from nfrun.core.retries import LOST_BUDGET
from nfrun.core.scheduler import Scheduler, State

BROKE = Failure(Cause.NODE, "ValueError", "broke")
STEADY = Retry(max=2, delay=1.0, backoff=2.0, jitter=0.0)


def scheduler(*nodes: Node, slots: int = 1, retained: tuple[str, ...] = (), keep_going: bool = False) -> Scheduler:
    return Scheduler(make_plan(nodes, retained, slots), keep_going=keep_going)


def ref(output: str) -> OutputRef:
    return OutputRef(output, 1, 8, "x: int64")


def success(node: str, *outputs: str, attempt: int = 1) -> Outcome:
    return Outcome(node, attempt, outputs={output: ref(output) for output in outputs})


def timed_out(seconds: str) -> Failure:
    return Failure(Cause.TIMEOUT, "Timeout", f"took longer than its timeout of {seconds} s")


# -- begin and finish --------------------------------------------------------------------------------------------------


def test_begin_starts_the_nodes_that_need_nothing_and_fit() -> None:
    s = scheduler(Node("a"), Node("b"), Node("c"), Node("d", ("a",)), slots=2)
    assert s.begin(0.5) == [RunStarted(0.5, 4, 2), NodeStarted(0.5, "a", 1), NodeStarted(0.5, "b", 1)]
    assert [s.state(name) for name in "abcd"] == [State.RUNNING, State.RUNNING, State.READY, State.WAITING]
    assert (s.running, s.done, s.wake_at) == (2, False, None)


def test_a_run_without_nodes_is_done_when_it_begins() -> None:
    s = scheduler()
    assert s.begin(0.0) == [RunStarted(0.0, 0, 1)]
    assert s.done
    assert s.finish(1.0) == [RunFinished(1.0, "ok")]


def test_finish_waits_for_every_node() -> None:
    s = scheduler(Node("a"))
    s.begin(0.0)
    with pytest.raises(ValueError, match=r"^nodes are still under way$"):
        s.finish(1.0)
    s.outcome(1.0, success("a"))
    assert s.finish(1.0) == [RunFinished(1.0, "ok")]


def test_an_error_outside_of_any_node_makes_the_run_fail() -> None:
    s = scheduler()
    s.begin(0.0)
    s.cancel(0.0, "disk full")
    assert s.finish(1.0, HandoffError("disk full")) == [RunFinished(1.0, "failed", "disk full", Cause.IO)]


# -- one node after the other ------------------------------------------------------------------------------------------


def test_a_node_starts_with_its_inputs_when_all_its_needs_have_finished() -> None:
    s = scheduler(Node("a"), Node("b"), Node("c", ("a", "b"), reads=("b.right", "a")), slots=2)
    s.begin(0.0)
    assert s.outcome(1.0, success("a", "a")) == [NodeFinished(1.0, "a", 1, {"a": ref("a")})]
    refs = {output: ref(output) for output in ("b.left", "b.right")}
    assert s.outcome(2.0, success("b", "b.left", "b.right")) == [
        NodeFinished(2.0, "b", 1, refs),
        OutputReleased(2.0, "b.left", ref("b.left")),
        NodeStarted(2.0, "c", 1, {"b.right": ref("b.right"), "a": ref("a")}),
    ]


def test_the_details_of_an_outcome_are_in_its_event() -> None:
    s = scheduler(Node("a"))
    s.begin(0.0)
    outcome = Outcome("a", 1, outputs={}, duration=0.5, publish_wait=0.25, input_waits={"x": 0.125})
    assert s.outcome(1.0, outcome) == [NodeFinished(1.0, "a", 1, {}, 0.5, 0.25, {"x": 0.125})]


def test_a_started_event_has_the_queue_wait() -> None:
    s = scheduler(Node("a"), Node("b"))
    s.begin(1.0)
    assert s.outcome(3.5, success("a"))[1:] == [NodeStarted(3.5, "b", 1, {}, 2.5)]


def test_the_node_with_the_highest_priority_starts_first_and_of_equals_the_first_in_the_file() -> None:
    s = scheduler(Node("short"), Node("equal"), Node("long"), Node("end", ("long",), estimated_duration=5.0))
    begin_events = s.begin(0.0)
    order = [begin_events[1]]
    for name in ("long", "end", "short"):
        order += [event for event in s.outcome(1.0, success(name)) if isinstance(event, NodeStarted)]
    assert [event.node for event in order if isinstance(event, NodeStarted)] == ["long", "end", "short", "equal"]


def test_an_order_only_successor_starts_after_a_failure_too() -> None:
    s = scheduler(Node("a"), Node("b", order_only=("a",)), keep_going=True)
    s.begin(0.0)
    assert s.outcome(1.0, Outcome("a", 1, BROKE)) == [NodeFailed(1.0, "a", 1, BROKE), NodeStarted(1.0, "b", 1)]


def test_a_barrier_opens_when_its_stage_has_ended_and_emits_no_events() -> None:
    s = Scheduler(with_barriers(make_plan([Node("a"), Node("b"), Node("c", ("a",))], slots=2)))
    assert s.begin(0.0) == [RunStarted(0.0, 3, 2), NodeStarted(0.0, "a", 1), NodeStarted(0.0, "b", 1)]
    assert s.outcome(1.0, success("a")) == [NodeFinished(1.0, "a", 1)]
    assert s.outcome(2.0, success("b")) == [NodeFinished(2.0, "b", 1), NodeStarted(2.0, "c", 1)]
    assert s.outcome(3.0, success("c")) == [NodeFinished(3.0, "c", 1)]
    assert s.done


def test_a_skipped_stage_does_not_open_the_next_before_earlier_stages_have_ended() -> None:
    nodes = [Node("a"), Node("slow"), Node("b", ("a",)), Node("c", order_only=("b",))]
    s = Scheduler(with_barriers(make_plan(nodes, slots=2)), keep_going=True)
    s.begin(0.0)
    assert s.outcome(1.0, Outcome("a", 1, BROKE)) == [NodeFailed(1.0, "a", 1, BROKE), NodeSkipped(1.0, "b", "a")]
    assert s.outcome(2.0, success("slow")) == [NodeFinished(2.0, "slow", 1), NodeStarted(2.0, "c", 1)]


def test_barriers_emit_no_events_when_a_run_is_cancelled() -> None:
    s = Scheduler(with_barriers(make_plan([Node("a"), Node("b", ("a",))])))
    s.begin(0.0)
    assert s.cancel(1.0, "why") == [NodeCancelled(1.0, "b", "why"), AttemptStopped(1.0, "a", 1, "why")]
    s.outcome(2.0, success("a"))
    assert s.done


# -- slots -------------------------------------------------------------------------------------------------------------


def cpu(name: str, slots: float, estimated_duration: float = 1.0) -> Node:
    return Node(name, estimated_duration=estimated_duration, resources=(("cpu", slots),))


def test_a_node_takes_as_many_slots_as_its_cpu_setting() -> None:
    s = scheduler(cpu("a", 2.0, 9.0), cpu("b", 1.0, 8.0), cpu("c", 1.0, 7.0), slots=3)
    assert s.begin(0.0)[1:] == [NodeStarted(0.0, "a", 1), NodeStarted(0.0, "b", 1)]
    assert s.outcome(1.0, success("b"))[1:] == [NodeStarted(1.0, "c", 1, {}, 1.0)]


def test_a_node_that_does_not_fit_is_overtaken_by_a_smaller_one() -> None:
    s = scheduler(cpu("a", 1.0, 9.0), cpu("wide", 2.0, 8.0), cpu("narrow", 1.0, 7.0), slots=2)
    assert s.begin(0.0)[1:] == [NodeStarted(0.0, "a", 1), NodeStarted(0.0, "narrow", 1)]
    assert s.outcome(1.0, success("a")) == [NodeFinished(1.0, "a", 1)]
    assert s.outcome(2.0, success("narrow"))[1:] == [NodeStarted(2.0, "wide", 1, {}, 2.0)]


def test_a_node_that_asks_for_more_slots_than_there_are_gets_all_there_are() -> None:
    s = scheduler(cpu("a", 99.0, 9.0), cpu("b", 1.0), slots=2)
    assert s.begin(0.0)[1:] == [NodeStarted(0.0, "a", 1)]
    assert s.outcome(1.0, success("a"))[1:] == [NodeStarted(1.0, "b", 1, {}, 1.0)]


def test_fractions_of_a_slot_add_up_without_drift() -> None:
    s = scheduler(*(cpu(f"n{i}", 0.1) for i in range(1_000)))
    running = [event.node for event in s.begin(0.0) if isinstance(event, NodeStarted)]
    while running:
        assert len(running) == s.running <= 10
        running += [event.node for event in s.outcome(1.0, success(running.pop(0))) if isinstance(event, NodeStarted)]
        assert s.running == 10 or len(running) < 10
    assert s.done


def test_fractions_that_add_up_to_a_slot_fit_into_it() -> None:
    # 1 - 0.3 - 0.3 - 0.3 is a little less than 0.1.
    s = scheduler(*(cpu(name, 0.3, 9.0) for name in "abc"), cpu("d", 0.1))
    s.begin(0.0)
    assert s.running == 4


def test_priority_decides_between_nodes_that_ask_for_different_amounts() -> None:
    s = scheduler(cpu("low", 2.0, 1.0), cpu("high", 1.0, 9.0), cpu("middle", 0.5, 5.0), slots=3)
    assert s.begin(0.0)[1:] == [NodeStarted(0.0, "high", 1), NodeStarted(0.0, "middle", 1)]
    assert s.state("low") is State.READY


def test_a_node_that_asks_for_no_slot_never_waits_for_one() -> None:
    s = scheduler(cpu("a", 1.0), Node("free", resources=()), cpu("b", 1.0))
    assert [event.node for event in s.begin(0.0) if isinstance(event, NodeStarted)] == ["a", "free"]


def starts(events: list[Event]) -> list[str]:
    return [event.node for event in events if isinstance(event, NodeStarted)]


def test_a_node_starts_when_there_is_enough_of_all_its_resources() -> None:
    both, one = (("cpu", 1.0), ("gpu", 1.0)), (("cpu", 1.0),)
    nodes = [Node("a", resources=both), Node("b", resources=both), Node("c", resources=one), Node("d", resources=one)]
    s = Scheduler(make_plan(nodes, slots=2, budget={"gpu": 1}))
    assert starts(s.begin(0.0)) == ["a", "c"], "b waits for the gpu, and c overtakes it"
    assert starts(s.outcome(1.0, success("c"))) == ["d"]
    assert starts(s.outcome(2.0, success("d"))) == []
    assert starts(s.outcome(3.0, success("a"))) == ["b"]


def test_more_capacity_starts_what_fits_and_less_starts_nothing_new() -> None:
    s = scheduler(*(Node(name) for name in "abcdef"), slots=3)
    assert s.set_capacity(0.0, "cpu", 1.0) == []
    assert starts(s.begin(0.0)) == ["a"]
    assert s.set_capacity(1.0, "cpu", 2.0) == [NodeStarted(1.0, "b", 1, {}, 1.0)]
    assert s.set_capacity(2.0, "cpu", 0.0) == []
    assert s.running == 2, "what runs goes on"
    assert starts(s.outcome(3.0, success("a"))) == []
    assert starts(s.outcome(4.0, success("b"))) == []
    assert (s.running, s.done, s.wake_at) == (0, False, None), "without capacity the others wait"
    assert starts(s.set_capacity(5.0, "cpu", 100.0)) == ["c", "d", "e"], "the budget is 3"
    assert s.set_capacity(6.0, "cpu", 3.0) == []
    with pytest.raises(KeyError):
        s.set_capacity(7.0, "gpu", 1.0)


def test_a_node_that_asks_for_more_than_the_present_capacity_waits() -> None:
    s = scheduler(cpu("wide", 4.0, 9.0), cpu("narrow", 1.0), slots=4)
    s.set_capacity(0.0, "cpu", 3.5)
    assert starts(s.begin(0.0)) == ["narrow"]
    assert starts(s.outcome(1.0, success("narrow"))) == []
    assert starts(s.set_capacity(2.0, "cpu", 4.0)) == ["wide"]


def test_a_node_that_asks_for_nothing_of_a_resource_does_not_wait_for_it() -> None:
    s = scheduler(cpu("a", 1.0), Node("b", ("a",), resources=(("cpu", 0.0),)), Node("c", order_only=("a",)))
    s.begin(0.0)
    s.set_capacity(1.0, "cpu", -1.0)
    assert starts(s.outcome(2.0, success("a"))) == ["b"]


@pytest.mark.parametrize("amount", ["nan", "-inf"])
def test_an_amount_after_which_nothing_could_be_free_is_refused(amount: str) -> None:
    s = Scheduler(make_plan([Node("a")], slots=4))
    with pytest.raises(ValueError, match=f"^there cannot be {amount} of 'cpu'$"):
        s.set_capacity(0.0, "cpu", float(amount))
    s.set_capacity(0.0, "cpu", 1.0)
    assert starts(s.begin(0.0)) == ["a"], "nothing has changed"


# -- failures and retries ----------------------------------------------------------------------------------------------


def test_a_failed_attempt_is_made_again_after_its_back_off() -> None:
    s = scheduler(Node("a", retry=STEADY))
    s.begin(0.0)
    failed = Outcome("a", 1, BROKE, duration=0.5)
    assert s.outcome(1.0, failed) == [NodeRetrying(1.0, "a", 1, 1.0, BROKE, 0.5)]
    assert (s.state("a"), s.running, s.wake_at) == (State.BACKOFF, 0, 2.0)
    assert s.tick(1.9) == []
    assert s.tick(2.0) == [NodeStarted(2.0, "a", 2)]
    assert s.outcome(3.0, Outcome("a", 2, BROKE)) == [NodeRetrying(3.0, "a", 2, 2.0, BROKE)]
    assert s.tick(5.5) == [NodeStarted(5.5, "a", 3)]
    assert s.outcome(6.0, Outcome("a", 3, BROKE, duration=0.5)) == [NodeFailed(6.0, "a", 3, BROKE, 0.5)]
    assert (s.state("a"), s.done, s.wake_at) == (State.FAILED, True, None)
    assert s.finish(6.0) == [RunFinished(6.0, "failed", cause=Cause.NODE)]


def test_a_slot_is_free_during_a_back_off() -> None:
    s = scheduler(Node("a", estimated_duration=9.0, retry=STEADY), Node("b"))
    s.begin(0.0)
    assert s.outcome(1.0, Outcome("a", 1, BROKE)) == [
        NodeRetrying(1.0, "a", 1, 1.0, BROKE),
        NodeStarted(1.0, "b", 1, {}, 1.0),
    ]
    assert s.tick(2.0) == []
    assert s.state("a") is State.READY
    assert s.outcome(4.0, success("b")) == [NodeFinished(4.0, "b", 1), NodeStarted(4.0, "a", 2, {}, 2.0)]


def test_another_attempt_is_given_the_same_inputs() -> None:
    s = scheduler(Node("a"), Node("b", ("a",), reads=("a",), retry=STEADY))
    s.begin(0.0)
    s.outcome(1.0, success("a", "a"))
    s.outcome(2.0, Outcome("b", 1, BROKE))
    assert s.tick(3.0) == [NodeStarted(3.0, "b", 2, {"a": ref("a")})]


@pytest.mark.parametrize(
    ("retry", "delays"),
    [
        (Retry(max=5, delay=1.0, backoff=3.0, max_delay=10.0, jitter=0.0), [1.0, 3.0, 9.0, 10.0, 10.0]),
        (Retry(max=3, delay=2.0, backoff=1.0, max_delay=60.0, jitter=0.0), [2.0, 2.0, 2.0]),
        (Retry(max=2, delay=9.0, backoff=2.0, max_delay=5.0, jitter=0.0), [5.0, 5.0]),
        (Retry(max=4, delay=1.0, backoff=1e200, max_delay=7.0, jitter=0.0), [1.0, 7.0, 7.0, 7.0]),
        (Retry(max=4, delay=0.0, backoff=1e200, max_delay=7.0, jitter=0.5), [0.0, 0.0, 0.0, 0.0]),
    ],
)
def test_each_back_off_is_longer_than_the_one_before_up_to_a_limit(retry: Retry, delays: list[float]) -> None:
    s = scheduler(Node("a", retry=retry))
    s.begin(0.0)
    seen_delays = []
    for attempt in range(1, retry.max + 1):
        (event,) = s.outcome(0.0, Outcome("a", attempt, BROKE))
        assert isinstance(event, NodeRetrying)
        seen_delays.append(event.delay)
        s.tick(1000.0)
    assert seen_delays == delays


def test_jitter_shortens_a_back_off_by_a_share_that_differs_between_nodes_attempts_and_seeds() -> None:
    retry = Retry(max=9, delay=8.0, backoff=1.0, jitter=0.25)
    delays = []
    for seed in (0, 1, 0):
        s = Scheduler(make_plan([Node("a", retry=retry), Node("b", retry=retry)], slots=2), seed=seed)
        s.begin(0.0)
        for attempt in (1, 2):
            for name in "ab":
                (event,) = s.outcome(0.0, Outcome(name, attempt, BROKE))
                assert isinstance(event, NodeRetrying)
                delays.append(event.delay)
            s.tick(100.0)
    assert delays[:4] == delays[8:]
    assert len(set(delays[:8])) == 8
    assert all(6.0 <= delay <= 8.0 for delay in delays)


@pytest.mark.parametrize("cause", [Cause.IO, Cause.PERMISSION, Cause.INTERNAL, Cause.CANCELLED])
def test_some_failures_are_never_tried_again(cause: Cause) -> None:
    s = scheduler(Node("a", retry=STEADY))
    s.begin(0.0)
    failure = Failure(cause, "E", "broke")
    assert s.outcome(1.0, Outcome("a", 1, failure)) == [NodeFailed(1.0, "a", 1, failure)]


def test_lost_workers_have_their_own_budget_of_attempts() -> None:
    lost = Failure(Cause.LOST, "WorkerLost", "killed by signal 9")
    s = scheduler(Node("a", retry=Retry(max=1, delay=4.0, backoff=2.0, jitter=0.0)))
    s.begin(0.0)
    for attempt in range(1, LOST_BUDGET + 1):
        outcome = Outcome("a", attempt, lost, duration=0.5)
        assert s.outcome(0.0, outcome) == [NodeRetrying(0.0, "a", attempt, 0.0, lost, 0.5)]
        assert s.wake_at == 0.0
        assert s.tick(0.0) == [NodeStarted(0.0, "a", attempt + 1)]
    attempt = LOST_BUDGET + 1
    assert s.outcome(1.0, Outcome("a", attempt, BROKE)) == [NodeRetrying(1.0, "a", attempt, 4.0, BROKE)]
    s.tick(5.0)
    assert s.outcome(6.0, Outcome("a", attempt + 1, lost)) == [NodeFailed(6.0, "a", attempt + 1, lost)]


def test_a_node_without_retries_is_still_made_again_when_its_worker_is_lost() -> None:
    s = scheduler(Node("a"))
    s.begin(0.0)
    s.outcome(0.0, Outcome("a", 1, Failure(Cause.LOST, "WorkerLost", "gone")))
    assert s.tick(0.0) == [NodeStarted(0.0, "a", 2)]
    assert s.outcome(1.0, Outcome("a", 2, BROKE)) == [NodeFailed(1.0, "a", 2, BROKE)]


def test_with_keep_going_dependents_of_a_failed_node_are_skipped_and_the_rest_runs() -> None:
    nodes = [Node("a"), Node("b", ("a",)), Node("c", ("b", "x")), Node("x"), Node("y", ("x",))]
    s = scheduler(*nodes, slots=2, keep_going=True)
    s.begin(0.0)
    assert s.outcome(1.0, Outcome("a", 1, BROKE)) == [
        NodeFailed(1.0, "a", 1, BROKE),
        NodeSkipped(1.0, "b", "a"),
        NodeSkipped(1.0, "c", "a"),
    ]
    assert s.outcome(2.0, success("x"))[1:] == [NodeStarted(2.0, "y", 1)]
    s.outcome(3.0, success("y"))
    assert s.finish(3.0) == [RunFinished(3.0, "failed", cause=Cause.NODE)]


def test_without_keep_going_a_failure_skips_dependents_and_cancels_nodes_that_have_not_started() -> None:
    nodes = [
        Node("a", estimated_duration=9.0),
        Node("b", ("a",)),
        Node("x", estimated_duration=9.0),
        Node("y", ("x",)),
        Node("z"),
    ]
    s = scheduler(*nodes, slots=2)
    s.begin(0.0)
    reason = "node 'a' failed"
    assert s.outcome(1.0, Outcome("a", 1, BROKE)) == [
        NodeFailed(1.0, "a", 1, BROKE),
        NodeSkipped(1.0, "b", "a"),
        NodeCancelled(1.0, "y", reason),
        NodeCancelled(1.0, "z", reason),
    ]
    assert [s.state(name) for name in "abxyz"] == [
        State.FAILED,
        State.SKIPPED,
        State.RUNNING,
        State.CANCELLED,
        State.CANCELLED,
    ]
    assert s.outcome(2.0, success("x")) == [NodeFinished(2.0, "x", 1)]
    assert s.done


def test_after_a_failure_running_nodes_are_not_retried_and_nodes_in_back_off_are_cancelled() -> None:
    s = scheduler(Node("a"), Node("b", retry=STEADY), Node("c", retry=STEADY), slots=3)
    s.begin(0.0)
    s.outcome(0.5, Outcome("b", 1, BROKE))
    assert s.outcome(1.0, Outcome("a", 1, BROKE))[1:] == [NodeCancelled(1.0, "b", "node 'a' failed")]
    assert s.wake_at is None
    assert s.outcome(2.0, Outcome("c", 1, BROKE)) == [NodeFailed(2.0, "c", 1, BROKE)]


def test_an_output_is_released_when_its_last_reader_is_skipped_or_cancelled() -> None:
    nodes = [Node("a"), Node("b"), Node("c", ("a", "b"), reads=("a", "b"))]
    s = scheduler(*nodes, slots=2, keep_going=True)
    s.begin(0.0)
    s.outcome(1.0, success("a", "a"))
    assert s.outcome(2.0, Outcome("b", 1, BROKE))[1:] == [
        NodeSkipped(2.0, "c", "b"),
        OutputReleased(2.0, "a", ref("a")),
    ]
    s = scheduler(*nodes, slots=2)
    s.begin(0.0)
    s.outcome(1.0, success("a", "a"))
    assert s.cancel(2.0, "why")[:2] == [NodeCancelled(2.0, "c", "why"), OutputReleased(2.0, "a", ref("a"))]
    assert s.outcome(3.0, success("b", "b"))[1:] == [OutputReleased(3.0, "b", ref("b"))]


# -- outputs -----------------------------------------------------------------------------------------------------------


def test_an_output_is_released_after_its_last_reader_and_before_anything_else_starts() -> None:
    s = scheduler(
        Node("a"), Node("b", ("a",), reads=("a",), estimated_duration=2.0), Node("c", ("a",), reads=("a",)), Node("d")
    )
    s.begin(0.0)
    s.outcome(1.0, success("a", "a"))
    assert s.outcome(2.0, success("b"))[1:] == [NodeStarted(2.0, "c", 1, {"a": ref("a")}, 1.0)]
    assert s.outcome(3.0, success("c")) == [
        NodeFinished(3.0, "c", 1),
        OutputReleased(3.0, "a", ref("a")),
        NodeStarted(3.0, "d", 1, {}, 3.0),
    ]


def test_a_retained_output_is_never_released() -> None:
    s = scheduler(Node("a"), Node("b", ("a",), reads=("a.left", "a.right")), retained=("a.left", "b"))
    s.begin(0.0)
    s.outcome(1.0, success("a", "a.left", "a.right"))
    assert s.outcome(2.0, success("b", "b"))[1:] == [OutputReleased(2.0, "a.right", ref("a.right"))]


def test_an_output_without_readers_is_released_at_once() -> None:
    s = scheduler(Node("a"), Node("b", ("a",)), slots=1)
    s.begin(0.0)
    assert s.outcome(1.0, success("a", "a"))[1:] == [
        OutputReleased(1.0, "a", ref("a")),
        NodeStarted(1.0, "b", 1),
    ]


def test_an_input_is_not_released_while_its_reader_may_be_retried() -> None:
    s = scheduler(Node("a"), Node("b", ("a",), reads=("a",), retry=Retry(max=1, jitter=0.0)))
    s.begin(0.0)
    s.outcome(1.0, success("a", "a"))
    assert s.outcome(2.0, Outcome("b", 1, BROKE)) == [NodeRetrying(2.0, "b", 1, 1.0, BROKE)]
    s.tick(3.0)
    assert s.outcome(4.0, Outcome("b", 2, BROKE))[1:] == [OutputReleased(4.0, "a", ref("a"))]


# -- time --------------------------------------------------------------------------------------------------------------


def test_an_attempt_is_stopped_at_its_timeout_and_frees_its_slot() -> None:
    s = scheduler(Node("a", estimated_duration=2.0, timeout=1.5), Node("b"), keep_going=True)
    s.begin(1.0)
    assert s.wake_at == 2.5
    assert s.tick(2.4) == []
    assert s.tick(2.5) == [
        AttemptStopped(2.5, "a", 1, "timeout"),
        NodeFailed(2.5, "a", 1, timed_out("1.5"), 1.5),
        NodeStarted(2.5, "b", 1, {}, 1.5),
    ]
    assert s.running == 1


def test_a_timeout_counts_from_the_start_of_the_attempt() -> None:
    s = scheduler(Node("a", estimated_duration=9.0), Node("b", timeout=2.0))
    s.begin(0.0)
    assert s.wake_at is None
    s.outcome(5.0, success("a"))
    assert s.wake_at == 7.0


def test_an_attempt_that_timed_out_is_retried() -> None:
    s = scheduler(Node("a", timeout=20.0, retry=Retry(max=1, delay=3.0, jitter=0.0)))
    s.begin(0.0)
    assert s.tick(20.0) == [
        AttemptStopped(20.0, "a", 1, "timeout"),
        NodeRetrying(20.0, "a", 1, 3.0, timed_out("20"), 20.0),
    ]
    assert s.tick(23.0) == [NodeStarted(23.0, "a", 2)]
    assert s.wake_at == 43.0


def test_a_timeout_counts_from_when_the_attempt_has_begun() -> None:
    s = Scheduler(make_plan([Node("a", timeout=2.0), Node("b")], slots=2), begins_later=["a", "b"])
    s.begin(0.0)
    assert s.wake_at is None
    assert s.tick(50.0) == []
    s.begun(50.0, "b", 1)
    s.begun(50.0, "a", 2)  # no such attempt
    assert s.wake_at is None
    s.begun(60.0, "a", 1)
    s.begun(61.0, "a", 1)  # only the first call counts
    assert s.wake_at == 62.0
    assert s.tick(61.9) == []
    assert s.tick(62.0)[0] == AttemptStopped(62.0, "a", 1, "timeout")
    s.begun(63.0, "a", 1)
    assert s.wake_at is None


def test_an_attempt_may_end_before_it_has_begun() -> None:
    s = Scheduler(make_plan([Node("a", timeout=2.0)]), begins_later=["a"])
    s.begin(0.0)
    assert s.outcome(9.0, success("a")) == [NodeFinished(9.0, "a", 1)]
    s.begun(9.0, "a", 1)
    assert (s.wake_at, s.done) == (None, True)


def test_the_timeout_of_a_failed_attempt_does_not_end_its_back_off() -> None:
    s = scheduler(Node("a", timeout=2.0, retry=Retry(max=1, delay=10.0, jitter=0.0)))
    s.begin(0.0)
    s.outcome(1.0, Outcome("a", 1, BROKE))
    assert s.wake_at == 11.0
    assert s.tick(2.0) == []
    assert s.state("a") is State.BACKOFF
    assert s.tick(11.0) == [NodeStarted(11.0, "a", 2)]


def test_the_timeout_of_an_attempt_does_not_stop_the_next_attempt() -> None:
    s = scheduler(Node("a", timeout=5.0, retry=Retry(max=1, delay=1.0, jitter=0.0)))
    s.begin(0.0)
    s.outcome(1.0, Outcome("a", 1, BROKE))
    assert s.tick(2.0) == [NodeStarted(2.0, "a", 2)]
    assert s.wake_at == 7.0
    assert s.tick(5.0) == []


def test_a_stale_timeout_in_the_queue_does_not_stop_the_next_attempt() -> None:
    retry = Retry(max=1, delay=1.0, jitter=0.0)
    s = scheduler(Node("a", timeout=5.0, retry=retry), Node("b", timeout=4.0), slots=2)
    s.begin(0.0)
    s.outcome(1.0, Outcome("a", 1, BROKE))
    assert s.tick(2.0) == [NodeStarted(2.0, "a", 2)]
    s.outcome(3.0, success("b"))
    assert s.wake_at == 7.0


def test_one_tick_handles_all_due_timers_in_order_of_time() -> None:
    retry = Retry(max=1, delay=1.0, jitter=0.0)
    nodes = [Node("a", timeout=4.0), Node("b", timeout=3.0), Node("c", retry=retry), Node("d", timeout=9.0)]
    s = scheduler(*nodes, slots=4, keep_going=True)
    s.begin(0.0)
    s.outcome(2.0, Outcome("c", 1, BROKE))
    assert s.tick(5.0) == [
        AttemptStopped(5.0, "b", 1, "timeout"),
        NodeFailed(5.0, "b", 1, timed_out("3"), 3.0),
        AttemptStopped(5.0, "a", 1, "timeout"),
        NodeFailed(5.0, "a", 1, timed_out("4"), 4.0),
        NodeStarted(5.0, "c", 2),
    ]
    assert s.wake_at == 9.0


def test_a_late_outcome_is_accepted_once_and_changes_nothing() -> None:
    s = scheduler(Node("a", timeout=1.0, retry=Retry(max=1, delay=1.0, jitter=0.0)))
    s.begin(0.0)
    s.tick(1.0)
    s.tick(2.0)
    assert s.outcome(2.5, success("a", "a")) == []
    assert (s.state("a"), s.running, s.wake_at) == (State.RUNNING, 1, 3.0)
    with pytest.raises(ValueError, match=r"^attempt 1 of node 'a' is not under way$"):
        s.outcome(2.5, success("a", "a"))
    assert s.outcome(2.75, success("a", "a", attempt=2))[0] == NodeFinished(2.75, "a", 2, {"a": ref("a")})


# -- cancelling --------------------------------------------------------------------------------------------------------


def test_a_cancel_stops_running_attempts_and_starts_nothing_more() -> None:
    s = scheduler(Node("a"), Node("b", ("a",)), Node("c", estimated_duration=0.5), slots=1)
    s.begin(0.0)
    assert s.cancel(1.0, "interrupted") == [
        NodeCancelled(1.0, "b", "interrupted"),
        NodeCancelled(1.0, "c", "interrupted"),
        AttemptStopped(1.0, "a", 1, "interrupted"),
    ]
    assert (s.done, s.running) == (False, 1)
    assert s.cancel(1.5, "again") == []
    stopped = Outcome("a", 1, Failure(Cause.CANCELLED, "Stop", "was told to stop"))
    assert s.outcome(2.0, stopped) == [NodeCancelled(2.0, "a", "interrupted")]
    assert s.done
    assert s.finish(2.0) == [RunFinished(2.0, "cancelled")]


def test_an_attempt_that_ends_after_a_cancel_is_finished_or_failed() -> None:
    s = scheduler(Node("a"), Node("b", retry=STEADY), slots=2)
    s.begin(0.0)
    s.cancel(1.0, "interrupted")
    assert s.outcome(2.0, success("a", "a")) == [
        NodeFinished(2.0, "a", 1, {"a": ref("a")}),
        OutputReleased(2.0, "a", ref("a")),
    ]
    assert s.outcome(2.0, Outcome("b", 1, BROKE)) == [NodeFailed(2.0, "b", 1, BROKE)]
    assert s.finish(2.0) == [RunFinished(2.0, "failed", cause=Cause.NODE)]


def test_a_node_stopped_by_a_cancel_has_its_reason_even_after_a_failure() -> None:
    s = scheduler(Node("a"), Node("b"), slots=2)
    s.begin(0.0)
    s.outcome(1.0, Outcome("a", 1, BROKE))
    assert s.cancel(2.0, "interrupted") == [AttemptStopped(2.0, "b", 1, "interrupted")]
    stopped = Outcome("b", 1, Failure(Cause.CANCELLED, "Stop", "was told to stop"))
    assert s.outcome(3.0, stopped) == [NodeCancelled(3.0, "b", "interrupted")]
    assert s.finish(3.0) == [RunFinished(3.0, "failed", cause=Cause.NODE)]


def test_detach_cancels_nodes_that_do_not_stop_and_accepts_their_late_outcomes() -> None:
    s = scheduler(Node("a"), Node("b"), Node("c"), slots=2)
    s.begin(0.0)
    s.cancel(1.0, "interrupted")
    assert s.detach(6.0) == [NodeCancelled(6.0, "a", "interrupted"), NodeCancelled(6.0, "b", "interrupted")]
    assert (s.done, s.running) == (True, 0)
    assert s.detach(7.0) == []
    assert s.outcome(8.0, success("a", "a")) == []
    assert s.finish(8.0) == [RunFinished(8.0, "cancelled")]


def test_detach_cancels_the_run_first() -> None:
    s = scheduler(Node("a"), Node("b", ("a",)))
    s.begin(0.0)
    assert s.detach(1.0) == [
        NodeCancelled(1.0, "b", "cancelled"),
        AttemptStopped(1.0, "a", 1, "cancelled"),
        NodeCancelled(1.0, "a", "cancelled"),
    ]
    assert s.finish(1.0) == [RunFinished(1.0, "cancelled")]


# -- outcomes that make no sense ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome("nobody", 1),
        Outcome("a", 0),
        Outcome("a", 1),
        Outcome("a", 2),
        Outcome("b", 2),
        Outcome("b", 0),
        Outcome("c", 0),
        Outcome("c", 1),
        Outcome("d", 1),
        Outcome("d", 2),
    ],
)
def test_an_outcome_of_an_attempt_that_is_not_under_way_is_an_error(outcome: Outcome) -> None:
    # a has finished, b runs, c waits, d is in back-off
    s = scheduler(
        Node("a", estimated_duration=9.0),
        Node("d", estimated_duration=8.0, retry=STEADY),
        Node("b", estimated_duration=7.0),
        Node("c", ("b",)),
    )
    s.begin(0.0)
    s.outcome(1.0, success("a"))
    s.outcome(2.0, Outcome("d", 1, BROKE))
    with pytest.raises(ValueError, match=rf"^attempt {outcome.attempt} of node '{outcome.node}' is not under way$"):
        s.outcome(2.5, outcome)
    assert [s.state(name) for name in "abcd"] == [State.FINISHED, State.RUNNING, State.WAITING, State.BACKOFF]
    assert (s.running, s.wake_at) == (1, 3.0)
    assert s.outcome(2.75, success("b")) == [NodeFinished(2.75, "b", 1), NodeStarted(2.75, "c", 1)]


def test_an_outcome_before_begin_is_an_error() -> None:
    s = scheduler(Node("a"))
    with pytest.raises(ValueError, match="not under way"):
        s.outcome(0.0, Outcome("a", 0))
    assert s.begin(0.0) == [RunStarted(0.0, 1, 1), NodeStarted(0.0, "a", 1)]
