"""Tests that a node on a worker fails which has read an older copy of a file of the project."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from nfrun.core.errors import Cause
from nfrun.core.events import Failure, Outcome
from nfrun.core.observation import Observation
from nfrun.engine.cluster.folder_copies import with_changes
from nfrun.system.checksums import FileChecksums

TOLD = (
    "'a.txt' has changed since the run began, and nodes on workers see the folder of the pipeline as it was then: "
    "give it to the node as an input, or run the node here (executor: thread)"
)


@pytest.mark.parametrize("named", [True, False], ids=["by its text", "by its code"])
def test_a_node_that_has_read_an_older_file_fails(tmp_path: Path, named: bool) -> None:
    started = time.time() - 10
    (tmp_path / "a.txt").write_text("new")
    names = {"a.txt": "of the old one"}
    outcome = Outcome("n", 2, observation=None if named else Observation(names), duration=1.5)
    found = with_changes(outcome, names if named else {}, tmp_path, started)
    assert found == Outcome("n", 2, Failure(Cause.NODE, "", TOLD), duration=1.5)


def test_a_failure_also_tells_it(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("new")
    failure = Failure(Cause.NODE, "FileNotFoundError", "a.txt", details="more")
    found = with_changes(Outcome("n", 1, failure), {"a.txt": ""}, tmp_path, time.time() - 10).failure
    assert found is not None
    assert (found.message, found.details) == ("a.txt", f"more\n{TOLD}")


def test_files_that_are_the_same_or_have_not_changed_here_count_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "same.txt").write_text("same")
    (tmp_path / "old.txt").write_text("old")
    outcome = Outcome("n", 1)
    now = time.time() - 10
    assert with_changes(outcome, {"same.txt": FileChecksums().of(tmp_path / "same.txt")}, tmp_path, now) is outcome
    names = {"gone.txt": "x", "/.": ".", "folder/": "x", "x//**": "y", str(tmp_path / "old.txt"): "x"}
    assert with_changes(outcome, names, tmp_path, now) is outcome
    later = (tmp_path / "old.txt").stat().st_ctime + 1
    assert with_changes(outcome, {"old.txt": "written on the worker"}, tmp_path, later) is outcome
