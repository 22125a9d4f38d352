"""Budgets in virtual time: rates, numbered units, and nodes that are looked up before they take anything."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.simulation import simulate
from nfrun.core.budgets import Budget, Rate, Units
from nfrun.core.errors import Cause
from nfrun.core.events import Event, Failure, NodeFinished, NodeStarted, NodeWaiting, Outcome, OutputRef
from nfrun.core.pipeline import OutputId, Retry
from nfrun.core.plan import Node, Plan, make_plan, with_lookups
from nfrun.core.scheduler import Scheduler


def per_second(amount: float, per: float = 1.0) -> Budget:
    return Budget(amount, per=per)


def calls(count: int, takes: Mapping[str, float], cpu: float = 0.01, **fields: object) -> list[Node]:
    return [Node(f"n{i}", resources=(("cpu", cpu), *takes.items()), **fields) for i in range(count)]  # type: ignore[arg-type]


def lasting(seconds: float) -> Callable[[NodeStarted], Outcome]:
    return lambda start: Outcome(start.node, start.attempt, duration=seconds)


def starts(log: list[Event]) -> list[float]:
    return [event.at for event in log if isinstance(event, NodeStarted)]


def assert_never_more(times: list[float], most: int, window: float = 1.0) -> None:
    for first, later in zip(times, times[most:], strict=False):
        assert first + window <= later, (first, later)


# -- rates -------------------------------------------------------------------------------------------------------------


def test_a_rate_hands_out_calls_evenly() -> None:
    nodes = [Node(f"{name}{i}", resources=(("cpu", 0.01), ("api", 1.0))) for name in "abcd" for i in range(50)]
    times = starts(simulate(make_plan(nodes, slots=4, budgets={"api": per_second(50)}), lasting(0.5)))
    assert len(times) == 200
    assert times[:4] == pytest.approx([0, 0.02, 0.04, 0.06])
    assert times[-1] == pytest.approx(3.98)
    assert_never_more(times, 50)


def test_idle_time_gives_no_burst() -> None:
    first = Node("first", resources=(("cpu", 1.0), ("api", 1.0)))
    nodes = [first, *calls(5, {"api": 1.0}, needs=("first",))]
    times = starts(simulate(make_plan(nodes, budgets={"api": per_second(10)}), lasting(60.0)))
    assert times == pytest.approx([0, 60.0, 60.1, 60.2, 60.3, 60.4])


def test_waiting_for_another_resource_gives_no_burst() -> None:
    nodes = [Node("blocker", estimated_duration=100.0), *calls(4, {"api": 1.0})]
    plan = make_plan(nodes, budgets={"api": per_second(10)})
    times = starts(simulate(plan, lasting(30.0)))
    assert times == pytest.approx([0, 30.0, 30.1, 30.2, 30.3])


def test_who_is_late_catches_up() -> None:
    rate = Rate(per_second(10))
    for now, expected in [(0.0, 0.1), (0.35, 0.2), (0.35, 0.3), (0.35, 0.4), (0.4, 0.5)]:
        rate.wait(0.0)
        assert rate.due_at(1) <= now
        rate.take(now, 1)
        assert rate.due_at(1) == pytest.approx(expected)


def test_late_calls_never_exceed_the_rate() -> None:
    rate = Rate(per_second(10))
    rate.wait(0.0)
    times, now = [], 0.0
    for i in range(60):
        now = max(now, rate.due_at(1), 10.0 if i else 0.0)  # nobody came for ten seconds after the first
        rate.take(now, 1)
        times.append(now)
    assert_never_more(times, 10)
    assert times[10] == 10.0
    assert times[11] == pytest.approx(11.0)


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (per_second(10, 3600.0), [0, 360, 720]),
        (per_second(3000, 60.0), [0, 0.02, 0.04]),
        (per_second(0.5), [0, 2, 4]),
        (per_second(1.5), [0, 2 / 3, 4 / 3]),
    ],
)
def test_rates_of_other_periods(budget: Budget, expected: list[float]) -> None:
    times = starts(simulate(make_plan(calls(3, {"api": 1.0}), budgets={"api": budget}), lasting(0.1)))
    assert times == pytest.approx(expected)


def test_a_call_takes_as_many_tokens_as_it_says() -> None:
    plan = make_plan(calls(3, {"tokens": 800.0}), budgets={"tokens": per_second(3000, 60.0)})
    assert starts(simulate(plan, lasting(0.1))) == pytest.approx([0, 16, 32])


def test_small_calls_do_not_keep_a_large_one_waiting() -> None:
    large = Node("large", resources=(("cpu", 0.01), ("tokens", 10.0)), estimated_duration=9.0)
    plan = make_plan([*calls(100, {"tokens": 1.0}), large], budgets={"tokens": per_second(10)})
    log = simulate(plan, lasting(0.01))
    assert next(e.at for e in log if isinstance(e, NodeStarted) and e.node == "large") == 0.0
    times = starts(log)
    assert times[1] == pytest.approx(1.0)


def test_one_that_waits_for_a_slow_rate_keeps_no_other_rate() -> None:
    slow = [
        Node(f"s{i}", resources=(("cpu", 0.01), ("day", 1.0), ("api", 1.0)), estimated_duration=9.0) for i in (0, 1)
    ]
    plan = make_plan([*slow, *calls(3, {"api": 1.0})], budgets={"day": per_second(1, 3600.0), "api": per_second(10)})
    assert starts(simulate(plan, lasting(0.01))) == pytest.approx([0, 0.1, 0.2, 0.3, 3600])


def test_retries_take_tokens_too() -> None:
    nodes = calls(2, {"api": 1.0}, retry=Retry(max=2, delay=0.0, jitter=0.0))

    def fail(start: NodeStarted) -> Outcome:
        failure = Failure(Cause.NODE, "E", "") if start.attempt < 3 else None
        return Outcome(start.node, start.attempt, failure, duration=0.001)

    times = starts(simulate(make_plan(nodes, budgets={"api": per_second(4)}), fail))
    assert times == pytest.approx([0, 0.25, 0.5, 0.75, 1.0, 1.25])


def test_a_cancelled_run_waits_for_no_tokens() -> None:
    scheduler = Scheduler(make_plan(calls(3, {"api": 1.0}), budgets={"api": per_second(1)}))
    scheduler.begin(0.0)
    assert scheduler.wake_at == 1.0
    scheduler.cancel(0.5, "stop")
    assert scheduler.wake_at is None


@given(
    amount=st.integers(1, 12),
    takes=st.lists(st.integers(1, 2), min_size=1, max_size=40),
    durations=st.lists(st.floats(0.0, 3.0), min_size=1, max_size=5),
    lateness=st.lists(st.sampled_from([0.0, 0.0, 0.001, 0.3, 2.5]), min_size=1, max_size=5),
    slots=st.integers(1, 4),
)
def test_law_no_second_has_more_than_the_rate(
    amount: int, takes: list[int], durations: list[float], lateness: list[float], slots: int
) -> None:
    nodes = [Node(f"n{i}", resources=(("cpu", 1.0), ("api", float(min(n, amount))))) for i, n in enumerate(takes)]
    plan = make_plan(nodes, slots=slots, budgets={"api": per_second(amount)})
    log = late_run(plan, durations, lateness)
    tokens = [at for event in log if isinstance(event, NodeStarted) for at in [event.at] * int(amounts(plan, event))]
    assert len(tokens) == sum(min(n, amount) for n in takes), "all have run"
    assert_never_more(tokens, amount)


def amounts(plan: Plan, event: NodeStarted) -> float:
    return dict(plan.nodes[event.node].resources)["api"]


def late_run(plan: Plan, durations: list[float], lateness: list[float]) -> list[Event]:
    """Run a plan in which the scheduler is called later than it asks for."""
    scheduler, log, pending = Scheduler(plan), list[Event](), list[tuple[float, str, int]]()

    def handle(now: float, events: list[Event]) -> None:
        log.extend(events)
        for event in events:
            if isinstance(event, NodeStarted):
                seconds = durations[len(log) % len(durations)]
                heapq.heappush(pending, (now + seconds, event.node, event.attempt))

    now = 0.0
    handle(now, scheduler.begin(now))
    while not scheduler.done:
        wake_at = scheduler.wake_at
        late = None if wake_at is None else max(now, wake_at + lateness[len(log) % len(lateness)])
        if pending and (late is None or pending[0][0] <= late):
            at, node, attempt = heapq.heappop(pending)
            now = max(now, at)
            handle(now, scheduler.outcome(now, Outcome(node, attempt)))
        else:
            assert late is not None, "it waits for nothing, and is not done"
            now = late
            handle(now, scheduler.tick(now))
    return log


# -- units -------------------------------------------------------------------------------------------------------------


def granted(log: list[Event]) -> list[tuple[str, object]]:
    return [(event.node, event.granted) for event in log if isinstance(event, NodeStarted)]


def test_units_have_numbers() -> None:
    plan = make_plan(calls(3, {"gpu": 1.0}), budgets={"gpu": Budget(2)})
    log = simulate(plan, lasting(1.0))
    assert granted(log) == [("n0", {"gpu": (0,)}), ("n1", {"gpu": (1,)}), ("n2", {"gpu": (0,)})]
    both = make_plan(calls(1, {"gpu": 2.0}), budgets={"gpu": Budget(2)})
    assert granted(simulate(both, lasting(1.0))) == [("n0", {"gpu": (0, 1)})]


def test_sizes_have_none() -> None:
    plan = make_plan(calls(3, {"memory": 4e9}), budgets={"memory": Budget(8e9, is_size=True)})
    log = simulate(plan, lasting(1.0))
    assert starts(log) == [0, 0, 1.0]
    assert all(units == {} for _, units in granted(log))


def test_fractions_share_a_unit() -> None:
    plan = make_plan(calls(5, {"gpu": 0.5}), slots=9, budgets={"gpu": Budget(2)})
    log = simulate(plan, lasting(1.0))
    assert [units["gpu"] for _, units in granted(log)] == [(0,), (0,), (1,), (1,), (0,)]  # type: ignore[index]
    assert starts(log) == [0, 0, 0, 0, 1.0]


@given(
    count=st.integers(1, 4),
    takes=st.lists(st.sampled_from([0.1, 0.25, 0.3, 0.5, 1.0, 1.5, 2.0, 3.0]), min_size=1, max_size=25),
    seconds=st.lists(st.floats(0.1, 3.0), min_size=1, max_size=4),
)
def test_law_no_unit_is_held_twice(count: int, takes: list[float], seconds: list[float]) -> None:
    takes = [amount for amount in takes if amount <= count]
    nodes = [Node(f"n{i}", resources=(("cpu", 0.01), ("gpu", amount))) for i, amount in enumerate(takes)]
    plan = make_plan(nodes, budgets={"gpu": Budget(count)})
    shares, held = [0.0] * count, dict[str, list[tuple[int, float]]]()
    for event in simulate(plan, lambda s: Outcome(s.node, s.attempt, duration=seconds[int(s.node[1:]) % len(seconds)])):
        if isinstance(event, NodeStarted):
            units, left = list((event.granted or {})["gpu"]), dict(plan.nodes[event.node].resources)["gpu"]
            held[event.node] = [(unit, min(1.0, left - i)) for i, unit in enumerate(units)]
            assert sum(share for _, share in held[event.node]) == pytest.approx(left)
        elif isinstance(event, NodeFinished):
            for unit, share in held.pop(event.node):
                shares[unit] -= share
            continue
        else:
            continue
        for unit, share in held[event.node]:
            shares[unit] += share
            assert shares[unit] <= 1 + 1e-6


def test_what_is_given_back_is_whole_again() -> None:
    units = Units(1)
    held = [units.take(0.1) for _ in range(10)]
    assert not units.fits(0.1)
    for share in held:
        units.give_back(share)
    assert units.fits(1.0)
    assert units.take(1.0) == ((0, 1.0),)


# -- nodes that are looked up ------------------------------------------------------------------------------------------


def test_a_node_that_is_reused_takes_no_tokens_and_no_units() -> None:
    nodes = calls(6, {"api": 1.0, "gpu": 1.0})
    plan = make_plan(nodes, slots=1, budgets={"api": per_second(1), "gpu": Budget(1)})
    plan = with_lookups(plan, [node.name for node in nodes])

    def hit_or_miss(start: NodeStarted) -> Outcome:
        if start.granted is not None:
            return Outcome(start.node, start.attempt, duration=0.5)
        is_hit = start.node in ("n0", "n1", "n2", "n3")
        return Outcome(start.node, start.attempt, duration=0.01, reused=is_hit, missed=not is_hit)

    log = simulate(plan, hit_or_miss)
    taken = [(event.node, event.attempt, event.at) for event in log if isinstance(event, NodeStarted) and event.granted]
    assert [(node, attempt) for node, attempt, _ in taken] == [("n4", 1), ("n5", 1)]
    assert taken[1][2] == pytest.approx(taken[0][2] + 1.0)
    assert [event.node for event in log if isinstance(event, NodeWaiting) and event.for_budget] == ["n4", "n5"]


def test_a_reused_node_that_runs_again_takes_what_it_needs() -> None:
    a, b = OutputId("a"), OutputId("b")
    takes = (("cpu", 1.0), ("gpu", 1.0))
    nodes = [Node("a", resources=takes), Node("b", needs=("a",), reads=(a,), resources=takes)]
    plan = with_lookups(make_plan(nodes, [b], slots=2, budgets={"gpu": Budget(1)}), ["a", "b"])
    seen: list[tuple[str, int, object]] = []

    def pretend(start: NodeStarted) -> Outcome:
        seen.append((start.node, start.attempt, start.granted))
        if start.node == "b" and start.inputs[a].attempt == 1:
            return Outcome("b", start.attempt, lacking=(start.inputs[a],))
        if start.node == "b" and start.granted is None:
            return Outcome("b", start.attempt, missed=True)
        made = OutputId(start.node)
        ref = OutputRef(made, 0, 0, "", attempt=start.attempt)
        return Outcome(start.node, start.attempt, outputs={made: ref}, duration=1.0, reused=start.granted is None)

    simulate(plan, pretend)
    unit = {"gpu": (0,)}
    assert seen == [("a", 1, None), ("b", 1, None), ("a", 2, unit), ("b", 1, None), ("b", 1, unit)]


def test_a_plan_without_budgets_looks_nothing_up() -> None:
    plan = make_plan([Node("a")])
    assert with_lookups(plan, ["a"]) is plan


def test_more_than_there_is_is_refused() -> None:
    for budgets in ({"gpu": Budget(1)}, {"gpu": per_second(1)}, {"gpu": per_second(0.5)}, {}):
        with pytest.raises(ValueError, match="'n0' asks for 2 of 'gpu'"):
            make_plan(calls(1, {"gpu": 2.0}), budgets=budgets)


def test_tokens_that_were_used_later_count_from_then_on() -> None:
    rate = Rate(Budget(2.0, per=1.0))
    rate.take(0.0, 1.0)
    rate.move(0.0, 0.8, 1.0)
    assert rate.due_at(1.0) == 0.5  # the next one is not delayed
    rate.take(0.8, 1.0)
    assert rate.due_at(1.0) == 1.8  # but no three are in a second
    rate.take(1.8, 1.0)
    rate.move(0.8, 3.0, 1.0)  # also if they are out of the window already
    rate.take(3.0, 1.0)
    assert rate.due_at(1.0) == 4.0
