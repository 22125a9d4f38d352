"""Results do not depend on when other nodes change state of the whole process: random generators, the directory, …"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import STUBS, Here

from nfrun.session.options import RunOptions
from tests.program_runs import run_pipeline

WAIT_FOR = """
def wait_for(flag):
    path = pathlib.Path(flag)
    for _ in range(10_000):
        if path.exists():
            return
        time.sleep(0.001)
    raise TimeoutError(flag)
"""
STEPS = """
import os, pathlib, random, time
import numpy as np

WAIT_FOR
def seed_and_draw(seed): random.seed(seed); return [{"n": random.random()} for _ in range(3)]
def seed_numpy(seed): np.random.seed(seed); return {"n": np.random.rand(), "m": np.random.rand()}
def draw(): return {"n": random.random(), "m": np.random.rand(), "word": random.choice(list({"a", "b", "c", "d", "e"}))}

# The second seeds between the first one's seed and draw, if both share a generator.
def first(folder):
    random.seed(1)
    pathlib.Path(folder, "first").touch()
    wait_for(f"{folder}/second")
    return {"n": random.random()}
def second(folder):
    wait_for(f"{folder}/first")
    random.seed(2)
    pathlib.Path(folder, "second").touch()
    return {"n": random.random()}
def where(): return {"pid": os.getpid()}
def where_and_draw(): random.random(); return {"pid": os.getpid()}
"""
SEEDS = """
nodes:
  a: {python: "steps:seed_and_draw", with: {seed: 1}}
  b: {python: "steps:seed_and_draw", with: {seed: 2}}
  c: {python: "steps:seed_numpy", with: {seed: 3}}
  d: {python: "steps:draw"}
"""
OVERLAPPING = """
nodes:
  first: {python: "steps:first", with: {folder: FOLDER}}
  second: {python: "steps:second", with: {folder: FOLDER}}
"""


class Project:
    """A folder with a pipeline. `run` returns the rows of its outputs, by node."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys
        (folder / "steps.py").write_text(STEPS.replace("WAIT_FOR", WAIT_FOR))

    def run(self, text: str, **options: Any) -> Mapping[str, list[dict[str, Any]]]:
        (self.folder / "p.yaml").write_text(text.replace("FOLDER", str(self.folder)))
        result = run_pipeline(RunOptions(self.folder / "p.yaml", **options))
        assert result.end.status == "ok", result.record.nodes
        self.reused = set(result.record.named("reused"))
        return {name: table.to_pylist() for name, table in result.tables.items()}

    def placed(self, text: str, **options: Any) -> bool:
        """Run the node `node`, and return whether it ran in another process."""
        pid: int = self.run(text, fresh=True, **options)["node"][0]["pid"]
        return pid != os.getpid()


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Project:
    pytest.importorskip("numpy")
    hides = tmp_path / "hides"
    hides.mkdir()
    shutil.copy(STUBS / "pandas.py", hides)
    monkeypatch.setenv("PYTHONPATH", str(hides))  # the nodes need numpy, which is hidden otherwise
    return Project(tmp_path, capsys)


def test_nodes_that_seed_and_draw_have_one_result_at_every_number_of_slots(project: Project) -> None:
    found = [project.run(SEEDS, slots=slots, fresh=True) for slots in (1, 2, 4, 8)]
    assert all(rows == found[0] for rows in found)


@pytest.mark.slow
def test_nodes_that_seed_and_draw_have_one_result_in_fifty_runs(project: Project) -> None:
    found = [project.run(SEEDS, slots=n % 8 + 1, fresh=True) for n in range(50)]
    assert all(rows == found[0] for rows in found)


def test_seeds_of_nodes_at_the_same_time_do_not_mix(project: Project) -> None:
    import random

    expected = {"first": [{"n": random.Random(1).random()}], "second": [{"n": random.Random(2).random()}]}
    assert project.run(OVERLAPPING, slots=2) == expected


def test_seeds_on_threads_mix(project: Project) -> None:
    """Why such nodes run in processes. The trial above would pass if the two did not meet."""
    import random

    assert project.run(OVERLAPPING, slots=2, executor="thread")["first"] != [{"n": random.Random(1).random()}]


def test_a_node_that_is_never_reused_draws_anew_in_each_run(project: Project) -> None:
    text = "nodes: {node: {python: 'steps:draw', cache: false}}\n"
    first, second = (project.run(text)["node"][0] for _ in range(2))
    assert first["n"] != second["n"]
    assert first["m"] != second["m"]


def test_where_a_node_runs_follows_its_code_and_the_file(project: Project) -> None:
    assert not project.placed("nodes: {node: {python: 'steps:where'}}\n")
    assert project.placed("nodes: {node: {python: 'steps:where_and_draw'}}\n")
    assert not project.placed("nodes: {node: {python: 'steps:where_and_draw', executor: thread}}\n")
    assert not project.placed("defaults: {executor: thread}\nnodes: {node: {python: 'steps:where_and_draw'}}\n")
    assert not project.placed("nodes: {node: {python: 'steps:where_and_draw'}}\n", executor="thread")
    assert project.placed("nodes: {node: {python: 'steps:where_and_draw', executor: thread}}\n", executor="auto")


def test_a_node_that_draws_on_a_thread_is_not_reused_and_the_place_is_told(project: Project, here: Here) -> None:
    text = "nodes: {node: {python: 'steps:where_and_draw', executor: thread}, other: {python: 'steps:where'}}\n"
    (project.folder / "p.yaml").write_text(text)
    told = [line for line in here(project.folder, "run", "p.yaml").stderr.splitlines() if "is not reused" in line]
    line = 1 + (project.folder / "steps.py").read_text().splitlines().index(
        'def where_and_draw(): random.random(); return {"pid": os.getpid()}'
    )
    why = f"it uses random.random (steps.py:{line}) on a thread, where all nodes share it"
    assert told == [f"node 'node' is not reused: {why}; say 'cache: true' to reuse it"]
