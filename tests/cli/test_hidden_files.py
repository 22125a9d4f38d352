"""Tests of files beside the pipeline that have the name of a module of the standard library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Here

from nfrun.session.options import RunOptions
from tests.program_runs import run_pipeline

STEPS = """
import colorsys, queue, secrets, statistics, traceback, sys

def table(): return {"n": 1}
def files(): return [{"file": m.__file__} for m in (colorsys, queue, secrets, statistics, traceback)]
def fail(): raise ValueError("boom")
"""
PIPELINE = """\
nodes:
  table: {python: "steps:table"}
  files: {python: "steps:files", executor: %s}
  sql: {sql: "select n from table_", inputs: {table_: table}}
  fail: {python: "steps:fail", needs: [sql]}
  out: {write: out.csv, inputs: [files]}
outputs: {table: table}
"""
NAMES = ("colorsys", "queue", "secrets", "statistics", "traceback")
WARNING = "nfrun: warning: {0}.py: this file is never imported, as the standard library has a module '{0}': rename it\n"


@pytest.fixture(params=["thread", "process"])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the wrong module')")
    (tmp_path / "steps.py").write_text(STEPS)
    (tmp_path / "p.yaml").write_text(PIPELINE % request.param)
    return tmp_path


def test_the_standard_library_comes_first_and_a_warning_names_the_file(folder: Path) -> None:
    command = [sys.executable, "-m", "nfrun", "run", "p.yaml", "-k"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert "the wrong module" not in done.stderr
    assert done.stderr.startswith("".join(WARNING.format(name) for name in NAMES))
    assert done.returncode == 1
    assert "p.yaml:5:3: node 'fail' failed: ValueError: boom" in done.stderr
    assert str(folder) not in (folder / "out.csv").read_text()


def test_a_python_program_imports_the_standard_library_too(folder: Path) -> None:
    result = run_pipeline(RunOptions(pipeline=folder / "p.yaml", keep_going=True))
    assert [name for name, node in result.record.nodes.items() if node.status != "ok"] == ["fail"]
    assert str(folder) not in (folder / "out.csv").read_text()


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_commands_that_run_nothing_warn_too(folder: Path, here: Here, command: str) -> None:
    done = here(folder, command, "p.yaml")
    assert (done.returncode, done.stderr) == (0, "".join(WARNING.format(name) for name in NAMES))


def test_files_with_the_names_of_nfruns_own_packages(tmp_path: Path) -> None:
    (tmp_path / "duckdb.py").write_text("raise RuntimeError('the wrong module')")
    (tmp_path / "steps.py").write_text(STEPS)
    (tmp_path / "p.yaml").write_text(PIPELINE % "thread")
    command = [sys.executable, "-m", "nfrun", "run", "p.yaml", "-k"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr.startswith(
        "nfrun: warning: duckdb.py: this file is never imported, as nfrun uses a module 'duckdb': rename it\n"
    )
    assert "the wrong module" not in done.stderr


def test_what_hides_nothing_gives_no_warning(tmp_path: Path, here: Here) -> None:
    (tmp_path / "steps.py").write_text(STEPS)
    (tmp_path / "winreg.py").touch()  # of another system
    (tmp_path / "queue").mkdir()  # no package
    (tmp_path / "p.yaml").write_text(PIPELINE % "thread")
    (tmp_path / "sql.yaml").write_text("nodes:\n  a: {sql: select 1}\n")
    assert here(tmp_path, "validate", "p.yaml").stderr == ""
    (tmp_path / "token.py").touch()
    (tmp_path / "queue" / "__init__.py").touch()
    shown = "nfrun: warning: {}: this file is never imported, as the standard library has a module '{}': rename it\n"
    assert here(tmp_path, "validate", "p.yaml").stderr == shown.format("queue", "queue") + shown.format(
        "token.py", "token"
    )
    assert here(tmp_path, "validate", "sql.yaml").stderr == ""  # it imports nothing
