"""Measures a run that reuses everything in a work folder with 300 runs, against one in a folder with two.

All runs have 1,000 nodes. Each journal but the first two is a copy, as that of a run which reused everything.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.measure import Line, holds, interleaved, median, spread
from bench.reuse import write_nodes
from nfrun.history.journal_text import with_checksum
from nfrun.history.work_dir import JOURNAL

_RUNS, _BAR = 300, "<= 1.3"


@dataclass(frozen=True)
class Run:
    """One run in a fresh process: its wall seconds, and its peak memory in bytes."""

    wall: float
    peak: float


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Measure time and peak memory, and the first run after the index was lost."""
    pipeline = write_nodes(folder)
    few, many = folder / "few", folder / "many"
    for work in (few, many):
        for _ in range(2):  # the second has nothing but reused nodes
            _run(pipeline, work)
    _copy_last(many / "runs")
    lost = _run(pipeline, many)
    variants = {"few": partial(_run, pipeline, few), "many": partial(_run, pipeline, many)}
    interleaved(variants, 1)
    found = interleaved(variants, repeat)
    what = f"all of 1,000 nodes reused, {_RUNS} runs there / two"
    yield _line(f"{what}: time", found, "wall", spread, _BAR)
    yield _line(f"{what}: memory", found, "peak", _megabytes, _BAR)
    once = {"many": [lost] * len(found["few"]), "few": found["few"]}
    yield _line(f"the same, when the index was lost: time, {_RUNS} / two", once, "wall", spread, "")
    yield _line(f"the same, when the index was lost: memory, {_RUNS} / two", once, "peak", _megabytes, "")


def _run(pipeline: Path, work: Path) -> Run:
    command = [sys.executable, "-m", "nfrun", "run", str(pipeline), "--json", "--work", str(work)]
    began = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return Run(time.perf_counter() - began, json.loads(done.stdout)["peak_rss_bytes"])


def _copy_last(runs: Path) -> None:
    """Copy the journal of the last run, with other ids and with numbers that come before all others."""
    last = max(runs.iterdir(), key=lambda run: (run / JOURNAL).stat().st_mtime_ns)
    first, _, rest = (last / JOURNAL).read_bytes().partition(b"\n")
    header = json.loads(first)
    del header["check"]
    for number in range(_RUNS - 2):
        folder = runs / f"20200101-{number:06}-abcdef"
        folder.mkdir()
        line = with_checksum(json.dumps({**header, "run": folder.name, "number": number - _RUNS}))
        (folder / JOURNAL).write_bytes(line + rest)


def _line(what: str, found: Mapping[str, list[Run]], figure: str, show: object, bar: str) -> Line:
    many, few = ([getattr(run, figure) for run in found[name]] for name in ("many", "few"))
    ratio = median(many) / median(few)
    turns = [a / b for a, b in zip(many, few, strict=True)]
    assert callable(show)
    return Line(what, show(many), show(few), ratio, bar, holds(ratio, bar), min(turns), max(turns))


def _megabytes(values: list[float]) -> str:
    return f"{median(values) / 1e6:.0f} MB"
