"""Tests of the wiring of a run in this process: what `carry_out` passes to its parts."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from single_thread import SingleThread

from nfrun.cli.run_command import run_command
from nfrun.engine.executors.registry import EXECUTORS
from nfrun.engine.gil_contention import GilContention
from nfrun.session.options import RunOptions
from nfrun.system.std_streams import Messages

STEPS = """
import threading
def numbers(): return {"n": 1}
def where():
    ran.append(threading.current_thread().name)
    return {"n": 1}
def count(table): return {"rows": table.num_rows}
def wait(): return {"looked": looked.wait(10)}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with steps. Undoes the changes of a run to this process."""
    path, environ = list(sys.path), dict(os.environ)
    name = "steps_of_launch"
    (tmp_path / f"{name}.py").write_text(STEPS)
    yield tmp_path
    sys.path[:] = path
    sys.modules.pop(name, None)
    os.environ.clear()
    os.environ.update(environ)


def run(folder: Path, nodes: str, *, executor: str = "file", **more: Any) -> None:
    """Run the nodes quietly; the run must succeed."""
    file = folder / "p.yaml"
    file.write_text(f"nodes:\n{nodes}")
    settings: dict[str, Any] = {"slots": 4, "json": True, "quiet": True, **more}
    options = RunOptions(file, **settings)
    object.__setattr__(
        options.where, "executor", executor
    )  # the choices of the option are those of when it was imported
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert run_command(options, Messages()) == (0, False), out.getvalue()


def test_an_executor_of_others_runs_a_pipeline_by_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setattr("builtins.ran", ran, raising=False)
    monkeypatch.setitem(
        EXECUTORS,
        "single",
        lambda context, on_outcome: SingleThread(
            context.with_cache(context.runner), on_outcome, context.runner.on_begun
        ),
    )
    nodes = """
  a: {python: 'steps_of_launch:where', timeout: 60s}
  b: {python: 'steps_of_launch:count', inputs: {table: a}}
"""
    run(folder, nodes, executor="single")
    assert ran == ["single"]
    run(folder, nodes, executor="single")
    assert ran == ["single"], "the result of the first run is used"
    run(folder, nodes, executor="thread", fresh=True)
    assert ran == ["single", "nfrun-worker-1"]


def test_gil_waits_are_sampled_while_nodes_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = threading.Event()

    class Looking(GilContention):
        def look(self, late: float) -> None:
            looked.set()
            super().look(late)

    monkeypatch.setattr("nfrun.session.run.GilContention", Looking)
    monkeypatch.setattr("builtins.looked", looked, raising=False)
    run(folder, "  a: {python: 'steps_of_launch:wait'}\n")
    assert looked.is_set()
