"""Results do not depend on when other nodes change state of the whole process: random generators, the directory, …"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import STUBS, Here

from nfrun.engine.node_stats import read_node_stats
from nfrun.session.options import RunOptions
from nfrun.session.run import run_pipeline

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
# A package of which only its use shows that it has drawn from the global generator.
NOISY = "import random\ndef noise(): return random.random()\ndef silence(): return 0.0\n"
USES_NOISY = """
import os, pathlib, time
import noisy_package

WAIT_FOR
def loud(): return {"n": noisy_package.noise(), "pid": os.getpid()}
def quiet(): return {"n": noisy_package.silence(), "pid": os.getpid()}

# The one draws while the other runs.
def draws(folder):
    wait_for(f"{folder}/begun")
    noisy_package.noise()
    pathlib.Path(folder, "drawn").touch()
def is_beside(folder):
    pathlib.Path(folder, "begun").touch()
    wait_for(f"{folder}/drawn")
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


@pytest.fixture
def noisy(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    (project.folder / "site-packages").mkdir()
    (project.folder / "site-packages" / "noisy_package.py").write_text(NOISY)
    (project.folder / "steps.py").write_text(USES_NOISY.replace("WAIT_FOR", WAIT_FOR))
    monkeypatch.syspath_prepend(project.folder / "site-packages")
    monkeypatch.delitem(sys.modules, "noisy_package", raising=False)
    return project


def test_a_package_that_draws_is_seen_and_its_node_runs_in_a_process_from_then_on(noisy: Project) -> None:
    text = "nodes: {node: {python: 'steps:loud'}, other: {python: 'steps:quiet'}}\n"
    options = {"resume": True, "slots": 1}
    first = noisy.run(text, **options)
    assert first["node"][0]["pid"] == first["other"][0]["pid"] == os.getpid()
    assert read_node_stats(noisy.folder / ".nfrun" / "timings" / "p.yaml.json").changed_state == {"node"}
    second = noisy.run(text, **options)
    assert noisy.reused == {"other"}, "what a thread drew is not reused"
    assert second["node"][0]["pid"] != os.getpid()
    third = noisy.run(text, **options)
    assert (noisy.reused, third["node"]) == ({"node", "other"}, second["node"])
    (noisy.folder / ".nfrun" / "runs").rename(noisy.folder / "old")
    assert noisy.run(text, **options)["node"][0]["n"] == second["node"][0]["n"], "it draws the same in each worker"


def test_a_node_that_no_longer_changes_state_returns_to_a_thread(noisy: Project) -> None:
    text = "nodes: {node: {python: 'steps:loud'}}\n"
    assert [noisy.placed(text), noisy.placed(text)] == [False, True]
    steps = noisy.folder / "steps.py"
    steps.write_text(steps.read_text().replace("noise()", "silence()"))
    assert [noisy.placed(text), noisy.placed(text)] == [True, False]


def test_a_node_beside_one_that_draws_is_not_reused_either_and_both_are_told(noisy: Project, here: Here) -> None:
    text = """
nodes:
  draws: {python: 'steps:draws', with: {folder: FOLDER}}
  beside: {python: 'steps:is_beside', with: {folder: FOLDER}}
  later: {python: 'steps:quiet', needs: [draws, beside]}
"""
    (noisy.folder / "p.yaml").write_text(text.replace("FOLDER", str(noisy.folder)))
    done = here(noisy.folder, "run", "p.yaml", "-j", "2")
    told = [line for line in done.stderr.splitlines() if "is not reused" in line]
    why = "is not reused: it ran on a thread while random's generator changed; say 'cache: true' to reuse it"
    assert sorted(told) == [f"node 'beside' {why}", f"node 'draws' {why}"]
    assert read_node_stats(noisy.folder / ".nfrun" / "timings" / "p.yaml.json").changed_state == {"draws", "beside"}


def test_statistics_without_such_nodes_are_read_and_damaged_ones_are_left(noisy: Project) -> None:
    text = "nodes: {node: {python: 'steps:loud'}}\n"
    noisy.run(text)
    file = noisy.folder / ".nfrun" / "timings" / "p.yaml.json"
    stats = json.loads(file.read_text())
    assert stats.pop("state") == ["node"]
    for content, durations in [(json.dumps(stats), {"node"}), (json.dumps({**stats, "state": 3}), set()), ("{", set())]:
        file.write_text(content)
        found = read_node_stats(noisy.folder / ".nfrun" / "timings" / "p.yaml.json")
        assert (found.durations.keys(), found.changed_state) == (durations, frozenset())


def test_what_nfrun_imports_while_nodes_run_draws_no_random_numbers(tmp_path: Path) -> None:
    source = "import sys\nimport xxhash\n\ndef f():\n    return {'imported': 'rich.style' in sys.modules}\n"
    (tmp_path / "steps.py").write_text(source)
    (tmp_path / "p.yaml").write_text('nodes: {f: {python: "steps:f"}}')
    # Not a fork, which has imported more.
    subprocess.run([sys.executable, "-m", "nfrun", "run", "p.yaml", "--json"], cwd=tmp_path, check=True)
    shown = subprocess.run(
        [sys.executable, "-m", "nfrun", "open", "f", "--format", "jsonl"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    assert json.loads(shown.stdout) == {"imported": True}
