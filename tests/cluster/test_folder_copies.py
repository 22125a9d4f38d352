"""Tests that a node on a worker fails which has read an older copy of a file of the project, or lacks one."""

from __future__ import annotations

from pathlib import Path

import pytest

from nfrun.cluster.folder_copies import NamedInCopy, packed_states, with_changes
from nfrun.core.errors import Cause
from nfrun.core.events import Failure, NodeStarted, Outcome
from nfrun.core.observation import Observation
from nfrun.core.pipeline import NodeSpec
from nfrun.system.checksums import FileChecksums

INSTEAD = "give it to the node as an input, or run the node here (executor: thread)"
CHANGED = f"'a.txt' has changed since the run began, and workers have the folder as it was then: {INSTEAD}"
NOT_THERE = "'{}' is not on workers, which have the folder of the pipeline without hidden files: " + INSTEAD
SUMS = FileChecksums()
START = NodeStarted(0.0, "n", 2)
SPEC = NodeSpec("n", "run", "cat kept.txt made.txt named.txt", (), {}, (), (), {})


def test_a_node_that_has_read_an_older_file_fails(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("new")
    found = with_changes(Outcome("n", 2, duration=1.5), START, {"a.txt": "of the old one"}, SPEC, tmp_path, SUMS)
    assert found == Outcome("n", 2, Failure(Cause.NODE, "", CHANGED), duration=1.5)


@pytest.mark.parametrize("name", ["a.txt", ".a.txt", "../beside.txt"])
def test_a_failure_also_tells_what_is_not_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / name).write_text("new")
    failure = Failure(Cause.NODE, "FileNotFoundError", name, details="more")
    found = with_changes(Outcome("n", 1, failure), START, {name: ""}, SPEC, tmp_path / "p", SUMS).failure
    assert found is not None
    assert (found.message, found.details) == (name, f"more\n{NOT_THERE.format(name)}")


def test_files_that_are_the_same_or_only_looked_for_count_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "same.txt").write_text("same")
    (tmp_path / ".hidden").write_text("hidden")
    names = {"same.txt": SUMS.of(tmp_path / "same.txt"), "gone.txt": "x", "none.txt": "", ".hidden": ""}
    outcome = Outcome("n", 1)
    assert with_changes(outcome, START, names, SPEC, tmp_path, SUMS) is outcome


def test_files_that_nodes_have_changed_in_the_copy_are_not_compared(tmp_path: Path) -> None:
    base = tmp_path / "p"
    base.mkdir()
    for name in ("kept.txt", "changed.txt"):
        (base / name).write_text(name)
    packed = packed_states(base)
    (base / "made.txt").write_text("by another node")
    files = NamedInCopy(SPEC, base, tmp_path / "work", {}, packed)
    (base / "changed.txt").write_text("by this node")
    reads = {"changed.txt": "x", "none.txt": "", "/.": ".", "folder/": "y"}
    found = files.read(Outcome("n", 1, observation=Observation(reads)))
    assert found == {"kept.txt": SUMS.of(base / "kept.txt"), "made.txt": "?", "changed.txt": "?", "none.txt": ""}
    assert with_changes(Outcome("n", 1), START, {"changed.txt": "?"}, SPEC, base, SUMS) == Outcome("n", 1)


def test_a_script_that_fails_tells_which_file_of_its_text_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "named.txt").write_text("here")
    failure = Failure(Cause.NODE, "", "the script exited with status 1")
    found = with_changes(Outcome("n", 1, failure), START, {}, SPEC, tmp_path, SUMS).failure
    assert found is not None
    assert found.details == NOT_THERE.format("named.txt")
