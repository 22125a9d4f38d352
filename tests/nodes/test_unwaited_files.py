"""Tests of files that one node's script makes and another node names without waiting for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Here

from nfrun.nodes.external_files import unwaited_files
from nfrun.pipeline_file.loader import read_pipeline

MAKES = {
    "redirection": "make_it > build/x.csv",
    "tee": "make_it | tee ./build/x.csv",
    "option": "gcc -o build/x.csv in.c",
    "touch": "touch build/x.csv",
    "another path": "make_it > build/../build/x.csv",
}
WARNING = (
    "nfrun: warning: p.yaml:3:3: 'b' names 'build/x.csv', which 'a' makes, and neither waits for the other: "
    "needs: [a], or hand the file on: write it to $NFRUN_OUTPUT, and name it under 'inputs'\n"
)


def _told(here: Here, folder: Path, first: str, second: str) -> str:
    (folder / "p.yaml").write_text(f"nodes:\n  a: {{{first}}}\n  b: {{{second}}}\n")
    return "".join(line for line in here(folder, "validate", "p.yaml").stderr.splitlines(True) if "waits" in line)


@pytest.mark.parametrize("script", MAKES.values(), ids=MAKES)
def test_a_file_that_another_script_makes_is_told(tmp_path: Path, here: Here, script: str) -> None:
    assert _told(here, tmp_path, f"run: {script!r}", "run: 'sort build/x.csv > build/y.txt'") == WARNING


@pytest.mark.parametrize(
    "reader", ["read: build/x.csv", "sql: \"from 'build/x.csv'\"", "run: 'true', files: [build/x.csv]"]
)
def test_readers_of_all_kinds_are_told(tmp_path: Path, here: Here, reader: str) -> None:
    assert _told(here, tmp_path, "run: 'make_it > build/x.csv'", reader) == WARNING


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("run: 'sort build/x.csv > o.txt'", "run: 'uniq build/x.csv > p.txt'"),  # nobody makes it
        ("run: 'make_it > build/x.csv'", "run: 'sort build/x.csv', needs: [a]"),
        ("run: 'sort build/x.csv', needs: [b]", "run: 'make_it > build/x.csv'"),
        ("run: 'make_it > tmp.txt; sort tmp.txt'", "run: 'make_it > tmp.txt; sort tmp.txt'"),  # scratch files
        ("run: 'make_it >> log.txt'", "run: 'sort log.txt'"),  # a log
        ("run: 'make_it > /dev/null 2>&1'", "run: 'sort /dev/null'"),
        ("run: 'make_it > \"$NFRUN_OUTPUT\"'", "run: 'sort \"$NFRUN_OUTPUT\"'"),
        ("run: 'make_it > test'", "run: 'test -f data.csv'"),  # a word that is no path for sure
        ("run: 'cd build; make_it > x.txt'", "run: 'sort x.txt'"),
        ("run: 'make_it > build/x.csv'", "run: 'echo build/x.csv'"),
    ],
)
def test_what_is_no_such_file_is_not_told(tmp_path: Path, here: Here, first: str, second: str) -> None:
    assert _told(here, tmp_path, first, second) == ""


def test_plan_and_run_tell_it_too_and_a_matrix_once(tmp_path: Path, here: Here) -> None:
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "x.txt").touch()
    cells = "a: {run: 'true > build/x.csv'}\n  b: {run: cat build/x.csv, matrix: {n: [1, 2, 3]}}\n"
    (tmp_path / "p.yaml").write_text(f"nodes:\n  {cells}")
    for command in ("plan", "run"):
        assert here(tmp_path, command, "p.yaml").stderr.count(WARNING) == 1


@pytest.mark.parametrize(("last", "told"), [("needs: [c]", []), ("needs: []", ["d"])])
def test_who_waits_through_other_nodes_is_not_told(tmp_path: Path, last: str, told: list[str]) -> None:
    """A long chain is walked once for each file, and not once for each node."""
    nodes = "a: {run: make_it > build/x.csv}\n  b: {run: 'true', needs: [a]}\n  c: {run: cat build/x.csv, needs: [b]}\n"
    (tmp_path / "p.yaml").write_text(f"nodes:\n  {nodes}  d: {{run: cat build/x.csv, {last}}}\n")
    pipeline, _ = read_pipeline(tmp_path / "p.yaml")
    assert [reader.id for reader, _, _ in unwaited_files(pipeline.nodes, tmp_path)] == told
