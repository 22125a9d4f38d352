"""Measures the pages of runs: how long `nfrun report` takes in a fresh process, how large the file is, and how long
Chromium takes to draw it, where that is installed.

These are pages of flights, of a run that failed, and of 1,000 and 10,000 nodes that hand on small tables.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from bench.flights import FLIGHTS
from bench.measure import Line, Sample, holds, interleaved, median, spread
from bench.startup import fresh
from tests.lookback.browser import Browser, why_no_browser

_STEPS = """
import pyarrow as pa

TABLE = pa.table({"x": range(20), "name": [f"row {i}" for i in range(20)], "value": [i / 3 for i in range(20)]})

def make(**inputs):
    return TABLE

def fail(**inputs):
    print("about to fail")
    raise ValueError("no such thing")
"""
# The seconds that a page may take, and the bytes of its file.
_BARS: Mapping[str, tuple[float, float]] = {
    "flights": (1.0, 150e3),
    "a failed run": (1.0, 150e3),
    "1,000 nodes": (1.0, 3e6),
    "10,000 nodes": (3.0, 0.0),
}


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Measure each page, in turns."""
    runs = {
        "flights": FLIGHTS / "flights.yaml",
        "a failed run": _write(folder / "failed", 20, fails=True),
        "1,000 nodes": _write(folder / "1000", 1_000),
        "10,000 nodes": _write(folder / "10000", 10_000),
    }
    variants: dict[str, Callable[[], Sample]] = {}
    for name, pipeline in runs.items():
        work, page = folder / f"work of {name}", folder / f"{name}.html"
        run = [sys.executable, "-m", "nfrun", "run", str(pipeline), "-q", "--keep-going", "--work", str(work)]
        subprocess.run(run, stdin=subprocess.DEVNULL, capture_output=True, check=False)  # one of them fails
        report = [sys.executable, "-m", "nfrun", "report", "--work", str(work), "-o", str(page)]
        variants[name] = partial(fresh, report, os.environ)
    interleaved(variants, 1)
    for name, found in interleaved(variants, repeat).items():
        yield from _lines(name, found, (folder / f"{name}.html").stat().st_size)
    yield from _drawn(folder, repeat)


def _drawn(folder: Path, repeat: int) -> Iterator[Line]:
    """Measure how long it takes from the start of loading until a page is drawn."""
    if why := why_no_browser():
        print(f"how long pages take to be drawn is left out: {why}", file=sys.stderr)
        return
    browser = Browser(folder / "chromium")
    try:
        variants = {name: partial(browser.drawn, folder / f"{name}.html") for name in _BARS}
        interleaved(variants, 1)
        for name, found in interleaved(variants, repeat).items():
            walls, bar = [wall for wall, _ in found], "<= 1.0" if name != "10,000 nodes" else ""
            figures = f"{spread(walls)} wall, {spread([cpu for _, cpu in found])} CPU"
            ratio = median(walls)
            yield Line(f"page of {name}: drawn / 1 s", figures, "1 s", ratio, bar, holds(ratio, bar), *_ends(walls))
    finally:
        browser.close()


def _ends(values: list[float]) -> tuple[float, float]:
    return min(values), max(values)


def _lines(name: str, found: list[Sample], size: int) -> Iterator[Line]:
    seconds, most = _BARS[name]
    walls = [sample.wall for sample in found]
    ratio, bar = median(walls) / seconds, "<= 1.0"
    figures = f"{spread(walls)} wall, {spread([sample.cpu for sample in found])} CPU"
    bounds = min(walls) / seconds, max(walls) / seconds
    yield Line(f"page of {name}: made / {seconds:.0f} s", figures, f"{seconds:.0f} s", ratio, bar, ratio <= 1, *bounds)
    share, limit = (size / most, bar) if most else (size / 1e6, "")
    against = f"{most / 1e3:,.0f} kB" if most else "1,000 kB"
    yield Line(f"page of {name}: size", f"{size / 1e3:,.0f} kB", against, share, limit, holds(share, limit))


def _write(folder: Path, nodes: int, *, fails: bool = False) -> Path:
    """Write a pipeline whose nodes read up to three of the 50 nodes before them. Returns its file."""
    folder.mkdir()
    draw = random.Random(3)
    lines = ["nodes:"]
    for i in range(nodes):
        reads = sorted(draw.sample(range(max(0, i - 50), i), min(i, draw.randint(0, 3))))
        inputs = ", ".join(f"from_{j}: n{j}" for j in reads)
        function = "fail" if fails and i % 7 == 6 else "make"
        lines.append(f"  n{i}: {{python: 'steps:{function}', inputs: {{{inputs}}}}}")
    (folder / "steps.py").write_text(_STEPS, encoding="utf-8")
    pipeline = folder / "pipeline.yaml"
    pipeline.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return pipeline
