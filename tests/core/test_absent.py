"""Absent outputs: what readers do without an output, single cases and laws over random graphs in virtual time."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import pytest
from random_seeds import seeds

from bench.simulation import simulate
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
    RunFinished,
)
from nfrun.core.pipeline import Gather, Input, OutputId
from nfrun.core.plan import Node, Plan, make_plan, sequential, with_barriers
from nfrun.core.scheduler import Scheduler, State

BROKE = Failure(Cause.NODE, "ValueError", "broke")


def ref(output: OutputId, attempt: int = 1) -> OutputRef:
    return OutputRef(output, 1, 8, "x: int64", attempt=attempt)


def node(name: str, *inputs: Input | str, needs: tuple[str, ...] = (), tolerated: bool = False) -> Node:
    items = [Input(item, OutputId(item)) if isinstance(item, str) else item for item in inputs]
    reads = tuple(dict.fromkeys([output for item in items for output in item.outputs]))
    return Node(
        name,
        tuple(dict.fromkeys([*(output.node for output in reads), *needs])),
        reads=reads,
        inputs=() if all(item.is_plain for item in items) else tuple(items),
        continue_on_error=tolerated,
    )


def item(output: str, *, otherwise: str = "", optional: bool = False) -> Input:
    return Input(output, OutputId(output), OutputId(otherwise) if otherwise else None, optional)


def gathered(*outputs: str, otherwise: str = "") -> Input:
    cells = {OutputId(output): (i,) for i, output in enumerate(outputs)}
    return Input("g", OutputId("g"), OutputId(otherwise) if otherwise else None, gather=Gather("concat", ("i",), cells))


def success(name: str, attempt: int = 1, absent: tuple[OutputId, ...] = ()) -> Outcome:
    output = OutputId(name)
    return Outcome(name, attempt, outputs={} if absent else {output: ref(output, attempt)}, absent=absent)


def run(*nodes: Node, failing: str = "") -> dict[str, str]:
    """Run the nodes, of which those in `failing` fail. Returns how each ended, and of the run."""
    ends = {}
    plan = make_plan(nodes, slots=2)
    log = simulate(plan, lambda s: Outcome(s.node, s.attempt, BROKE) if s.node in failing else success(s.node))
    for event in log:
        if isinstance(event, NodeStarted):
            ends[event.node] = f"reads {' '.join(event.inputs)}".rstrip()
        elif isinstance(event, NodeFailed | NodeSkipped):
            what = "failed" if isinstance(event, NodeFailed) else f"skipped for {event.because}"
            ends[event.node] = f"{what}{', tolerated' if event.tolerated else ''}"
        elif isinstance(event, RunFinished):
            ends["run"] = event.status
    return ends


# -- single cases ------------------------------------------------------------------------------------------------------


def test_a_tolerated_failure_skips_its_readers_and_fails_no_run() -> None:
    nodes = [node("a", tolerated=True), node("b", "a"), node("c", "b"), node("d")]
    assert run(*nodes, failing="a") == {
        "a": "failed, tolerated",
        "b": "skipped for a, tolerated",
        "c": "skipped for a, tolerated",
        "d": "reads",
        "run": "ok",
    }


def test_an_alternative_is_read_where_the_first_output_is_absent() -> None:
    nodes = [node("a", tolerated=True), node("b"), node("c", item("a", otherwise="b"))]
    assert run(*nodes)["c"] == "reads a"
    assert run(*nodes, failing="a")["c"] == "reads b"


def test_an_alternative_may_be_absent_in_turn() -> None:
    nodes = [node("a", tolerated=True), node("b", tolerated=True), node("c", item("a", otherwise="b"))]
    assert run(*nodes, failing="ab")["c"] == "skipped for b, tolerated"
    nodes[2] = node("c", item("a", otherwise="b", optional=True))
    assert run(*nodes, failing="ab")["c"] == "reads"


def test_an_optional_input_is_left_out() -> None:
    nodes = [node("a", tolerated=True), node("b"), node("c", item("a", optional=True), item("b"))]
    assert run(*nodes, failing="a")["c"] == "reads b"


def test_absent_cells_are_left_out_and_all_of_them_are_absent() -> None:
    nodes = [node("a", tolerated=True), node("b", tolerated=True), node("c", gathered("a", "b"))]
    assert run(*nodes)["c"] == "reads a b"
    assert run(*nodes, failing="a")["c"] == "reads b"
    assert run(*nodes, failing="ab")["c"] == "skipped for b, tolerated"


def test_an_order_waits_for_an_absent_node_and_then_the_node_runs() -> None:
    s = Scheduler(make_plan([node("a", tolerated=True), node("b", "a"), node("c", needs=("a", "b"))]))
    s.begin(0.0)
    assert s.state("c") is State.WAITING
    assert s.outcome(1.0, Outcome("a", 1, BROKE)) == [
        NodeFailed(1.0, "a", 1, BROKE, tolerated=True),
        NodeSkipped(1.0, "b", "a", tolerated=True),
        NodeStarted(1.0, "c", 1),
    ]


def test_a_failure_counts_for_more_than_an_absent_input_whichever_comes_first() -> None:
    nodes = [node("a", tolerated=True), node("b"), node("c", "a", "b"), node("d", item("c", optional=True))]
    for order in ("ab", "ba"):
        s = Scheduler(make_plan(nodes, slots=2), keep_going=True)
        s.begin(0.0)
        events = [event for name in order for event in s.outcome(1.0, Outcome(name, 1, BROKE))]
        skipped = [event for event in events if isinstance(event, NodeSkipped)]
        assert skipped == [NodeSkipped(1.0, "c", "b"), NodeSkipped(1.0, "d", "b")], order
        assert s.finish(2.0)[0] == RunFinished(2.0, "failed", cause=Cause.NODE)


def test_a_failure_that_is_not_tolerated_stops_the_run_and_a_tolerated_one_does_not() -> None:
    nodes = [node("a", tolerated=True), node("b"), node("c", needs=("b",))]
    assert run(*nodes, failing="a") == {"a": "failed, tolerated", "b": "reads", "c": "reads", "run": "ok"}
    assert run(*nodes, failing="ab") == {"a": "failed, tolerated", "b": "failed", "c": "skipped for b", "run": "failed"}


@pytest.mark.parametrize("cause", [Cause.IO, Cause.PERMISSION, Cause.INTERNAL])
def test_what_fails_outside_of_the_node_is_not_tolerated(cause: Cause) -> None:
    s = Scheduler(make_plan([node("a", tolerated=True)]))
    s.begin(0.0)
    s.outcome(1.0, Outcome("a", 1, Failure(cause, "E", "disk full")))
    assert s.finish(1.0) == [RunFinished(1.0, "failed", cause=cause)]


def test_a_timeout_is_tolerated_and_a_cancelled_node_is_cancelled() -> None:
    timed = Node("a", timeout=1.0, continue_on_error=True)
    s = Scheduler(make_plan([timed]))
    s.begin(0.0)
    s.tick(1.0)
    assert s.finish(1.0) == [RunFinished(1.0, "ok")]
    s = Scheduler(make_plan([timed]))
    s.begin(0.0)
    s.cancel(0.5, "Ctrl-C")
    stopped = Failure(Cause.CANCELLED, "Cancelled", "stopped")
    assert s.outcome(0.6, Outcome("a", 1, stopped)) == [NodeCancelled(0.6, "a", "Ctrl-C")]


def test_an_output_can_be_absent_though_its_node_succeeded() -> None:
    nodes = [node("a"), node("b", "a"), node("c", item("a", optional=True)), node("d", needs=("a",))]
    s = Scheduler(make_plan(nodes, slots=3))
    s.begin(0.0)
    assert s.outcome(1.0, success("a", absent=(OutputId("a"),)))[1:] == [
        NodeSkipped(1.0, "b", "a", tolerated=True),
        NodeStarted(1.0, "c", 1),
        NodeStarted(1.0, "d", 1),
    ]


def test_an_output_that_is_made_again_may_be_absent_then() -> None:
    s = Scheduler(make_plan([node("a", tolerated=True), node("b", item("a", otherwise="x")), node("x")], slots=2))
    s.begin(0.0)
    s.outcome(1.0, success("x"))
    s.outcome(2.0, success("a"))
    s.outcome(3.0, Outcome("b", 1, lacking=(ref(OutputId("a")),)))
    events = s.outcome(4.0, Outcome("a", 2, BROKE))
    assert events[:2] == [
        NodeFailed(4.0, "a", 2, BROKE, tolerated=True),
        NodeStarted(4.0, "b", 1, {"x": ref(OutputId("x"))}),
    ]


def test_a_node_without_an_optional_input_can_run_again() -> None:
    nodes = [node("a", tolerated=True), node("b", item("a", optional=True)), node("c", "b")]
    s = Scheduler(make_plan(nodes))
    s.begin(0.0)
    s.outcome(1.0, Outcome("a", 1, BROKE))
    s.outcome(2.0, success("b"))
    assert s.outcome(3.0, Outcome("c", 1, lacking=(ref(OutputId("b")),))) == [
        NodeWaiting(3.0, "c", 1),
        NodeStarted(3.0, "b", 2),
    ]


def test_an_absent_output_that_is_made_again_is_there_then() -> None:
    there, absent = OutputId("a", "x"), OutputId("a", "y")
    nodes = [
        node("a"),
        Node("b", ("a",), reads=(there,)),
        Node("c", ("a", "b"), reads=(absent,), inputs=(Input("y", absent, optional=True),)),
    ]
    s = Scheduler(make_plan(nodes))
    s.begin(0.0)
    s.outcome(1.0, Outcome("a", 1, outputs={there: ref(there)}, absent=(absent,)))
    s.outcome(2.0, Outcome("b", 1, lacking=(ref(there),)))
    s.outcome(3.0, Outcome("a", 2, outputs={output: ref(output, 2) for output in (there, absent)}))
    assert s.outcome(4.0, success("b"))[-1] == NodeStarted(4.0, "c", 1, {absent: ref(absent, 2)})


def test_a_node_that_lacks_a_table_which_another_found_to_be_absent_is_skipped() -> None:
    s = Scheduler(make_plan([node("a", tolerated=True), node("b", "a"), node("c", "a")], slots=2))
    s.begin(0.0)
    s.outcome(1.0, success("a"))
    lacking = (ref(OutputId("a")),)
    s.outcome(2.0, Outcome("b", 1, lacking=lacking))
    s.outcome(3.0, Outcome("a", 2, BROKE))
    assert s.outcome(4.0, Outcome("c", 1, lacking=lacking))[:2] == [
        NodeWaiting(4.0, "c", 1),
        NodeSkipped(4.0, "c", "a", tolerated=True),
    ]
    assert s.done


# -- laws --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trial:
    """A random graph with what its nodes do: fail, or give an output, which may be absent."""

    seed: int
    plan: Plan
    does: dict[str, str]
    keep_going: bool
    log: list[Event]

    def of(self, *kinds: type[Event]) -> Iterator[Event]:
        return (event for event in self.log if isinstance(event, kinds))


def draw_nodes(draw: random.Random) -> list[Node]:
    nodes: list[Node] = []
    for i in range(draw.choice((2, 5, 12, 25))):
        before = [n.name for n in nodes[-draw.choice((3, 30)) :]]
        inputs: list[Input] = []
        for _ in range(draw.choice((0, 1, 1, 2, 3)) if before else 0):
            first = draw.choice(before)
            other = draw.choice(before) if draw.random() < 0.3 else ""
            if draw.random() < 0.25:
                inputs.append(gathered(*draw.sample(before, min(len(before), draw.randint(1, 4))), otherwise=other))
            else:
                inputs.append(item(first, otherwise=other, optional=draw.random() < 0.25))
        needs = tuple(draw.sample(before, 1)) if before and draw.random() < 0.3 else ()
        nodes.append(node(f"n{i}", *inputs, needs=needs, tolerated=draw.random() < 0.4))
    return nodes


def play(seed: int, plan: Plan, does: dict[str, str], keep_going: bool, pace: int) -> list[Event]:
    dice = random.Random(f"{seed} {pace}")
    pauses = {name: dice.choice((0.0, 1.0, 1.0, dice.uniform(0.0, 4.0))) for name in plan.nodes}

    def pretend(start: NodeStarted) -> Outcome:
        output = OutputId(start.node)
        what, pause = does[start.node], pauses[start.node]
        if what == "fails":
            return Outcome(start.node, start.attempt, BROKE, duration=pause)
        if what == "absent":
            return Outcome(start.node, start.attempt, duration=pause, absent=(output,))
        return Outcome(start.node, start.attempt, outputs={output: ref(output)}, duration=pause)

    return simulate(plan, pretend, keep_going=keep_going)


@cache
def trials() -> list[Trial]:
    found = []
    for seed in range(400):
        draw = random.Random(seed)
        nodes = draw_nodes(draw)
        rate = draw.choice((0.1, 0.3, 0.5))
        does = {n.name: draw.choice(("fails", "absent")) if draw.random() < rate else "gives" for n in nodes}
        if draw.random() < 0.5:  # nothing fails that is not allowed to
            does = {
                n.name: "gives" if does[n.name] == "fails" and not n.continue_on_error else does[n.name] for n in nodes
            }
        plan = make_plan(nodes, [OutputId(n.name) for n in nodes if draw.random() < 0.2], draw.choice((1, 2, 8)))
        plan = draw.choice((lambda p: p, with_barriers, sequential))(plan)
        keep_going = draw.random() < 0.7
        found.append(Trial(seed, plan, does, keep_going, play(seed, plan, does, keep_going, 0)))
    return found


def definition(trial: Trial) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return how each node ends if all that can run does, and what it reads, by the rule itself."""
    ends: dict[str, tuple[str, tuple[str, ...]]] = {}
    poisoned: set[str] = set()
    absent: set[str] = set()
    for name, n in trial.plan.nodes.items():
        if n.barrier:
            continue
        items = n.inputs or tuple(Input(o, OutputId(o)) for o in n.reads)
        if poisoned.intersection(n.needs):
            ends[name] = ("skipped", ())
            poisoned.add(name)
            continue
        read: list[str] = []
        lacks = False
        for each in items:
            found = [o for o in (each.gather.cells if each.gather else [each.output]) if o not in absent]
            if not found and each.alternative is not None and each.alternative not in absent:
                found = [each.alternative]
            read += found
            lacks = lacks or not (found or each.optional)
        if lacks:
            ends[name] = ("absent", ())
            absent.add(name)
        elif trial.does[name] == "fails":
            ends[name] = ("tolerated" if n.continue_on_error else "failed", tuple(dict.fromkeys(read)))
            (absent if n.continue_on_error else poisoned).add(name)
        else:
            ends[name] = ("ok", tuple(dict.fromkeys(read)))
            if trial.does[name] == "absent":
                absent.add(name)
    return ends


