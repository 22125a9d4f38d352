"""Holds the predictions of a run's page against real runs: what a run with 2 slots says of 1, 4 and 8.

The nodes are scripts that wait. The shapes are those of a random graph, of the blog post that nfrun follows, and of
flights, whose nodes wait as long as they took in a run, times one factor.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.blog import TWENTY
from bench.flights import FLIGHTS
from bench.measure import Line, holds, median, run_fresh, spread
from nfrun.history.work_dir import WorkDir
from nfrun.lookback.page.recorded import read_recorded
from nfrun.lookback.page.run_data import run_data
from nfrun.lookback.run_reference import find_run
from nfrun.system.logs.redaction import Redactor

_SECONDS = 24.0  # of all nodes together
_RECORDED, _OTHERS = 2, (1, 4, 8)  # slots
_BAR = "<= 1.05"

Shape = Mapping[str, tuple[float, list[str]]]  # of each node, how long it waits, and which nodes it needs


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Measure how far the prediction and the run are apart: the larger divided by the smaller."""
    for name, shape in _shapes(folder).items():
        pipeline = _write(folder, name, shape)
        predicted: dict[int, list[float]] = {slots: [] for slots in _OTHERS}
        taken: dict[int, list[float]] = {slots: [] for slots in _OTHERS}
        for turn in range(min(repeat, 3)):
            work, _ = _run(folder, pipeline, f"{name}-{turn}-recorded", _RECORDED)
            document = run_data(work, find_run(work, None), Redactor(()))
            found = {each["slots"]: each["seconds"] for each in document["what_if"]["slots"]}
            for slots in _OTHERS:
                # With more slots than the page tries, the run takes as long as at best.
                predicted[slots].append(found.get(slots, document["what_if"]["best"]))
                taken[slots].append(_run(folder, pipeline, f"{name}-{turn}-{slots}", slots)[1])
        for slots in _OTHERS:
            yield _line(f"what if, {name}: -j {slots}, predicted from -j {_RECORDED}", taken[slots], predicted[slots])


def _line(what: str, taken: list[float], predicted: list[float]) -> Line:
    off = [max(a / b, b / a) for a, b in zip(taken, predicted, strict=True)]
    ratio = median(off)
    return Line(
        what, f"{spread(taken)} taken", f"{spread(predicted)}", ratio, _BAR, holds(ratio, _BAR), min(off), max(off)
    )


def _shapes(folder: Path) -> dict[str, Shape]:
    draw = random.Random(5)
    by_chance = {
        f"n{i}": (draw.uniform(0.2, 1.5), [f"n{j}" for j in sorted(draw.sample(range(i), min(i, draw.randint(0, 2))))])
        for i in range(40)
    }
    blog = {node: (milliseconds / 1e3, [reads] if reads else []) for node, (milliseconds, reads) in TWENTY.items()}
    shapes = {"random": by_chance, "blog-20": blog, "flights": _flights(folder)}
    return {name: _scaled(shape) for name, shape in shapes.items()}


def _flights(folder: Path) -> Shape:
    """Run flights, and return its nodes with the times that they took."""
    run_fresh("run", str(FLIGHTS / "flights.yaml"), "-q", "--fresh", "--work", str(folder / "flights"))
    found = read_recorded(find_run(WorkDir(folder / "flights"), None))
    return {name: (span.work, list(found.graph.upstream(name))) for name, span in found.spans.items()}


def _scaled(shape: Shape) -> Shape:
    factor = _SECONDS / sum(seconds for seconds, _ in shape.values())
    return {name: (max(0.05, seconds * factor), needs) for name, (seconds, needs) in shape.items()}


def _write(folder: Path, name: str, shape: Shape) -> Path:
    lines = ["nodes:"]
    for node, (seconds, needs) in shape.items():
        lines.append(f"  {node}: {{run: sleep {seconds:.3f}, needs: {json.dumps(needs)}}}")
    path = folder / f"{name}.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _run(folder: Path, pipeline: Path, name: str, slots: int) -> tuple[WorkDir, float]:
    """Run a pipeline for the first time. Returns its work folder, and the seconds of the run."""
    work = folder / name
    _, out = run_fresh("run", str(pipeline), "-q", "--json", "-j", str(slots), "--work", str(work))
    return WorkDir(work), float(json.loads(out)["wall_s"])
