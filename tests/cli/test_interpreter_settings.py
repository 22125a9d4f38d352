"""A node that sets something of the interpreter, or raises a strange error, does not make nfrun itself fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import forked
import pytest

import nfrun

HEAD = """
import os
import sys
import threading


def row(**values):
    return [{"x": 1}]


def fails(*arguments):
    raise ValueError("in a trace function")


class Shouts(Exception):
    @property
    def __notes__(self):
        raise RuntimeError("no notes")


class Mute:
    def __str__(self):
        raise RuntimeError("no text")


def raised(notes):
    error = ValueError("wrong")
    error.__notes__ = notes
    return error


"""
SETTINGS = {
    "a low limit of recursion": "sys.setrecursionlimit(50)",
    "a lower one": "sys.setrecursionlimit(60)",
    "a trace function of new threads": "threading.settrace(fails)",
    "a profile function of new threads": "threading.setprofile(fails)",
    "no streams": "sys.stdin = sys.stdout = sys.stderr = None",
    "closed streams": "sys.stdin.close(), sys.stdout.close(), sys.stderr.close()",
    "closed descriptors": "[os.close(number) for number in (0, 1, 2)]",
    "a trace function of its thread": "sys.settrace(lambda *arguments: None)",
}
ERRORS = {
    "notes that cannot be read": "raise Shouts()",
    "notes that are no list": "raise raised(5)",
    "a note without a text": "raise raised([Mute()])",
    "an endless recursion": "(f := lambda: f())()",
    "an exit in a thread, and then an error": "threading.Thread(target=sys.exit).start(); raise ValueError",
}


def run(folder: Path, code: str, executor: str) -> subprocess.CompletedProcess[str]:
    (folder / "steps.py").write_text(f"{HEAD}def sets():\n    {code}\n    return row()\n")
    (folder / "p.yaml").write_text(
        "nodes:\n"
        f"  sets: {{python: 'steps:sets', executor: {executor}}}\n"
        f"  beside: {{python: 'steps:row', executor: {executor}}}\n"
        f"  behind: {{python: 'steps:row', with: {{n: 1}}, needs: [sets, beside], executor: {executor}}}\n"
        "  script: {run: 'cp in.csv $NFRUN_OUTPUT', format: csv, needs: behind}\n"
    )
    (folder / "in.csv").write_text("a\n1\n")
    command = [sys.executable, "-m", "nfrun", "run", "p.yaml", "-j", "2"]
    return forked.run(command, cwd=folder, text=True, capture_output=True, env={**os.environ})


@pytest.mark.parametrize("executor", ["thread", "process", "auto"])
@pytest.mark.parametrize("setting", SETTINGS)
def test_what_a_node_sets_is_put_back_behind_it(tmp_path: Path, setting: str, executor: str) -> None:
    done = run(tmp_path, SETTINGS[setting], executor)
    assert (done.returncode, done.stderr.splitlines()[-1][:14]) == (0, "p: ok, 4 ran, "), done.stderr


@pytest.mark.parametrize("executor", ["thread", "process"])
@pytest.mark.parametrize("error", ERRORS)
def test_a_strange_error_is_the_failure_of_the_node(tmp_path: Path, error: str, executor: str) -> None:
    done = run(tmp_path, ERRORS[error], executor)
    assert (done.returncode, "a bug in nfrun" in done.stderr) == (1, False), done.stderr
    assert "p.yaml:2:3: node 'sets' failed: " in done.stderr


@pytest.mark.parametrize("code", ["sys.setrecursionlimit(5000)", "threading.settrace(None)", "sys.setprofile(None)"])
def test_a_node_that_sets_something_of_the_interpreter_is_in_a_worker(tmp_path: Path, code: str) -> None:
    (tmp_path / "steps.py").write_text(
        f"import os, sys, threading\ndef f():\n    {code}\n    return [{{'pid': os.getpid()}}]\n"
    )
    (tmp_path / "p.yaml").write_text("nodes: {n: {python: 'steps:f'}}\n")
    result = nfrun.load(tmp_path / "p.yaml").run()
    assert result["n"]["pid"].to_pylist() != [os.getpid()]


@pytest.mark.parametrize("executor", ["thread", "process", "auto"])
def test_a_higher_limit_that_a_module_sets_holds_for_all_its_nodes(tmp_path: Path, executor: str) -> None:
    (tmp_path / "deep.py").write_text(
        "import sys\nsys.setrecursionlimit(9000)\n"
        "def down(n):\n    return n and 1 + down(n - 1)\n"
        "def depth(table=None):\n    return {'n': down(4000)}\n"
    )
    (tmp_path / "p.yaml").write_text(
        "nodes:\n"
        f"  first: {{python: 'deep:depth', executor: {executor}}}\n"
        f"  second: {{python: 'deep:depth', inputs: {{table: first}}, executor: {executor}}}\n"
    )
    command = [sys.executable, "-m", "nfrun", "run", "p.yaml"]
    done = forked.run(command, cwd=tmp_path, text=True, capture_output=True, env={**os.environ})
    assert done.returncode == 0, done.stderr