def ends_of(log: list[Event]) -> dict[str, str]:
    ends = {}
    for event in log:
        if isinstance(event, NodeFinished | NodeFailed | NodeSkipped | NodeCancelled):
            assert event.node not in ends, "a node ends once"
            if isinstance(event, NodeFailed):
                ends[event.node] = "tolerated" if event.tolerated else "failed"
            elif isinstance(event, NodeSkipped):
                ends[event.node] = "absent" if event.tolerated else "skipped"
            else:
                ends[event.node] = "ok" if isinstance(event, NodeFinished) else "cancelled"
    return ends


def test_the_trials_cover_every_way_to_end() -> None:
    counts = dict.fromkeys(("ok", "failed", "tolerated", "skipped", "absent", "cancelled"), 0)
    for trial in trials():
        for end in ends_of(trial.log).values():
            counts[end] += 1
    assert min(counts.values()) > 30, counts
    assert {event.status for trial in trials() for event in trial.of(RunFinished)} == {"ok", "failed"}


def test_every_node_ends_as_the_rule_says() -> None:
    for trial in trials():
        expected, ends = definition(trial), ends_of(trial.log)
        assert ends.keys() == expected.keys(), trial.seed
        stops = not trial.keep_going and "failed" in ends.values()
        for name, end in ends.items():
            assert end == expected[name][0] or (stops and end == "cancelled"), (trial.seed, name)


