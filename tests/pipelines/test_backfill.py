"""pipelines/backfill: partitions and totals are what plain Python counts, and only new and changed days run."""

from __future__ import annotations

import importlib.util
import json
import shutil
import statistics
import sys
from collections import defaultdict
from datetime import date, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import forked
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("duckdb")

BACKFILL = Path(__file__).parents[2] / "pipelines" / "backfill"
FIRST = date(2026, 1, 1)


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"backfill_{name}", BACKFILL / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_data = load("make_data")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the pipeline, without what runs have left."""
    copy = tmp_path / "backfill"
    shutil.copytree(BACKFILL, copy, ignore=shutil.ignore_patterns(".nfrun", "out", "__pycache__"))
    return copy


def run(folder: Path, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "nfrun", "run", str(folder / "backfill.yaml"), "--json", "-q", *options]
    done = forked.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def statuses(document: dict[str, Any], status: str) -> set[str]:
    return {id for id, node in document["nodes"].items() if node["status"] == status}


def cells(*days: str) -> set[str]:
    return {f"{node}@{day}" for node in ("visits", "pages", "save") for day in days}


def trend(document: dict[str, Any]) -> list[dict[str, Any]]:
    with pa.memory_map(document["outputs"]["trend"]["path"]) as file:
        found: list[dict[str, Any]] = pa.ipc.open_file(file).read_all().to_pylist()
    return found


def expected_trend(days: list[date]) -> list[dict[str, Any]]:
    counts = {day: len(list(make_data.visits(day))) for day in days}
    there = {day: count for day, count in counts.items() if count}

    def of_week(day: date) -> float:
        week = [there[earlier] for n in range(7) if (earlier := day - timedelta(days=n)) in there]
        return round(statistics.fmean(week), 1)

    return [{"day": day, "visits": count, "of_week": of_week(day)} for day, count in there.items()]


def expected_pages(day: date) -> list[dict[str, Any]]:
    by_page = defaultdict(list)
    for visit in make_data.visits(day):
        by_page[visit["page"]].append(visit)
    return [
        {
            "page": page,
            "visits": len(visits),
            "visitors": len({visit["visitor"] for visit in visits}),
            "median_ms": statistics.median(visit["ms"] for visit in visits),
        }
        for page, visits in sorted(by_page.items())
    ]


def days(count: int) -> list[date]:
    return [FIRST + timedelta(days=n) for n in range(count)]


def test_the_days_are_those_that_the_script_makes() -> None:
    for day in days(make_data.DAYS):
        lines = (BACKFILL / "data" / f"{day}.jsonl").read_text(encoding="utf-8").splitlines()
        assert [json.loads(line) for line in lines] == list(make_data.visits(day))


def test_only_new_and_changed_days_run(folder: Path) -> None:
    first = run(folder)
    assert trend(first) == expected_trend(days(7))
    pages = folder / "out" / "pages"
    assert sorted(path.name for path in pages.iterdir()) == [f"day={day}" for day in days(7)]
    for day in days(7):
        assert pq.ParquetFile(pages / f"day={day}" / "part-0.parquet").read().to_pylist() == expected_pages(day)
    assert statuses(first, "skipped") == set()  # on 1 January nobody came: its partition has no rows
    assert statuses(run(folder), "ok") == set()

    written = {path: path.stat() for path in pages.rglob("*.parquet")}
    longer = run(folder, "-p", "last=2026-01-08")
    assert statuses(longer, "ok") == cells("2026-01-08") | {"trend", "save_trend"}
    assert trend(longer) == expected_trend(days(8))
    assert {path: path.stat() for path in written} == written

    with (folder / "data" / "2026-01-03.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"at": "2026-01-03T23:59:59", "visitor": 99, "page": "/late", "ms": 20}\n')
    late = run(folder, "-p", "last=2026-01-08")
    assert statuses(late, "ok") == cells("2026-01-03") | {"found", "trend", "save_trend"}
    assert trend(late)[1]["visits"] == expected_trend(days(8))[1]["visits"] + 1
    changed = {path.parent.name for path, stat in written.items() if path.stat() != stat}
    assert changed == {"day=2026-01-03"}

    (pages / "day=2026-01-05" / "part-0.parquet").unlink()
    assert statuses(run(folder, "-p", "last=2026-01-08"), "ok") == {"save@2026-01-05"}


def test_a_partition_of_a_day_that_has_lost_its_visits_is_emptied(folder: Path) -> None:
    run(folder)
    (folder / "data" / "2026-01-03.jsonl").write_text("")
    found = run(folder)
    partition = folder / "out" / "pages" / "day=2026-01-03" / "part-0.parquet"
    table = pq.ParquetFile(partition).read()
    assert table.num_rows == 0
    assert table.column_names == ["page", "visits", "visitors", "median_ms"]
    assert date(2026, 1, 3) not in [row["day"] for row in trend(found)]


def test_a_day_that_is_missing_or_broken_stops_no_other(folder: Path) -> None:
    (folder / "data" / "2026-01-03.jsonl").unlink()
    with (folder / "data" / "2026-01-04.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"at": "2026-01-04T23:59:59", "visitor": "nobody", "page": "/", "ms": 20}\n')
    found = run(folder)
    assert statuses(found, "failed") == {"visits@2026-01-03", "visits@2026-01-04"}
    there = [row["day"] for row in trend(found)]
    assert [str(day) for day in there] == ["2026-01-02", "2026-01-05", "2026-01-06", "2026-01-07"]

    shutil.copy(BACKFILL / "data" / "2026-01-03.jsonl", folder / "data")
    shutil.copy(BACKFILL / "data" / "2026-01-04.jsonl", folder / "data")
    mended = run(folder)
    assert statuses(mended, "ok") == cells("2026-01-03", "2026-01-04") | {"found", "trend", "save_trend"}
    assert trend(mended) == expected_trend(days(7))


def test_a_folder_without_days_is_an_error_before_anything_is_written(folder: Path) -> None:
    command = [sys.executable, "-m", "nfrun", "run", str(folder / "backfill.yaml"), "-p", "source=nowhere"]
    done = forked.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "node 'found' failed: no file matches nowhere/*.jsonl" in done.stderr
    assert not (folder / "out").exists()


@pytest.mark.slow
def test_a_day_more_of_a_year_runs_four_nodes(folder: Path) -> None:
    source = folder / "out" / "year"
    source.mkdir(parents=True)
    for day in days(366):
        lines = [json.dumps(visit) + "\n" for visit in make_data.visits(day)]
        (source / f"{day}.jsonl").write_text("".join(lines), encoding="utf-8")
    first = run(folder, "-p", "source=out/year", "-p", "last=2026-12-31")
    assert trend(first) == expected_trend(days(365))
    assert len(statuses(first, "ok")) == 365 * 3 + 3  # found, trend and save_trend
    assert statuses(run(folder, "-p", "source=out/year", "-p", "last=2026-12-31"), "ok") == set()
    # 1 January 2027 has no visits: its partition has no rows, and the trend stays.
    longer = run(folder, "-p", "source=out/year", "-p", "last=2027-01-01")
    assert statuses(longer, "ok") == cells("2027-01-01") | {"trend"}
