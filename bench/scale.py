"""Large pipelines: 100,000 nodes planned and simulated in virtual time, 10,000 nodes from YAML to a printed plan."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from bench.measure import Line, median, run_fresh, spread
from nfrun.simulate import by_cost, random_plan, simulate


def write(folder: Path, nodes: int) -> Path:
    """Write a pipeline of that many nodes, each reading up to three of those before it; returns its file."""
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
    """Wall seconds, interpreter start included where a process is started."""
    plans, runs, shown = [], [], []
    path = write(folder, 10_000)
    for _ in range(repeat):
        began = time.perf_counter()
        plan = random_plan(1, 100_000)
        planned = time.perf_counter()
        simulate(plan, by_cost(plan))
        plans.append(planned - began)
        runs.append(time.perf_counter() - planned)
        shown.append(run_fresh("plan", str(path))[0])
    for what, seconds, most in (
        ("100,000 nodes: plan", plans, 10),
        ("100,000 nodes: run in virtual time", runs, 10),
        ("10,000-node YAML: nfrun plan", shown, 3),
    ):
        ratio = median(seconds) / most
        yield Line(what, spread(seconds), f"{most} s", ratio, "<= 1", ratio <= 1)
