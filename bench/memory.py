"""Measures the memory of 10,000 no-op nodes, by engine, each in a fresh process.

The result is how much the process grew after a run of 100 nodes, when libraries and threads are already in place.
`python -m bench.memory ENGINE` runs as that process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench import noop, table_memory
from bench.measure import Line, interleaved, median
from bench.noop import WORKERS
from bench.peers import Shape
from nfrun.system.runtime import peak_rss

NODES = 10_000
_FEW = 100


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Compare nfrun to each other engine, and measure the memory of tables.

    Peaks vary little, so at most three rounds are enough.
    """
    names = list(noop.engines(folder, NODES))
    found = interleaved({name: partial(fresh, name) for name in names}, min(repeat, 3))
    ours = found["nfrun"]
    for name in names[1:]:
        theirs = found[name]
        ratio = median([grew for grew, _ in ours]) / median([grew for grew, _ in theirs])
        turns = [a / b for (a, _), (b, _) in zip(ours, theirs, strict=True)]
        what = f"memory of {NODES:,} no-op nodes: nfrun / {name}"
        yield Line(what, _figures(ours), _figures(theirs), ratio, low=min(turns), high=max(turns))
    yield from table_memory.measure(folder, repeat)


def fresh(engine: str) -> tuple[float, float]:
    """Run the nodes in a fresh process. Returns its growth and its peak in bytes. Raises CalledProcessError."""
    done = subprocess.run([sys.executable, "-m", "bench.memory", engine], check=True, capture_output=True, text=True)
    grew, peak = json.loads(done.stdout)
    return float(grew), float(peak)


def main(engine: str) -> None:
    """Run 100 nodes, then 10,000, and print the growth of the peak and the peak, in bytes, as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        run = noop.engines(Path(folder), NODES)[engine]
        run(Shape(noop.layers(_FEW), "nothing"), WORKERS)()
        before = peak_rss()
        run(Shape(noop.layers(NODES), "nothing"), WORKERS)()
        peak = peak_rss()
    print(json.dumps([peak - before, peak]))


def _figures(samples: list[tuple[float, float]]) -> str:
    return f"{median([g for g, _ in samples]) / 1e6:.1f} MB, {median([p for _, p in samples]) / 1e6:.0f} MB in all"


if __name__ == "__main__":
    main(sys.argv[1])
