"""Measures what 300 runs in a work folder cost the next one, against two: if it reuses everything, and if nothing.

The runs that reuse everything have 1,000 nodes. The others have 100, and each run another parameter: `plan` finds out
that they run again. All runs but two or three are copies.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bench.measure import Line, holds, interleaved, median, spread, versus
from bench.reuse import write_nodes
from bench.startup import fresh
from nfrun.history.database import Database, Journal
from nfrun.history.journal import RecordedNode, RunHeader
from nfrun.history.work_dir import WorkDir

_RUNS, _BAR = 300, "<= 1.3"
_NODES = 100  # of those that run again
_STEPS = "def f(n):\n    return [{'n': n}]\n"


@dataclass(frozen=True)
class Run:
    """One run in a fresh process: its wall seconds, and its peak memory in bytes."""

    wall: float
    peak: float


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Measure time and peak memory."""
    pipeline = write_nodes(folder)
    few, many = folder / "few", folder / "many"
    for work in (few, many):
        for _ in range(2):  # the second has nothing but reused nodes
            _run(pipeline, work)
    _copy_last(many)
    variants = {"few": partial(_run, pipeline, few), "many": partial(_run, pipeline, many)}
    interleaved(variants, 1)
    found = interleaved(variants, repeat)
    what = f"all of 1,000 nodes reused, {_RUNS} runs there / two"
    yield _line(f"{what}: time", found, "wall", spread, _BAR)
    yield _line(f"{what}: memory", found, "peak", _megabytes, _BAR)
    yield _changed(folder, repeat)


def _changed(folder: Path, repeat: int) -> Line:
    """Measure plans of nodes that run again, since each run has another parameter."""
    (folder / "steps.py").write_text(_STEPS, encoding="utf-8")
    nodes = "".join(f'  n{i}: {{python: "steps:f", with: {{n: "${{{{ params.n }}}}"}}}}\n' for i in range(_NODES))
    pipeline = folder / "changed.yaml"
    pipeline.write_text(f"params: {{n: 0}}\nnodes:\n{nodes}", encoding="utf-8")
    few, many = folder / "few_changed", folder / "many_changed"
    for work in (few, many):
        for number in (1, 2):
            _run(pipeline, work, "-p", f"n={number}")
    _copy_changed(many)
    _run(pipeline, many, "-p", "n=3")
    _run(pipeline, few, "-p", "n=3")
    plan = [sys.executable, "-m", "nfrun", "plan", str(pipeline), "-p", "n=4", "--work"]
    variants = {name: partial(fresh, [*plan, str(work)], os.environ) for name, work in (("few", few), ("many", many))}
    interleaved(variants, 1)
    found = interleaved(variants, repeat)
    what = f"{_NODES} nodes with another parameter planned, {_RUNS} such runs there / three"
    return versus(what, found["many"], found["few"], _BAR)


def _run(pipeline: Path, work: Path, *options: str) -> Run:
    command = [sys.executable, "-m", "nfrun", "run", str(pipeline), "--json", "--work", str(work), *options]
    began = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return Run(time.perf_counter() - began, json.loads(done.stdout)["peak_rss_bytes"])


def _copy_last(work: Path) -> None:
    """Copy the last run, with other ids and with numbers that come before all others."""
    _add_before_last(work, _RUNS - 2, lambda node: node)


def _copy_changed(work: Path) -> None:
    """Copy a run as those of runs with other parameters: each node has another key and another value."""

    def changed(node: RecordedNode) -> RecordedNode:
        key_inputs = {**node.key_inputs, "value n": os.urandom(16).hex()}
        return replace(node, key=os.urandom(16).hex(), key_inputs=key_inputs)

    _add_before_last(work, _RUNS - 3, changed)


def _add_before_last(work: Path, count: int, change: Callable[[RecordedNode], RecordedNode]) -> None:
    with closing(Database(WorkDir(work), print)) as database:
        last = next(database.runs()).folder
        run = database.contents(last.name)
        assert run.started is not None
        database.remove([last.name])
        for number in range(count):
            folder = work / "runs" / f"20200101-{number:06}-abcdef"
            folder.mkdir()
            header = replace(run.started, run=folder.name, number=number - _RUNS)
            _write(Journal(folder, database), header, [*map(change, run.finished)])
        _write(Journal(last, database), run.started, run.finished)


def _write(journal: Journal, header: RunHeader, nodes: Sequence[RecordedNode]) -> None:
    journal.started(header)
    journal.add(*nodes)
    journal.ended("ok", at=header.at)


def _line(what: str, found: Mapping[str, list[Run]], figure: str, show: object, bar: str) -> Line:
    many, few = ([getattr(run, figure) for run in found[name]] for name in ("many", "few"))
    ratio = median(many) / median(few)
    turns = [a / b for a, b in zip(many, few, strict=True)]
    assert callable(show)
    return Line(what, show(many), show(few), ratio, bar, holds(ratio, bar), min(turns), max(turns))


def _megabytes(values: list[float]) -> str:
    return f"{median(values) / 1e6:.0f} MB"
