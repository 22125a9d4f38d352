"""Runs the examples of `docs/checks.md`, and the pipeline of a shop whose tables have contracts."""

from __future__ import annotations

import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conftest import Here

PAGE = (Path(__file__).parents[2] / "docs" / "checks.md").read_text(encoding="utf-8")
CONTRACT = Path(__file__).parents[1] / "contract"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files of the page."""
    for name, text in re.findall(r"```(?:yaml|csv)\n# (\S+)\n(.*?)```", PAGE, re.DOTALL):
        (tmp_path / name).write_text(text)
    return tmp_path


def run(here: Here, folder: Path, file: str) -> dict[str, Any]:
    return dict(json.loads(here(folder, "run", file, "--json").stdout))


def results(document: dict[str, Any], node: str) -> dict[str, bool]:
    return {check["name"]: check["ok"] for check in document["nodes"][node]["checks"]}


def test_the_shop_of_the_page(folder: Path, here: Here) -> None:
    document = run(here, folder, "shop.yaml")
    assert document["status"] == "ok"
    assert results(document, "raw_orders") == {"schema": True}
    found = results(document, "orders")
    assert [name.partition(":")[0] for name, ok in found.items() if not ok] == ["sql"], "a warning"
    table = pa.ipc.open_file(document["outputs"]["orders"]["path"]).read_all()
    assert table["zip"].to_pylist() == ["01067", "10115", "20095"], "zip codes keep their zeros"


def test_a_row_that_is_there_twice_fails_the_shop(folder: Path, here: Here) -> None:
    with (folder / "orders.csv").open("a") as file:
        file.write("3,1,2024-03-01,placed,20095\n")
    document = run(here, folder, "shop.yaml")
    assert document["nodes"]["orders"]["status"] == "failed"
    told = PAGE[PAGE.index("node 'orders' failed its check") :].partition(", customer")[0]
    assert f"node 'orders' {document['nodes']['orders']['error']}".startswith(told)


def test_a_column_that_cannot_be_there_is_told_by_validate(folder: Path, here: Here) -> None:
    file = folder / "shop.yaml"
    file.write_text(file.read_text().replace("select id, customer,", "select id, custmer,"))
    told = here(folder, "validate", "shop.yaml").stderr
    shown = next(line for line in PAGE.splitlines() if "custmer" in line)
    assert told.splitlines()[0] == shown.replace("shop.yaml:8:", "shop.yaml:7:"), "the page has the name above the file"


def test_a_test_over_several_tables_is_a_node(folder: Path, here: Here) -> None:
    assert run(here, folder, "orphans.yaml")["status"] == "ok"
    file = folder / "orphans.yaml"
    file.write_text(file.read_text().replace('[7, 8]) as customer"}\n  orphans', '[7]) as customer"}\n  orphans'))
    assert run(here, folder, "orphans.yaml")["nodes"]["orphans"]["error"].startswith(
        "failed its check 'rows: 0': 1 row"
    )


def seeds(folder: Path) -> None:
    """Write a hundred customers, 99 orders and 113 payments."""
    draw = random.Random(1)
    folder.mkdir()
    statuses = ["placed", "shipped", "completed", "return_pending", "returned"]
    methods = ["credit_card", "coupon", "bank_transfer", "gift_card"]
    customers = [f"{i},N{i},L." for i in range(1, 101)]
    orders = [
        f"{i},{draw.randint(1, 100)},2018-01-{draw.randint(10, 28)},{draw.choice(statuses)}" for i in range(1, 100)
    ]
    payments = [f"{i},{min(i, 99)},{draw.choice(methods)},{draw.randint(1, 30) * 100}" for i in range(1, 114)]
    for name, head, rows in (
        ("customers", "id,first_name,last_name", customers),
        ("orders", "id,user_id,order_date,status", orders),
        ("payments", "id,order_id,payment_method,amount", payments),
    ):
        (folder / f"raw_{name}.csv").write_text("\n".join([head, *rows, ""]))


def test_the_jaffle_shop(tmp_path: Path, here: Here) -> None:
    shutil.copy(CONTRACT / "jaffle.yaml", tmp_path)
    shutil.copytree(CONTRACT / "models", tmp_path / "models")
    seeds(tmp_path / "seeds")
    document = run(here, tmp_path, "jaffle.yaml")
    assert (document["status"], document["counts"]["ok"]) == ("ok", 8)
    assert all(all(results(document, name).values()) for name, node in document["nodes"].items() if "checks" in node)
    orders = pa.ipc.open_file(document["outputs"]["orders"]["path"]).read_all()
    lines = (tmp_path / "seeds" / "raw_payments.csv").read_text().splitlines()[1:]
    assert sum(orders["amount"].to_pylist()) == sum(int(line.rpartition(",")[2]) for line in lines) / 100

    with (tmp_path / "seeds" / "raw_orders.csv").open("a") as file:
        file.write("100,101,2018-01-10,lost\n")
    document = run(here, tmp_path, "jaffle.yaml")
    assert document["nodes"]["stg_orders"]["error"].startswith(
        "failed its check 'enum: status': 1 row of 100; the first: "
    )
    assert document["nodes"]["orders"]["status"] == "skipped"
