"""Tests of the state of a worker process: each attempt begins with the same, whatever the one before has changed."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nfrun.core.events import NodeStarted, Outcome
from nfrun.core.pipeline import NodeSpec, Pipeline
from nfrun.engine.attempt import AttemptRunner
from nfrun.engine.executors.processes import ProcessWorkers
from nfrun.nodes.base import CancelToken
from nfrun.tables.store import TableStore

LEAN = str(Path(__file__).parents[2] / "lean")
STEPS = """
    import locale, os, random, sys

    sys.path.insert(0, LEAN)  # Arrow would import pandas in every worker

    os.environ["SET_ON_IMPORT"] = "1"
    DRAWN = random.random()

    def found():
        import polars, torch
        return {
            "pid": os.getpid(),
            "cwd": os.getcwd(),
            "variables": " ".join(name for name in ("GIVEN", "SET_ON_IMPORT", "LEFT") if name in os.environ),
            "drawn on import": DRAWN,
            "drawn": random.random(),
            "torch": torch.seed,
            "polars": polars.seed,
        }
    def leave(what):
        before = found()
        if what == "directory":
            os.chdir("/")
        elif what == "variables":
            os.environ["LEFT"] = "1"
            del os.environ["GIVEN"], os.environ["SET_ON_IMPORT"]
        elif what == "generators":
            random.seed(7)
        elif what == "locale":
            locale.setlocale(locale.LC_ALL, "C.UTF-8")
        elif what == "figures":
            import matplotlib.pyplot as pyplot
            pyplot.figure()
        elif what == "settings":
            import matplotlib.pyplot
            matplotlib.rcParams["a"] = "changed"
        elif what == "failure":
            os.chdir("/")
            raise ValueError
        return before
    def removed(folder):
        os.mkdir(folder)
        os.chdir(folder)
        os.rmdir(folder)
        return {"n": 1}
"""
TORCH = "seed = 0\ndef manual_seed(number):\n    global seed\n    seed = number % 1_000_000_007\n"
PYPLOT = "_open = []\ndef figure():\n    _open.append(len(_open) + 1)\ndef get_fignums():\n    return list(_open)\n"


class Trial:
    """Makes attempts at the function `leave` in worker processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.module = f"state_{folder.name}"
        (folder / f"{self.module}.py").write_text(textwrap.dedent(STEPS).replace("LEAN", repr(LEAN)))
        (folder / "torch.py").write_text(TORCH)
        (folder / "polars.py").write_text(TORCH.replace("manual_seed", "set_random_seed"))
        (folder / "matplotlib").mkdir()  # stand-ins for the packages, with the functions that nfrun and the nodes call
        (folder / "matplotlib" / "__init__.py").write_text("rcParams = {'a': 'first'}\n")
        (folder / "matplotlib" / "pyplot.py").write_text(PYPLOT)
        self.store = TableStore(folder / "run")
        self.workers: list[ProcessWorkers] = []

    def attempts(self, *given: str, function: str = "leave", argument: str = "what", **more: Any) -> list[Outcome]:
        """Make one attempt after the other, each with one of the values, in new workers."""
        specs = [
            NodeSpec("node", "python", f"{self.module}:{function}", (), {argument: what}, (), (), {}, **more)
            for what in given
        ]
        nodes: dict[str, NodeSpec] = {}
        pipeline = Pipeline("p.yaml", str(self.folder), "p", "", {}, {}, nodes, {})
        environ = {**os.environ, "GIVEN": "yes"}
        runner = AttemptRunner(pipeline, self.store, "run-1", self.folder / "scratch", environ)
        workers = ProcessWorkers(runner, self.store, self.folder / "run", lambda node, attempt, call: None)
        self.workers.append(workers)
        outcomes = []
        for attempt, spec in enumerate(specs):
            nodes["node"] = spec
            outcomes.append(workers(NodeStarted(0.0, "node", attempt + 1), CancelToken(), _no_coroutine))
        return outcomes

    def rows(self, *given: str, **more: Any) -> list[dict[str, Any]]:
        return [self.row(outcome) for outcome in self.attempts(*given, **more)]

    def row(self, outcome: Outcome) -> dict[str, Any]:
        assert outcome.failure is None, outcome.failure
        (ref,) = outcome.outputs.values()
        row: dict[str, Any] = self.store.open(ref).to_pylist()[0]
        return row


