"""Nodes that do nothing: what nfrun itself costs, beside loops written by hand and other engines.

Clocks run from the plan to the end of the run, with timings and records on; sorting and building are not timed, for
none of the engines. The bar is on CPU time: on a machine where others are at work it says more than the wall clock.
"""

from __future__ import annotations

import os
import random
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from bench import peers
from bench.measure import Line, Sample, clocked, interleaved, versus
from bench.peers import Engine, Shape
from nfrun.cache.journal import RunHeader
from nfrun.cache.run_cache import RunCache
from nfrun.cache.work_dir import LOGS, WorkDir, new_run_id
from nfrun.core.events import NodeLogged, NodeProgressed
from nfrun.core.pipeline import Input, NodeSpec, Pipeline
from nfrun.core.plan import SCHEDULES, Plan, plan_of
from nfrun.engine.attempt import AttemptRunner
from nfrun.engine.event_dispatch import EventDispatcher
from nfrun.engine.executors.threads import ThreadExecutor
from nfrun.engine.gil_contention import GilContention
from nfrun.engine.node_stats import NodeStatsFile, read_node_stats
from nfrun.engine.runner import Run
from nfrun.logs.node_logs import Logs
from nfrun.reports.run_record import RunRecord
from nfrun.tables.store import TableStore

WORKERS = 2
_NODES = Path(__file__).parent / "nodes"
# Building a pipeline of 1,000 takes pipefunc 20 s, and grows with the square.
_MOST = {"pipefunc": 200}


def nfrun(
    shape: Shape, workers: int, *, work: Path, schedule: str = "eager", handoff: str = "auto", journal: bool = False
) -> Callable[[], float]:
    """A run as `nfrun run -q` makes it, its parts joined as `nfrun.cli.run` joins them; the folder of runs is `work`.

    With `journal` it leaves what `--resume` needs, and else nothing but what it keeps. Returns the seconds of the run
    by its own clock, which leaves out the start and the end around it.
    """
    pipeline = _pipeline(shape)
    plan = SCHEDULES[schedule](plan_of(pipeline, slots=workers))
    return partial(_run, pipeline, plan, work, handoff, journal)


def _run(pipeline: Pipeline, plan: Plan, work: Path, handoff: str, journal: bool) -> float:
    run_id = new_run_id()
    work_folder = WorkDir(work)
    folder = work_folder.make_run_folder(run_id)
    telling = EventDispatcher(
        [RunRecord(plan), NodeStatsFile(work, pipeline.file, read_node_stats(work, pipeline.file))]
    )
    contention = GilContention()
    book = None
    if journal:
        started = RunHeader(run_id, Path(pipeline.file).name, 1)
        book = RunCache.open(pipeline, plan, work_folder, folder, started, resume=False, keep=True, fsync=False)
    tell = telling.emit if book is None else book.journal_first(telling.emit)
    run = Run(plan, tell, seed=zlib.crc32(run_id.encode()), on_wake=contention.look)
    store = TableStore(
        folder,
        mode=handoff,
        retained=plan.retained,
        on_published=run.output_published,
        on_error=run.abort,
        persistent=journal,
    )

    def log(node: str, level: str, line: str) -> None:
        telling.emit(NodeLogged(run.now(), node, level, line))

    def progress(node: str, done: float, total: float | None) -> None:
        telling.emit(NodeProgressed(run.now(), node, done, total))

    nodes = AttemptRunner(
        pipeline,
        store,
        run_id,
        folder / "scratch",
        os.environ.copy(),
        Logs(log, folder / LOGS),
        progress,
        contention=contention,
    )
    make = nodes if book is None else book.with_cache(nodes, store, run.abort)
    try:
        end = run.go(lambda settle: ThreadExecutor(make, settle), store)
    finally:
        trouble = "" if book is None else book.close()
        telling.close()
        store.close()
        if not journal:  # else there are as many files as nodes, and to remove them would slow the next run down
            shutil.rmtree(folder, ignore_errors=True)
    if end.status != "ok" or telling.stopped or trouble:
        raise RuntimeError(
            f"the run ended as {end.status} {end.error}, without {trouble or telling.stopped or 'nothing'}"
        )
    return end.at


def _pipeline(shape: Shape) -> Pipeline:
    nodes = {
        name: NodeSpec(
            id=name,
            kind="python",
            body=f"steps:{shape.function}",
            inputs=tuple(Input(need, need, need) for need in needs) if shape.hands_on else (),
            with_=shape.given.get(name, {}),
            outputs=(),
            needs=() if shape.hands_on else needs,
            env={},
        )
        for name, needs in shape.needs.items()
    }
    return Pipeline(str(_NODES / "noop.yaml"), str(_NODES), "noop", "", {}, {}, nodes, {})


def chain(count: int) -> dict[str, tuple[str, ...]]:
    """Each needs the one before."""
    return {f"n{i}": (f"n{i - 1}",) if i else () for i in range(count)}


def fan_out(count: int) -> dict[str, tuple[str, ...]]:
    """All need the first."""
    return {f"n{i}": ("n0",) if i else () for i in range(count)}


def layers(count: int, inputs: int = 3) -> dict[str, tuple[str, ...]]:
    """As many layers as each is wide; each node needs some at random of the layer before. The same at every call."""
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
    """All that can be had here and can build as many nodes; nfrun first, since what comes later is held against it."""
    found: dict[str, Engine] = {"nfrun": partial(nfrun, work=folder / "runs"), **peers.LOOPS, **peers.libraries()}
    found.pop("pipefunc by generation", None)  # differs from pipefunc where nodes take time
    return {name: engine for name, engine in found.items() if nodes <= _MOST.get(name, nodes)}


def turn(engine: Engine, shape: Shape, workers: int) -> Sample:
    """Have the engine prepare the shape, then clock one run of it."""
    return clocked(engine(shape, workers))


def turns(shape: Shape, among: Mapping[str, Engine], repeat: int) -> dict[str, list[Sample]]:
    """Run the shape by each engine in turns, prepared anew each time, after a turn that does not count."""
    variants = {name: partial(turn, engine, shape, WORKERS) for name, engine in among.items()}
    interleaved(variants, 1)
    return interleaved(variants, repeat)


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """CPU time of a node: first nodes that hand nothing on, then nodes that hand on a table of one row."""
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
            held = bar if name == "loop" else ""
            yield versus(f"{what}: nfrun / {name}", found["nfrun"], samples, held, each=count)
