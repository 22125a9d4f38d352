"""Pipelines whose files are in several folders: each file has its own paths and modules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Here

from nfrun.core.pipeline import NodeSpec, Pipeline
from nfrun.history.cache.cache_key import CacheKeys
from nfrun.session.options import RunOptions
from tests.program_runs import run_pipeline

STEPS = """
import pickle
from dataclasses import dataclass
from pathlib import Path
import common

@dataclass
class Box:
    who: str

def boxed(t):
    text = Path(__file__).with_name('note.txt').read_text()
    return [{'box': pickle.dumps(Box(common.WHO + text))}]

def opened(t):
    return [{'who': common.WHO, 'box': pickle.loads(t['box'][0].as_py()).who}]
"""
PART = """
inputs: {t: {}}
params: {sums: sums.csv}
nodes:
  boxed: {python: 'steps:boxed', inputs: t}
  opened: {python: 'steps:opened', inputs: {t: boxed}, executor: process}
  counted: {read: "${{ params.sums }}"}
  query: {sql: "select sum(n) as n from 'sums.csv'"}
  script: {run: 'cat sums.csv > "$NFRUN_OUTPUT"', format: csv}
  kept: {write: kept.csv, inputs: query}
outputs: {opened: opened, counted: counted, query: query, script: script}
"""
MAIN = """\
nodes:
  start: {python: 'steps:start'}
  a: {pipeline: a/part.yaml, inputs: {t: start}}
  b: {pipeline: other/b/part.yaml, inputs: {t: start}}
outputs:
  a: a.opened
  b: b.opened
  a_query: a.query
  b_query: b.query
  a_counted: a.counted
  b_script: b.script
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three folders with a `steps.py` and a `common.py` each."""
    for name, place in (("a", "a"), ("b", "other/b")):
        part = tmp_path / place
        part.mkdir(parents=True)
        (part / "part.yaml").write_text(PART)
        (part / "steps.py").write_text(STEPS)
        (part / "common.py").write_text(f"WHO = '{name}'\n")
        (part / "note.txt").write_text("1")
        (part / "sums.csv").write_text(f"n\n1\n{ord(name)}\n")
    (tmp_path / "main.yaml").write_text(MAIN)
    (tmp_path / "steps.py").write_text("import common\ndef start(): return {'who': common.WHO}\n")
    (tmp_path / "common.py").write_text("WHO = 'main'\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ran(**options: Any) -> tuple[set[str], dict[str, list[dict[str, Any]]]]:
    """Run the pipeline. Return the nodes that were not reused, and the rows of its outputs."""
    result = run_pipeline(RunOptions(Path("main.yaml"), **options))
    assert result.end.status == "ok", [node.failure for node in result.record.nodes.values() if node.failure]
    names = {name for name, node in result.record.nodes.items() if node.status == "ok"}
    return names, {name: table.to_pylist() for name, table in result.tables.items()}


ROWS = {
    "a": [{"who": "a", "box": "a1"}],
    "b": [{"who": "b", "box": "b1"}],
    "a_query": [{"n": 98}],
    "b_query": [{"n": 99}],
    "a_counted": [{"n": 1}, {"n": 97}],
    "b_script": [{"n": 1}, {"n": 98}],
}


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_each_file_has_the_paths_and_modules_beside_it(folder: Path, executor: str) -> None:
    assert ran(executor=executor)[1] == ROWS
    assert (folder / "a/kept.csv").read_text().split() == ['"n"', "98"]
    assert (folder / "other/b/kept.csv").read_text().split() == ['"n"', "99"]
    assert ran(executor=executor) == (set(), ROWS)


def test_the_folder_counts_for_what_its_nodes_read(folder: Path) -> None:
    specs = [NodeSpec("n", "run", "x", (), {}, (), (), {}, folder=place) for place in ("", "a", "other/b")]
    pipelines = [Pipeline("p.yaml", str(folder), "p", "", {}, {}, {"n": spec}, {}) for spec in specs]
    first, *others = (CacheKeys(pipeline).definition("n") for pipeline in pipelines)
    assert "folder" not in first
    assert [{**first, "folder": place} for place in ("a", "other/b")] == others


def test_an_edit_in_one_folder_runs_its_nodes_only(folder: Path, here: Here) -> None:
    def statuses() -> dict[str, str]:
        done = here(folder, "run", "main.yaml", "--json")
        assert done.returncode == 0, done.stderr
        return {name: node["status"] for name, node in json.loads(done.stdout)["nodes"].items()}

    def run_again() -> set[str]:
        return {name for name, status in statuses().items() if status == "ok"}

    statuses()
    assert run_again() == set()
    (folder / "a/common.py").write_text("WHO = 'A'\n")
    changed = {"a/t", "a/boxed", "a/opened"}
    assert run_again() == changed
    (folder / "other/b/note.txt").write_text("2")  # which code opens
    assert run_again() == {"b/t", "b/boxed", "b/opened"}
    (folder / "a/sums.csv").write_text("n\n5\n")  # which the file names
    assert run_again() == {"a/counted", "a/query", "a/script", "a/kept"}
    (folder / "common.py").write_text("WHO = 'Main'\n")
    assert run_again() == {"start", "a/t", "b/t", "a/boxed", "b/boxed"}
    assert run_again() == set()
