"""Local runs that go on from outputs in a shared place, as a run on a cluster leaves them there."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from nfrun.history.database import Database
from nfrun.history.kept_tables import remove_stored_over_budget
from nfrun.history.work_dir import WorkDir
from nfrun.tables.places.folder import Folder, open_place
from tests.tables.moved_runs import move_outputs

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
        self.shared = path / "shared"

    @property
    def place(self) -> Folder:
        place = open_place(self.work.store_address(str(self.shared)))
        assert isinstance(place, Folder)
        return place

    def clean(self, *words: str, code: int = 0) -> str:
        done = self.here(self.path, "clean", *words)
        assert done.returncode == code, done.stderr
        self.stderr = done.stderr
        return str(done.stdout)

    def names(self) -> set[str]:
        return {found.name for found in self.place.names()}

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
    total = document["outputs"]["total"]
    assert total["stored"] in trial.addresses
    assert total["stored"] == f"file://{total['path']}"
    assert total["path"] in trial.here(trial.path, "run", "p.yaml").stdout.replace("\n", "")
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
    trial.shared.rename(trial.shared.with_name("elsewhere"))
    document = trial.run()
    assert sorted(trial.ran) == ["model", "numbers", "parts", "total"]
    assert digests(document) == digests(trial.first)
    trial.run()
    assert trial.ran == []


def test_a_place_that_cannot_be_read_is_told_once(trial: Trial) -> None:
    trial.stored()
    place = trial.place.path
    trial.shared.rename(trial.shared.with_name("elsewhere"))
    trial.shared.write_text("")
    document = trial.run()
    assert digests(document) == digests(trial.first)
    why = f"the store {place} cannot be a folder: {trial.shared} is a file"
    assert trial.stderr.startswith(f"nfrun: warning: outputs in a store are not used: {why}\n")
    assert trial.stderr.count("outputs in a store are not used") == 1


def test_looking_back_reads_from_the_place(trial: Trial) -> None:
    trial.stored()
    numbers = next(address for address in trial.addresses if address.endswith(".arrow")).removeprefix("file://")
    shown = trial.here(trial.path, "show", "numbers").stdout
    assert numbers in shown and "3 rows" in shown
    document = json.loads(trial.here(trial.path, "show", "numbers", "--json").stdout)
    assert document["outputs"]["numbers"]["stored"] == f"file://{numbers}"
    assert document["outputs"]["numbers"]["path"] == numbers
    assert trial.here(trial.path, "open", "numbers", "--format", "csv").stdout == '"n"\n1\n2\n3\n'
    path = trial.here(trial.path, "open", "model.model", "--format", "path").stdout.strip()
    assert Path(path).read_bytes() == bytes([1, 2, 3])
    trial.run("-p", "plus=5")
    done = trial.here(trial.path, "diff", "--data")
    assert done.returncode == 0 and "total" in done.stdout, done.stderr


def test_looking_back_says_what_is_gone(trial: Trial) -> None:
    trial.stored()
    trial.place.remove_all()
    numbers = next(address for address in trial.addresses if address.endswith(".arrow")).removeprefix("file://")
    told = f"the table of 'numbers' in run 1 is not at {numbers} any more; to make it again: nfrun run p.yaml"
    assert told in trial.here(trial.path, "show", "numbers").stdout.replace("\n", " ")
    done = trial.here(trial.path, "open", "numbers")
    assert done.returncode == 2
    assert done.stderr.startswith(f"nfrun: {told}")


def test_clean_keeps_what_may_be_reused_and_removes_what_no_run_names(trial: Trial) -> None:
    names = set(trial.stored())
    (code := trial.place.fresh_folder() / "code.zip").write_bytes(b"code")
    trial.place.put(code, "code/1f.zip")
    assert "code/1f.zip" in trial.clean("--dry-run") and "code/1f.zip" in trial.names()
    assert trial.clean() == "removed 2 files, 4 B\n"  # the code, and the folder in which it was made
    assert trial.names() == names
    trial.run()
    assert trial.ran == []


def test_clean_removes_what_is_over_the_budget(trial: Trial) -> None:
    trial.stored()
    assert trial.clean("--cache-size", "0") != "nothing to remove\n"
    # Those that the pipeline shows stay.
    assert sorted(name.rpartition(".")[2] for name in trial.names()) == ["arrow", "bin"]
    trial.run()
    assert trial.ran == []
    trial.run("-p", "plus=7")
    assert sorted(trial.ran) == ["numbers", "parts", "total"]


def test_clean_all_leaves_nothing_in_the_place(trial: Trial) -> None:
    trial.stored()
    listed = trial.clean("--all", "--dry-run")
    assert set(trial.addresses) <= set(listed.split())
    trial.clean("--all")
    assert not trial.place.path.exists()
    trial.run()
    assert sorted(trial.ran) == ["model", "numbers", "parts", "total"]


def test_clean_all_of_another_pipeline_leaves_the_outputs_of_this_one(trial: Trial) -> None:
    names = set(trial.stored())
    (trial.path / "q.yaml").write_text((trial.path / "p.yaml").read_text().replace("plus: 1", "plus: 9"))
    trial.here(trial.path, "run", "q.yaml")
    move_outputs(trial.work, trial.place)
    assert trial.names() > names  # both have the same numbers
    trial.here(trial.path, "clean", "q.yaml", "--all")
    assert trial.names() == names
    trial.here(trial.path, "clean", "p.yaml", "--all")
    assert trial.names() == set()


def test_clean_touches_no_place_of_another_work_folder(trial: Trial) -> None:
    names = set(trial.stored())
    (trial.work.path / "store-id").write_text("0" * 32)
    trial.clean("--all")
    place = Folder(Path(trial.addresses[0].removeprefix("file://")).parent.parent)
    assert {found.name for found in place.names()} == names


def test_a_place_that_cannot_be_listed_is_told(trial: Trial) -> None:
    trial.stored()
    place = trial.place.path
    trial.shared.rename(trial.shared.with_name("elsewhere"))
    trial.shared.write_text("")
    trial.clean(code=74)
    why = f"the store {place} cannot be a folder: {trial.shared} is a file"
    assert trial.stderr == f"nfrun: warning: {why}: what is there stays\n"
    trial.clean("--all", code=74)
    assert trial.stderr == f"nfrun: warning: {why}: what is there stays, and nfrun knows of it no more\n"
    assert not trial.work.run_folders()
    trial.clean("--all")


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_what_is_read_from_the_place_is_no_file_of_the_node(trial: Trial, executor: str) -> None:
    trial.stored()
    trial.run("-p", "plus=2", "--executor", executor)
    assert trial.ran == ["total"]
    document = json.loads(trial.here(trial.path, "show", "total", "--json").stdout)
    assert document["reads"] == {}


def put_code(place: Folder, name: str) -> None:
    folder = place.fresh_folder()
    (folder / "code.zip").write_bytes(b"code")
    place.put(folder / "code.zip", name)
    folder.rmdir()


def test_the_end_of_a_run_removes_what_is_over_the_budget(trial: Trial) -> None:
    trial.stored()
    for name in ("code/old.zip", "code/new.zip"):
        put_code(trial.place, name)
    os.utime(trial.place.path / "code/old.zip", (0, 0))
    with closing(Database(trial.work)) as database:
        size = sum(found.size for found in trial.place.names())
        before = trial.names()
        remove_stored_over_budget(trial.place, database, size)
        assert trial.names() == before
        remove_stored_over_budget(trial.place, database, size - 1)
        assert trial.names() == before - {"code/old.zip"}  # it costs nothing
        remove_stored_over_budget(trial.place, database, 0)
    # What the pipeline shows stays, and what has just been put: no journal may name it yet.
    left = sorted(name.rpartition(".")[2] for name in trial.names())
    assert left == ["arrow", "bin", "zip"]
    trial.run()
    assert trial.ran == []


def test_beside_a_run_clean_does_not_list_what_it_may_have_put(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    trial.stored()
    put_code(trial.place, "code/1f.zip")
    monkeypatch.setattr(WorkDir, "runs_under_way", lambda work: frozenset(["2-20260101-000000"]))
    assert "code/1f.zip" not in trial.clean("--dry-run")
    assert "code/1f.zip" not in trial.clean("--dry-run", "--all")


def test_outputs_in_a_store_in_the_work_folder_are_made_again_when_it_was_moved(trial: Trial) -> None:
    trial.shared = trial.work.path / "store"
    trial.stored()
    trial.path = trial.path.rename(trial.path.with_name("moved"))
    trial.work = WorkDir(trial.path / ".nfrun")
    trial.shared = trial.work.path / "store"
    document = trial.run()
    assert sorted(trial.ran) == ["model", "numbers", "parts", "total"]
    assert digests(document) == digests(trial.first)
    trial.clean()
    trial.run()
    assert trial.ran == []
