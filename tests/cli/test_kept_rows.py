"""Which calls of mapped nodes a run makes again: after edits of the pipeline, the code, and what the code reads."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conftest import Here

STEPS = """
import json
from functools import lru_cache
from pathlib import Path
import pyarrow as pa

def rows(n=1000, new=(), order=1, extra=False):
    ids = list(range(n))[::order]
    middle = len(ids) // 2
    ids[middle:middle] = new
    table = pa.table({"id": ids, "text": [f"text {i}" for i in ids]})
    return table.append_column("extra", [[0] * len(ids)]) if extra else table

def factors():
    return pa.table({"factor": [2]})

def size(text: list[str], unit=1):
    return {"size": [len(each) * unit for each in text]}

def bare(text: str):
    return len(text)

def scaled(text: list[str], factors):
    return {"size": [len(each) * factors["factor"][0].as_py() for each in text]}

def part(rows: pa.Table) -> pa.Table:
    return rows.append_column("in_part", [[1] * rows.num_rows])

def with_file(text: list[str]):
    more = json.loads(Path("settings.json").read_text())["more"]
    return {"size": [len(each) + more for each in text]}

TEXT = Path("imported.txt").read_text() if Path("imported.txt").exists() else ""

@lru_cache
def once():
    return Path("once.txt").read_text()

def warm():
    return [{"n": len(once())}]

def of_module(text: str):
    return {"c": TEXT}

def of_cache(text: str):
    return {"c": once()}

class Model:
    def __init__(self):
        self.text = Path("model.txt").read_text()

    def __call__(self, text: str):
        return {"c": self.text}

def fails(text: str):
    if text == "text 77" and not Path("doog"[::-1]).exists():  # unseen
        raise ValueError("no")
    return {"size": len(text)}
"""

PIPELINE = """
name: p
nodes:
  rows: {python: "steps:rows"}
  factors: {python: "steps:factors"}
  size: {python: "steps:size", inputs: rows, map: rows}
  scaled: {python: "steps:scaled", inputs: [rows, factors], map: rows}
  part: {python: "steps:part", inputs: rows, map: {over: rows, batch: 100}}
