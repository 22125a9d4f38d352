"""What `plan`, `show` and `diff` say of mapped nodes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Here

from nfrun.history.work_dir import WorkDir

STEPS = """
def rows(n): return [{"id": i, "g": i % 2} for i in range(n)]
def double(id: int):
    if id == 13:
        raise ValueError("no 13")
    return id * 2
async def ask(id: int): return id
def whole(rows): return rows
"""
NODES = """
nodes:
  rows: {python: "steps:rows", with: {n: 100}}
  a: {python: "steps:double", inputs: rows, map: {over: rows, batch: 10, on_error: collect}}
  b: {python: "steps:ask", inputs: rows, map: rows}
  c: {python: "steps:whole", inputs: rows, map: {over: rows, by: [g, id], parts: 3}}
  d: {python: "steps:whole", inputs: rows, map: {over: rows, parts: 4}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "steps.py").write_text(STEPS)
    (tmp_path / "p.yaml").write_text(NODES)
    return tmp_path


def test_a_plan_says_what_the_pieces_are(folder: Path, here: Here) -> None:
    shown = here(folder, "plan", "p.yaml").stdout
    lines = [line.split("map ")[1].split("  ")[0] for line in shown.splitlines() if " map " in line]
    assert lines == [
        "over rows by 10",
        "over rows by 1",
        "over rows by g, id in 3 parts",
        "over rows in 4 parts",
    ]
    nodes = json.loads(here(folder, "plan", "p.yaml", "--format", "json").stdout)["nodes"]
    assert {name: node["map"] for name, node in nodes.items() if "map" in node} == {
        "a": {"over": "rows", "batch": 10},
        "b": {"over": "rows", "batch": 1},
        "c": {"over": "rows", "by": ["g", "id"], "parts": 3},
        "d": {"over": "rows", "parts": 4},
    }


def test_show_counts_calls(folder: Path, here: Here) -> None:
    assert here(folder, "run", "p.yaml", "-q").returncode == 0
    (folder / "p.yaml").write_text(NODES.replace("n: 100", "n: 105"))
    assert here(folder, "run", "p.yaml", "-q").returncode == 0
    shown = here(folder, "show", "b").stdout
    assert "calls       5 calls for 105 rows (100 reused)\n" in shown


def test_a_plan_counts_new_rows_where_the_input_is_known(
    folder: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert here(folder, "run", "p.yaml", "-q").returncode == 0
    (folder / "steps.py").write_text(STEPS.replace("return id\n", "return id + 1\n"))
    (folder / "p.yaml").write_text(NODES.replace("batch: 10", "batch: 7, keep: id").replace("parts: 4", "parts: 5"))
    files = sorted(folder.rglob("*"))
    nodes = json.loads(here(folder, "plan", "p.yaml", "--format", "json").stdout)["nodes"]
    assert {name: node.get("rows") for name, node in nodes.items()} == {
        "rows": None,
        "a": {"all": 100, "new": 1},  # that which failed
        "b": {"all": 100, "new": 100},  # its function changed
        "c": None,  # it is reused
        "d": {"all": 100, "new": 100},  # its pieces are others
    }
    shown = here(folder, "plan", "p.yaml").stdout
    assert "         1 of 100 rows are new\n" in shown
    assert sorted(folder.rglob("*")) == files
    with monkeypatch.context() as patch:
        patch.setattr(WorkDir, "runs_under_way", lambda work: {run.name for run in work.run_folders()})
        assert "         100 of 100 rows are new\n" in here(folder, "plan", "p.yaml").stdout
    (folder / "p.yaml").write_text(NODES.replace("n: 100", "n: 101"))
    assert "new" not in here(folder, "plan", "p.yaml").stdout
