"""Tests of `nfrun show` for a matrix: its cells as one line of a run, and as a table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Here
from kept_runs import Kept, failure, finished, output

from nfrun.history.journal import RecordedNode


def fit(model: str, fold: int, **more: Any) -> Any:
    node = finished(f"fit@{model}@{fold}", outputs=(output(f"fit@{model}@{fold}", 10),), **more)
    return replace(node, of="fit", cell={"model": model, "fold": fold})


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    kept = Kept(tmp_path)
    nodes = [
        finished("data", duration=0.5, reason="--force"),
        fit("lr", 10, duration=0.25, started=0.5, reason="it reads 'data', which runs"),
        fit("lr", 2, duration=0.25, started=0.6, reason="it reads 'data', which runs"),
        fit("rf", 2, reused=True),
        RecordedNode(
            "fit@rf@10",
            "failed",
            failure=failure(),
            attempts=1,
            started=0.7,
            duration=1.0,
            reason="new",
            of="fit",
            cell={"model": "rf", "fold": 10},
        ),
        finished(
            "best",
            duration=0.1,
            key_inputs={"cells fits": "4 0123", "input fits": "4567"},
            outputs=(output("best", 1),),
            reason="--force",
        ),
    ]
    kept.add(1, "failed", nodes=nodes)
    return kept


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def test_a_run_has_a_line_for_the_cells_that_ended_alike(kept: Kept, tmp_path: Path, here: Here) -> None:
    out = here(tmp_path, "show").stdout
    shown = lines(out)
    at = shown.index("") + 1
    assert shown[at : at + 6] == [
        "node       status    time  rows  why it ran",
        "fit@rf@10  failed  1.00 s     -  new",
        "data       ok      500 ms     -  --force",
        "best       ok      100 ms     1  --force",
        "fit (2)    ok      500 ms    20  it reads 'data', which runs",
        "fit@rf@2   reused       -    10",
    ]
    assert "fit@lr@10  ok      250 ms    10  it reads 'data', which runs" in lines(
        here(tmp_path, "show", "--all").stdout
    )


def test_a_matrix_is_shown_as_a_table_of_its_cells(kept: Kept, tmp_path: Path, here: Here) -> None:
    done = here(tmp_path, "show", "fit")
    out = done.stdout
    assert (done.returncode, done.stderr) == (0, "")
    assert lines(out)[:8] == [
        "node 'fit' in run 1: 4 cells, 2 ran, 1 reused, 1 failed",
        "",
        "model  fold  status    time  rows  why it ran",
        "rf     10    failed  1.00 s     -  new",
        "lr     2     ok      250 ms    10  it reads 'data', which runs",
        "lr     10    ok      250 ms    10  it reads 'data', which runs",
        "rf     2     reused       -    10",
        "'nfrun show fit@rf@10' shows one",
    ]
    assert "node 'fit@rf@10' failed" in out


def test_json_has_the_matrix_and_the_values(kept: Kept, tmp_path: Path, here: Here) -> None:
    found = json.loads(here(tmp_path, "show", "fit", "--json").stdout)
    assert (found["run"]["number"], found["node"]) == (1, "fit")
    assert list(found["cells"]) == ["fit@rf@10", "fit@lr@2", "fit@lr@10", "fit@rf@2"]
    cell = json.loads(here(tmp_path, "show", "fit@lr@2", "--json").stdout)
    assert (cell["of"], cell["matrix"]) == ("fit", {"model": "lr", "fold": 2})
    nodes = json.loads(here(tmp_path, "show", "--json").stdout)["nodes"]
    assert nodes["fit@lr@2"]["matrix"] == {"model": "lr", "fold": 2}
    assert "of" not in nodes["data"]


def test_a_gathered_input_is_shown_by_its_number_of_cells(kept: Kept, tmp_path: Path, here: Here) -> None:
    assert "  fits: 4 cells" in lines(here(tmp_path, "show", "best").stdout)


@pytest.mark.parametrize(
    ("name", "guess"), [("fti", "fit"), ("fit@lr@3", "fit@lr@2"), ("fit@", "fit"), ("bets", "best")]
)
def test_a_wrong_name_leads_to_the_nearest(kept: Kept, tmp_path: Path, here: Here, name: str, guess: str) -> None:
    done = here(tmp_path, "show", name)
    assert (done.returncode, f"did you mean '{guess}'?" in done.stderr) == (2, True)


def test_of_many_cells_some_are_shown(tmp_path: Path, here: Here) -> None:
    Kept(tmp_path).add(1, nodes=[fit("m", fold) for fold in range(60)])
    shown = lines(here(tmp_path, "show", "fit").stdout)
    assert shown[-2:] == ["… and 10 more cells: 'nfrun show fit --all' lists all", "'nfrun show fit@m@0' shows one"]
    assert len(lines(here(tmp_path, "show", "fit", "--all").stdout)) == 64
    assert any(line.startswith("fit (60)  ok") for line in lines(here(tmp_path, "show").stdout))