outputs: {size: size, scaled: scaled, part: part}
"""


class Trial:
    def __init__(self, path: Path, here: Here) -> None:
        self.path, self._here = path, here
        self.steps, self.file = path / "steps.py", path / "p.yaml"
        self.steps.write_text(STEPS)
        self.file.write_text(PIPELINE)

    def edit(self, old: str, new: str, file: str = "p.yaml") -> None:
        path = self.path / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def run(self, *words: str, code: int = 0) -> dict[str, Any]:
        done = self._here(self.path, "run", "p.yaml", "--json", *words)
        assert done.returncode == code, done.stderr
        self.stderr = done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def new(self, *words: str) -> dict[str, int]:
        """Run, and return how many rows of each mapped node were not reused, and 0 for a node that was."""
        self.document = self.run(*words)
        nodes = self.document["nodes"]
        counts = {id: node["map"] for id, node in nodes.items() if node.get("map")}
        return {id: found["rows"] - found["reused"] for id, found in counts.items()}

    def digests(self) -> dict[str, str]:
        return {name: output["digest"] for name, output in self.document["outputs"].items()}


@pytest.fixture
def trial(tmp_path: Path, here: Here) -> Trial:
    made = Trial(tmp_path, here)
    assert made.new() == {"size": 1000, "scaled": 1000, "part": 1000}
    return made


def test_new_rows_in_the_middle_are_computed_alone(trial: Trial) -> None:
    trial.edit('"steps:rows"', '"steps:rows", with: {new: [2001, 2002, 2003]}')
    assert trial.new() == {"size": 3, "scaled": 3, "part": 503}
    assert trial.document["nodes"]["size"]["map"] == {"rows": 1003, "reused": 1000, "failed": 0, "calls": 1}
    digests = trial.digests()
    assert trial.new("--fresh", "--work", "other")["size"] == 1003
    assert trial.digests() == digests


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  size:", "  renamed:"),
        ('"steps:rows"', '"steps:rows", with: {order: -1}'),
        ('"steps:rows"', '"steps:rows", with: {extra: true}'),
        ("map: rows", "map: {over: rows, batch: 7}"),
        ("map: rows", "map: {over: rows, keep: [id], on_error: collect, max_failed: 3}"),
        ("map: rows", "map: rows, executor: process"),
        ("map: rows", "map: rows, retries: 2, timeout: 1h, resources: {cpu: 0.5}"),
    ],
)
def test_no_call_is_made_for_the_same_rows(old: str, new: str, trial: Trial) -> None:
    trial.edit(old, new)
    if "renamed" in new:
        trial.edit("size: size", "size: renamed")
    found = trial.new()
    assert {**found, "part": 0} == {"renamed" if "renamed" in new else "size": 0, "scaled": 0, "part": 0}


def test_no_call_is_made_for_more_cells_of_an_axis(trial: Trial) -> None:
    trial.edit("inputs: rows, map: rows}", "inputs: rows, map: rows, matrix: {unit: [1, 2]}}")
    trial.edit("size: size, ", "")
    assert trial.new() == {"size@1": 0, "size@2": 0, "scaled": 0, "part": 0}


def test_a_column_that_the_function_names_counts_row_by_row(trial: Trial) -> None:
    trial.edit('f"text {i}" for', 'f"text {i if i != 7 else 70}" for', "steps.py")
    assert trial.new() == {"size": 0, "scaled": 0, "part": 100}
    trial.edit('f"text {i if i != 7 else 70}" for', 'f"text {i if i != 7 else 7777}" for', "steps.py")
    assert trial.new() == {"size": 1, "scaled": 1, "part": 100}


def test_code_values_and_whole_inputs_count_for_all_rows(trial: Trial) -> None:
    trial.edit("len(each) * unit", "unit * len(each)", "steps.py")
    assert trial.new() == {"size": 1000, "scaled": 0, "part": 0}
    trial.edit("inputs: rows, map: rows}", "inputs: rows, map: rows, with: {unit: 2}}")
    assert trial.new() == {"size": 1000, "scaled": 0, "part": 0}
    trial.edit('{"factor": [2]}', '{"factor": [3]}', "steps.py")
    assert trial.new() == {"size": 0, "scaled": 1000, "part": 0}
    trial.edit('{"factor": [3]}', '{"factor": [2]}', "steps.py")
    assert trial.new() == {"size": 0, "scaled": 0, "part": 0}


def test_fresh_and_force_ignore_kept_rows_and_keep_new_ones(trial: Trial) -> None:
    trial.edit("map: rows}", "map: rows, tags: [a]}")
    assert trial.new("--force", "size") == {"size": 1000, "scaled": 0, "part": 0}
    assert trial.new("--fresh") == {"size": 1000, "scaled": 1000, "part": 1000}
    trial.edit('"steps:rows"', '"steps:rows", with: {n: 1001}')
    assert trial.new() == {"size": 1, "scaled": 1, "part": 1}


@pytest.mark.parametrize("setting", ["cache: false", "map: {over: rows, reuse: false}"])
def test_nothing_is_kept_of_a_node_that_says_so(setting: str, trial: Trial) -> None:
    trial.edit(
        "inputs: rows, map: rows}", f"inputs: rows, {setting if 'map' in setting else f'map: rows, {setting}'}}}"
    )
    before = sorted(path.name for path in (trial.path / ".nfrun/map").rglob("*.arrows"))
    for _ in range(2):
        assert trial.new("--force", "size")["size"] == 1000
    assert sorted(path.name for path in (trial.path / ".nfrun/map").rglob("*.arrows")) == before


def test_a_file_that_calls_read_counts_for_all_rows(tmp_path: Path, here: Here) -> None:
    trial = Trial(tmp_path, here)
    (tmp_path / "settings.json").write_text('{"more": 1}')
    trial.edit("steps:size", "steps:with_file")
    trial.new()
    trial.edit('"steps:rows"', '"steps:rows", with: {n: 1010}')
    assert trial.new()["size"] == 10
    (tmp_path / "settings.json").write_text('{"more": 2}')
    assert trial.new()["size"] == 1010
    (tmp_path / "settings.json").write_text('{"more": 1}')
    trial.edit("n: 1010", "n: 1011")
    assert trial.new()["size"] == 1


def test_files_that_reused_calls_have_read_count_for_the_node(tmp_path: Path, here: Here) -> None:
    trial = Trial(tmp_path, here)
    (tmp_path / "settings.json").write_text('{"more": 1}')
    trial.edit("steps:size", "steps:with_file")
    trial.new()
    trial.edit('"steps:rows"', '"steps:rows", with: {order: -1}')
    assert trial.new()["size"] == 0
    digest = trial.digests()["size"]
    (tmp_path / "settings.json").write_text('{"more": 2}')
    assert trial.new()["size"] == 1000 and trial.digests()["size"] != digest


def test_the_name_of_a_bare_column_is_that_of_its_node(tmp_path: Path, here: Here) -> None:
    trial = Trial(tmp_path, here)
    trial.edit("steps:size", "steps:bare")
    trial.new()
    trial.edit("  size:", "  other:")
    trial.edit("size: size", "size: other")
    assert trial.new()["other"] == 0
    with pa.memory_map(trial.document["outputs"]["size"]["path"]) as file:
        assert pa.ipc.open_file(file).schema.names == ["id", "text", "other"]


def test_what_was_computed_before_a_failure_is_not_computed_again(tmp_path: Path, here: Here) -> None:
    trial = Trial(tmp_path, here)
    trial.edit("steps:size", "steps:fails")
    failed = trial.run("-j", "1", "--cache-size", "0", code=1)["nodes"]["size"]
    assert failed["status"] == "failed"
    (tmp_path / "good").touch()
    rest = trial.new()["size"]
    assert 872 <= rest <= 936  # of batches of 64, the first and perhaps the half of the second one are kept
    trial.edit("map: rows}", "map: {over: rows, on_error: collect}}")
    trial.edit('"text 77"', '"text 78"', "steps.py")
    (tmp_path / "good").unlink()
    assert trial.new()["size"] == 1000
    assert trial.document["nodes"]["size"]["map"]["failed"] == 1
    (tmp_path / "good").touch()
    assert trial.new()["size"] == 1


def test_results_over_the_budget_are_removed_but_for_those_of_nodes_with_cache(tmp_path: Path, here: Here) -> None:
    trial = Trial(tmp_path, here)
    trial.edit("map: rows}\n  scaled", "map: rows, cache: true}\n  scaled")
    trial.run("--cache-size", "0")
    assert len([*(tmp_path / ".nfrun/map").rglob("*.arrows")]) == 1
    trial.edit('"steps:rows"', '"steps:rows", with: {new: [7000]}')
    assert trial.new() == {"size": 1, "scaled": 1001, "part": 1001}
    here(tmp_path, "clean", "p.yaml", "--all")
    assert not (tmp_path / ".nfrun/map").exists() or not [*(tmp_path / ".nfrun/map").iterdir()]


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_files_that_other_nodes_have_read_in_shared_code_count(executor: str, tmp_path: Path, here: Here) -> None:
    trial = Trial(tmp_path, here)
    names = ("imported", "once", "model")
    for name in names:
        (tmp_path / f"{name}.txt").write_text("old")
    rows = '"steps:rows", with: {n: %d}'
    trial.file.write_text(f"""
