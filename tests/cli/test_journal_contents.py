"""Tests of what the journal of a whole run has: how it was started, why each node ran, and all failures."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import forked
import pytest
from recorded_lines import text_of

from nfrun import __version__
from nfrun.history.database import read_journal
from nfrun.history.journal import JournalContents
from nfrun.session.options import RunOptions
from tests.program_runs import run_pipeline

SECRET = "hunter-2-hunter"
STEPS = """
import os
import pyarrow

def make(n): return {"n": n}

def fail(table, name):
    raise ValueError(f"{name} has {table['n'][0]}, and the key is {os.environ['TOKEN']}")
"""
PIPELINE = """\
secrets: [TOKEN]
params: {n: 1, word: none, numbers: {type: array, default: [1, 2]}}
env: {TOKEN: "${{ secrets.TOKEN }}"}
nodes:
  make: {python: "steps:make", with: {n: "${{ params.n }}"}}
  again: {python: "steps:make", with: {n: 2}, cache: true}
"""
FAILING = '  fail{0}: {{python: "steps:fail", inputs: {{table: make}}, with: {{name: "number {0}"}}}}\n'
DEPENDENT = '  after: {python: "steps:make", with: {n: 3}, needs: [fail0]}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "steps.py").write_text(STEPS)
    failing = "".join(FAILING.format(number) for number in range(8))
    (tmp_path / "p.yaml").write_text(PIPELINE + failing + DEPENDENT)
    return tmp_path


def nfrun(folder: Path, *words: str) -> tuple[list[str], JournalContents]:
    """Run the pipeline, which fails. Returns the words of the command line and the journal."""
    command = ["run", "p.yaml", *words]
    environ = {**os.environ, "TOKEN": SECRET}
    done = forked.run(
        [sys.executable, "-m", "nfrun", *command], cwd=folder, env=environ, check=False, capture_output=True, timeout=60
    )
    assert done.returncode == 1, done.stderr.decode()
    last = max((folder / ".nfrun/runs").iterdir(), key=lambda run: run.stat().st_ctime_ns)
    return command, read_journal(last)


def test_the_journal_says_how_the_run_was_started_and_how_each_node_ended(folder: Path) -> None:
    before = time.time()
    words, journal = nfrun(folder, "-k", "-p", f"word={SECRET}", "-p", "n=5", "--quiet")
    started, ending = journal.started, journal.ending
    assert started is not None
    assert ending is not None
    assert before <= started.at <= ending.at <= time.time()
    assert started.command == ("nfrun", *(word.replace(SECRET, "***") for word in words))
    assert started.params == {"n": 5, "word": "***", "numbers": [1, 2]}
    python = ".".join(map(str, sys.version_info[:3]))
    assert (started.versions["nfrun"], started.versions["python"]) == (__version__, python)
    assert started.versions["pyarrow"].startswith("2")
    assert started.host
    assert ending.counts == {"ok": 2, "reused": 0, "failed": 8, "skipped": 1, "cancelled": 0}
    assert ending.duration > 0


def test_all_failures_are_in_the_journal_with_frames_and_inputs(folder: Path) -> None:
    _, journal = nfrun(folder, "-k")
    failed = {node.node: node for node in journal.unfinished if node.status == "failed"}
    assert set(failed) == {f"fail{number}" for number in range(8)}
    for number in range(8):
        found = failed[f"fail{number}"]
        assert found.failure is not None
        assert found.failure.message == f"number {number} has 1, and the key is ***"
        assert found.failure.type == "ValueError"
        (frame,) = found.failure.frames
        assert (Path(frame.file).name, frame.line, frame.function) == ("steps.py", 8, "fail")
        assert frame.source.startswith("raise ValueError(")
        assert found.failure.inputs == ("table: 1 row, n: int64",)
        assert found.started is not None
    (skipped,) = (node for node in journal.unfinished if node.status == "skipped")
    assert (skipped.node, skipped.because, skipped.started) == ("after", "fail0", None)
    assert SECRET not in text_of(folder / ".nfrun")


def test_the_journal_says_why_nodes_ran_and_where_reused_ones_did(folder: Path) -> None:
    _, first = nfrun(folder, "-k", "--resume")
    _, second = nfrun(folder, "-k", "--resume", "-p", "n=2")
    assert first.started is not None
    nodes = {node.node: node for node in second.finished}
    assert (nodes["make"].reused, nodes["make"].reason, nodes["make"].home) == (False, "the value 'n' changed", "")
    assert (nodes["again"].reused, nodes["again"].reason, nodes["again"].home) == (True, "", first.started.run)
    reasons = {node.reason for node in second.unfinished if node.status == "failed"}
    assert reasons == {"it has not finished in any run that is kept"}


def test_nodes_that_are_cancelled_behind_a_failure_are_in_the_journal(folder: Path) -> None:
    _, journal = nfrun(folder, "-j", "1")
    assert journal.ending is not None
    counts = journal.ending.counts
    assert counts["failed"] == 1
    assert sum(counts.values()) == 11
    assert {node.status for node in journal.unfinished} >= {"failed", "cancelled"}
    why = {node.because for node in journal.unfinished if node.status == "cancelled"}
    assert len(why) == 1
    assert why.pop().endswith("failed")


def test_the_journal_of_a_python_program_has_no_command_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    run_pipeline(RunOptions(folder / "p.yaml", given={"n": "7"}))
    (run,) = (folder / ".nfrun/runs").iterdir()
    started = read_journal(run).started
    assert started is not None
    assert (started.command, started.params["n"]) == ((), 7)


def test_the_versions_of_packages_in_keys_are_in_the_journal(folder: Path) -> None:
    text = (folder / "p.yaml").read_text()
    (folder / "p.yaml").write_text(text + '  sql: {sql: "select 1 as n", packages: [pyyaml]}\n')
    _, journal = nfrun(folder, "-k")
    assert journal.started is not None
    assert {"duckdb", "pyyaml"} <= journal.started.versions.keys()
