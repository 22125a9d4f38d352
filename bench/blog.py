"""The pipelines of the account that nfrun follows, as sleeping nodes with the same sums.

Of 5 nodes: 800 ms one after the other, 240 ms on the longest path, 380 ms with a barrier after every stage. Of 20
nodes: 3.2 s, 680 ms, 1.12 s. Nodes wait, as for a model or a service, and hand on a small table.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.measure import Line, interleaved, median, run_here, spread
from nfrun.plan import make_stages

_STEPS = """
import time
import pyarrow as pa

TABLE = pa.table({"x": range(1000)})

def wait(ms, **inputs):
    time.sleep(ms / 1000)
    return TABLE
"""

# name: (milliseconds, what it reads)
FIVE = {"a": (60, ""), "b": (200, ""), "c": (180, ""), "d": (180, ""), "e": (180, "a")}
TWENTY = {
    f"c{chain}s{stage}": (
        {(0, 3): 140, (4, 3): 120}.get((chain, stage), 280 if chain == stage else 130),
        f"c{chain}s{stage - 1}" if stage else "",
    )
    for chain in range(5)
    for stage in range(4)
}
BAR = 1.03
SHAPES = {"blog-5": FIVE, "blog-20": TWENTY}


def write(folder: Path, name: str) -> Path:
    """Write one of SHAPES as a pipeline with its functions; returns the pipeline file."""
    (folder / "waiting.py").write_text(_STEPS, encoding="utf-8")
    lines = ["nodes:"]
    for node, (milliseconds, reads) in SHAPES[name].items():
        inputs = f", inputs: {reads}" if reads else ""
        lines.append(f"  {node}: {{python: 'waiting:wait', with: {{ms: {milliseconds}}}{inputs}}}")
    path = folder / f"{name}.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def bounds(name: str) -> tuple[float, float, float]:
    """Seconds that the shape takes at best: one after the other, eagerly, and with barriers."""
    shape = SHAPES[name]
    graph = {node: [reads] if reads else [] for node, (_, reads) in shape.items()}
    ends: dict[str, float] = {}
    for stage in make_stages(graph):
        for node in stage:
            ends[node] = shape[node][0] + max((ends[need] for need in graph[node]), default=0.0)
    barriers = sum(max(shape[node][0] for node in stage) for stage in make_stages(graph))
    return sum(ms for ms, _ in shape.values()) / 1e3, max(ends.values()) / 1e3, barriers / 1e3


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Makespans inside a warm process, each against the bound that its schedule has."""
    for name in SHAPES:
        path = write(folder, name)
        workers = len(SHAPES[name])
        run_here(path, slots=workers)
        work, longest, barriers = bounds(name)

        def makespan(schedule: str, path: Path = path, workers: int = workers) -> float:
            return float(run_here(path, slots=workers, schedule=schedule)["wall_s"])

        found = interleaved({s: lambda s=s: makespan(s) for s in ("eager", "staged", "sequential")}, repeat)  # type: ignore[misc]
        for schedule, bound, what in (
            ("eager", longest, "longest path"),
            ("staged", barriers, "slowest of each stage"),
            ("sequential", work, "sum"),
        ):
            ratio = median(found[schedule]) / bound
            yield Line(
                f"{name}, {schedule}: makespan / {what}",
                spread(found[schedule]),
                f"{bound * 1e3:.0f} ms",
                ratio,
                f"<= {BAR}",
                ratio <= BAR,
            )
        one, many = found["sequential"], found["eager"]
        yield Line(f"{name}: sequential / eager", spread(one), spread(many), median(one) / median(many))
