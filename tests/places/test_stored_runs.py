"""Local runs that go on from outputs in a shared place, as a run on a cluster leaves them there."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nfrun.history.work_dir import WorkDir
from nfrun.places.folder import Folder
from tests.places.moved_runs import move_outputs

Here = Callable[..., Any]

STEPS = """
import pathlib
import pyarrow as pa

def log(name):
    with open("calls.log", "a") as file:
        file.write(name + "\\n")

def numbers():
    log("numbers")
    return pa.table({"n": [1, 2, 3]})

def model(numbers, context):
    log("model")
    path = context.scratch / "m.bin"
    path.write_bytes(bytes(numbers["n"].to_pylist()))
    return path

def parts(numbers, context):
    log("parts")
    folder = context.scratch / "parts"
    folder.mkdir()
    (folder / "a.txt").write_text(str(numbers["n"].to_pylist()))
    return folder

def total(numbers, model, parts, plus):
    log("total")
    read = sum(model.read_bytes()) + len((parts / "a.txt").read_text())
    return pa.table({"total": [sum(numbers["n"].to_pylist()) + read + plus]})
"""
PIPELINE = """
    name: p
    params: {plus: 1}
    nodes:
      numbers: {python: "steps:numbers"}
      model: {python: "steps:model", inputs: {numbers: numbers}, outputs: {model: .bin}}
      parts: {python: "steps:parts", inputs: {numbers: numbers}, outputs: {parts: folder}}
      total:
        python: steps:total
        inputs: {numbers: numbers, model: model, parts: parts}
        with: {plus: "${{ params.plus }}"}
    outputs: {total: total, model: model}
"""


class Trial:
    def __init__(self, path: Path, here: Here) -> None:
        self.path, self.here = path / "project", here
        self.path.mkdir()
        (self.path / "steps.py").write_text(STEPS)
        (self.path / "p.yaml").write_text(textwrap.dedent(PIPELINE))
        self.work = WorkDir(self.path / ".nfrun")
        self.place = Folder(path / "shared" / "7f3a")

    def run(self, *words: str, code: int = 0) -> Any:
        """Run, and return the document of the run. `ran` has the names of the nodes that ran, in order."""
        log = self.path / "calls.log"
        log.unlink(missing_ok=True)
        done = self.here(self.path, "run", "p.yaml", "--json", *words)
        assert done.returncode == code, done.stderr
        self.stderr = done.stderr
        self.ran = log.read_text().split() if log.exists() else []
        return json.loads(done.stdout)

    def stored(self) -> list[str]:
        """Run, and move all outputs into the place. Returns their names there."""
        self.first = self.run()
        self.addresses = move_outputs(self.work, self.place)
        assert not [*self.path.glob(".nfrun/runs/*/*.arrow")]
        return [found.name for found in self.place.names()]

    def name_of(self, ending: str) -> str:
        return next(found.name for found in self.place.names() if found.name.endswith(ending))


@pytest.fixture
def trial(tmp_path: Path, here: Here) -> Trial:
    return Trial(tmp_path, here)


def digests(document: Any) -> dict[str, str]:
    return {name: output["digest"] for name, output in document["outputs"].items()}


def test_a_local_run_reuses_what_is_in_the_place(trial: Trial) -> None:
    assert len(trial.stored()) == 4
    document = trial.run()
    assert trial.ran == []
    assert digests(document) == digests(trial.first)
    assert document["outputs"]["total"]["path"] is None
    assert document["outputs"]["total"]["stored"] in trial.addresses
    assert trial.run() and trial.ran == []  # the journal of the second run has the addresses, too


def test_a_node_that_runs_reads_tables_files_and_folders_from_the_place(trial: Trial) -> None:
    trial.stored()
    document = trial.run("-p", "plus=2")
    assert trial.ran == ["total"]
    assert document["outputs"]["total"]["path"]
    assert digests(document)["model"] == digests(trial.first)["model"]
    assert digests(document)["total"] != digests(trial.first)["total"]
    assert "warning" not in trial.stderr


def test_what_was_removed_from_the_place_is_made_again_if_it_is_needed(trial: Trial) -> None:
    trial.stored()
    trial.place.remove([trial.name_of(".folder")])
    trial.run()
    assert trial.ran == []  # nobody needs it
    document = trial.run("-p", "plus=2")
    assert trial.ran == ["parts", "total"]
    assert document["status"] == "ok"


@pytest.mark.parametrize("data", [b"", b"another"])
def test_a_damaged_output_is_told_and_made_again(trial: Trial, data: bytes) -> None:
    trial.stored()
    path = trial.place.get(trial.name_of(".bin"))
    size = path.stat().st_size
    path.chmod(0o644)
    path.write_bytes(data[:size])
    document = trial.run()
    assert trial.ran == ["model"]
    assert f"nfrun: warning: {path.as_uri()} is damaged and is not used" in trial.stderr
    assert digests(document) == digests(trial.first)
    assert not path.exists()


def test_a_place_that_is_gone_costs_only_runs(trial: Trial) -> None:
    trial.stored()
    trial.place.path.parent.rename(trial.place.path.parent.with_name("elsewhere"))
    document = trial.run()
    assert sorted(trial.ran) == ["model", "numbers", "parts", "total"]
    assert digests(document) == digests(trial.first)
    trial.run()
    assert trial.ran == []


def test_a_place_that_cannot_be_read_is_told_once(trial: Trial) -> None:
    trial.stored()
    trial.place.path.parent.rename(trial.place.path.parent.with_name("elsewhere"))
    trial.place.path.parent.write_text("")
    document = trial.run()
    assert digests(document) == digests(trial.first)
    assert trial.stderr.count("outputs in a store are not used") == 1
    assert trial.stderr.startswith(
        f"nfrun: warning: outputs in a store are not used: the store {trial.place.path} cannot be a folder: "
        f"{trial.place.path.parent} is a file"
    )


def test_looking_back_reads_from_the_place(trial: Trial) -> None:
    trial.stored()
    numbers = next(address for address in trial.addresses if address.endswith(".arrow"))
    shown = trial.here(trial.path, "show", "numbers").stdout
    assert numbers in shown and "3 rows" in shown
    document = json.loads(trial.here(trial.path, "show", "numbers", "--json").stdout)
    assert document["outputs"]["numbers"]["stored"] == numbers
    assert document["outputs"]["numbers"]["path"] is None
    assert trial.here(trial.path, "open", "numbers", "--format", "csv").stdout == '"n"\n1\n2\n3\n'
    path = trial.here(trial.path, "open", "model.model", "--format", "path").stdout.strip()
    assert Path(path).read_bytes() == bytes([1, 2, 3])
    trial.run("-p", "plus=5")
    done = trial.here(trial.path, "diff", "--data")
    assert done.returncode == 0 and "total" in done.stdout, done.stderr


def test_looking_back_says_what_is_gone(trial: Trial) -> None:
    trial.stored()
    trial.place.remove_all()
    numbers = next(address for address in trial.addresses if address.endswith(".arrow"))
    assert f"its table is not in {numbers} any more; to make it again: nfrun run p.yaml" in trial.here(
        trial.path, "show", "numbers"
    ).stdout.replace("\n", " ")
    done = trial.here(trial.path, "open", "numbers")
    assert done.returncode == 2
    assert done.stderr.startswith("nfrun: the table of 'numbers' in run 1 was removed; to make it again: nfrun run")
