"""Holds documents of real runs against those that tests draw by hand, and against what the scripts of the page read."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import forked
import pytest

from nfrun.history.work_dir import WorkDir
from nfrun.lookback.page.run_data import run_data
from nfrun.lookback.run_reference import find_run
from nfrun.system.logs.redaction import Redactor
from tests.lookback.documents import shop
from tests.lookback.test_html_page import ASSETS

PIPELINE = """
name: all
params: {n: 3}
matrix: {country: [DE, FR]}
nodes:
  orders: {python: "steps:orders", checks: [{unique: id}, {range: {amount: {max: 1}}, severity: warn}]}
  fit:
    python: "steps:fit"
    inputs: {table: orders}
    matrix: country
    with: {country: "${{ matrix.country }}", n: "${{ params.n }}"}
  squares: {python: "steps:square", inputs: {orders: orders}, map: {over: orders}}
  again: {python: "steps:again", retries: 1}
  bad: {python: "steps:bad", inputs: {table: orders}, continue_on_error: true}
  worse: {python: "steps:bad", inputs: {table: orders}}
  media: {python: "steps:media", outputs: {page: .html, site: folder}}
  off: {run: "true", if: "${{ params.n > 5 }}"}
  behind: {run: "true", needs: worse}
  load: {pipeline: load.yaml, inputs: {raw: orders}}
finally: {mail: {run: "true"}}
"""
LOAD = "inputs: {raw: {}}\nnodes:\n  a: {sql: select * from raw, inputs: raw}\noutputs: {out: a}\n"
STEPS = """
import pyarrow as pa
from pathlib import Path

def orders():
    print("making orders")
    return pa.table({"id": [1, 2, 3], "country": ["DE", "DE", "FR"], "amount": [1.5, float("nan"), float("inf")]})

def fit(table, country, n):
    return pa.table({"of": [country]})

def square(amount: float) -> float:
    return amount * amount

def again():
    if not Path("once").exists():
        Path("once").touch()
        raise ConnectionError("away")
    return {"n": 1}

def bad(table):
    return table["price"]

def media(context):
    folder = context.output("site")
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    return {"page": b"<h1>All well</h1>", "site": folder}
"""
# Drawn, but in none of the runs of this test: on a cluster, of a file that was removed, of scripts, and
# with a profile.
RARE = {"nodes.worker", "nodes.memory", "nodes.outputs.gone", "nodes.failure.details", "run.profile"}
# Not drawn by themselves: a text beside them says it, or they are for those who read the document.
NOT_DRAWN = {
    "version": "for readers of the document",
    "nodes.failure.errno": "for readers of the document",
    "change.before_seconds": "`seconds` is the difference",
    "run.critical_path.queued": "the sentence has it",
    "run.critical_path.retrying": "the sentence has it",
    "run.overhead.idle": "the sentence has it",
}


def keys(value: Any, path: str = "") -> Iterator[str]:
    """The paths of all keys. What is below a mapping by names, such as parameters, is left out."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from keys(item, path)
    elif isinstance(value, dict):
        for key, item in value.items():
            below = f"{path}.{key}" if path else key
            yield below
            if key not in ("params", "versions", "matrix", "counts", "inputs" if path == "run" else "", "failing_rows"):
                yield from keys(item, below)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("all")
    (folder / "all.yaml").write_text(PIPELINE)
    (folder / "load.yaml").write_text(LOAD)
    (folder / "steps.py").write_text(STEPS)
    run = [sys.executable, "-m", "nfrun", "run", "all.yaml", "-q", "-k"]
    found: set[str] = set()
    for more in ((), ("--exclude", "worse", "--exclude", "behind", "-p", "n=4")):
        forked.run([*run, *more], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True)
        work = WorkDir(folder / ".nfrun")
        found |= set(keys(run_data(work, find_run(work, None, None), Redactor(()))))
    return found


def test_what_tests_draw_is_what_runs_have(real: set[str]) -> None:
    assert sorted(set(keys(shop())) - real - RARE) == []


def test_what_runs_have_is_drawn(real: set[str]) -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in ASSETS.iterdir() if path.suffix != ".css")
    words = set(re.findall(r"\w+", sources))
    assert sorted(key for key in real - set(NOT_DRAWN) if key.rpartition(".")[2] not in words) == []
