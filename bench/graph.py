"""Measures expanded pipelines: a matrix against the same nodes written out, its limits, axes over files, and rates."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count, product
from pathlib import Path

from bench.measure import Line, Sample, clocked, holds, interleaved, median, spread, versus
from bench.noop import layers
from bench.startup import fresh
from nfrun.core.plan import Node, make_plan
from nfrun.core.selection import NodeGraph, select
from nfrun.pipeline_file.axes import find_files

_NFRUN = (sys.executable, "-m", "nfrun")
_VALUES = 100  # of each of two axes
_FILES = 5_000
_CALLS, _RATE = 200, 50
_SELECTIONS = 20
_LIMIT_SECONDS, _LIMIT_BYTES = 1.0, 200e6
# A small process, since the peak of a child counts from what its parent held.
_LAUNCHER = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print([code, used.ru_utime + used.ru_stime, used.ru_maxrss])
"""
_STEPS = """
import pathlib
import time

HERE = pathlib.Path(__file__).parent


def nothing(a, b, data):
    return None


def data():
    return {"x": 1}


def lines(path):
    return {"lines": (HERE / path).read_text().count("\\n")}


def call(n):
    return {"n": n, "at": time.monotonic()}
"""


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Measure all of it in whole processes, interleaved. The clock of ratios is CPU time."""
    (folder / "steps.py").write_text(_STEPS, encoding="utf-8")
    yield from _cells(folder, min(repeat, 3))
    yield from _limits(folder, min(repeat, 3))
    yield from _files(folder, min(repeat, 3))
    yield from _selections(repeat)
    yield from _rate(folder)


def _cells(folder: Path, repeat: int) -> Iterator[Line]:
    """Compare 100 x 100 cells with the same nodes written out: planned, and run where no node does anything."""
    cells = folder / "cells.yaml"
    cells.write_text(_matrix(_VALUES, _VALUES), encoding="utf-8")
    written = folder / "written.yaml"
    written.write_text(_written_out(_VALUES, _VALUES), encoding="utf-8")
    numbers = count()

    def run(pipeline: Path) -> Sample:
        work = folder / "works" / str(next(numbers))
        return fresh([*_NFRUN, "run", str(pipeline), "-q", "-j", "2", "--work", str(work)], os.environ)

    nodes = _VALUES * _VALUES
    for what, act, bar in (
        ("plan", lambda file: fresh([*_NFRUN, "plan", "--fresh", str(file)], os.environ), "<= 1.5"),
        ("run", run, "<= 1.05"),
    ):
        variants: Mapping[str, Callable[[], Sample]] = {"cells": partial(act, cells), "written": partial(act, written)}
        found = interleaved(variants, repeat)
        yield versus(f"{nodes:,} cells, {what} / the same written out", found["cells"], found["written"], bar)


def _matrix(a: int, b: int) -> str:
    return f"""\
matrix: {{a: "${{{{ {a} | range }}}}", b: "${{{{ {b} | range }}}}"}}
nodes:
  data: {{python: "steps:data"}}
  cell:
    matrix: [a, b]
    python: steps:nothing
    inputs: {{data: data}}
    with: {{a: "${{{{ matrix.a }}}}", b: "${{{{ matrix.b }}}}"}}
