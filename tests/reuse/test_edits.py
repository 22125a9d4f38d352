"""Walks the tables of edits: each row's project is run, changed, and looked at again."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import forked
import pytest
from conftest import Here
from edit import PIPELINE, Edit

from nfrun.core.plan import plan_of
from nfrun.history.cache.run_cache import forecast
from nfrun.history.database import Database
from nfrun.history.work_dir import WorkDir
from nfrun.pipeline_file.resolve import resolve
from nfrun.session.options import RunOptions
from tests.program_runs import run_pipeline

MODULES = sorted(path.stem for path in Path(__file__).parent.glob("edits_*.py"))
ROWS = {f"{module[6:]}: {row.name}": row for module in MODULES for row in importlib.import_module(module).ROWS}
SLOW_ROWS = Path(__file__).with_name("slow_rows.txt")  # by `choose_rows.py`: others take the same branches of nfrun
SLOW = frozenset(SLOW_ROWS.read_text().splitlines())


def test_no_row_has_the_name_of_another() -> None:
    assert len(ROWS) == sum(len(importlib.import_module(module).ROWS) for module in MODULES)


def test_slow_rows_are_rows() -> None:
    assert ROWS.keys() >= SLOW


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a folder for a project, beside folders of other modules, which are forgotten afterwards.

    The folder around it is the working directory.
    """
    monkeypatch.chdir(tmp_path)
    for name in ("src", "site-packages"):
        monkeypatch.syspath_prepend(tmp_path / name)
    before = set(sys.modules)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "src"), prepend=os.pathsep)  # for processes
    (tmp_path / "project").mkdir()
    yield tmp_path / "project"
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]
    for place in [place for place in sys.path_importer_cache if place.startswith(str(tmp_path))]:
        del sys.path_importer_cache[place]  # each run looks through all of them


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=name, marks=[pytest.mark.slow] * (name in SLOW)) for name, row in ROWS.items()]
)
def test_an_edit_runs_the_nodes_again_that_it_concerns(
    row: Edit, folder: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, {"p.yaml": PIPELINE, **row.files})
    nodes = run(folder, row, row.options, here)
    write(folder, row.edit)
    set_environ(row.environ, monkeypatch)
    row.act(folder)
    importlib.invalidate_caches()
    options = row.options if row.options_after is None else row.options_after
    if row.by in ("plan", "main"):
        ran = planned(folder, options)
    else:
        ran = run(folder, row, {**options, "resume": True}, here)
    again = nodes if row.runs_again is True else row.runs_again or ()
    assert {name for name, reason in ran.items() if reason} == {*again}
    assert any(row.reason in reason for reason in ran.values())


def write(folder: Path, files: Mapping[str, str | None]) -> None:
    for name, text in files.items():
        path = folder / name
        if text is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def set_environ(variables: Mapping[str, str | None], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)


def run(folder: Path, row: Edit, options: Mapping[str, Any], here: Here) -> dict[str, str]:
    """Run the pipeline. Returns the nodes, each with "" if it was reused."""
    if row.by in ("command", "main", "process"):
        return run_command(folder, options, in_a_process if row.by == "process" else here)
    nodes = run_pipeline(RunOptions(folder / "p.yaml", keep=True, **options)).record.nodes
    assert [node.failure for node in nodes.values() if node.failure] == []
    return {name: "" if node.status == "reused" else node.status for name, node in nodes.items()}


def in_a_process(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nfrun", *words]
    return forked.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=60)


def run_command(folder: Path, options: Mapping[str, Any], nfrun: Here) -> dict[str, str]:
    """Do what `run` does with a command, which takes the options `given` and `resume`."""
    words = [word for name, value in options.get("given", {}).items() for word in ("-p", f"{name}={value}")]
    words += ["--resume"] if options.get("resume") else []
    done = nfrun(folder, "run", "p.yaml", "--json", "--keep", *words)
    assert done.returncode == 0, done.stderr
    nodes = json.loads(done.stdout)["nodes"]
    return {name: "" if node["status"] == "reused" else node["status"] for name, node in nodes.items()}


def planned(folder: Path, options: Mapping[str, Any]) -> dict[str, str]:
    """Return why each node would run again, "" if it would not."""
    pipeline = resolve(
        folder / "p.yaml",
        given=options.get("given", {}),
        params_file=options.get("params_file"),
        environ=os.environ,
        run_id="plan",
        to_run=False,
    ).pipeline
    with closing(Database(WorkDir.of_pipeline(pipeline, None))) as database:
        decisions = forecast(pipeline, plan_of(pipeline), database, pytest.fail)
    return {name: decision.reason for name, decision in decisions.items()}