def _no_coroutine(coroutine: Any) -> Any:
    raise AssertionError("nothing of it runs on the event loop of this process")


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    trial = Trial(tmp_path)
    yield trial
    for workers in trial.workers:
        workers.close()
    trial.store.close()


def without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


@pytest.mark.parametrize("what", ["directory", "variables", "generators", "failure"])
def test_what_an_attempt_leaves_behind_is_put_back(trial: Trial, what: str) -> None:
    before, _, after = trial.attempts("nothing", what, "nothing")
    assert trial.row(after) == trial.row(before)
    assert trial.row(after)["cwd"] == str(Path.cwd())
    assert trial.row(after)["variables"] == "GIVEN SET_ON_IMPORT"


@pytest.mark.parametrize(
    ("what", "stays"), [("directory", True), ("locale", False), ("figures", False), ("settings", False)]
)
def test_a_worker_ends_after_a_change_that_cannot_be_put_back(trial: Trial, what: str, stays: bool) -> None:
    first, second, third = trial.rows("nothing", what, "nothing")
    assert first["pid"] == second["pid"]
    assert (third["pid"] == second["pid"]) is stays
    assert without(third, "pid") == without(first, "pid")


def test_every_attempt_draws_the_same_numbers_whatever_its_worker_did_before(trial: Trial) -> None:
    (alone,) = trial.rows("nothing")
    *_, warm = trial.rows("generators", "directory", "nothing")
    assert without(warm, "pid") == without(alone, "pid")
    assert alone["torch"] != 0
    assert alone["polars"] != 0


def test_other_values_draw_other_numbers(trial: Trial) -> None:
    first, second = trial.rows("nothing", "something")
    assert first["drawn"] != second["drawn"]
    assert first["torch"] != second["torch"]
    assert first["polars"] != second["polars"]
    assert first["drawn on import"] == second["drawn on import"]


def test_a_node_that_is_never_reused_draws_other_numbers_each_time(trial: Trial) -> None:
    first, second = trial.rows("nothing", "nothing", cache=False)
    assert first["drawn"] != second["drawn"]
    assert first["torch"] != second["torch"]
    assert first["polars"] != second["polars"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the current folder cannot be removed")
def test_a_removed_directory_is_left(trial: Trial) -> None:
    gone = str(trial.folder / "gone")
    for outcome in trial.attempts(gone, gone, function="removed", argument="folder"):
        assert outcome.failure is None


DEFAULT_CONNECTION = """
    import duckdb

    duckdb.execute("create table made_on_import as select 1 n")

    def leave(what):
        found = duckdb.sql(
            "select random() drawn, (select list(table_name) from duckdb_tables()) tables, "
            "current_setting('threads') threads, current_setting('TimeZone') zone"
        ).fetchall()[0]
        duckdb.execute("set timezone = 'Asia/Tokyo'")
        duckdb.sql(f"create table {what} as select 1 n")
        return [dict(zip(["drawn", "tables", "threads", "zone"], found))]
"""


def test_every_attempt_begins_with_a_new_default_connection(trial: Trial) -> None:
    pytest.importorskip("duckdb")
    (trial.folder / f"{trial.module}.py").write_text(textwrap.dedent(DEFAULT_CONNECTION))
    first, other, again = trial.rows("one", "two", "one")
    assert first["tables"] == ["made_on_import"]
    assert first["threads"] == 1
    assert again == first
    assert without(other, "drawn") == without(first, "drawn")
    assert other["drawn"] != first["drawn"]


def test_a_worker_stays_if_only_other_connections_are_used(trial: Trial) -> None:
    pytest.importorskip("duckdb")
    source = """
        import os
        def leave(what):
            import duckdb
            return {"pid": os.getpid(), "n": duckdb.connect().sql("select 1").fetchall()[0][0]}
    """
    (trial.folder / f"{trial.module}.py").write_text(textwrap.dedent(source))
    first, second = trial.rows("one", "two")
    assert first == second
