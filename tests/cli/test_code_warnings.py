"""Warnings of `nfrun validate` about the code of nodes: shared state, and variables that nodes share."""

from __future__ import annotations

from pathlib import Path

from conftest import Here

STEPS = """\
import logging
import random

STATE = {}

def draw():
    random.shuffle([1])
    return {"n": random.random()}

def put():
    STATE["k"] = 1

def get():
    return {"k": STATE["k"]}

def calm():
    return {"n": random.Random(1).random()}
"""


def test_global_state_in_a_thread(tmp_path: Path, here: Here) -> None:
    (tmp_path / "steps.py").write_text(STEPS)
    (tmp_path / "p.yaml").write_text(
        "defaults: {executor: thread}\nnodes:\n  a: {python: 'steps:draw'}\n  b: {python: 'steps:calm'}\n"
        "  c: {python: 'steps:draw', executor: process}\n"
    )
    done = here(tmp_path, "validate", "p.yaml")
    assert (done.returncode, done.stdout) == (0, "p.yaml: ok, 3 nodes, 2 warnings\n")
    assert done.stderr == (
        "nfrun: warning: p.yaml:3:3: 'a' has 'executor: thread' and uses random.shuffle (steps.py:7), "
        "which all threads share: without 'executor' it runs in a process\n"
        "nfrun: warning: p.yaml:3:3: 'a' has 'executor: thread' and uses random.random (steps.py:8), "
        "which all threads share: without 'executor' it runs in a process\n"
    )


def test_a_variable_that_nodes_share(tmp_path: Path, here: Here) -> None:
    (tmp_path / "steps.py").write_text(STEPS)
    (tmp_path / "p.yaml").write_text("nodes:\n  a: {python: 'steps:put'}\n  b: {python: 'steps:get', needs: [a]}\n")
    assert here(tmp_path, "validate", "p.yaml").stderr == (
        "nfrun: warning: p.yaml:3:3: 'b' is never reused: it reads STATE (steps.py:14), which 'a' assigns (steps.py:11)"
        ": what it reads may depend on timing: keep results with functools.cache\n"
    )


def test_code_without_such_facts_gives_no_warning(tmp_path: Path, here: Here) -> None:
    (tmp_path / "steps.py").write_text(STEPS)
    (tmp_path / "p.yaml").write_text(
        "nodes:\n  a: {python: 'steps:draw'}\n  b: {python: 'steps:calm', executor: thread}\n"
        "  c: {python: 'steps:put'}\n"
    )
    done = here(tmp_path, "validate", "p.yaml")
    assert (done.returncode, done.stdout, done.stderr) == (0, "p.yaml: ok, 3 nodes\n", "")
