"""Measures Python nodes that compute with pyarrow on the table of a `read` node, which queries read lazily.

The node takes the files as they are, and the first Python node that reads its output has the table made. Beside it runs
the same pipeline with a `read` node that makes the table itself, as it does of CSV.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from bench.measure import Line, interleaved
from bench.whole_processes import Usage, usage_lines, usage_of
from nfrun.core.file_source import DIGEST_OF_FILES
from nfrun.history.database import read_journal

ROWS = 2_000_000
STEPS = """
import pyarrow.compute as pc


def means(sales):
    return sales.group_by("shop").aggregate([("price", "mean"), ("price", "count")])


def large(sales):
    return sales.filter(pc.greater(sales["price"], 0.99))


def latest(sales):
    return sales.take(pc.select_k_unstable(sales, 1000, [("day", "descending"), ("price", "descending")]))
"""
PIPELINE = """
name: lazy_reads
nodes:
  sales: {read: sales.parquet}
  means: {python: "steps:means", inputs: sales}
  large: {python: "steps:large", inputs: sales}
  latest: {python: "steps:latest", inputs: sales}
"""
_RUN = "import runpy; runpy.run_module('nfrun', run_name='__main__', alter_sys=True)"
_EAGER = "from nfrun.tables import file_table; file_table.SCANNED = (); "


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Compare first runs in fresh processes, in turns. Raises AssertionError if their results differ."""
    _write(folder)
    work = {name: folder / name for name in ("lazy", "eager")}

    def run(name: str) -> Usage:
        shutil.rmtree(work[name], ignore_errors=True)
        code = _RUN if name == "lazy" else _EAGER + _RUN
        return usage_of("-c", code, "run", str(folder / "sales.yaml"), "-q", "--json", "--work", str(work[name]))

    found = interleaved({"lazy": lambda: run("lazy"), "eager": lambda: run("eager")}, repeat)
    for node in ("means", "large", "latest"):
        ours, theirs = [_result(folder, node) for folder in work.values()]
        assert ours.num_rows and ours.equals(theirs), node
    assert [_is_lazy(folder) for folder in work.values()] == [True, False]
    yield from usage_lines("pyarrow steps over a read: lazy / eager", found["lazy"], found["eager"], 1.05)


def _write(folder: Path) -> None:
    drawn = random.Random(1)
    few = [drawn.random() for _ in range(10_000)]
    table = pa.table(
        {
            "shop": pa.array([drawn.randrange(500) for _ in range(ROWS)], pa.int32()),
            "price": pa.array(drawn.choices(few, k=ROWS)),
            "day": pa.array([n // 2000 for n in range(ROWS)], pa.int32()),
            "code": pa.array([f"{n % 5000:05}" for n in range(ROWS)]),
        }
    )
    parquet.write_table(table, folder / "sales.parquet")
    (folder / "steps.py").write_text(STEPS, encoding="utf-8")
    (folder / "sales.yaml").write_text(PIPELINE, encoding="utf-8")


def _is_lazy(work: Path) -> bool:
    (run,) = work.glob("runs/*")
    outputs = [output for node in read_journal(run).finished for output in node.outputs]
    return any(output.digest.startswith(DIGEST_OF_FILES) for output in outputs)


def _result(work: Path, node: str) -> pa.Table:
    (path,) = work.glob(f"runs/*/{node}.1.arrow")
    with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
        return reader.read_all()