def test_the_run_fails_only_if_a_node_fails_that_may_not() -> None:
    for trial in trials():
        (end,) = trial.of(RunFinished)
        assert end == RunFinished(end.at, "ok") or "failed" in ends_of(trial.log).values(), trial.seed
        assert end.status == ("failed" if "failed" in ends_of(trial.log).values() else "ok"), trial.seed


def test_a_node_starts_with_what_it_reads_once_all_that_it_needs_has_ended() -> None:
    for trial in trials():
        expected = definition(trial)
        ended: set[str] = set()
        for event in trial.log:
            if isinstance(event, NodeStarted):
                assert ended.issuperset(trial.plan.nodes[event.node].needs), trial.seed
                assert tuple(event.inputs) == expected[event.node][1], trial.seed
            elif isinstance(event, NodeFinished | NodeFailed | NodeSkipped | NodeCancelled):
                ended.add(event.node)


def test_a_node_is_skipped_for_one_that_failed_or_whose_output_is_absent() -> None:
    for trial in trials():
        ends = ends_of(trial.log)
        for event in trial.of(NodeSkipped):
            assert isinstance(event, NodeSkipped)
            if event.tolerated:
                own = trial.does[event.because] == "absent" and ends[event.because] == "ok"
                assert own or ends[event.because] == "tolerated", trial.seed
            else:
                assert ends[event.because] == "failed", trial.seed


