"""Measures the overhead of nfrun with no-op nodes, against hand-written loops and other engines.

The clocks run from the plan to the end of the run, with timings and records on. Sorting and building are not timed for
any engine. The limit is on CPU time, which is more reliable than wall time on a shared machine.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path

from bench import peers
from bench.measure import Line, Sample, clocked, interleaved, versus
from bench.peers import Engine, Shape
from nfrun.code.fingerprint import FolderCode
from nfrun.code.watch.run_watch import RunWatch
from nfrun.core.pipeline import Input, NodeSpec, OutputId, Pipeline
from nfrun.core.plan import SCHEDULES, Plan, plan_of
from nfrun.engine.executors.base import Placement
from nfrun.engine.node_stats import NodeStats, node_stats
from nfrun.engine.placement import place_nodes
from nfrun.history.cache.run_cache import RunCache
from nfrun.history.database import TIMINGS, Database
from nfrun.history.journal import RunHeader
from nfrun.history.work_dir import RunStart, WorkDir, new_run_id
from nfrun.pipeline_file.resolve import Resolved
from nfrun.session.options import RunOptions
from nfrun.session.run import Run
from nfrun.session.selection import Selection
from nfrun.system.logs.redaction import Redactor
from nfrun.system.std_streams import Messages

WORKERS = 2
_NODES = Path(__file__).parent / "nodes"
# The largest number of nodes by engine. pipefunc takes 20 s to build 1,000 nodes, and the time is quadratic.
_MAX_NODES = {"pipefunc": 200}


def nfrun(
    shape: Shape,
    workers: int,
    *,
    work: Path,
    schedule: str = "eager",
    handoff: str = "auto",
    journal: bool = False,
    watched: bool = False,
) -> Callable[[], float]:
    """Prepare a run as `nfrun run -q` makes it. `work` is the work folder.

    With `journal` it leaves what the next run can reuse; if `watched`, it sees what nodes open, as with a journal.
    Calling the result runs it and returns the seconds by the run's own clock, without its start and end. That call
    raises RuntimeError if the run fails.
    """
    pipeline = _pipeline(shape)
    plan = SCHEDULES[schedule](plan_of(pipeline, slots=workers))
    placement = place_nodes(pipeline, "file", _known_stats(WorkDir(work), pipeline), FolderCode(_NODES))
    return partial(_run, pipeline, plan, placement, work, handoff, journal, watched)


def _known_stats(work: WorkDir, pipeline: Pipeline) -> NodeStats:
    with closing(Database(work)) as database:
        return node_stats(database.kept(TIMINGS, work.pipeline_name(pipeline))[0]())


def _run(
    pipeline: Pipeline, plan: Plan, placement: Placement, work: Path, handoff: str, journal: bool, watched: bool
) -> float:
    database = Database(WorkDir(work), print)
    work_dir = database.work
    number = len(work_dir.run_folders()) + 1
    run_id = new_run_id(number)
    folder = work_dir.make_run_folder(run_id)
    started, cache = RunHeader(run_id, Path(pipeline.file).name, number), None
    if journal:
        cache = RunCache(
            pipeline, plan, database, folder, started, fresh=True, force=(), keep=True, fsync=False, warn=print
        )
    options = RunOptions(Path(pipeline.file), handoff=handoff if journal else "memory")
    resolved, start = Resolved(pipeline, Redactor([])), RunStart(run_id, number, waited=False)
    run = Run(options, Messages(), resolved, Selection(None, {}), database, start, folder)
    run.plan, run.thread_variables = plan, {}
    watch = RunWatch(Path(pipeline.folder), work) if watched and not journal else None
    try:
        run.go(lambda run: (), nullcontext, lambda folder: None, cache, placement, watch=watch)
    finally:
        if not journal:  # otherwise there is a file per node, and removing them would slow down the next run
            shutil.rmtree(folder, ignore_errors=True)
    end = run.record.end or run.end  # the journal may have changed the status
    if end.status != "ok" or run.stopped_reporters:
        stopped = run.stopped_reporters or "nothing"
        raise RuntimeError(f"the run ended as {end.status} {end.error}, without {stopped}")
    return end.at


def _pipeline(shape: Shape) -> Pipeline:
    nodes = {
        name: NodeSpec(
            id=name,
            kind="python",
            body=f"steps:{shape.function}",
            inputs=tuple(Input(need, OutputId(need)) for need in needs) if shape.hands_on else (),
            with_=shape.given.get(name, {}),
            outputs=(),
            needs=() if shape.hands_on else needs,
            env={},
        )
        for name, needs in shape.needs.items()
    }
    return Pipeline(str(_NODES / "noop.yaml"), str(_NODES), "noop", "", {}, {}, nodes, {})


def chain(count: int) -> dict[str, tuple[str, ...]]:
    """Return a chain: each node needs the one before."""
    return {f"n{i}": (f"n{i - 1}",) if i else () for i in range(count)}


def fan_out(count: int) -> dict[str, tuple[str, ...]]:
    """Return a fan-out: all other nodes need the first."""
    return {f"n{i}": ("n0",) if i else () for i in range(count)}


def layers(count: int, inputs: int = 3) -> dict[str, tuple[str, ...]]:
    """Return about as many layers as each is wide, where each node needs `inputs` random nodes of the layer before.

    The result is the same at every call.
    """
    rng = random.Random(count)
    width = max(inputs, round(count**0.5))
    needs = {}
    for i in range(count):
        start = (i // width - 1) * width
        needs[f"n{i}"] = tuple(f"n{j}" for j in sorted(rng.sample(range(start, start + width), inputs)) if start >= 0)
    return needs


SHAPES: Mapping[str, Callable[[], dict[str, tuple[str, ...]]]] = {
    "chain of 200": partial(chain, 200),
    "fan-out of 1,000": partial(fan_out, 1_000),
    "layers, 1,000": partial(layers, 1_000),
    "layers, 10,000": partial(layers, 10_000),
}


def engines(folder: Path, nodes: int) -> dict[str, Engine]:
    """Return the engines that are installed and can build `nodes` nodes, with nfrun first."""
    found: dict[str, Engine] = {"nfrun": partial(nfrun, work=folder / "runs"), **peers.LOOPS, **peers.libraries()}
    found.pop("pipefunc by generation", None)  # the same as pipefunc if nodes take no time
    return {name: engine for name, engine in found.items() if nodes <= _MAX_NODES.get(name, nodes)}


def turn(engine: Engine, shape: Shape, workers: int) -> Sample:
    """Prepare the shape with the engine, then time one run of it."""
    return clocked(engine(shape, workers))


def turns(shape: Shape, among: Mapping[str, Engine], repeat: int) -> dict[str, list[Sample]]:
    """Time the shape with each engine, interleaved and prepared anew each time, after one warm-up round."""
    variants = {name: partial(turn, engine, shape, WORKERS) for name, engine in among.items()}
    interleaved(variants, 1)
    return interleaved(variants, repeat)


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Measure the time per node, first of nodes that return nothing, then of nodes that return a table of one row."""
    ours: dict[str, list[Sample]] = {}
    for name, make in SHAPES.items():
        shape = Shape(make(), "nothing")
        count = len(shape.needs)
        found = turns(shape, engines(folder, count), repeat)
        ours[name] = found["nfrun"]
        yield from _lines(f"no-op, {name}", found, count, "<= 1.0")
    small, large = ours["layers, 1,000"], ours["layers, 10,000"]
    per_node = [[Sample(s.cpu / n, s.wall / n) for s in samples] for samples, n in ((large, 10_000), (small, 1_000))]
    yield versus("no-op: a node of 10,000 / a node of 1,000", per_node[0], per_node[1], "<= 1.3")
    for name, make in SHAPES.items():
        shape = Shape(make(), "row", hands_on=True)
        count = len(shape.needs)
        among = engines(folder, count)
        in_memory = partial(nfrun, work=folder / "runs", handoff="memory")
        found = turns(shape, {**among, "nfrun with --handoff memory": in_memory}, repeat)
        yield from _lines(f"one row, {name}", found, count, "")


def _lines(what: str, found: Mapping[str, list[Sample]], count: int, bar: str) -> Iterator[Line]:
    for name, samples in found.items():
        if name != "nfrun":
            limit = bar if name == "loop" else ""
            yield versus(f"{what}: nfrun / {name}", found["nfrun"], samples, limit, each=count)
