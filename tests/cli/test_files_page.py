"""Runs the examples of `docs/files.md`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc as ipc
import pytest
from conftest import Here

PAGE = (Path(__file__).parents[2] / "docs" / "files.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files of the page, and the data that they read."""
    for name, text in re.findall(r"```(?:yaml|python)\n# (\S+)\n(.*?)```", PAGE, re.DOTALL):
        (tmp_path / name).write_text(text)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sizes.txt").write_text("size\n1\n3\n")
    return tmp_path


def run(here: Here, folder: Path, *words: str) -> dict[str, Any]:
    done = here(folder, "run", *words, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_model_and_its_report_are_handed_on(here: Here, folder: Path) -> None:
    outputs = run(here, folder, "train.yaml")["outputs"]
    with pa.memory_map(outputs["guess"]["path"]) as file:
        assert ipc.open_file(file).read_all().to_pylist() == [{"guess": 2.0}]
    with pa.memory_map(outputs["lines"]["path"]) as file:
        assert ipc.open_file(file).read_all().to_pylist() == [{"lines": 2}]
    assert Path(outputs["card"]["path"]).read_text() == "2 rows"
    assert (folder / "out" / "report" / "size.txt").read_text() == "2 rows"
    assert (folder / "out" / "model.pkl").read_bytes() == Path(outputs["model"]["path"]).read_bytes()
    assert outputs["model"]["type"] == ".pkl"
    assert run(here, folder, "train.yaml")["counts"]["reused"] == 8


def test_the_files_of_cells_are_a_folder(here: Here, folder: Path) -> None:
    outputs = run(here, folder, "cells.yaml")["outputs"]
    assert Path(outputs["all"]["path"]).read_text() == "model 0\nmodel 1\n"
