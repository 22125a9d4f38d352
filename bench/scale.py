"""Measures large pipelines: reading, checking and planning 1,000 to 100,000 nodes, and a run in virtual time."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

from bench.measure import Line, holds, interleaved, median, run_fresh, spread
from bench.random_plans import random_plan
from bench.simulation import by_estimate, simulate

_SIZES = (1_000, 10_000, 100_000)
_SECONDS, _BYTES = 10.0, 1e9  # limits for the largest file, with the start of the interpreter
# Imports only what it measures. The peak is not from `getrusage`, which counts what the parent held.
_READ = """
import sys, time
from nfrun.core.plan import plan_of
from nfrun.pipeline_file.loader import read_pipeline
began = time.process_time()
plan = plan_of(read_pipeline(sys.argv[1])[0])
ended = time.process_time()
try:
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
except FileNotFoundError:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)
print([ended, ended - began, peak * 1024])
"""


@dataclass(frozen=True)
class Load:
    """One reading of a file in a fresh process.

    `wall` and `cpu` are seconds of the whole process, and `peak` is its peak memory in bytes. `work` is the CPU seconds
    for reading and planning alone.
    """

    wall: float
    cpu: float
    work: float
    peak: float


def write(folder: Path, nodes: int) -> Path:
    """Write a pipeline of `nodes` nodes, each of which reads up to three earlier ones. Returns its file."""
    (folder / "many.py").write_text("def step(n, **inputs):\n    return {'n': n}\n", encoding="utf-8")
    lines = ["name: many", "nodes:"]
    for i in range(nodes):
        reads = sorted({f"n{i - step}" for step in (1, 7, 40) if i >= step})
        lines += [f"  n{i}:", "    python: many:step", f"    with: {{n: {i}}}", "    retries: 2"]
        if reads:
            lines.append(f"    inputs: [{', '.join(reads)}]")
    path = folder / f"many-{nodes}.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Measure all sizes, interleaved. The largest takes 5 s a round, so at most two rounds are made."""
    yield from _loads(folder, min(repeat, 2))
    yield from _plans_and_runs(folder, min(repeat, 3))


def _loads(folder: Path, repeat: int) -> Iterator[Line]:
    turns = interleaved({f"{size:,}": partial(fresh, write(folder, size)) for size in _SIZES}, repeat)
    found = dict(zip(_SIZES, turns.values(), strict=True))
    for size, loads in found.items():
        last = size == _SIZES[-1]
        figures = f"{spread([load.wall for load in loads])}, {spread([load.cpu for load in loads])} CPU"
        peak = median([load.peak for load in loads])
        ratio, full = median([load.wall for load in loads]) / _SECONDS, peak / _BYTES
        bar = "<= 1" if last else ""
        what = f"{size:,}-node file: load, validate, plan"
        yield Line(what, figures, f"{_SECONDS:.0f} s", ratio, bar, holds(ratio, bar))
        yield Line(f"{what}: memory", f"{peak / 1e6:.0f} MB", f"{_BYTES / 1e6:.0f} MB", full, bar, holds(full, bar))
    each = {size: [load.work / size for load in loads] for size, loads in found.items()}
    for small, large in pairwise(_SIZES):
        ratio = median(each[large]) / median(each[small])
        figures, against = (f"{median(each[size]) * 1e6:.1f} us" for size in (large, small))
        yield Line(f"CPU a node to load, validate, plan: {large:,} / {small:,}", figures, against, ratio)


def _plans_and_runs(folder: Path, repeat: int) -> Iterator[Line]:
    plans, runs, shown = [], [], []
    path = write(folder, 10_000)
    for _ in range(repeat):
        began = time.perf_counter()
        plan = random_plan(1, 100_000)
        planned = time.perf_counter()
        simulate(plan, by_estimate(plan))
        plans.append(planned - began)
        runs.append(time.perf_counter() - planned)
        shown.append(run_fresh("plan", "--fresh", str(path))[0])
    for what, seconds, most in (
        ("100,000 nodes: plan", plans, 10),
        ("100,000 nodes: run in virtual time", runs, 10),
        ("10,000-node YAML: nfrun plan", shown, 3),
    ):
        ratio = median(seconds) / most
        yield Line(what, spread(seconds), f"{most} s", ratio, "<= 1", ratio <= 1)


def fresh(path: Path) -> Load:
    """Read and plan the file in a fresh process and return the measurement. Raises CalledProcessError."""
    began = time.perf_counter()
    command = [sys.executable, "-c", _READ, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    return Load(time.perf_counter() - began, *json.loads(done.stdout))
