"""What it costs that nothing is lost: nodes that do nothing and give one row, with the journal and without.

The bar is 0.3 ms a node by the wall clock. (ext4 takes ten times as long to make a file while as many have been removed
in the last five seconds, so nothing is removed in between.)
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench.measure import Line, Sample, holds, median, micro
from bench.noop import layers, nfrun, turns
from bench.peers import Shape

_BAR = 300e-6  # seconds a node


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """What the journal adds to a node of 100, and of 1,000."""
    for count in (100, 1_000):
        shape = Shape(layers(count), "row", hands_on=True)
        among = {
            "with": partial(nfrun, work=folder / "runs", journal=True),
            "without": partial(nfrun, work=folder / "runs", journal=False),
        }
        found = turns(shape, among, repeat)
        for clock in ("wall", "cpu"):
            yield _line(f"journal, {count:,} nodes: {clock}, what it adds / 0.3 ms", found, count, clock)


def _line(what: str, found: dict[str, list[Sample]], count: int, clock: str) -> Line:
    with_it, without = ([getattr(sample, clock) / count for sample in found[name]] for name in ("with", "without"))
    added = [(a - b) / _BAR for a, b in zip(with_it, without, strict=True)]
    ratio = (median(with_it) - median(without)) / _BAR
    bar = "<= 1.0" if clock == "wall" else ""
    told = f"{micro(with_it)} a node with, {micro(without)} without"
    return Line(what, told, "300 us", ratio, bar, holds(ratio, bar), min(added), max(added))
