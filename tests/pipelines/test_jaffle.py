"""pipelines/jaffle: its tables are those that plain Python adds up, and each kind of mistake is found by a check."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import forked
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("duckdb")

JAFFLE = Path(__file__).parents[2] / "pipelines" / "jaffle"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"jaffle_{name}", JAFFLE / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_data = load("make_data")
TABLES = make_data.tables()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the pipeline, without what runs have left."""
    copy = tmp_path / "jaffle"
    shutil.copytree(JAFFLE, copy, ignore=shutil.ignore_patterns(".nfrun", "out", "__pycache__"))
    return copy


def nfrun(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nfrun", "run", str(folder / "jaffle.yaml"), "--json", *options]
    done: subprocess.CompletedProcess[str] = forked.run(
        command, capture_output=True, text=True, timeout=120, check=False
    )
    return done


def run(folder: Path, *options: str) -> dict[str, Any]:
    done = nfrun(folder, *options)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def statuses(document: dict[str, Any], status: str) -> set[str]:
    return {id for id, node in document["nodes"].items() if node["status"] == status}


def rows(path: str | Path) -> list[dict[str, Any]]:
    with pa.memory_map(str(path)) as file:
        found: list[dict[str, Any]] = pa.ipc.open_file(file).read_all().to_pylist()
    return found


def failed_checks(document: dict[str, Any], node: str) -> dict[str, list[dict[str, Any]]]:
    """The checks of a node that do not hold, with their failing rows."""
    return {check["name"]: rows(check["path"]) for check in document["nodes"][node]["checks"] if not check["ok"]}


def bills() -> tuple[dict[int, Decimal], dict[int, Decimal]]:
    """What each order costs, and what has been paid for it."""
    price = {product["sku"]: Decimal(product["cents"]) / 100 for product in TABLES["products"]}
    total: dict[int, Decimal] = defaultdict(Decimal)
    for item in TABLES["items"]:
        total[item["order_id"]] += price[item["sku"]] * item["quantity"]
    paid: dict[int, Decimal] = defaultdict(Decimal)
    for payment in TABLES["payments"]:
        paid[payment["order_id"]] += Decimal(payment["cents"]) / 100
    return total, paid


def test_the_tables_are_those_that_the_script_makes() -> None:
    for name, made in TABLES.items():
        with (JAFFLE / "data" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            assert list(csv.DictReader(file)) == [{column: str(value) for column, value in row.items()} for row in made]


def test_orders_customers_months_and_reminders_are_what_python_adds_up(folder: Path) -> None:
    found = run(folder)
    total, paid = bills()
    orders = pq.read_table(folder / "out" / "orders.parquet").to_pylist()
    expected = [
        (order["id"], order["customer_id"], order["status"], total[order["id"]], paid[order["id"]])
        for order in TABLES["orders"]
    ]
    columns = ("order_id", "customer_id", "status", "total", "paid")
    assert [tuple(row[column] for column in columns) for row in orders] == expected
    methods = ("card", "coupon", "gift_card", "transfer")
    assert all(sum(row[method] for method in methods) == row["paid"] for row in orders)

    customers = pq.read_table(folder / "out" / "customers.parquet").to_pylist()
    spent: dict[int, list[Decimal]] = defaultdict(list)
    for order in TABLES["orders"]:
        spent[order["customer_id"]].append(paid[order["id"]])
    assert {row["customer_id"]: (row["orders"], row["paid"]) for row in customers} == {
        customer["id"]: (len(spent[customer["id"]]), sum(spent[customer["id"]])) for customer in TABLES["customers"]
    }

    months = rows(found["outputs"]["months"]["path"])
    for row in months:
        own = [order for order in TABLES["orders"] if f"{order['ordered_on']:%Y-%m}" == row["month"]]
        assert row["orders"] == len(own)
        assert row["paid"] == sum(paid[order["id"]] for order in own)
        assert row["returned"] == round(sum(order["status"] == "returned" for order in own) / len(own), 3)

    patient = make_data.LAST - timedelta(days=14)
    owed = {
        order["id"]: total[order["id"]] - paid[order["id"]]
        for order in TABLES["orders"]
        if order["status"] == "completed" and order["ordered_on"] <= patient and paid[order["id"]] < total[order["id"]]
    }
    reminders = rows(found["outputs"]["reminders"]["path"])
    assert {row["order_id"]: row["due"] for row in reminders} == owed
    assert len(owed) > 20

    # What is no reason to stop is told: orders that are paid twice, and how old the data is.
    paid_twice = [{"order_id": id, "total": total[id], "paid": paid[id]} for id in make_data.TOOK_TOO_MUCH]
    assert failed_checks(found, "orders") == {"paid too much": paid_twice}
    (fresh,) = [check for check in found["nodes"]["raw_orders"]["checks"] if not check["ok"]]
    assert (fresh["name"], fresh["severity"]) == ("fresh: ordered_on", "warn")
    (postcode,) = [check for check in found["nodes"]["stg_customers"]["checks"] if check["name"].startswith("match")]
    assert (postcode["ok"], postcode["failing"]) == (True, 2)  # 1% is allowed

    again = run(folder)
    assert statuses(again, "ok") == {"raw_orders"}  # `fresh` depends on the day, so it is always made
    assert failed_checks(again, "orders") == {"paid too much": paid_twice}


def test_all_that_is_wrong_with_a_table_is_told_at_once_and_nothing_is_published(folder: Path) -> None:
    run(folder)
    published = {path: path.stat() for path in (folder / "out").iterdir()}
    path = folder / "data" / "orders.csv"
    text = path.read_text().replace("6,52,2026-01-01,completed", "6,52,2026-01-01,complete")
    path.write_text(text + "12,1,2026-06-30,placed\n1501,999,2026-06-30,placed\n")
    done = nfrun(folder)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    wrong = failed_checks(found, "stg_orders")
    assert {name: [row["order_id"] for row in failing] for name, failing in wrong.items()} == {
        "unique: order_id": [12, 12],
        "enum: status": [6],
        "references: customer_id": [1501],
    }
    assert statuses(found, "failed") == {"stg_orders"}
    assert {path: path.stat() for path in (folder / "out").iterdir()} == published


@pytest.mark.parametrize(
    ("node", "mistakes"),
    [
        (
            "stg_customers",
            {
                "unique: customer_id": ("data/customers.csv", r"^3,", "4,"),
                "match: postcode": ("data/customers.csv", r",\d{5},(?=2024)", ",?,"),
            },
        ),
        (
            "stg_items",
            {
                "unique: order_id, sku": ("data/items.csv", r"^1,TOAST-PEAR,1", "1,DRINK-CIDER,1"),
                "not_null: price": ("data/items.csv", r"TOAST-EGG", "TOAST-HAM"),
                "range: quantity": ("data/items.csv", r",3$", ",30"),
            },
        ),
        (
            "stg_payments",
            {
                "references: order_id": ("data/payments.csv", r"^5,\d+,", "5,7777,"),
                "enum: method": ("data/payments.csv", r"gift_card", "cheque"),
            },
        ),
        ("products", {"range: cents": ("data/products.csv", r"320", "0")}),
        ("lost_money", {"no money is lost": ("marts/customers.sql", r"^group by", "where status = 'placed' group by")}),
        ("months", {"at most a tenth is returned": ("marts/months.sql", r"= 'returned'", "<> 'shipped'")}),
    ],
)
def test_each_mistake_is_found(folder: Path, node: str, mistakes: dict[str, tuple[str, str, str]]) -> None:
    for file, pattern, replacement in mistakes.values():
        path = folder / file
        text, count = re.subn(pattern, replacement, path.read_text(), flags=re.MULTILINE)
        assert count
        path.write_text(text)
    done = nfrun(folder, "-q")
    assert done.returncode == 1, done.stderr
    assert failed_checks(json.loads(done.stdout), node).keys() >= mistakes.keys()


def test_nobody_to_remind_is_no_failure(folder: Path) -> None:
    found = run(folder, "-p", "patience=400")
    assert statuses(found, "skipped") == {"save_reminders"}
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        "customers.parquet",
        "months.csv",
        "orders.parquet",
    ]
