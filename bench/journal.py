"""What it costs that nothing is lost: nodes that do nothing and give one row, with the journal and without.

The bar is 0.3 ms a node and one digest of its table, by the wall clock. (ext4 takes ten times as long to make a file
while as many have been removed in the last five seconds, so nothing is removed in between.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa

from bench.measure import Line, Sample, holds, median, micro
from bench.noop import layers, nfrun, turns
from bench.peers import Engine, Shape
from nfrun.tables.digest import table_digest

_BAR = 300e-6  # seconds a node


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """What the journal adds to a node of 100, and of 1,000."""
    for count in (100, 1_000):
        shape = Shape(layers(count), "row", hands_on=True)
        among: dict[str, Engine] = {
            "with": partial(nfrun, work=folder / "runs", journal=True),
            "without": partial(nfrun, work=folder / "runs", journal=False),
            "digest": _digests,
        }
        found = turns(shape, among, repeat)
        for clock in ("wall", "cpu"):
            yield _line(f"journal, {count:,} nodes: {clock}, what it adds / 0.3 ms and a digest", found, count, clock)


def _digests(shape: Shape, workers: int) -> Callable[[], None]:
    """As many digests as there are nodes, one after the other, of tables such as they give."""
    table = pa.table({"value": [0.5]})

    def run() -> None:
        for _ in shape.needs:
            table_digest(table)

    return run


def _line(what: str, found: dict[str, list[Sample]], count: int, clock: str) -> Line:
    with_it, without, digests = (
        [getattr(sample, clock) / count for sample in found[name]] for name in ("with", "without", "digest")
    )
    allowed = _BAR + median(digests)
    added = [(a - b) / allowed for a, b in zip(with_it, without, strict=True)]
    ratio = (median(with_it) - median(without)) / allowed
    bar = "<= 1.0" if clock == "wall" else ""
    told = f"{micro(with_it)} a node with, {micro(without)} without"
    return Line(what, told, f"300 us and {micro(digests)}", ratio, bar, holds(ratio, bar), min(added), max(added))
