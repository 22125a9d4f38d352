"""Runs the shop of `tests/contract/jaffle.yaml`, whose tables have contracts."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
from conftest import Here

CONTRACT = Path(__file__).parents[1] / "contract"


def run(here: Here, folder: Path, file: str) -> dict[str, Any]:
    return dict(json.loads(here(folder, "run", file, "--json").stdout))


def results(document: dict[str, Any], node: str) -> dict[str, bool]:
    return {check["name"]: check["ok"] for check in document["nodes"][node]["checks"]}


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
