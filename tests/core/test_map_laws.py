"""Laws of mapped nodes: they hold in runs over random maps in random plans, with failures, timeouts and cancels.

A trial drives the scheduler in virtual time, as `test_laws.py` does, and checks each event against a simple count.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from nfrun.core.budgets import Budget
from nfrun.core.calls import Calls
from nfrun.core.errors import Cause
from nfrun.core.events import (
    AttemptStopped,
    CallEnded,
    CallOutcome,
    CallsEnded,
    CallStarted,
    Event,
    Failure,
    MapOpened,
    NodeCancelled,
    NodeFailed,
    NodeFinished,
    NodeProgressed,
    NodeSkipped,
    NodeStarted,
    NodeWaiting,
    Outcome,
    OutputRef,
)
from nfrun.core.map_scheduler import MapScheduler, scheduler_of
from nfrun.core.map_spec import MapSpec, OpenedMap, PiecePath
from nfrun.core.pipeline import OutputId, Retry
from nfrun.core.plan import Node, Plan, make_plan
from nfrun.core.scheduler import Scheduler
from nfrun.core.values import replace

SEEDS = range(150)
ENDS = (NodeFinished, NodeFailed, NodeCancelled, NodeSkipped)


class Rows:
    """Pieces of `count` rows, with `batch` rows in each."""

    def __init__(self, rows: int, batch: int, *, halves: bool = True) -> None:
        self.rows, self.batch, self.halves = rows, batch, halves
        self.count = max(1, -(-rows // batch))

    def span(self, piece: PiecePath) -> range:
        start = piece[0] * self.batch
        found = range(start, min(start + self.batch, self.rows))
        for half in piece[1:]:
            middle = (len(found) + 1) // 2
            found = found[middle:] if half else found[:middle]
        return found

    def rows_of(self, piece: PiecePath) -> int:
        return len(self.span(piece))

    def can_halve(self, piece: PiecePath) -> bool:
        return self.halves and self.rows_of(piece) > 1


class Trial:
    """A run over a random plan, some nodes of which are mapped. `log` has all events, and `calls` all rows computed."""

    def __init__(self, seed: int) -> None:
        draw = self.draw = random.Random(seed)
        self.maps: dict[str, Rows] = {}
        self.bad: dict[str, set[int]] = {}
        self.seconds: dict[str, float] = {}
        self.heavy: set[str] = set()  # nodes whose class cannot always be made
        nodes: list[Node] = []
        for i in range(draw.choice((1, 2, 5, 12))):
            name = f"n{i}"
            needs = draw.sample([node.name for node in nodes], min(len(nodes), draw.randint(0, 2)))
            spec = None
            if draw.random() < 0.6:
                rows, batch = draw.choice((0, 1, 7, 30, 100, 300)), draw.choice((1, 1, 3, 16, 64))
                self.maps[name] = Rows(rows, batch, halves=draw.random() < 0.8)
                self.heavy |= {name} if draw.random() < 0.2 else set()
                self.seconds[name] = draw.choice((0.0, 1e-4, 1e-3, 1.0))  # of a call; 0: sometimes more
                share = draw.choice((0.0, 0.0, 0.02, 0.5))
                self.bad[name] = {row for row in range(rows) if draw.random() < share}
                on_error, most = draw.choice(("fail", "collect")), draw.choice((0.1, 1.0, 0, 5))
                spec = MapSpec("x", batch, on_error=on_error, max_failed=most)
            takes = [("cpu", draw.choice((0.25, 1.0, 2.0)))]
            takes += [("gpu", draw.choice((0.5, 1.0)))] if draw.random() < 0.3 else []
            takes += [("api", 1.0)] if draw.random() < 0.3 else []
            retry = Retry(
                draw.choice((0, 0, 2)), draw.choice((0.0, 0.5)), max_delay=2.0, jitter=draw.choice((0.0, 0.5))
            )
            nodes.append(
                Node(
                    name,
                    tuple(needs),
                    reads=tuple(OutputId(need) for need in needs),
                    retry=retry,
                    timeout=draw.choice((None, None, None, 0.9)),
                    resources=tuple(takes),
                    continue_on_error=draw.random() < 0.2,
                    map=spec,
                )
            )
        budgets = {"gpu": Budget(2.0), "api": Budget(20.0, per=1.0)}
        self.plan: Plan = make_plan(nodes, slots=draw.choice((1, 2, 4)), budgets=budgets)
        later = [node.name for node in nodes if draw.random() < 0.3]
        self.later = frozenset(later)
        self.keep_going = draw.random() < 0.5
        self.cancel_at = draw.choice((None, None, 1.0, 4.0))
        self.scheduler = scheduler_of(self.plan, keep_going=self.keep_going, seed=seed, begins_later=later)
        self.pending: list[tuple[float, int, Any]] = []
        self.log: list[Event] = []
        self.running: dict[tuple[str, int, int], NodeStarted] = {}
        self.detached: set[tuple[str, int, int]] = set()
        self.computed: dict[str, list[int]] = {name: [] for name in self.maps}
        self.called: dict[str, list[PiecePath]] = {name: [] for name in self.maps}
        self.lost: Counter[str] = Counter()  # orders of which nobody knows how many calls they have made
        self.now, self.number = 0.0, 0

    def go(self) -> Trial:
        self.take(self.scheduler.begin(0.0))
        cancelled = False
        for _ in range(100_000):
            if self.scheduler.done and not self.pending:
                break
            times = [item[0] for item in self.pending[:1]]
            wake = self.scheduler.wake_at
            due = min([*times, *([wake] if wake is not None else [])], default=None)
            if self.cancel_at is not None and not cancelled and (due is None or due >= self.cancel_at):
                cancelled, self.now = True, max(self.now, self.cancel_at)
                self.take(self.scheduler.cancel(self.now, "Ctrl-C"))
                continue
            assert due is not None, "nothing is under way, and the run has not ended"
            self.now = max(self.now, due)
            if times and times[0] <= due:
                _, _, item = self.pending.pop(0)
                self.end(item)
            else:
                self.take(self.scheduler.tick(self.now))
        assert self.scheduler.done
        return self

    def end(self, start: NodeStarted) -> None:
        outcome = self.outcome_of(start)
        was_detached = start.key in self.detached
        if was_detached:
            self.detached.remove(start.key)
            if isinstance(start, CallStarted):
                self.called[start.node] += start.pieces
        else:
            del self.running[start.key]
            if isinstance(outcome, CallOutcome):
                assert isinstance(start, CallStarted)
                made = len(start.pieces) if outcome.failure is None and outcome.made is None else outcome.made or 0
                for piece in start.pieces[:made]:
                    self.computed[start.node] += self.maps[start.node].span(piece)
                if outcome.failure is not None and outcome.made is None:
                    self.lost[start.node] += 1
                else:
                    self.called[start.node] += start.pieces[: made + (outcome.failure is not None)]
        events = self.scheduler.outcome(self.now, outcome)
        assert bool(events) != was_detached
        self.take(events)

    def outcome_of(self, start: NodeStarted) -> Outcome:
        draw = self.draw
        if isinstance(start, CallStarted):
            if len(start.pieces) > 1 and draw.random() < 0.05:
                return start.outcome(Failure(Cause.LOST, "WorkerLost", "gone"))
            seconds = self.seconds[start.node] or draw.choice((1e-4, 1e-3, 1.0))
            for made, piece in enumerate(start.pieces):
                if made and draw.random() < 0.02:
                    return CallOutcome(start.node, start.attempt, duration=made * seconds, call=start.call, made=made)
                failure = None
                if bad := self.bad[start.node].intersection(self.maps[start.node].span(piece)):
                    failure = Failure(Cause.NODE, "ValueError", f"row {min(bad)}")
                elif draw.random() < 0.02:
                    failure = Failure(draw.choice((Cause.LOST, Cause.NODE)), "Bad", "luck")
                elif start.node in self.heavy and draw.random() < 0.05:
                    failure = Failure(Cause.NODE, "OSError", "no model", is_certain=True)
                if failure is not None:
                    return replace(start.outcome(failure), duration=(made + 1) * seconds, made=made)
            return CallOutcome(start.node, start.attempt, duration=len(start.pieces) * seconds, call=start.call)
        if isinstance(start, CallsEnded):
            if start.failure is not None:
                return start.outcome(start.failure)
        elif start.node in self.maps and draw.random() < 0.9:
            rows = self.maps[start.node]
            return MapOpened(start.node, start.attempt, opened=OpenedMap(rows, rows.rows))
        elif draw.random() < 0.1 or start.node in self.maps:
            return start.outcome(Failure(Cause.NODE, "OSError", "bad luck"))
        ref = OutputRef(OutputId(start.node), 1, 1, "")
        made = start.counts if isinstance(start, CallsEnded) else None
        return Outcome(start.node, start.attempt, outputs={ref.id: ref}, map=made)

    def take(self, events: list[Event]) -> None:
        for event in events:
            self.log.append(event)
            if isinstance(event, NodeStarted):
                assert event.key not in self.running
                self.running[event.key] = event
                self.number += 1
                seconds = self.draw.choice((0.01, 0.1, 0.3, 2.0))
                self.pending.append((self.now + seconds, self.number, event))
                self.pending.sort(key=lambda item: item[:2])
                if event.node in self.later and self.draw.random() < 0.9:
                    self.scheduler.begun(self.now, *event.key)
            elif isinstance(event, AttemptStopped) and event.why == "timeout":
                key = (event.node, event.attempt, event.call)
                del self.running[key]
                self.detached.add(key)
        self.check_resources()

    def check_resources(self) -> None:
        taken: Counter[str] = Counter()
        for start in self.running.values():
            node = self.plan.nodes[start.node]
            for name, amount in node.resources:
                if node.map is None or isinstance(start, CallStarted) or name == "cpu":
                    taken[name] += min(amount, self.plan.budget.get(name, amount))
        for name in ("cpu", "gpu"):
            assert taken[name] <= self.plan.budget[name] + 1e-6
        assert self.scheduler.running == len(self.running)

    def of(self, node: str, *kinds: type[Any]) -> list[Any]:
        return [event for event in self.log if isinstance(event, kinds) and getattr(event, "node", "") == node]


@pytest.fixture(scope="module")
def trials() -> list[Trial]:
    return [Trial(seed).go() for seed in SEEDS]


def mapped(trials: list[Trial]) -> Iterator[tuple[Trial, str, Rows]]:
    for trial in trials:
        for name, rows in trial.maps.items():
            yield trial, name, rows


def test_every_node_ends_once(trials: list[Trial]) -> None:
    for trial in trials:
        for name in trial.plan.nodes:
            assert len(trial.of(name, *ENDS)) == 1


def test_a_finished_node_has_computed_each_row_once_but_the_failed_ones(trials: list[Trial]) -> None:
    finished = 0
    for trial, name, rows in mapped(trials):
        for end in trial.of(name, NodeFinished):
            finished += 1
            spec = trial.plan.nodes[name].map
            assert spec is not None
            (close,) = trial.of(name, CallsEnded)
            failed = [row for each in close.failed for row in rows.span(each.piece)]
            assert sorted([*trial.computed[name], *failed]) == list(range(rows.rows))
            assert end.map.failed == len(failed)
            assert not failed or spec.collects
            assert end.map.calls == len(trial.called[name]) + trial.lost[name]
            if rows.halves:
                assert trial.bad[name] <= set(failed)
    assert finished > 50


def test_each_half_is_called_once_and_no_piece_more_often_than_its_retries(trials: list[Trial]) -> None:
    halves = 0
    for trial, name, _ in mapped(trials):
        retries = trial.plan.nodes[name].retry.max
        if name in trial.heavy:  # then others are called again without a try of their own
            continue
        for piece, count in Counter(trial.called[name]).items():
            halves += len(piece) > 1
            assert count <= (1 if len(piece) > 1 else 1 + retries) + 1  # one more for a worker that was lost
    assert halves > 50


def test_after_a_bad_row_of_a_node_that_does_not_collect_only_what_was_ordered_before_it_is_called(
    trials: list[Trial],
) -> None:
    seen = 0
    for trial, name, _ in mapped(trials):
        closes = [close for close in trial.of(name, CallsEnded) if close.failure is not None and close.piece]
        for close in closes:
            seen += 1
            bad = [event for event in trial.of(name, CallStarted) if close.piece in event.pieces][-1]
            ended = next(
                i
                for i, event in enumerate(trial.log)
                if isinstance(event, CallEnded | AttemptStopped) and event.node == name and event.call == bad.call
            )
            started = [
                (i < ended, piece)
                for i, event in enumerate(trial.log)
                if isinstance(event, CallStarted) and event.node == name
                for piece in event.pieces
            ]
            earlier = {piece for is_earlier, piece in started if is_earlier}
            later = [piece for is_earlier, piece in started if not is_earlier]
            assert all(piece < close.piece and (len(piece) > 1 or piece in earlier) for piece in later)
    assert seen > 20


def test_the_first_bad_row_of_the_pieces_that_were_called_is_told(trials: list[Trial]) -> None:
    seen = 0
    for trial, name, rows in mapped(trials):
        unsure = trial.of(name, AttemptStopped) or trial.plan.nodes[name].retry.max  # back-off may hold a piece
        for close in trial.of(name, CallsEnded):
            if close.failure is not None and close.failure.type == "ValueError" and close.piece and not unsure:
                seen += 1
                called = {row for piece in trial.called[name] for row in rows.span(piece)}
                assert min(rows.span(close.piece)) <= min(trial.bad[name] & called)
    assert seen > 5


def test_the_rows_of_a_node_that_fails_are_told_also_while_the_run_stops(trials: list[Trial]) -> None:
    stopped = 0
    for trial, name, _ in mapped(trials):
        for end in trial.of(name, NodeFailed):
            if end.failure.type == "ValueError" and trial.cancel_at is None:
                assert len(trial.of(name, CallsEnded)) == 1
                fails = [event.node for event in trial.log if isinstance(event, NodeFailed) and not event.tolerated]
                stopped += not trial.keep_going and name in fails[1:]
    assert stopped


def failed_maps() -> MapScheduler:
    """Return the scheduler of maps whose calls have failed. One slot is left: `a` has it, `b` and `c` wait for it."""
    s = scheduler_of(make_plan([Node(name, map=MapSpec("x", 1)) for name in "abc"], slots=3))
    assert isinstance(s, MapScheduler)
    s.begin(0.0)
    for name in "abc":
        s.outcome(1.0, MapOpened(name, 1, opened=OpenedMap(Rows(1, 1), 1)))
    s.set_capacity(2.0, "cpu", 1.0)
    for name in "cba":
        events = s.outcome(3.0, CallOutcome(name, 1, Failure(Cause.NODE, "ValueError", "bad row"), call=1))
    assert [event.node for event in events if isinstance(event, CallsEnded)] == ["a"]
    return s


def test_each_failed_map_ends_once_while_the_run_stops_for_another_one() -> None:
    s, started = failed_maps(), list[NodeStarted]()
    for name in "abc":
        events = s.outcome(4.0, Outcome(name, 1, Failure(Cause.NODE, "ValueError", "bad row")))
        assert [event.node for event in events if isinstance(event, NodeFailed)] == [name]
        started += [event for event in events if isinstance(event, NodeStarted)]
    assert [type(event) for event in started] == [CallsEnded, CallsEnded]
    assert s.done and s.running == 0


@pytest.mark.parametrize("fails_first", [False, True])
def test_failed_maps_that_wait_for_a_slot_end_when_the_run_is_cancelled(fails_first: bool) -> None:
    s = failed_maps()
    if fails_first:  # then `b` has the slot
        s.outcome(4.0, Outcome("a", 1, Failure(Cause.NODE, "ValueError", "bad row")))
    ended = s.cancel(5.0, "Ctrl-C")
    ended += s.outcome(6.0, Outcome("b" if fails_first else "a", 1, Failure(Cause.CANCELLED, "Cancelled", "Ctrl-C")))
    assert not [event for event in ended if isinstance(event, NodeStarted)]
    assert sorted(event.node for event in ended if isinstance(event, ENDS)) == ["b", "c"] if fails_first else [*"abc"]
    assert s.done and s.running == 0


@pytest.mark.parametrize("bad", [(0, 1, 2, 3), (36, 37, 38, 39), (0, 13, 26, 39)])
def test_whether_too_many_rows_failed_depends_on_all_rows_and_not_on_their_order(bad: tuple[int, ...]) -> None:
    def ends(share: float) -> tuple[int, bool]:
        calls = Calls(OpenedMap(Rows(40, 1), 40), MapSpec("x", 1, on_error="collect", max_failed=share), Retry(), "")
        while calls.can_start:
            number, ((row,),), _ = calls.start()
            failure = Failure(Cause.NODE, "ValueError", "no") if row in bad else None
            calls.end(0.0, CallOutcome("x", 1, failure, call=number), is_stopped=False)
        return calls.counts.failed, calls.failure is not None

    assert ends(0.1) == (4, False)
    assert ends(0.099) == (4, True)
    assert ends(0.05) == (3, True)  # cannot come out otherwise: no other row is called


def test_a_share_of_rows_is_exact_and_counts_from_twenty_on() -> None:
    spec = MapSpec("x", max_failed=0.29)
    assert (spec.is_past(29, 100), spec.is_past(30, 100), spec.is_past(19, 19), spec.is_past(6, 20)) == (
        False,
        True,
        False,
        True,
    )


def test_the_first_bad_row_of_the_table_is_told_though_another_failed_before_it() -> None:
    calls = Calls(OpenedMap(Rows(12, 4), 12), MapSpec("x", 4), Retry(), "")
    bad = Failure(Cause.NODE, "ValueError", "no")
    rows = Rows(12, 4)
    under_way = [calls.start()[:2] for _ in range(2)]
    while under_way:
        number, (piece,) = under_way.pop()  # the later piece ends first
        failure = bad if {1, 6} & {*rows.span(piece)} else None
        calls.end(0.0, CallOutcome("x", 1, failure, call=number), is_stopped=False)
        while calls.can_start and len(under_way) < 2:
            under_way.append(calls.start()[:2])
    assert calls.has_ended
    assert list(rows.span(calls.bad_piece)) == [1]
    assert calls.counts.calls < 12


def test_an_order_has_several_pieces_only_where_limits_are_not_those_of_one_call(trials: list[Trial]) -> None:
    several = 0
    for trial, name, _ in mapped(trials):
        node = trial.plan.nodes[name]
        for start in trial.of(name, CallStarted):
            if len(start.pieces) > 1:
                several += 1
                assert node.timeout is None and "api" not in dict(node.resources)
                assert start.tries == 1 and all(len(piece) == 1 for piece in start.pieces)
    assert several > 50


def sizes_of_orders(seconds: list[float], slots: int = 2) -> list[int]:
    """Make a call for each piece, which take so many seconds, in orders that end when their time is over."""
    calls = Calls(OpenedMap(Rows(len(seconds), 1), 40), MapSpec("x", 1), Retry(), "", alone=False)
    under_way: list[tuple[float, int, tuple[PiecePath, ...]]] = []
    found, now = [], 0.0
    while not calls.has_ended:
        while calls.can_start and len(under_way) < slots:
            number, pieces, _ = calls.start()
            found.append(len(pieces))
            took, made = 0.0, 0
            while made < len(pieces) and took < 0.01:
                took += seconds[pieces[made][0]]
                made += 1
            under_way.append((now + took, number, pieces[:made]))
        under_way.sort()
        now, number, made_pieces = under_way.pop(0)
        took = sum(seconds[piece[0]] for piece in made_pieces)
        calls.end(now, CallOutcome("x", 1, duration=took, call=number, made=len(made_pieces)), is_stopped=False)
    assert calls.counts.calls == len(seconds)
    return found


def test_an_order_has_as_many_short_calls_as_fill_some_milliseconds_and_few_at_the_end() -> None:
    found = sizes_of_orders([0.001] * 1000)
    assert found[:2] == [1, 1]  # nothing is known of the first ones
    assert {*found[2:90]} == {9, 10} or {*found[2:90]} == {10}
    assert found[-1] == 1 and len(found) < 130


def test_a_call_that_takes_long_is_ordered_alone_and_holds_up_no_others() -> None:
    assert {*sizes_of_orders([0.1] * 50)} == {1}
    found = sizes_of_orders([0.0001] * 500 + [5.0] * 20)
    assert found[-15:] == [1] * 15


def test_if_a_class_cannot_be_made_one_call_tries_it_again_for_all() -> None:
    calls = Calls(OpenedMap(Rows(100, 1), 100), MapSpec("x", 1), Retry(2, 1.0), "")
    failure = Failure(Cause.NODE, "OSError", "no model", is_certain=True)
    under_way = [calls.start()[:2] for _ in range(4)]
    for number, _ in under_way:
        calls.end(0.0, CallOutcome("x", 1, failure, call=number), is_stopped=False)
    assert [*calls.waiting] == [(0,)]
    for _ in range(2):
        assert not calls.can_start
        calls.resume((0,))
        number, pieces, _ = calls.start()
        assert pieces == ((0,),) and not calls.can_start
        calls.end(0.0, CallOutcome("x", 1, failure, call=number), is_stopped=False)
    assert calls.has_ended and calls.failure == failure and calls.counts.calls == 6


def test_a_call_that_would_fail_for_each_row_and_is_final_fails_the_node_at_once() -> None:
    calls = Calls(OpenedMap(Rows(100, 1), 100), MapSpec("x", 1, on_error="collect"), Retry(2, 1.0), "")
    failure = Failure(Cause.NODE, "WrongKey", "no", is_certain=True, is_final=True)
    for number in [calls.start()[0] for _ in range(4)]:
        assert calls.end(0.0, CallOutcome("x", 1, failure, call=number), is_stopped=False) is None
    assert calls.has_ended and calls.failure == failure and calls.counts.calls == 4


def test_a_final_failure_of_a_row_is_not_called_again() -> None:
    calls = Calls(OpenedMap(Rows(2, 1), 2), MapSpec("x", 1, on_error="collect", max_failed=2), Retry(2, 1.0), "")
    failure = Failure(Cause.NODE, "TooLong", "no", is_final=True)
    for number in [calls.start()[0] for _ in range(2)]:
        assert calls.end(0.0, CallOutcome("x", 1, failure, call=number), is_stopped=False) is None
    assert calls.has_ended and calls.failure is None and [row.attempts for row in calls.failed] == [1, 1]


def test_calls_that_could_not_make_a_class_are_made_when_one_could() -> None:
    calls = Calls(OpenedMap(Rows(3, 1), 3), MapSpec("x", 1), Retry(1, 1.0), "")
    failure = Failure(Cause.NODE, "OSError", "no model", is_certain=True)
    for number in [calls.start()[0] for _ in range(3)]:
        calls.end(0.0, CallOutcome("x", 1, failure, call=number), is_stopped=False)
    calls.resume((0,))
    found = []
    while calls.can_start:
        number, pieces, tries = calls.start()
        found.append((pieces, tries))
        calls.end(0.0, CallOutcome("x", 1, call=number), is_stopped=False)
    assert found[0] == (((0,),), 2) and sorted(found[1:]) == [(((1,),), 1), (((2,),), 1)]
    assert calls.has_ended and calls.failure is None


def test_a_later_call_that_cannot_make_a_class_holds_up_no_earlier_piece() -> None:
    calls = Calls(OpenedMap(Rows(300, 1), 300), MapSpec("x", 1), Retry(1, 1.0), "", alone=False)
    calls.end(0.0, CallOutcome("x", 1, duration=0.001, call=calls.start()[0]), is_stopped=False)
    first, second, third = (calls.start()[:2] for _ in range(3))
    bad = Failure(Cause.NODE, "ValueError", "no", retry_after=99.0)
    calls.end(0.0, CallOutcome("x", 1, bad, call=second[0], made=0), is_stopped=False)
    assert calls.failure == bad and calls.bad_piece == second[1][0]
    calls.end(0.0, CallOutcome("x", 1, call=first[0], made=2), is_stopped=False)  # leaves some
    certain = Failure(Cause.NODE, "OSError", "no model", is_certain=True)
    calls.end(0.0, CallOutcome("x", 1, certain, call=third[0], made=0), is_stopped=False)
    assert calls.can_start
    number, pieces, _ = calls.start()
    assert {*pieces} <= {*first[1][2:]}
    while not calls.has_ended:
        calls.end(0.0, CallOutcome("x", 1, call=number), is_stopped=False)
        if calls.can_start:
            number, _, _ = calls.start()
    assert calls.counts.calls == 1 + len(first[1]) + 1 + 1


def test_pieces_of_an_order_that_is_lost_are_called_alone() -> None:
    calls = Calls(OpenedMap(Rows(100, 1), 100), MapSpec("x", 1), Retry(), "", alone=False)
    calls.end(0.0, CallOutcome("x", 1, duration=0.001, call=calls.start()[0]), is_stopped=False)
    number, pieces, _ = calls.start()
    lost = Failure(Cause.LOST, "WorkerLost", "gone")
    calls.end(0.0, CallOutcome("x", 1, lost, call=number), is_stopped=False)
    again = [calls.start() for _ in pieces]
    assert len(pieces) > 5
    assert [(found, tries) for _, found, tries in again] == [((piece,), 1) for piece in pieces]
    calls.end(0.0, CallOutcome("x", 1, lost, call=again[0][0]), is_stopped=False)
    assert calls.waiting == {pieces[0]: 0.0}
    assert calls.failure is None


def lacking_plan(**settings: Any) -> tuple[MapScheduler, OutputRef]:
    """Return the scheduler of a mapped node with two calls under way, and its input, which a node has made."""
    nodes = [Node("a"), Node("m", ("a",), reads=(OutputId("a"),), map=MapSpec("x", 1), **settings)]
    scheduler = scheduler_of(make_plan(nodes, slots=2))
    assert isinstance(scheduler, MapScheduler)
    ref = OutputRef(OutputId("a"), 1, 1, "")
    scheduler.begin(0.0)
    scheduler.outcome(1.0, Outcome("a", 1, outputs={ref.id: ref}))
    events = scheduler.outcome(2.0, MapOpened("m", 1, opened=OpenedMap(Rows(6, 1), 6)))
    assert [event.call for event in events if isinstance(event, CallStarted)] == [1, 2]
    return scheduler, ref


@pytest.mark.parametrize("cause", [None, Cause.NODE])
def test_a_map_whose_input_is_gone_begins_again_when_that_was_made_again(cause: Cause | None) -> None:
    s, ref = lacking_plan()
    events = s.outcome(3.0, CallOutcome("m", 1, lacking=(ref,), call=1))
    assert {type(event) for event in events} == {CallEnded, NodeProgressed}, "no other call starts"
    other = CallOutcome("m", 1, Failure(cause, "", "bad row") if cause else None, call=2)
    events = s.outcome(4.0, other)
    assert NodeWaiting(4.0, "m", 1) in events
    assert [event.key for event in events if isinstance(event, NodeStarted)] == [("a", 2, 0)]
    new = replace(ref, attempt=2)
    (start,) = [
        event for event in s.outcome(5.0, Outcome("a", 2, outputs={ref.id: new})) if isinstance(event, NodeStarted)
    ]
    assert (start.key, start.inputs) == (("m", 2, 0), {ref.id: new})
    s.outcome(6.0, MapOpened("m", 2, opened=OpenedMap(Rows(1, 1), 6, 5)))
    (end,) = [e for e in s.outcome(7.0, CallOutcome("m", 2, call=1)) if isinstance(e, CallsEnded)]
    assert (end.key[:2], end.failure) == (("m", 2), None)
    s.outcome(8.0, Outcome("m", 2))
    assert s.done


@pytest.mark.parametrize("ends", ["cancel", "final"])
def test_a_map_whose_input_is_gone_does_not_begin_again_when_all_ends(ends: str) -> None:
    s, ref = lacking_plan()
    s.outcome(3.0, CallOutcome("m", 1, lacking=(ref,), call=1))
    failure = None
    if ends == "cancel":
        s.cancel(3.5, "Ctrl-C")
    else:
        failure = Failure(Cause.IO, "", "disk is full")
    events = s.outcome(4.0, CallOutcome("m", 1, failure, call=2))
    if ends == "final":
        assert any(isinstance(event, CallsEnded) for event in events)
        events = s.outcome(5.0, Outcome("m", 1, failure))
    assert any(isinstance(event, NodeCancelled if ends == "cancel" else NodeFailed) for event in events)
    assert s.done


def starts_of(events: list[Event]) -> list[int]:
    return [event.call for event in events if isinstance(event, CallStarted)]


@pytest.mark.parametrize(("on_loop", "tokens", "at_once"), [(True, 1.0, 1), (False, 1.0, 4), (True, 0.0, 4)])
def test_tokens_are_not_handed_out_while_the_first_call_waits_for_its_instance(
    on_loop: bool, tokens: float, at_once: int
) -> None:
    """Otherwise all calls that have their tokens would be made at the moment when it is there."""
    node = Node("m", map=MapSpec("x", 1), resources=(("cpu", 1.0), ("api", tokens)), timeout=9.0)
    plan = make_plan([node], slots=4, budgets={"api": Budget(1000.0, per=1.0)})
    s = scheduler_of(plan, begins_later=["m"])
    s.begin(0.0)
    found = starts_of(s.outcome(1.0, MapOpened("m", 1, opened=OpenedMap(Rows(9, 1), 9, on_loop=on_loop))))
    found += [call for i in range(50) for call in starts_of(s.tick(1.0 + i / 10))]
    assert len(found) == at_once
    s.begun(7.0, "m", 1, found[0])
    found += [call for i in range(50) for call in starts_of(s.tick(7.0 + i / 100))]
    assert len(found) == 4


def test_no_more_calls_begin_in_a_second_than_the_rate_allows_if_the_first_ones_have_waited() -> None:
    """Six cells wait 0.3 s for the client that they share: their calls, which have their tokens, begin at once."""
    nodes = [Node(f"m{i}", map=MapSpec("x", 1), resources=(("api", 1.0),)) for i in range(6)]
    plan = make_plan(nodes, slots=4, budgets={"api": Budget(50.0, per=1.0)})
    s = scheduler_of(plan, begins_later=[node.name for node in nodes])
    s.begin(0.0)
    events = [
        e
        for node in nodes
        for e in s.outcome(0.0, MapOpened(node.name, 1, opened=OpenedMap(Rows(40, 1), 40, on_loop=True)))
    ]
    now, starts = 0.0, list[tuple[float, CallStarted]]()
    while now < 4.0:
        starts += [(now, event) for event in events if isinstance(event, CallStarted)]
        if 0.3 <= now < 0.3005:
            for _, start in starts:
                s.begun(now, start.node, 1, start.call)
        now += 0.001
        events = s.tick(now)
    assert [at for at, _ in starts[:6]] == pytest.approx([i / 50 for i in range(6)], abs=0.002)
    begins = [max(0.3, at) for at, _ in starts]
    assert len(begins) > 180
    assert all(later - first >= 1 - 1e-6 for first, later in zip(begins, begins[50:], strict=False))


@pytest.mark.parametrize(("is_bad", "is_certain", "more"), [(False, False, 4), (True, False, 4), (True, True, 0)])
def test_calls_go_on_if_the_first_one_ends_without_having_begun(is_bad: bool, is_certain: bool, more: int) -> None:
    spec = MapSpec("x", 1, on_error="collect")
    calls = Calls(OpenedMap(Rows(9, 1), 9), spec, Retry(1, 1.0), "", is_cold=True)
    number, _, _ = calls.start()
    assert not calls.can_start
    failure = Failure(Cause.NODE, "X", "no", is_certain=is_certain) if is_bad else None
    calls.end(0.0, CallOutcome("m", 1, failure, call=number), is_stopped=False)
    assert sum(calls.can_start and bool(calls.start()) for _ in range(4)) == more


def test_the_tokens_of_a_rate_are_taken_by_each_call(trials: list[Trial]) -> None:
    counted = 0
    for trial in trials:
        takers = {n.name for n in trial.plan.nodes.values() if dict(n.resources).get("api")}
        times = [
            event.at
            for event in trial.log
            if isinstance(event, NodeStarted)
            and event.node in takers
            and (event.node not in trial.maps or isinstance(event, CallStarted))
        ]
        counted += len(times)
        assert all(later - first >= 1 - 1e-6 for first, later in zip(times, times[20:], strict=False))
    assert counted > 500


def test_progress_counts_up_to_all_rows(trials: list[Trial]) -> None:
    for trial, name, rows in mapped(trials):
        told = [event.done for event in trial.of(name, NodeProgressed)]
        assert told == sorted(told)
        if trial.of(name, NodeFinished) and rows.count and trial.of(name, CallStarted):
            assert told[-1] == rows.rows


def test_the_same_seed_gives_the_same_log() -> None:
    for seed in range(20):
        assert Trial(seed).go().log == Trial(seed).go().log


def test_a_plan_without_maps_has_the_plain_scheduler() -> None:
    assert type(scheduler_of(make_plan([Node("a")]))) is Scheduler
    assert type(scheduler_of(make_plan([Node("a", map=MapSpec("x"))]))) is MapScheduler
