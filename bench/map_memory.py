"""Measures the memory of a mapped node with millions of rows that get a text of a kilobyte each.

The table is far larger than what the run may hold in memory: the rows are written as they come.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from bench.measure import Line, holds
from bench.whole_processes import usage_of

_ROWS = 5_000_000
_FEW = 10
_WIDTH = 1024  # bytes that a row gets
_MOST = "<= 0.1"  # of the table, beyond what a run of a few rows takes: keys and places take some 100 bytes a row

_PIPELINE = """
params: {rows: 10}
nodes:
  rows: {python: "bench.nodes.map_steps:numbers", with: {rows: "${{ params.rows }}"}}
  wide: {python: "bench.nodes.map_steps:wide", inputs: rows, map: {over: rows, batch: 1000}}
outputs: {wide: wide}
"""


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Yield a row for a run that computes all results, and one for a run that finds them again."""
    del repeat  # it takes a minute, and the memory hardly differs
    if not sys.platform.startswith("linux"):
        return
    pipeline = folder / "wide.yaml"
    pipeline.write_text(_PIPELINE, encoding="utf-8")
    run = ("-m", "nfrun", "run", str(pipeline), "-q", "-j", "2")
    few = usage_of(*run, "-p", f"rows={_FEW}").anonymous
    for what, rows in (("computed", _ROWS), ("found again, with a new one", _ROWS + 1)):
        usage = usage_of(*run, "-p", f"rows={rows}")
        more = usage.anonymous - few
        ratio = more / (_ROWS * _WIDTH)
        measured, against = f"{more / 1e6:.0f} MB, {usage.wall:.0f} s wall", f"{_ROWS * _WIDTH / 1e6:.0f} MB"
        yield Line(f"{_ROWS:,} rows of a kilobyte {what}: memory", measured, against, ratio, _MOST, holds(ratio, _MOST))
