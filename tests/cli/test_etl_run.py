"""Runs the pipeline `etl`, whose cells are another file, and which replaces the partitions that it has rows for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Here

from nfrun.tables.file_io import read_table

FILES = Path(__file__).parents[1] / "contract"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("etl.yaml", "clean.yaml"):
        (tmp_path / name).write_text((FILES / name).read_text())
    (tmp_path / "data" / "sample").mkdir(parents=True)
    first = pa.table({"id": [1, 2, 3], "country": ["DE", "FR", "DE"], "amount": [10.0, 20.0, None]})
    pq.write_table(first, tmp_path / "data" / "sample" / "orders-1.parquet")
    (tmp_path / "data" / "sample" / "rates.csv").write_text("rate\n2.0\n")
    (tmp_path / "data" / "sample-orders.csv").write_text("id,country,amount\n1,DE,3\n")
    (tmp_path / "push.sh").write_text("#!/bin/sh\necho pushed $LOG > pushed.txt\n")
    (tmp_path / "push.sh").chmod(0o755)
    return tmp_path


def run(here: Here, folder: Path, *words: str) -> dict[str, Any]:
    done = here(folder, "run", "etl.yaml", *words, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_partitions_of_countries(here: Here, folder: Path) -> None:
    run(here, folder)
    found = read_table("out/dev/orders/", base=folder).sort_by("id")
    assert found.to_pylist() == [
        {"id": 1, "amount": 20.0, "country": "DE"},
        {"id": 2, "amount": 40.0, "country": "FR"},
        {"id": 3, "amount": None, "country": "DE"},
    ]
    assert not (folder / "pushed.txt").exists()
    second = pa.table({"id": [4, 5], "country": ["NL", "ES"], "amount": [5.0, 1.0]})
    pq.write_table(second, folder / "data" / "sample" / "orders-2.parquet")
    (folder / "data" / "sample" / "orders-1.parquet").unlink()
    run(here, folder, "-p", "publish=true")
    assert (folder / "pushed.txt").read_text() == "pushed debug\n"
    found = read_table("out/dev/orders/", base=folder).sort_by("id")
    assert found["country"].to_pylist() == ["DE", "FR", "DE", "NL"]
    assert found["amount"].to_pylist() == [20.0, 40.0, None, 10.0]


def test_the_profile_for_production_reads_and_writes_elsewhere(here: Here, folder: Path) -> None:
    text = (folder / "etl.yaml").read_text()
    (folder / "etl.yaml").write_text(text.replace("/srv/", f"{folder}/srv/"))
    (folder / "srv").mkdir()
    (folder / "data" / "sample").rename(folder / "srv" / "data")
    found = run(here, folder, "--profile", "prod")
    assert found["status"] == "ok"
    assert read_table("srv/out/orders/", base=folder).num_rows == 3
    assert (folder / "pushed.txt").read_text() == "pushed debug\n"
    assert (folder / "srv" / "nfrun" / "runs").is_dir()
    assert not (folder / "out").exists() and not (folder / ".nfrun").exists()


def test_a_column_to_partition_by_is_looked_up_when_planning(here: Here, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "nodes:\n"
        "  a: {read: a.csv, schema: {country: string, n: int64}}\n"
        "  b: {write: out/, inputs: a, with: {partition: [n, contry]}}\n"
    )
    (tmp_path / "a.csv").write_text("country,n\nDE,1\n")
    done = here(tmp_path, "validate", "p.yaml")
    what = "p.yaml:3:49: 'a' is partitioned by the column 'contry', which it does not have"
    assert done.stderr.splitlines()[0] == what
    assert "did you mean 'country'?" in done.stderr
