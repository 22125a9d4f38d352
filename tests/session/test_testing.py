"""`nfrun.testing.run_node`, and the fixture `pipeline` of the plug-in of pytest."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import nfrun
from nfrun.testing import run_node

PIPELINE = """
name: shop
params: {least: 1, first: "2026-11-01", country: {type: string, enum: [DE, FR], default: DE}}
defaults: {retries: 1, cache: true}
matrix: {country: [DE, FR]}
nodes:
  orders: {read: orders.csv}
  rates: {read: rates.csv}
  mine:
    sql: select * from orders where country = $country and amount >= $least
    inputs: {orders: orders}
    with: {country: "${{ params.country }}", least: "${{ params.least }}"}
    checks: [{rows: {min: 1}}, {references: {id: rates(id)}}]
    if: "${{ params.least > 100 }}"
    needs: rates
  halves: {python: "steps:halves", inputs: {table: mine}, outputs: [low, high]}
  model: {python: "steps:model", inputs: {table: halves.low}, outputs: {pkl: .pkl}}
  use: {python: "steps:use", inputs: {model: model, rates: {from: rates, optional: true}}}
  cell: {matrix: country, python: "steps:cell", inputs: {table: mine}, with: {of: "${{ matrix.country }}"}}
  late: {matrix: {day: "${{ [params.first, '2026-11-02'] | dates }}"}, sql: "select 1 as n"}
  all: {sql: "select * from cells", inputs: {cells: {from: cell, gather: concat}}}
  dict: {python: "steps:use", inputs: {model: {from: cell, gather: dict}}}
  mapped: {python: "steps:twice", inputs: {rows: mine}, map: rows}
"""
STEPS = """
def halves(table):
    return {"low": table.slice(0, 1), "high": table.slice(1)}


def model(table):
    return str(table.num_rows).encode()


def use(model, rates=None):
    return {"text": model.read_text(), "has_rates": rates is not None}


def cell(table, of):
    return {"of": of, "rows": table.num_rows}


def twice(id: int):
    return {"double": id * 2}