outputs: {{}}
"""


def _written_out(a: int, b: int) -> str:
    nodes = (
        f"  cell_{i}_{j}:\n    python: steps:nothing\n    inputs: {{data: data}}\n    with: {{a: {i}, b: {j}}}\n"
        for i, j in product(range(a), range(b))
    )
    return "".join(['nodes:\n  data: {python: "steps:data"}\n', *nodes, "outputs: {}\n"])


def _limits(folder: Path, repeat: int) -> Iterator[Line]:
    """Measure the error for a matrix with far too many cells: the seconds and the memory of the whole process."""
    for what, a, b in (("12,000,000 cells", 3_000, 4_000), ("an axis of 100,000 values", 100_000, 1)):
        pipeline = folder / "limit.yaml"
        pipeline.write_text(_matrix(a, b), encoding="utf-8")
        found = [_refused([*_NFRUN, "plan", str(pipeline)]) for _ in range(repeat)]
        seconds = [cpu for cpu, _ in found]
        ratio, full = median(seconds) / _LIMIT_SECONDS, median([peak for _, peak in found]) / _LIMIT_BYTES
        limit, memory = f"{_LIMIT_SECONDS:.0f} s", f"{_LIMIT_BYTES / 1e6:.0f} MB"
        yield Line(f"{what}: the error", f"{spread(seconds)} CPU", limit, ratio, "<= 1", holds(ratio, "<= 1"))
        peak = f"{full * _LIMIT_BYTES / 1e6:.0f} MB"
        yield Line(f"{what}: the error: memory", peak, memory, full, "<= 1", holds(full, "<= 1"))


def _refused(command: list[str]) -> tuple[float, float]:
    """Return the CPU seconds and the peak memory in bytes of a command that ends with 2, else raise RuntimeError."""
    launcher = [sys.executable, "-c", _LAUNCHER, *command]
    code, cpu, peak = json.loads(subprocess.run(launcher, check=True, capture_output=True, text=True).stdout)
    if code != 2:
        raise RuntimeError(f"{' '.join(command)} ended with {code}, and 2 was expected")
    return cpu, peak * (1 if sys.platform == "darwin" else 1024)


def _files(folder: Path, repeat: int) -> Iterator[Line]:
    """Measure an axis over files: planned, and planned after a run that leaves all of it for reuse."""
    data = folder / "data"
    data.mkdir()
    for i in range(_FILES):
        (data / f"s{i}_{i % 7}.csv").write_text(f"x\n{i}\n", encoding="utf-8")
    one, many = folder / "file.yaml", folder / "files.yaml"
    for path, pattern in ((one, "data/{sample}_0.csv"), (many, "data/{sample}_{lane}.csv")):
        node = 'python: "steps:lines", with: {path: "${{ matrix.f.path }}"}'
        path.write_text(
            f'matrix: {{f: {{files: "{pattern}"}}}}\nnodes: {{a: {{matrix: f, {node}}}}}\n', encoding="utf-8"
        )
    (folder / "one.yaml").write_text(
        "nodes: {a: {python: 'steps:lines', with: {path: data/s0_0.csv}}}\n", encoding="utf-8"
    )
    work = ["--work", str(folder / "files-work")]
    fresh([*_NFRUN, "run", str(many), "-q", "-j", "2", *work], os.environ)
    variants: Mapping[str, Callable[[], float]] = {
        "one node": lambda: fresh([*_NFRUN, "plan", "--fresh", str(folder / "one.yaml")], os.environ).cpu,
        "the folder": partial(_read_folder, folder),
        "plan --fresh": lambda: fresh([*_NFRUN, "plan", "--fresh", str(many)], os.environ).cpu,
        "a first plan": lambda: fresh([*_NFRUN, "plan", str(many), "--work", str(folder / "none")], os.environ).cpu,
        "a plan after a run": lambda: fresh([*_NFRUN, "plan", str(many), *work], os.environ).cpu,
    }
    found = interleaved(variants, repeat)
    for name, bar in (("plan --fresh", "<= 1.0"), ("a first plan", "<= 1.0"), ("a plan after a run", "")):
        beyond = [ours - theirs for ours, theirs in zip(found[name], found["the folder"], strict=True)]
        what = f"an axis over {_FILES:,} files: {name}, beyond reading the folder / 1 s"
        against = f"{spread(found['the folder'])} CPU for the folder, {spread(found['one node'])} for one node"
        yield Line(what, f"{spread(beyond)} CPU", against, median(beyond), bar, holds(median(beyond), bar))


def _read_folder(folder: Path) -> float:
    began = time.process_time()
    assert len(list(find_files("data/{sample}_{lane}.csv", folder))) == _FILES
    return time.process_time() - began


def _selections(repeat: int) -> Iterator[Line]:
    """Compare random selections of 10,000 nodes in layers with making their plan, both in this process."""
    needs = layers(_VALUES * _VALUES)
    graph = NodeGraph(needs)
    nodes = [Node(name, upstream) for name, upstream in needs.items()]
    draw = random.Random(1)
    drawn = [[draw.choice(list(needs)) for _ in range(4)] for _ in range(_SELECTIONS)]

    def some() -> None:
        for only, from_, until, exclude in drawn:
            found = [graph.find([selector]) for selector in (f"{only[:2]}*", from_, f"3+{until}", f"{exclude}+1")]
            select(graph, only=found[0], from_=found[1], until=found[2], exclude=found[3])

    variants = {"select": lambda: clocked(some), "plan": lambda: clocked(lambda: make_plan(nodes, slots=2))}
    turns = interleaved(variants, repeat)
    each = [Sample(sample.cpu / _SELECTIONS, sample.wall / _SELECTIONS) for sample in turns["select"]]
    yield versus(f"a random selection of {len(needs):,} nodes / their plan", each, turns["plan"], "<= 1.0")


def _rate(folder: Path) -> Iterator[Line]:
    """Measure 200 calls at 50/s over four nodes' cells: the most in any second, and when the last was handed out."""
    pipeline = folder / "rate.yaml"
    nodes = "".join(
        f'  {name}:\n    matrix: n\n    python: steps:call\n    with: {{n: "${{{{ matrix.n }}}}"}}\n'
        "    resources: {cpu: 0.1, api: 1}\n"
        for name in "abcd"
    )
    axis = f'matrix: {{n: "${{{{ {_CALLS // 4} | range }}}}"}}\n'
    pipeline.write_text(f"resources: {{api: {_RATE}/s}}\n{axis}nodes:\n{nodes}outputs: {{}}\n", encoding="utf-8")
    events = folder / "rate.jsonl"
    fresh(
        [*_NFRUN, "run", str(pipeline), "-q", "--events", str(events), "--work", str(folder / "rate-work")], os.environ
    )
    lines = map(json.loads, events.read_text(encoding="utf-8").splitlines())
    times = sorted(line["at"] for line in lines if line["event"] == "node_started")
    if len(times) != _CALLS:
        raise RuntimeError(f"{len(times)} calls began, and {_CALLS} were expected")
    most = max(sum(first <= at < first + 1 for at in times) for first in times)
    last = times[-1] - times[0]
    what = f"{_CALLS} calls at {_RATE}/s"
    yield Line(
        f"{what}: the most in any second / {_RATE}", f"{most}", f"{_RATE}", most / _RATE, "<= 1.0", most <= _RATE
    )
    ratio = last / ((_CALLS - 1) / _RATE)
    yield Line(
        f"{what}: the last / {(_CALLS - 1) / _RATE} s",
        f"{last:.3f} s",
        "3.98 to 4.2 s",
        ratio,
        "",
        3.979 <= last <= 4.2,
    )