def test_every_output_is_released_once_after_its_last_reader() -> None:
    for trial in trials():
        made: set[str] = set()
        for event in trial.log:
            if isinstance(event, NodeFinished):
                made.update(event.outputs)
            elif isinstance(event, OutputReleased):
                made.remove(event.output)  # fails if it was released before
                assert event.output not in trial.plan.retained, trial.seed
            elif isinstance(event, NodeStarted):
                assert made.issuperset(event.inputs), trial.seed
        assert trial.plan.retained.issuperset(made), trial.seed


def test_how_nodes_end_does_not_depend_on_the_order_in_which_they_do() -> None:
    for trial in trials():
        if trial.keep_going:
            other = play(trial.seed, trial.plan, trial.does, True, pace=1)
            assert ends_of(other) == ends_of(trial.log), trial.seed


def test_the_same_input_gives_the_same_log() -> None:
    for trial in trials()[:100]:
        assert play(trial.seed, trial.plan, trial.does, trial.keep_going, 0) == trial.log, trial.seed


@pytest.mark.parametrize("seed", seeds(30, 200))
def test_runs_end_where_tables_are_made_again_beside_absent_ones(seed: int) -> None:
    """Some nodes lack tables, which are made again, and fail or are absent in their second run."""
    dice = random.Random(seed)
    s = Scheduler(make_plan(draw_nodes(dice), slots=dice.randint(1, 4)), keep_going=dice.random() < 0.7)
    running = [event for event in s.begin(0.0) if isinstance(event, NodeStarted)]
    lost: set[OutputRef] = set()
    now = 0.0
    while running:
        now += 1.0
        assert now < 2_000
        start = running.pop(dice.randrange(len(running)))
        missing = tuple(r for r in start.inputs.values() if r not in lost and r.attempt == 1 and dice.random() < 0.2)
        lost.update(missing)
        if missing:
            outcome = Outcome(start.node, start.attempt, lacking=missing)
        elif dice.random() < 0.15:
            outcome = Outcome(start.node, start.attempt, BROKE)
        else:
            absent = (OutputId(start.node),) if dice.random() < 0.1 else ()
            outcome = success(start.node, start.attempt, absent)
        running += [event for event in s.outcome(now, outcome) if isinstance(event, NodeStarted)]
    assert s.done
