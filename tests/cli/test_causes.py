"""Tests of how a run ends by the cause of a failure: its exit code, its attempts and what it prints."""

from __future__ import annotations

import errno
import itertools
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from conftest import Here, without_time

from nfrun.core.errors import Cause
from nfrun.core.events import Failure, Outcome

STEPS = """
import asyncio
import pathlib

def make():
    with pathlib.Path("calls").open("a") as file:
        file.write("x")
    return {"n": 1}

def fail():
    make()
    raise LookupError("no column 'price'")

def pass_on(table):
    return table

async def pause():
    await asyncio.sleep(0.1)

def refuse():
    raise ValueError("cannot write x: Permission denied")
"""

PIPELINE = """\
secrets: [TOKEN]
nodes:
  a: {python: "steps:make", retries: 3}
  out: {write: out.csv, inputs: [a]}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOKEN", "hidden-value")
    (tmp_path / "steps.py").write_text(STEPS)
    (tmp_path / "p.yaml").write_text(PIPELINE)
    (tmp_path / "fail.yaml").write_text('nodes:\n  a: {python: "steps:fail", retries: 3}\n')
    (tmp_path / "refuse.yaml").write_text('secrets: [TOKEN]\nnodes:\n  a: {python: "steps:refuse"}\n')
    return tmp_path


def calls(folder: Path) -> int:
    return len((folder / "calls").read_text())


# ------------------------------------------------------------------ errors in nfrun


def test_an_error_in_nfrun_after_an_error_of_the_node_shows_both_and_is_not_tried_again(
    folder: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise AttributeError("frames")

    monkeypatch.setattr("nfrun.engine.failures.failure_of", broken)
    done = here(folder, "run", "fail.yaml", "--quiet")
    assert (done.returncode, calls(folder)) == (70, 1)
    assert without_time(done.stderr) == (
        "\nfail.yaml:2:3: node 'a' failed: LookupError: no column 'price'\n"
        "  then nfrun itself failed: AttributeError: frames\n"
        "  this is a bug in nfrun, please report it\n"
        "fail: failed, 1 failed, TIME\n"
    )


@pytest.mark.parametrize(
    "broken",
    [
        "tables.store.TableStore.publish",
        "engine.attempt._Attempt._check_outputs",
        "engine.gil_contention.GilContention.end",
        "system.logs.node_logs.Logs.end",
        "history.cache.cached_attempts.CachedAttempts._miss",
    ],
)
def test_an_error_in_nfrun_itself_ends_with_70_and_is_not_tried_again(
    folder: Path, here: Here, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr(f"nfrun.{broken}", fail)
    done = here(folder, "run", "p.yaml", "--json")
    node = json.loads(done.stdout)["nodes"]["a"]
    assert (done.returncode, node["attempts"], node["error"]) == (70, 1, "KeyError: 'x'")
    assert "this is a bug in nfrun, please report it" in done.stderr


# ------------------------------------------------------------------ threads that cannot be started

MANY = """\
nodes:
  a: {python: "steps:make"}
  b: {python: "steps:pass_on", inputs: {table: a}}
  slow: {python: "steps:pause"}
  script: {run: "echo done"}
  query: {sql: "select 1 as n"}
"""


@pytest.mark.parametrize("allowed", range(0, 12, 2))
def test_a_run_ends_with_all_that_belongs_to_it_however_few_threads_there_are(
    folder: Path, here: Here, monkeypatch: pytest.MonkeyPatch, allowed: int
) -> None:
    (folder / "many.yaml").write_text(MANY)
    start, threads = threading.Thread.start, itertools.count()

    def start_or_refuse(thread: threading.Thread) -> None:
        if next(threads) >= allowed:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_or_refuse)
    done = here(folder, "run", "many.yaml", "--json", "--keep-going")
    document = json.loads(done.stdout)
    errors = {node["error"] for node in document["nodes"].values()} if "nodes" in document else {document["error"]}
    refused = [error for error in errors if error and "no thread could be started: can't start new thread" in error]
    assert (done.returncode, document["status"]) == ((74, "failed") if refused else (0, "ok"))
    if "nodes" in document:
        assert {node["status"] for node in document["nodes"].values()} <= {"ok", "failed", "skipped"}


# ------------------------------------------------------------------ exit codes


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        (Cause.NODE, 1),
        (Cause.TIMEOUT, 1),
        (Cause.LOST, 1),
        (Cause.CANCELLED, 1),
        (Cause.IO, 74),
        (Cause.PERMISSION, 77),
        (Cause.INTERNAL, 70),
    ],
)
def test_the_exit_code_of_a_run_with_a_failed_node(
    folder: Path, here: Here, monkeypatch: pytest.MonkeyPatch, cause: Cause, code: int
) -> None:
    def attempt(self: object, start: Any, *more: object) -> Outcome:
        return Outcome(start.node, start.attempt, Failure(cause, "", "broke"))

    monkeypatch.setattr("nfrun.engine.attempt.AttemptRunner.__call__", attempt)
    (folder / "once.yaml").write_text('nodes: {a: {python: "steps:fail"}}\n')
    assert here(folder, "run", "once.yaml", "--quiet").returncode == code


def test_a_bug_in_the_gate_of_the_events_fails_the_run(
    folder: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(*arguments: object) -> None:
        raise LookupError("oh")

    monkeypatch.setattr("nfrun.history.cache.journal_writer.JournalWriter.admit", bug)
    done = here(folder, "run", "p.yaml", "--quiet")
    assert done.returncode == 70
    assert done.stderr.startswith("nfrun: the gate of the events failed: LookupError: oh")


@pytest.mark.parametrize("secret", ["hidden-value", "Permission", "Permission denied"])
@pytest.mark.parametrize(
    "refused",
    [
        "history.database.Journal.add",  # the journal
        "tables.output_files.write_file",  # an output
        "tables.file_io.write_table",  # the file of a `write` node
    ],
)
def test_a_denied_permission_is_77_whatever_is_redacted(
    folder: Path, here: Here, monkeypatch: pytest.MonkeyPatch, refused: str, secret: str
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "x")

    monkeypatch.setenv("TOKEN", secret)
    monkeypatch.setattr(f"nfrun.{refused}", refuse)
    done = here(folder, "run", "p.yaml", "--quiet")
    assert done.returncode == 77
    assert secret not in done.stderr


@pytest.mark.parametrize("secret", ["hidden-value", "Permission", "Permission denied"])
def test_a_node_that_says_permission_denied_ends_with_1(
    folder: Path, here: Here, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setenv("TOKEN", secret)
    assert here(folder, "run", "refuse.yaml", "--quiet").returncode == 1
