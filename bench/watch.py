"""Measures what it costs to see what nodes open: no-op nodes with the audit hook and without.

An audit hook cannot be removed, so each run has a process of its own, in which a run before it warms up.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench.measure import Line, Sample, clocked, interleaved, versus
from bench.noop import WORKERS, layers, nfrun
from bench.peers import Shape

_NODES = 10_000


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Measure 10,000 nodes that do nothing."""
    variants = {name: partial(_fresh, name, folder) for name in ("watched", "unwatched")}
    interleaved(variants, 1)
    found = interleaved(variants, max(repeat, 5))
    what = f"no-op, layers, {_NODES:,}: with the audit hook / without"
    yield versus(what, found["watched"], found["unwatched"], "<= 1.03", each=_NODES)


def _fresh(variant: str, folder: Path) -> Sample:
    """Measure one run in a process of its own. Raises CalledProcessError."""
    command = [sys.executable, "-m", "bench.watch", variant, str(folder / variant)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    cpu, wall = map(float, done.stdout.split())
    return Sample(cpu, wall)


def main(variant: str, folder: str) -> None:
    """Run twice, and print the CPU and wall seconds of the second run."""
    shape = Shape(layers(_NODES), "nothing")
    runs = [nfrun(shape, WORKERS, work=Path(folder), watched=variant == "watched") for _ in range(2)]
    runs[0]()
    found = clocked(runs[1])
    print(found.cpu, found.wall)


if __name__ == "__main__":
    main(*sys.argv[1:])
