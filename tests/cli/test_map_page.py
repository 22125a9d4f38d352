"""Runs the examples of `docs/map.md`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc as ipc
import pytest
from conftest import Here

PAGE = (Path(__file__).parents[2] / "docs" / "map.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files of the page."""
    for name, text in re.findall(r"```(?:yaml|python)\n# (\S+)\n(.*?)```", PAGE, re.DOTALL):
        (tmp_path / name).write_text(f"# {name}\n{text}")
    return tmp_path


def run(here: Here, folder: Path, *words: str) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """Return the document of a run, and the rows of its outputs."""
    done = here(folder, "run", *words, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    tables = {}
    for name, output in document["outputs"].items():
        with pa.memory_map(output["path"]) as file:
            tables[name] = ipc.open_file(file).read_all().to_pylist()
    return document, tables


def test_a_function_is_called_for_each_row(here: Here, folder: Path) -> None:
    document, tables = run(here, folder, "words.yaml")
    texts = ["One. Two words.", "Three", "One. Two words."]
    assert tables["words"] == [
        {"id": i + 1, "text": text, "words": len(text.split()), "characters": len(text)} for i, text in enumerate(texts)
    ]
    parts = [(1, "One"), (1, "Two words"), (2, "Three"), (3, "One"), (3, "Two words")]
    assert tables["parts"] == [{"id": id, "part": part} for id, part in parts]
    assert document["nodes"]["parts"]["map"] == {"rows": 3, "reused": 0, "failed": 0, "calls": 1}


def test_a_function_is_called_for_each_group(here: Here, folder: Path) -> None:
    _, tables = run(here, folder, "shops.yaml")
    sums = {row["shop"]: (row["euros_sum"], row["dollars"]) for row in tables["trend"]}
    assert sums == {"north": (40, 80), "south": (20, 40), "east": (40, 80)}
    assert [tuple(row.values()) for row in tables["sorted"]] == [
        ("north", 10), ("north", 30), ("south", 20), ("east", 40)
    ]  # fmt: skip


def test_an_async_function_is_called_with_a_rate(here: Here, folder: Path) -> None:
    document, tables = run(here, folder, "ask.yaml")
    assert tables["good"] == [{"answers": 40}]
    assert tables["bad"] == [{"question": "why?", "error": "ValueError", "attempts": 4}]
    assert document["nodes"]["answers"]["map"] == {"rows": 41, "reused": 0, "failed": 1, "calls": 45}
    again, tables = run(here, folder, "ask.yaml")
    assert again["nodes"]["answers"]["map"] == {"rows": 41, "reused": 40, "failed": 1, "calls": 4}
    assert tables["good"] == [{"answers": 40}]


def test_the_first_bad_row_fails_a_node_that_collects_nothing(here: Here, folder: Path) -> None:
    text = (folder / "ask.yaml").read_text().replace(", on_error: collect, max_failed: 20%", "").partition("  good:")[0]
    (folder / "ask.yaml").write_text(text)
    told = here(folder, "run", "ask.yaml", "-q").stderr.strip().splitlines()[0]
    assert told.startswith("ask.yaml:6:3: row 41 of 41 of 'answers' failed: ValueError: ")
    assert told.endswith('(question: "why?")')
