"""Measures what it costs to find out that nothing has to run: a run in a fresh process, after a run of all nodes.

It computes the keys of all nodes, from their code, versions and files. Beside it are a first run and `nfrun plan
--fresh`, which reads the same pipeline and computes no keys. CPU time is that of the whole process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count
from pathlib import Path

from bench.flights import FLIGHTS
from bench.measure import Line, Sample, holds, interleaved, median, spread, versus
from bench.startup import fresh, without_numpy

# The limits of a run that reuses all one-row nodes, by their number, against reading the file.
_ROWS = {1_000: "<= 2.7", 10_000: "<= 3.6"}
_BEYOND_IMPORTS = 0.1  # seconds that flights may take to be reused, beyond its imports
_NODES = 1_000
_FUNCTION = "def f{0}(n):\n    total = sum(x * {0} for x in range(n))\n    return {{'n': n, 'total': total}}\n\n\n"


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Measure nodes with a function each, which return one row, and the flights pipeline."""
    for nodes, bar in _ROWS.items():
        yield from _of_rows(nodes, bar, folder / f"rows-{nodes}", min(repeat, 3) if nodes > _NODES else repeat)
    yield from _of_pipeline(f"{_NODES:,} one-row nodes", write_nodes(folder), folder / "many", repeat)
    yield from _against_imports(folder / "imports", repeat)
    yield from _of_pipeline("flights", FLIGHTS / "flights.yaml", folder / "flights", repeat)


def _against_imports(folder: Path, repeat: int) -> Iterator[Line]:
    """Measure flights run again, by wall time, against the imports that reading its file and its result needs.

    Without numpy and pandas, which Arrow imports where they are installed.
    """
    folder.mkdir()
    environ = without_numpy(folder)
    run = [sys.executable, "-m", "nfrun", "run", str(FLIGHTS / "flights.yaml"), "--work", str(folder / "work")]
    imports = [sys.executable, "-c", "import pyarrow, yaml"]
    ways: Mapping[str, Callable[[], Sample]] = {
        "reused": partial(fresh, run, environ),
        "imports": partial(fresh, imports, environ),
    }
    interleaved(ways, 1)
    found = interleaved(ways, max(repeat, 9))
    yield versus("flights: all reused / imports of pyarrow and yaml", found["reused"], found["imports"], by="wall")
    beyond = [ours.wall - theirs.wall for ours, theirs in zip(found["reused"], found["imports"], strict=True)]
    ratio = median(beyond) / _BEYOND_IMPORTS
    bounds = (min(beyond) / _BEYOND_IMPORTS, max(beyond) / _BEYOND_IMPORTS)
    what, allowed = "flights: all reused, beyond these imports", f"{_BEYOND_IMPORTS * 1e3:.0f} ms"
    yield Line(what, f"{spread(beyond)} wall", f"{allowed} wall", ratio, "<= 1.0", holds(ratio, "<= 1.0"), *bounds)


def _of_rows(nodes: int, bar: str, folder: Path, repeat: int) -> Iterator[Line]:
    """Measure runs that reuse all nodes, each a function of one line, by wall time: nearly all is nfrun's own work."""
    folder.mkdir()
    lines = (f"def f{i}(): return {{'x': {i}}}\n" for i in range(nodes))
    (folder / "rows.py").write_text("".join(lines), encoding="utf-8")
    pipeline = folder / "rows.yaml"
    listed = "".join(f"  n{i}: {{python: 'rows:f{i}'}}\n" for i in range(nodes))
    pipeline.write_text(f"nodes:\n{listed}", encoding="utf-8")
    nfrun = [sys.executable, "-m", "nfrun"]
    ways: Mapping[str, Callable[[], Sample]] = {
        "reused": partial(fresh, [*nfrun, "run", str(pipeline), "-q", "--work", str(folder / "work")], os.environ),
        "plan": partial(fresh, [*nfrun, "plan", "--fresh", str(pipeline)], os.environ),
    }
    interleaved(ways, 1)  # what is reused
    found = interleaved(ways, repeat)
    yield versus(f"{nodes:,} nodes of one line: all reused / plan", found["reused"], found["plan"], bar, by="wall")


def write_nodes(folder: Path) -> Path:
    """Write a pipeline of 1,000 nodes with a function each. Returns its file."""
    (folder / "steps.py").write_text("".join(_FUNCTION.format(i) for i in range(_NODES)), encoding="utf-8")
    nodes = (f'  n{i}: {{python: "steps:f{i}", with: {{n: {i % 7}}}}}\n' for i in range(_NODES))
    pipeline = folder / "many.yaml"
    pipeline.write_text("nodes:\n" + "".join(nodes), encoding="utf-8")
    return pipeline


def _of_pipeline(name: str, pipeline: Path, works: Path, repeat: int) -> Iterator[Line]:
    numbers = count()
    run = [sys.executable, "-m", "nfrun", "run", str(pipeline), "--json", "--work"]

    def first() -> Sample:
        return fresh([*run, str(works / str(next(numbers)))], os.environ)

    variants: Mapping[str, Callable[[], Sample]] = {
        "reused": partial(fresh, [*run, str(works / "0")], os.environ),
        "a first run": first,
        "plan": partial(fresh, [sys.executable, "-m", "nfrun", "plan", "--fresh", str(pipeline)], os.environ),
    }
    first()  # what is reused
    interleaved(variants, 1)
    found = interleaved(variants, repeat)
    for against, bar in (("a first run", "<= 1.0"), ("plan", "")):
        yield versus(f"{name}: all reused / {against}", found["reused"], found[against], bar)