"""
ORDERS = [{"id": 1, "country": "DE", "amount": 5}, {"id": 2, "country": "FR", "amount": 7}]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "steps.py").write_text(STEPS)
    path = tmp_path / "shop.yaml"
    path.write_text(PIPELINE)
    return path


def test_a_node_runs_alone_with_given_inputs_and_its_checks(file: Path) -> None:
    assert run_node(file, "mine", {"orders": ORDERS}).to_pylist() == ORDERS[:1]
    assert run_node(file, "mine", {"orders": pa.Table.from_pylist(ORDERS)}, params={"country": "FR"}).num_rows == 1
    with pytest.raises(nfrun.RunFailed, match="node 'mine' failed its check 'rows: min 1'") as caught:
        run_node(file, "mine", {"orders": ORDERS}, with_={"least": 6})
    assert all(Path(path).exists() for path in re.findall(r"/\S+\.arrow", str(caught.value)))
    assert [path.name for path in file.parent.iterdir() if path.name.startswith(".")] == []


def test_what_a_node_prints_is_printed(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (file.parent / "steps.py").write_text(STEPS.replace("def cell(table, of):", "def cell(table, of):\n    print(of)"))
    run_node(file, "cell@DE", {"table": ORDERS})
    assert capsys.readouterr().out == "DE\n"


def test_outputs_come_by_names_as_files_and_as_cells(file: Path) -> None:
    found = run_node(file, "halves", {"table": ORDERS})
    assert {name: table.to_pylist() for name, table in found.items()} == {"low": ORDERS[:1], "high": ORDERS[1:]}
    model = run_node(file, "model", {"table": ORDERS})
    assert model.read_bytes() == b"2"
    assert run_node(file, "use", {"model": model}).to_pylist() == [{"text": "2", "has_rates": False}]
    assert run_node(file, "use", {"model": model, "rates": ORDERS})["has_rates"].to_pylist() == [True]
    assert run_node(file, "cell@FR", {"table": ORDERS}).to_pylist() == [{"of": "FR", "rows": 2}]
    assert run_node(file, "all", {"cells": ORDERS}).num_rows == 2
    assert run_node(file, "mapped", {"rows": ORDERS})["double"].to_pylist() == [2, 4]
    (file.parent / "orders.csv").write_text("a\n1\n")
    assert run_node(file, "orders").to_pylist() == [{"a": 1}]


WRONG: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no node": ({"id": "mien"}, nfrun.UsageError, "id: there is no node 'mien'; did you mean 'mine'?"),
    "no text": ({"id": 5}, nfrun.UsageError, "id: 5 is no id of a node"),
    "inside": (
        {"id": "x/mine"},
        nfrun.UsageError,
        "id: there is no node 'x/mine' (of a sub-pipeline, name its own file); did you mean 'mine'?",
    ),
    "no cell": (
        {"id": "cell"},
        nfrun.UsageError,
        "id: 'cell' has the axis country: name one cell of it, as in 'cell@…'",
    ),
    "no such cell": (
        {"id": "cell@NL", "inputs": {"table": ORDERS}},
        nfrun.UsageError,
        "id: no node matches 'cell@NL'",
    ),
    "an input": (
        {"id": "mine", "inputs": {"order": ORDERS}},
        nfrun.UsageError,
        "inputs: 'mine' has no input 'order'; did you mean 'orders'?",
    ),
    "no input": ({"id": "mine"}, nfrun.UsageError, "inputs: 'mine' also reads orders"),
    "no table": ({"id": "mine", "inputs": {"orders": 5}}, nfrun.UsageError, "inputs: 'orders' is an int"),
    "a mapping of cells": (
        {"id": "dict", "inputs": {"model": ORDERS}},
        nfrun.UsageError,
        "inputs: 'model' is a mapping of cells, which cannot be given: call the function itself",
    ),
    "a value": (
        {"id": "halves", "inputs": {"table": ORDERS}, "with_": {"lest": 1}},
        nfrun.SpecError,
        "",
    ),
    "a parameter": ({"id": "mine", "inputs": {"orders": ORDERS}, "params": {"country": "NL"}}, nfrun.SpecError, ""),
    "a value of a query": (
        {"id": "mine", "inputs": {"orders": ORDERS}, "with_": {"countr": "FR"}},
        nfrun.UsageError,
        "with_: 'mine' has no value 'countr'; did you mean 'country'?",
    ),
    "no file": ({"file": "no.yaml", "id": "x"}, nfrun.SpecError, "no.yaml: there is no such file"),
    "a column": ({"id": "mine", "inputs": {"orders": [{"x": 1}]}}, nfrun.Error, ""),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_say_what_to_do(file: Path, name: str) -> None:
    arguments, error, text = WRONG[name]
    with pytest.raises(error) as caught:
        run_node(**{"file": file, **arguments})
    assert str(caught.value).startswith(text)


TESTS = """
def test_a_node(pipeline):
    table = pipeline("shop.yaml").node("mine", orders=[{"id": 1, "country": "DE", "amount": 5}])
    assert table.num_rows == 1


def test_a_run(pipeline, tmp_path):
    shop = pipeline("shop.yaml")
    result = shop.run(only=["orders"])
    assert result.status == "ok"
    assert (tmp_path / ".nfrun" / "runs").is_dir()
    assert repr(shop.plan(only="orders")) == "<plan of shop: 0 of 1 nodes would run>"
"""


def test_the_fixture_runs_nodes_and_pipelines_in_a_temporary_folder(file: Path) -> None:
    (file.parent / "orders.csv").write_text("id,country,amount\n1,DE,5\n")
    (file.parent / "rates.csv").write_text("id\n1\n")
    (file.parent / "test_shop.py").write_text(TESTS)
    plugin = ("-p", "no:nfrun", "-p", "nfrun.session.api.pytest_plugin")  # whether nfrun was installed with it or not
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        *plugin,
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "test_shop.py",
    ]
    done = subprocess.run(command, cwd=file.parent, capture_output=True, text=True, check=False)
    assert "2 passed" in done.stdout, done.stdout
    assert not (file.parent / ".nfrun").exists()


def test_the_plug_in_imports_nothing_that_takes_long() -> None:
    code = (
        "import sys, pytest; old = {*sys.modules}; import nfrun.session.api.pytest_plugin; print({*sys.modules} - old)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"'([\w.]+)'", shown)) == {
        *("nfrun", "nfrun.session", "nfrun.session.api", "nfrun.session.api.pytest_plugin")
    }


def test_the_plug_in_is_an_entry_point_of_pytest() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"nfrun": "nfrun.session.api.pytest_plugin"}
