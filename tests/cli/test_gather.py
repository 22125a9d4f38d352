"""Whole runs of a pipeline whose nodes gather cells: right answers, and what runs again after a change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Here

STEPS = """\
import pyarrow as pa
def split(fold): return {"train": {"n": fold}, "test": {"n": 10 * fold}}
def score(train, test, spec):
    return {"accuracy": train["n"][0].as_py() + test["n"][0].as_py() + spec["weight"]}
def report(scores): return [{"model": m, "folds": str(list(folds))} for m, folds in scores.items()]
"""
PIPELINE = """\
name: grid
matrix:
  model: [{id: lr, weight: 0.25}, {id: knn, weight: 0.5}]
  fold: [0, 1, 2]
  exclude: [{model: knn, fold: 0}]
nodes:
  parts: {matrix: fold, python: "steps:split", with: {fold: "${{ matrix.fold }}"}, outputs: [train, test]}
  score:
    matrix: [model, fold]
    python: steps:score
    inputs: {train: parts.train, test: parts.test}
    with: {spec: "${{ matrix.model }}"}
  mean:
    matrix: model
    sql: models/mean.sql
    inputs: {scores: {from: score, gather: concat}}
  best: {sql: select model from means order by accuracy desc, inputs: {means: {from: mean, gather: concat}}}
  report: {python: "steps:report", inputs: {scores: {from: score, gather: dict}}}
  names:
    run: (echo name; ls "$NFRUN_INPUT_scores") > "$NFRUN_OUTPUT"
    format: csv
    inputs: {scores: {from: score, gather: dict}}
  save: {write: out/scores.csv, inputs: {all: {from: score, gather: concat}}}
outputs: {best: best, report: report, names: names, score: score}
"""
MEAN = "select avg(accuracy) as accuracy, min(fold) as first from scores"


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    (tmp_path / "p.yaml").write_text(PIPELINE)
    (tmp_path / "steps.py").write_text(STEPS)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mean.sql").write_text(MEAN)
    return tmp_path


def run(grid: Path, here: Here, *options: str) -> set[str]:
    """Run the pipeline. Returns the nodes that ran."""
    done = here(grid, "run", "p.yaml", "--json", *options)
    assert done.returncode == 0, done.stderr
    return {name for name, node in json.loads(done.stdout)["nodes"].items() if node["status"] == "ok"}


GATHERING = {"report", "names", "save", "best"}


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_the_answers_are_right(grid: Path, here: Here, executor: str) -> None:
    assert len(run(grid, here, "--executor", executor)) == 3 + 5 + 2 + 4
    assert (grid / "out" / "scores.csv").read_text().replace('"', "").split() == [
        *("model,fold,accuracy", "lr,0,0.25", "lr,1,11.25", "lr,2,22.25", "knn,1,11.5", "knn,2,22.5")
    ]
    document = json.loads(here(grid, "show", "score", "--json").stdout)
    assert document["cells"]["score@knn@2"]["matrix"] == {"model": "knn", "fold": 2}


@pytest.mark.parametrize("handoff", ["mmap", "memory"])
def test_the_answers_do_not_depend_on_the_handoff(grid: Path, here: Here, handoff: str) -> None:
    assert len(run(grid, here, "--handoff", handoff)) == 14
    assert (grid / "out" / "scores.csv").read_text().count("\n") == 6


def test_what_runs_again(grid: Path, here: Here) -> None:
    run(grid, here)
    assert run(grid, here) == set()

    def change(file: str, old: str, new: str) -> set[str]:
        path = grid / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
        return run(grid, here)

    one_more = {"parts@3", "score@lr@3", "score@knn@3", "mean@lr", "mean@knn"}
    assert change("p.yaml", "[0, 1, 2]", "[3, 0, 1, 2]") == one_more | GATHERING
    assert change("p.yaml", "[3, 0, 1, 2]", "[0, 1, 2, 3]") == {"mean@lr", "mean@knn"} | GATHERING - {"best"}
    assert change("models/mean.sql", "avg", "max") == {"mean@lr", "mean@knn", "best"}


def test_a_failure_names_the_cell_and_costs_what_gathers_it(grid: Path, here: Here) -> None:
    (grid / "steps.py").write_text(STEPS.replace("    return {", "    assert spec['id'] == 'lr'\n    return {"))
    done = here(grid, "run", "p.yaml", "-k", "--json")
    nodes = json.loads(done.stdout)["nodes"]
    failed = {name for name, node in nodes.items() if node["status"] == "failed"}
    skipped = {name for name, node in nodes.items() if node["status"] == "skipped"}
    assert (failed, skipped) == ({"score@knn@1", "score@knn@2"}, {"mean@knn"} | GATHERING)
    assert nodes["mean@lr"]["status"] == "ok"
    assert "node 'score@knn@1' failed" in done.stderr


def test_tables_that_do_not_fit_are_told(grid: Path, here: Here) -> None:
    (grid / "steps.py").write_text(
        STEPS.replace('spec["weight"]}', "spec[\"weight\"]} if spec['id'] == 'lr' else {'accuracy': 'x'}")
    )
    done = here(grid, "run", "p.yaml", "-k")
    assert done.returncode == 1
    assert (
        "the tables of 'score@lr@0' and 'score@knn@1' cannot be put together: 'accuracy' is double in the one and "
        "string in the other"
    ) in done.stderr
