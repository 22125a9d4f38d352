"""What the scheduler answers to each call, event by event. Laws over whole runs are in `laws/`."""

from __future__ import annotations

import pytest

from nfrun.core.events import (
    AttemptStopped,
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
from nfrun.core.scheduler import LOST_BUDGET, Scheduler, State

BROKE = Failure("error", "ValueError", "broke")
STEADY = Retry(max=2, delay=1.0, backoff=2.0, jitter=0.0)


def scheduler(*nodes: Node, slots: int = 1, keep: tuple[str, ...] = (), keep_going: bool = False) -> Scheduler:
    return Scheduler(make_plan(nodes, keep, slots), keep_going=keep_going)


def ref(output: str) -> OutputRef:
    return OutputRef(output, 1, 8, "x: int64")


def well(node: str, *outputs: str, attempt: int = 1) -> Outcome:
    return Outcome(node, attempt, outputs={output: ref(output) for output in outputs})


def timed_out(seconds: str) -> Failure:
    return Failure("timeout", "Timeout", f"took longer than its timeout of {seconds} s")


# -- begin and finish --------------------------------------------------------------------------------------------------


def test_begin_starts_what_needs_nothing_and_fits() -> None:
    s = scheduler(Node("a"), Node("b"), Node("c"), Node("d", ("a",)), slots=2)
    assert s.begin(0.5) == [RunStarted(0.5, 4, 2), NodeStarted(0.5, "a", 1), NodeStarted(0.5, "b", 1)]
    assert [s.state(name) for name in "abcd"] == [State.RUNNING, State.RUNNING, State.READY, State.WAITING]
    assert (s.running, s.done, s.wake_at) == (2, False, None)


def test_a_run_of_nothing_is_done_when_it_begins() -> None:
    s = scheduler()
    assert s.begin(0.0) == [RunStarted(0.0, 0, 1)]
    assert s.done
    assert s.finish(1.0) == [RunFinished(1.0, "ok")]


def test_finish_waits_for_every_node() -> None:
    s = scheduler(Node("a"))
    s.begin(0.0)
    with pytest.raises(ValueError, match=r"^nodes are still under way$"):
        s.finish(1.0)
    s.outcome(1.0, well("a"))
    assert s.finish(1.0) == [RunFinished(1.0, "ok")]


def test_what_broke_outside_of_any_node_makes_the_run_fail() -> None:
    s = scheduler()
    s.begin(0.0)
    s.cancel(0.0, "disk full")
    assert s.finish(1.0, "disk full") == [RunFinished(1.0, "failed", "disk full")]


# -- one node after the other ------------------------------------------------------------------------------------------


def test_a_node_starts_when_all_it_needs_has_finished_with_what_it_reads() -> None:
    s = scheduler(Node("a"), Node("b"), Node("c", ("a", "b"), reads=("b.right", "a")), slots=2)
    s.begin(0.0)
    assert s.outcome(1.0, well("a", "a")) == [NodeFinished(1.0, "a", 1, {"a": ref("a")})]
    refs = {output: ref(output) for output in ("b.left", "b.right")}
    assert s.outcome(2.0, well("b", "b.left", "b.right")) == [
        NodeFinished(2.0, "b", 1, refs),
        OutputReleased(2.0, "b.left", ref("b.left")),
        NodeStarted(2.0, "c", 1, {"b.right": ref("b.right"), "a": ref("a")}),
    ]


def test_what_is_said_of_an_attempt_is_told() -> None:
    s = scheduler(Node("a"))
    s.begin(0.0)
    outcome = Outcome("a", 1, outputs={}, duration=0.5, publish_wait=0.25, input_waits={"x": 0.125})
    assert s.outcome(1.0, outcome) == [NodeFinished(1.0, "a", 1, {}, 0.5, 0.25, {"x": 0.125})]


def test_the_time_in_the_queue_is_told() -> None:
    s = scheduler(Node("a"), Node("b"))
    s.begin(1.0)
    assert s.outcome(3.5, well("a"))[1:] == [NodeStarted(3.5, "b", 1, {}, 2.5)]


def test_the_longest_remaining_path_starts_first_and_among_equals_the_first_in_the_file() -> None:
    s = scheduler(Node("short"), Node("equal"), Node("long"), Node("end", ("long",), estimated_duration=5.0))
    begun = s.begin(0.0)
    order = [begun[1]]
    for name in ("long", "end", "short"):
        order += [event for event in s.outcome(1.0, well(name)) if isinstance(event, NodeStarted)]
    assert [event.node for event in order if isinstance(event, NodeStarted)] == ["long", "end", "short", "equal"]


def test_a_node_that_merely_comes_after_another_starts_whatever_came_of_it() -> None:
    s = scheduler(Node("a"), Node("b", order_only=("a",)), keep_going=True)
    s.begin(0.0)
    assert s.outcome(1.0, Outcome("a", 1, BROKE)) == [NodeFailed(1.0, "a", 1, BROKE), NodeStarted(1.0, "b", 1)]


def test_a_gate_opens_when_its_stage_has_ended_and_is_never_seen() -> None:
    s = Scheduler(with_barriers(make_plan([Node("a"), Node("b"), Node("c", ("a",))], slots=2)))
    assert s.begin(0.0) == [RunStarted(0.0, 3, 2), NodeStarted(0.0, "a", 1), NodeStarted(0.0, "b", 1)]
    assert s.outcome(1.0, well("a")) == [NodeFinished(1.0, "a", 1)]
    assert s.outcome(2.0, well("b")) == [NodeFinished(2.0, "b", 1), NodeStarted(2.0, "c", 1)]
    assert s.outcome(3.0, well("c")) == [NodeFinished(3.0, "c", 1)]
    assert s.done


def test_a_stage_that_is_skipped_does_not_open_the_next_before_the_stage_before_it_has_ended() -> None:
    nodes = [Node("a"), Node("slow"), Node("b", ("a",)), Node("c", order_only=("b",))]
    s = Scheduler(with_barriers(make_plan(nodes, slots=2)), keep_going=True)
    s.begin(0.0)
    assert s.outcome(1.0, Outcome("a", 1, BROKE)) == [NodeFailed(1.0, "a", 1, BROKE), NodeSkipped(1.0, "b", "a")]
    assert s.outcome(2.0, well("slow")) == [NodeFinished(2.0, "slow", 1), NodeStarted(2.0, "c", 1)]


def test_gates_are_not_told_of_when_a_run_stops() -> None:
    s = Scheduler(with_barriers(make_plan([Node("a"), Node("b", ("a",))])))
    s.begin(0.0)
    assert s.cancel(1.0, "why") == [NodeCancelled(1.0, "b", "why"), AttemptStopped(1.0, "a", 1, "why")]
    s.outcome(2.0, well("a"))
    assert s.done


# -- slots -------------------------------------------------------------------------------------------------------------


def cpu(name: str, slots: float, cost: float = 1.0) -> Node:
    return Node(name, estimated_duration=cost, resources=(("cpu", slots),))


def test_a_node_takes_as_many_slots_as_it_says() -> None:
    s = scheduler(cpu("a", 2.0, 9.0), cpu("b", 1.0, 8.0), cpu("c", 1.0, 7.0), slots=3)
    assert s.begin(0.0)[1:] == [NodeStarted(0.0, "a", 1), NodeStarted(0.0, "b", 1)]
    assert s.outcome(1.0, well("b"))[1:] == [NodeStarted(1.0, "c", 1, {}, 1.0)]


def test_a_node_that_does_not_fit_is_overtaken_by_a_smaller_one() -> None:
    s = scheduler(cpu("a", 1.0, 9.0), cpu("wide", 2.0, 8.0), cpu("narrow", 1.0, 7.0), slots=2)
    assert s.begin(0.0)[1:] == [NodeStarted(0.0, "a", 1), NodeStarted(0.0, "narrow", 1)]
    assert s.outcome(1.0, well("a")) == [NodeFinished(1.0, "a", 1)]
    assert s.outcome(2.0, well("narrow"))[1:] == [NodeStarted(2.0, "wide", 1, {}, 2.0)]


def test_a_node_that_asks_for_more_slots_than_there_are_gets_all_there_are() -> None:
    s = scheduler(cpu("a", 99.0, 9.0), cpu("b", 1.0), slots=2)
    assert s.begin(0.0)[1:] == [NodeStarted(0.0, "a", 1)]
    assert s.outcome(1.0, well("a"))[1:] == [NodeStarted(1.0, "b", 1, {}, 1.0)]


def test_parts_of_a_slot_add_up_to_a_slot_over_and_over() -> None:
    s = scheduler(*(cpu(f"n{i}", 0.1) for i in range(1_000)))
    running = [event.node for event in s.begin(0.0) if isinstance(event, NodeStarted)]
    while running:
        assert len(running) == s.running <= 10
        running += [event.node for event in s.outcome(1.0, well(running.pop(0))) if isinstance(event, NodeStarted)]
        assert s.running == 10 or len(running) < 10
    assert s.done


def test_parts_of_a_slot_that_make_up_a_slot_fit_into_it() -> None:
    # 1 - 0.3 - 0.3 - 0.3 is a little less than 0.1.
    s = scheduler(*(cpu(name, 0.3, 9.0) for name in "abc"), cpu("d", 0.1))
    s.begin(0.0)
    assert s.running == 4


def test_of_nodes_that_ask_for_different_amounts_the_longest_remaining_path_starts_first() -> None:
    s = scheduler(cpu("low", 2.0, 1.0), cpu("high", 1.0, 9.0), cpu("middle", 0.5, 5.0), slots=3)
    assert s.begin(0.0)[1:] == [NodeStarted(0.0, "high", 1), NodeStarted(0.0, "middle", 1)]
    assert s.state("low") is State.READY


def test_a_node_that_asks_for_no_slot_never_waits_for_one() -> None:
    s = scheduler(cpu("a", 1.0), Node("free", resources=()), cpu("b", 1.0))
    assert [event.node for event in s.begin(0.0) if isinstance(event, NodeStarted)] == ["a", "free"]


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
    assert s.finish(6.0) == [RunFinished(6.0, "failed")]


def test_a_slot_is_free_during_a_back_off() -> None:
    s = scheduler(Node("a", estimated_duration=9.0, retry=STEADY), Node("b"))
    s.begin(0.0)
    assert s.outcome(1.0, Outcome("a", 1, BROKE)) == [
        NodeRetrying(1.0, "a", 1, 1.0, BROKE),
        NodeStarted(1.0, "b", 1, {}, 1.0),
    ]
    assert s.tick(2.0) == []
    assert s.state("a") is State.READY
    assert s.outcome(4.0, well("b")) == [NodeFinished(4.0, "b", 1), NodeStarted(4.0, "a", 2, {}, 2.0)]


def test_another_attempt_is_given_the_same_inputs() -> None:
    s = scheduler(Node("a"), Node("b", ("a",), reads=("a",), retry=STEADY))
    s.begin(0.0)
    s.outcome(1.0, well("a", "a"))
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
    told = []
    for attempt in range(1, retry.max + 1):
        (event,) = s.outcome(0.0, Outcome("a", attempt, BROKE))
        assert isinstance(event, NodeRetrying)
        told.append(event.delay)
        s.tick(1000.0)
    assert told == delays


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


@pytest.mark.parametrize("kind", ["io", "cancelled"])
def test_some_failures_are_never_tried_again(kind: str) -> None:
    s = scheduler(Node("a", retry=STEADY))
    s.begin(0.0)
    failure = Failure(kind, "E", "broke")
    assert s.outcome(1.0, Outcome("a", 1, failure)) == [NodeFailed(1.0, "a", 1, failure)]


def test_a_lost_worker_has_a_budget_of_its_own() -> None:
    lost = Failure("lost", "WorkerLost", "killed by signal 9")
    s = scheduler(Node("a", retry=Retry(max=1, delay=4.0, backoff=2.0, jitter=0.0)))
    s.begin(0.0)
    for attempt in range(1, LOST_BUDGET + 1):
        outcome = Outcome("a", attempt, lost="killed by signal 9", duration=0.5)
        assert s.outcome(0.0, outcome) == [NodeRetrying(0.0, "a", attempt, 0.0, lost, 0.5)]
        assert s.wake_at == 0.0
        assert s.tick(0.0) == [NodeStarted(0.0, "a", attempt + 1)]
    attempt = LOST_BUDGET + 1
    assert s.outcome(1.0, Outcome("a", attempt, BROKE)) == [NodeRetrying(1.0, "a", attempt, 4.0, BROKE)]
    s.tick(5.0)
    assert s.outcome(6.0, Outcome("a", attempt + 1, lost="killed by signal 9")) == [
        NodeFailed(6.0, "a", attempt + 1, lost)
    ]


def test_a_node_without_retries_is_still_made_again_when_its_worker_is_lost() -> None:
    s = scheduler(Node("a"))
    s.begin(0.0)
    s.outcome(0.0, Outcome("a", 1, lost="gone"))
    assert s.tick(0.0) == [NodeStarted(0.0, "a", 2)]
    assert s.outcome(1.0, Outcome("a", 2, BROKE)) == [NodeFailed(1.0, "a", 2, BROKE)]


def test_with_keep_going_what_depends_on_a_failed_node_is_skipped_and_the_rest_runs() -> None:
    nodes = [Node("a"), Node("b", ("a",)), Node("c", ("b", "x")), Node("x"), Node("y", ("x",))]
    s = scheduler(*nodes, slots=2, keep_going=True)
    s.begin(0.0)
    assert s.outcome(1.0, Outcome("a", 1, BROKE)) == [
        NodeFailed(1.0, "a", 1, BROKE),
        NodeSkipped(1.0, "b", "a"),
        NodeSkipped(1.0, "c", "a"),
    ]
    assert s.outcome(2.0, well("x"))[1:] == [NodeStarted(2.0, "y", 1)]
    s.outcome(3.0, well("y"))
    assert s.finish(3.0) == [RunFinished(3.0, "failed")]


def test_without_keep_going_a_failure_skips_what_depends_on_it_and_cancels_what_has_not_started() -> None:
    nodes = [
        Node("a", estimated_duration=9.0),
        Node("b", ("a",)),
        Node("x", estimated_duration=9.0),
        Node("y", ("x",)),
        Node("z"),
    ]
    s = scheduler(*nodes, slots=2)
    s.begin(0.0)
    why = "node 'a' failed"
    assert s.outcome(1.0, Outcome("a", 1, BROKE)) == [
        NodeFailed(1.0, "a", 1, BROKE),
        NodeSkipped(1.0, "b", "a"),
        NodeCancelled(1.0, "y", why),
        NodeCancelled(1.0, "z", why),
    ]
    assert [s.state(name) for name in "abxyz"] == [
        State.FAILED,
        State.SKIPPED,
        State.RUNNING,
        State.CANCELLED,
        State.CANCELLED,
    ]
    assert s.outcome(2.0, well("x")) == [NodeFinished(2.0, "x", 1)]
    assert s.done


def test_after_a_failure_what_still_runs_is_not_tried_again_and_what_backs_off_is_cancelled() -> None:
    s = scheduler(Node("a"), Node("b", retry=STEADY), Node("c", retry=STEADY), slots=3)
    s.begin(0.0)
    s.outcome(0.5, Outcome("b", 1, BROKE))
    assert s.outcome(1.0, Outcome("a", 1, BROKE))[1:] == [NodeCancelled(1.0, "b", "node 'a' failed")]
    assert s.wake_at is None
    assert s.outcome(2.0, Outcome("c", 1, BROKE)) == [NodeFailed(2.0, "c", 1, BROKE)]


def test_a_skipped_or_cancelled_reader_no_longer_holds_an_output() -> None:
    nodes = [Node("a"), Node("b"), Node("c", ("a", "b"), reads=("a", "b"))]
    s = scheduler(*nodes, slots=2, keep_going=True)
    s.begin(0.0)
    s.outcome(1.0, well("a", "a"))
    assert s.outcome(2.0, Outcome("b", 1, BROKE))[1:] == [
        NodeSkipped(2.0, "c", "b"),
        OutputReleased(2.0, "a", ref("a")),
    ]
    s = scheduler(*nodes, slots=2)
    s.begin(0.0)
    s.outcome(1.0, well("a", "a"))
    assert s.cancel(2.0, "why")[:2] == [NodeCancelled(2.0, "c", "why"), OutputReleased(2.0, "a", ref("a"))]
    assert s.outcome(3.0, well("b", "b"))[1:] == [OutputReleased(3.0, "b", ref("b"))]


# -- outputs -----------------------------------------------------------------------------------------------------------


def test_an_output_is_released_after_its_last_reader_and_before_anything_else_starts() -> None:
    s = scheduler(
        Node("a"), Node("b", ("a",), reads=("a",), estimated_duration=2.0), Node("c", ("a",), reads=("a",)), Node("d")
    )
    s.begin(0.0)
    s.outcome(1.0, well("a", "a"))
    assert s.outcome(2.0, well("b"))[1:] == [NodeStarted(2.0, "c", 1, {"a": ref("a")}, 1.0)]
    assert s.outcome(3.0, well("c")) == [
        NodeFinished(3.0, "c", 1),
        OutputReleased(3.0, "a", ref("a")),
        NodeStarted(3.0, "d", 1, {}, 3.0),
    ]


def test_a_kept_output_is_never_released() -> None:
    s = scheduler(Node("a"), Node("b", ("a",), reads=("a.left", "a.right")), keep=("a.left", "b"))
    s.begin(0.0)
    s.outcome(1.0, well("a", "a.left", "a.right"))
    assert s.outcome(2.0, well("b", "b"))[1:] == [OutputReleased(2.0, "a.right", ref("a.right"))]


def test_an_output_that_nobody_reads_is_released_at_once() -> None:
    s = scheduler(Node("a"), Node("b", ("a",)), slots=1)
    s.begin(0.0)
    assert s.outcome(1.0, well("a", "a"))[1:] == [
        OutputReleased(1.0, "a", ref("a")),
        NodeStarted(1.0, "b", 1),
    ]


def test_a_failed_reader_that_may_try_again_still_holds_its_input() -> None:
    s = scheduler(Node("a"), Node("b", ("a",), reads=("a",), retry=Retry(max=1, jitter=0.0)))
    s.begin(0.0)
    s.outcome(1.0, well("a", "a"))
    assert s.outcome(2.0, Outcome("b", 1, BROKE)) == [NodeRetrying(2.0, "b", 1, 1.0, BROKE)]
    s.tick(3.0)
    assert s.outcome(4.0, Outcome("b", 2, BROKE))[1:] == [OutputReleased(4.0, "a", ref("a"))]


# -- time --------------------------------------------------------------------------------------------------------------


def test_an_attempt_is_stopped_when_its_time_is_over_and_its_slot_is_given_on() -> None:
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


def test_the_time_that_an_attempt_has_counts_from_its_start() -> None:
    s = scheduler(Node("a", estimated_duration=9.0), Node("b", timeout=2.0))
    s.begin(0.0)
    assert s.wake_at is None
    s.outcome(5.0, well("a"))
    assert s.wake_at == 7.0


def test_an_attempt_that_took_too_long_is_tried_again() -> None:
    s = scheduler(Node("a", timeout=20.0, retry=Retry(max=1, delay=3.0, jitter=0.0)))
    s.begin(0.0)
    assert s.tick(20.0) == [
        AttemptStopped(20.0, "a", 1, "timeout"),
        NodeRetrying(20.0, "a", 1, 3.0, timed_out("20"), 20.0),
    ]
    assert s.tick(23.0) == [NodeStarted(23.0, "a", 2)]
    assert s.wake_at == 43.0


def test_the_timer_of_an_attempt_that_failed_does_not_end_its_back_off() -> None:
    s = scheduler(Node("a", timeout=2.0, retry=Retry(max=1, delay=10.0, jitter=0.0)))
    s.begin(0.0)
    s.outcome(1.0, Outcome("a", 1, BROKE))
    assert s.wake_at == 11.0
    assert s.tick(2.0) == []
    assert s.state("a") is State.BACKOFF
    assert s.tick(11.0) == [NodeStarted(11.0, "a", 2)]


def test_the_timer_of_an_attempt_does_not_stop_the_next_one() -> None:
    s = scheduler(Node("a", timeout=5.0, retry=Retry(max=1, delay=1.0, jitter=0.0)))
    s.begin(0.0)
    s.outcome(1.0, Outcome("a", 1, BROKE))
    assert s.tick(2.0) == [NodeStarted(2.0, "a", 2)]
    assert s.wake_at == 7.0
    assert s.tick(5.0) == []


def test_the_timer_of_an_attempt_does_not_stop_the_next_one_that_began_before_the_timer_came_to_the_top() -> None:
    retry = Retry(max=1, delay=1.0, jitter=0.0)
    s = scheduler(Node("a", timeout=5.0, retry=retry), Node("b", timeout=4.0), slots=2)
    s.begin(0.0)
    s.outcome(1.0, Outcome("a", 1, BROKE))
    assert s.tick(2.0) == [NodeStarted(2.0, "a", 2)]
    s.outcome(3.0, well("b"))
    assert s.wake_at == 7.0


def test_one_tick_does_all_whose_time_has_come_in_the_order_of_time() -> None:
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


def test_a_late_report_counts_once_and_changes_nothing() -> None:
    s = scheduler(Node("a", timeout=1.0, retry=Retry(max=1, delay=1.0, jitter=0.0)))
    s.begin(0.0)
    s.tick(1.0)
    s.tick(2.0)
    assert s.outcome(2.5, well("a", "a")) == []
    assert (s.state("a"), s.running, s.wake_at) == (State.RUNNING, 1, 3.0)
    with pytest.raises(ValueError, match=r"^attempt 1 of node 'a' is not under way$"):
        s.outcome(2.5, well("a", "a"))
    assert s.outcome(2.75, well("a", "a", attempt=2))[0] == NodeFinished(2.75, "a", 2, {"a": ref("a")})


# -- cancelling --------------------------------------------------------------------------------------------------------


def test_a_cancel_stops_what_runs_and_starts_nothing_more() -> None:
    s = scheduler(Node("a"), Node("b", ("a",)), Node("c", estimated_duration=0.5), slots=1)
    s.begin(0.0)
    assert s.cancel(1.0, "interrupted") == [
        NodeCancelled(1.0, "b", "interrupted"),
        NodeCancelled(1.0, "c", "interrupted"),
        AttemptStopped(1.0, "a", 1, "interrupted"),
    ]
    assert (s.done, s.running) == (False, 1)
    assert s.cancel(1.5, "again") == []
    stopped = Outcome("a", 1, Failure("cancelled", "Stop", "was told to stop"))
    assert s.outcome(2.0, stopped) == [NodeCancelled(2.0, "a", "interrupted")]
    assert s.done
    assert s.finish(2.0) == [RunFinished(2.0, "cancelled")]


def test_an_attempt_that_ends_well_or_badly_in_spite_of_a_cancel_has_ended_so() -> None:
    s = scheduler(Node("a"), Node("b", retry=STEADY), slots=2)
    s.begin(0.0)
    s.cancel(1.0, "interrupted")
    assert s.outcome(2.0, well("a", "a")) == [
        NodeFinished(2.0, "a", 1, {"a": ref("a")}),
        OutputReleased(2.0, "a", ref("a")),
    ]
    assert s.outcome(2.0, Outcome("b", 1, BROKE)) == [NodeFailed(2.0, "b", 1, BROKE)]
    assert s.finish(2.0) == [RunFinished(2.0, "failed")]


def test_a_node_that_a_cancel_stops_says_so_even_if_another_had_failed_before() -> None:
    s = scheduler(Node("a"), Node("b"), slots=2)
    s.begin(0.0)
    s.outcome(1.0, Outcome("a", 1, BROKE))
    assert s.cancel(2.0, "interrupted") == [AttemptStopped(2.0, "b", 1, "interrupted")]
    stopped = Outcome("b", 1, Failure("cancelled", "Stop", "was told to stop"))
    assert s.outcome(3.0, stopped) == [NodeCancelled(3.0, "b", "interrupted")]
    assert s.finish(3.0) == [RunFinished(3.0, "failed")]


def test_what_does_not_stop_is_abandoned_and_may_report_later() -> None:
    s = scheduler(Node("a"), Node("b"), Node("c"), slots=2)
    s.begin(0.0)
    s.cancel(1.0, "interrupted")
    assert s.detach(6.0) == [NodeCancelled(6.0, "a", "interrupted"), NodeCancelled(6.0, "b", "interrupted")]
    assert (s.done, s.running) == (True, 0)
    assert s.detach(7.0) == []
    assert s.outcome(8.0, well("a", "a")) == []
    assert s.finish(8.0) == [RunFinished(8.0, "cancelled")]


def test_abandoning_a_run_cancels_it_first() -> None:
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
    # a has finished, b runs, c waits, d backs off
    s = scheduler(
        Node("a", estimated_duration=9.0),
        Node("d", estimated_duration=8.0, retry=STEADY),
        Node("b", estimated_duration=7.0),
        Node("c", ("b",)),
    )
    s.begin(0.0)
    s.outcome(1.0, well("a"))
    s.outcome(2.0, Outcome("d", 1, BROKE))
    with pytest.raises(ValueError, match=rf"^attempt {outcome.attempt} of node '{outcome.node}' is not under way$"):
        s.outcome(2.5, outcome)
    assert [s.state(name) for name in "abcd"] == [State.FINISHED, State.RUNNING, State.WAITING, State.BACKOFF]
    assert (s.running, s.wake_at) == (1, 3.0)
    assert s.outcome(2.75, well("b")) == [NodeFinished(2.75, "b", 1), NodeStarted(2.75, "c", 1)]


def test_before_the_run_has_begun_no_outcome_makes_sense() -> None:
    s = scheduler(Node("a"))
    with pytest.raises(ValueError, match="not under way"):
        s.outcome(0.0, Outcome("a", 0))
    assert s.begin(0.0) == [RunStarted(0.0, 1, 1), NodeStarted(0.0, "a", 1)]
