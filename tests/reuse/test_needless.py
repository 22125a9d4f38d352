"""Changes the data files of small projects in turn: the nodes that read one run again, and few others."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from conftest import Here
from needless import WAITS
from projects import Project, projects, touched
from test_edits import folder, planned

PROJECTS = projects()
# How many nodes run again that do not read the file that changed, over all files of the project.
MOST_NEEDLESS = {
    "config": 0,
    "classes": 16,
    "duckdb": 20,  # a query with a computed name on a connection that was handed on is never reused
    "models": 27,  # 11 where no node runs in a worker process, as some do on a busy machine
    "months": 0,
    "newest": 9,
    "prompts": 11,
    "registry": 20,
    "resources": 1,
    "scripts": 20,
    "settings": 0,
    "writes": 3,
}
QUICK, SLOW = 5, 40  # how many files of each project are changed at least; `needless.py` changes all

__all__ = ["folder"]


@pytest.mark.parametrize("name", PROJECTS)
def test_few_nodes_run_again_that_do_not_read_the_file(
    name: str, folder: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH")  # it hides numpy from the workers that a run on a busy machine starts
    changes_run_the_readers(name, folder, here, QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROJECTS)
def test_each_file_of_a_project_runs_its_readers_again(
    name: str, folder: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH")
    changes_run_the_readers(name, folder, here, SLOW)


def changes_run_the_readers(name: str, folder: Path, here: Here, count: int) -> None:
    project: Project = PROJECTS[name]
    files = [*project.readers][:: len(project.readers) // count or 1]
    project.write(folder)
    done = here(folder, "run", "p.yaml", "-q")
    assert done.returncode == 0, done.stderr
    stale, needless = [], []
    for file in files:
        before = (folder / file).read_bytes()
        (folder / file).write_bytes(touched(before, file))
        importlib.invalidate_caches()
        again = {node: why for node, why in planned(folder, {}).items() if why and not why.startswith(WAITS)}
        (folder / file).write_bytes(before)
        stale += [(file, node) for node in project.readers[file] - again.keys()]
        needless += [(file, node, why) for node, why in again.items() if node not in project.readers[file]]
    assert stale == []
    assert len(needless) <= MOST_NEEDLESS[name], needless
