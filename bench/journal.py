"""Measures the cost of the journal: no-op nodes that return one row, with the journal and without.

The limit is 0.3 ms per node plus one digest of its table, in wall time. Nothing is removed between runs: ext4 takes ten
times as long to create a file if as many were removed in the last five seconds.
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

_LIMIT = 300e-6  # seconds per node


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Measure what the journal adds per node, in runs of 100 and of 1,000 nodes."""
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
    """Return a function that computes one digest per node, one after the other, of a table like the nodes'."""
    table = pa.table({"value": [0.5]})

    def run() -> None:
        for _ in shape.needs:
            table_digest(table)

    return run


def _line(what: str, found: dict[str, list[Sample]], count: int, clock: str) -> Line:
    with_journal, without, digests = (
        [getattr(sample, clock) / count for sample in found[name]] for name in ("with", "without", "digest")
    )
    allowed = _LIMIT + median(digests)
    added = [(a - b) / allowed for a, b in zip(with_journal, without, strict=True)]
    ratio = (median(with_journal) - median(without)) / allowed
    bar = "<= 1.0" if clock == "wall" else ""
    figures = f"{micro(with_journal)} a node with, {micro(without)} without"
    return Line(what, figures, f"300 us and {micro(digests)}", ratio, bar, holds(ratio, bar), min(added), max(added))
