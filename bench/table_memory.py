"""Measures the memory of runs whose tables take three times what `--memory` allows, none more than a quarter of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.measure import Line, holds, interleaved, median
from bench.whole_processes import Usage, usage_of

BUDGET = 200_000_000  # bytes
TABLES = 12
MOST = "<= 1.5"  # of the budget, beyond what a run with tables of ten rows takes

STEPS = """
import pyarrow as pa
import pyarrow.compute as pc


def make(rows, seed):
    column = pc.random(rows, initializer=seed)
    return pa.table({"a": column, "b": pc.add(column, 1.0)})


def change(table):
    return table.append_column("c", pc.add(table["a"], 1.0)).select(["a", "c"])


def last(**tables):
    return [{"rows": sum(table.num_rows for table in tables.values())}]
"""


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Yield a row for tables that functions make, and one for tables that they make from tables of files."""
    if not sys.platform.startswith("linux"):
        return
    (folder / "steps.py").write_text(STEPS)
    rows = BUDGET // 4 // 16
    for what, reads in (("made by functions", False), ("made of tables in files", True)):
        runs = {count: write_pipeline(folder, count, reads=reads) for count in (10, rows)}

        def run(pipeline: Path) -> Usage:
            limits = ("-j", "2", "--memory", str(BUDGET))
            return usage_of("-m", "nfrun", "run", str(pipeline), "-q", "--fresh", *limits)

        found = interleaved({count: lambda path=path: run(path) for count, path in runs.items()}, min(repeat, 3))  # type: ignore[misc]
        empty = median([usage.anonymous for usage in found[10]])
        peaks = [usage.anonymous - empty for usage in found[rows]]
        ratio = median(peaks) / BUDGET
        measured = f"{median(peaks) / 1e6:.0f} MB ({min(peaks) / 1e6:.0f} to {max(peaks) / 1e6:.0f})"
        row = f"memory of tables, 3 x --memory, {what}"
        yield Line(row, measured, f"{BUDGET / 1e6:.0f} MB", ratio, MOST, holds(ratio, MOST))


def write_pipeline(folder: Path, rows: int, *, reads: bool) -> Path:
    """Write the pipeline, and the files that it reads. Returns its file."""
    lines = ["nodes:"]
    for i in range(TABLES):
        if not reads:
            lines.append(f"  t{i}: {{python: 'steps:make', with: {{rows: {rows}, seed: {i}}}}}")
            continue
        table = pa.table({name: pc.random(rows, initializer=i + 100 * at) for at, name in enumerate("ab")})
        pq.write_table(table, folder / f"{rows}-{i}.parquet")
        lines.append(f"  r{i}: {{read: {rows}-{i}.parquet}}")
        lines.append(f"  t{i}: {{python: 'steps:change', inputs: {{table: r{i}}}}}")
    read = ", ".join(f"t{i}: t{i}" for i in range(TABLES))
    lines.append(f"  last: {{python: 'steps:last', inputs: {{{read}}}}}")
    pipeline = folder / f"memory-{rows}-{'read' if reads else 'made'}.yaml"
    pipeline.write_text("\n".join(lines) + "\n")
    return pipeline
