"""Measures the two pipelines of the blog post that nfrun follows, as sleeping nodes with the same total times.

With 5 nodes: 800 ms one after the other, 240 ms on the longest path, 380 ms with a barrier after every stage. With 20
nodes: 3.2 s, 680 ms, 1.12 s. Nodes wait, as for a model or a service, and hand on a small table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench import noop, peers
from bench.measure import Line, Sample, clocked, holds, interleaved, median, spread, versus
from bench.peers import Engine, Shape
from nfrun.core.plan import make_stages

_STEPS = """
import time
import pyarrow as pa

TABLE = pa.table({"x": range(1000)})

def wait(ms, **inputs):
    time.sleep(ms / 1000)
    return TABLE
"""

# node: (milliseconds, the node that it reads)
FIVE = {"a": (60, ""), "b": (200, ""), "c": (180, ""), "d": (180, ""), "e": (180, "a")}
TWENTY = {
    f"c{chain}s{stage}": (
        {(0, 3): 140, (4, 3): 120}.get((chain, stage), 280 if chain == stage else 130),
        f"c{chain}s{stage - 1}" if stage else "",
    )
    for chain in range(5)
    for stage in range(4)
}
SHAPES = {"blog-5": FIVE, "blog-20": TWENTY}


def write(folder: Path, name: str) -> Path:
    """Write one of SHAPES as a pipeline with its functions. Returns the pipeline file."""
    (folder / "waiting.py").write_text(_STEPS, encoding="utf-8")
    lines = ["nodes:"]
    for node, (milliseconds, reads) in SHAPES[name].items():
        inputs = f", inputs: {reads}" if reads else ""
        lines.append(f"  {node}: {{python: 'waiting:wait', with: {{ms: {milliseconds}}}{inputs}}}")
    path = folder / f"{name}.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def bounds(name: str) -> tuple[float, float, float]:
    """Return the least seconds that a shape can take: one after the other, eagerly, and with barriers."""
    shape = SHAPES[name]
    graph = {node: [reads] if reads else [] for node, (_, reads) in shape.items()}
    ends: dict[str, float] = {}
    for stage in make_stages(graph):
        for node in stage:
            ends[node] = shape[node][0] + max((ends[need] for need in graph[node]), default=0.0)
    barriers = sum(max(shape[node][0] for node in stage) for stage in make_stages(graph))
    return sum(ms for ms, _ in shape.values()) / 1e3, max(ends.values()) / 1e3, barriers / 1e3


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Compare makespans in a warm process to the lower bound of each schedule and to other engines.

    Against the bounds, nfrun is measured by the run's own clock. Against other engines, its start and end count too.
    """
    for name, nodes in SHAPES.items():
        shape, workers = shape_of(name), len(nodes)
        ours = partial(noop.nfrun, work=folder / "runs")
        engines: dict[str, Engine] = {
            "nfrun, start and end": ours,
            **{engine: peers.LOOPS[engine] for engine in ("loop", "gather by stages")},
            **peers.libraries(),
        }
        schedules = {schedule: partial(ours, schedule=schedule) for schedule in ("eager", "staged", "sequential")}
        variants: dict[str, Callable[[], Sample]] = {
            **{schedule: partial(_own_clock, engine, shape, workers) for schedule, engine in schedules.items()},
            **{engine: partial(noop.turn, prepare, shape, workers) for engine, prepare in engines.items()},
        }
        interleaved(variants, 1)
        found = interleaved(variants, repeat)
        work, longest, barriers = bounds(name)
        for schedule, bound, what, bar in (
            ("eager", longest, "longest path", "<= 1.01"),
            ("staged", barriers, "slowest of each stage", "<= 1.03"),
            ("sequential", work, "sum", "<= 1.03"),
        ):
            yield _against_bound(f"{name}, {schedule}: makespan / {what}", found[schedule], bound, bar)
        for engine in engines:
            yield _against_bound(f"{name}, {engine}: makespan / longest path", found[engine], longest, "")
        yield versus(f"{name}: sequential / eager", found["sequential"], found["eager"], by="wall")


def _own_clock(prepare: Callable[[Shape, int], Callable[[], float]], shape: Shape, workers: int) -> Sample:
    run = prepare(shape, workers)
    seconds: list[float] = []
    sample = clocked(lambda: seconds.append(run()))
    return replace(sample, wall=seconds[0])


def shape_of(name: str) -> Shape:
    """Return one of SHAPES in the form that engines take."""
    nodes = SHAPES[name]
    needs = {node: (reads,) if reads else () for node, (_, reads) in nodes.items()}
    return Shape(needs, "wait", {node: {"ms": ms} for node, (ms, _) in nodes.items()}, hands_on=True)


def _against_bound(what: str, samples: list[Sample], bound: float, bar: str) -> Line:
    walls = [sample.wall for sample in samples]
    ratio = median(walls) / bound
    times = f"{spread(walls)}, {median([sample.cpu for sample in samples]) * 1e3:.1f} ms CPU"
    against = f"{bound * 1e3:.0f} ms"
    return Line(what, times, against, ratio, bar, holds(ratio, bar), min(walls) / bound, max(walls) / bound, wall=ratio)