defaults: {{executor: {executor}}}
nodes:
  one: {{python: {rows % 3}}}
  two: {{python: {rows % 5}}}
  warm: {{python: "steps:warm"}}
  first: {{python: "steps:Model", inputs: {{rows: one}}, map: rows, needs: warm}}
  model: {{python: "steps:Model", inputs: {{rows: two}}, map: {{over: rows}}, needs: first}}
  once: {{python: "steps:of_cache", inputs: {{rows: two}}, map: rows, needs: model}}
  imported: {{python: "steps:of_module", inputs: {{rows: two}}, map: rows, needs: once}}
outputs: {{model: model, once: once, imported: imported}}
""")
    trial.run("-j", "1")
    for name in names:
        (tmp_path / f"{name}.txt").write_text("new")
    trial.run("-j", "1")
    for name in names:
        with pa.memory_map(trial.run("-j", "1")["outputs"][name]["path"]) as file:
            assert set(pa.ipc.open_file(file).read_all()["c"].to_pylist()) == {"new"}


def test_one_more_cell_of_a_gathered_input_computes_its_rows_alone(tmp_path: Path, here: Here) -> None:
    trial = Trial(tmp_path, here)
    trial.file.write_text("""
matrix: {cell: [3, 5]}
nodes:
  cells: {matrix: cell, python: "steps:rows", with: {n: "${{ matrix.cell }}"}}
  size: {python: "steps:size", inputs: {rows: {from: cells, gather: concat}}, map: rows}
""")
    assert trial.new() == {"size": 8}
    trial.edit("[3, 5]", "[3, 5, 6]")
    assert trial.new() == {"size": 1}


def test_rows_of_a_run_that_is_under_way_are_not_used_as_it_may_rule_them_out(trial: Trial) -> None:
    locks = trial.path / ".nfrun" / "locks"
    (lock,) = locks.glob("*.lock")
    (locks / "other.lock").write_bytes(lock.read_bytes())  # names the run of the fixture
    trial.edit('"steps:rows"', '"steps:rows", with: {new: [2001]}')
    with (locks / "other.lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert trial.new()["size"] == 1001
    trial.edit("new: [2001]", "new: [2001, 2002]")
    assert trial.new()["size"] == 1


def test_results_of_a_run_during_which_the_code_was_changed_are_not_used(tmp_path: Path, here: Here) -> None:
    trial = Trial(tmp_path, here)
    before = (
        STEPS
        + """
def edits(text: str):
    path = Path(__file__)
    path.write_text(path.read_text().replace("len(text) + 1", "len(text) + 2"))
    return len(text) + 1
"""
    )
    trial.edit("steps:size", "steps:edits")
    for _ in range(2):
        trial.steps.write_text(before)
        assert trial.new("-j", "1")["size"] == 1000
    assert "len(text) + 2" in trial.steps.read_text()
