"""Pipelines with a matrix are run by the command line: their results, and which cells the next run reuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq
import pytest
from conftest import Here

CONTRACT = Path(__file__).parents[1] / "contract"


def run(here: Here, folder: Path, *words: str) -> dict[str, Any]:
    done = here(folder, "run", *words, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def statuses(document: dict[str, Any], status: str) -> list[str]:
    return [id for id, node in document["nodes"].items() if node["status"] == status]


def rows(document: dict[str, Any], output: str) -> list[dict[str, Any]]:
    with pa.memory_map(document["outputs"][output]["path"]) as file:
        found: list[dict[str, Any]] = ipc.open_file(file).read_all().to_pylist()
        return found


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    for name in ("grid.yaml", "cv.py"):
        shutil.copy(CONTRACT / name, tmp_path)
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table({"y": [float(i) for i in range(12)]}), tmp_path / "data" / "digits.parquet")
    return tmp_path


def test_grid_gives_the_best_model_and_reuses_the_cells_that_were_there(here: Here, grid: Path) -> None:
    first = run(here, grid, "grid.yaml")
    assert first["counts"]["ok"] == 24
    # It guesses the mean of the other folds, which is right for fold 1 and 1.5 off for the others; fold 0 is excluded.
    assert rows(first, "best") == [{"model": "knn", "accuracy": -0.75, "folds": 2}]
    (grid / "grid.yaml").write_text(
        (grid / "grid.yaml")
        .read_text()
        .replace("[{id: lr, C: 0.1}, {id: rf", "[{id: new, C: 9}, {id: rf")
        .replace("{id: knn, k: 5}]", "{id: knn, k: 5}, {id: lr, C: 0.1}]")
    )
    second = run(here, grid, "grid.yaml")
    cells = {id for id in first["nodes"] if id != "best"}
    assert cells <= set(statuses(second, "reused"))
    new = [f"fit@new@{fold}" for fold in range(3)] + [f"score@new@{fold}" for fold in range(3)] + ["per_model@new"]
    assert sorted(statuses(second, "ok")) == sorted([*new, "best"])


def test_one_day_more_runs_the_cells_of_that_day(here: Here, tmp_path: Path) -> None:
    shutil.copy(CONTRACT / "backfill.yaml", tmp_path)
    events = tmp_path / "data" / "events"
    events.mkdir(parents=True)
    for day, count in ((1, 2), (3, 3), (4, 1)):
        (events / f"2024-01-0{day}.jsonl").write_text('{"user": "a"}\n' * count)
    first = run(here, tmp_path, "backfill.yaml")
    assert rows(first, "total") == [{"day": "2024-01-01", "events": 2}, {"day": "2024-01-03", "events": 3}]
    assert pq.read_table(tmp_path / "out/daily/day=2024-01-03/part.parquet", partitioning=None).to_pylist() == [
        {"user": "a", "events": 3}
    ]
    (check,) = first["nodes"]["daily@2024-01-03"]["checks"]
    assert (check["name"], check["severity"], check["ok"]) == ("rows: min 1", "skip", True)
    second = run(here, tmp_path, "backfill.yaml", "-p", "last=2024-01-04")
    assert sorted(statuses(second, "ok")) == ["daily@2024-01-04", "raw@2024-01-04", "save@2024-01-04", "total"]
    assert len(statuses(second, "reused")) == 6
    assert rows(second, "total")[-1] == {"day": "2024-01-04", "events": 1}


def test_a_cell_depends_on_the_entries_that_it_uses(here: Here, tmp_path: Path) -> None:
    text = """
matrix: {model: [{id: a, x: 1, note: old}, {id: b, x: 2}]}
nodes:
  n: {matrix: model, sql: select $x as x, with: {x: "${{ matrix.model.x }}"}}
"""
    (tmp_path / "p.yaml").write_text(text)
    run(here, tmp_path, "p.yaml")
    (tmp_path / "p.yaml").write_text(text.replace("old", "new").replace("x: 2", "x: 3"))
    second = run(here, tmp_path, "p.yaml")
    assert (statuses(second, "reused"), statuses(second, "ok")) == (["n@a"], ["n@b"])
