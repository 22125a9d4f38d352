"""Tests that the reason why a node runs, and what has changed, compare with the last run of the same profile."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Here

from nfrun.history.database import Database, read_journal
from nfrun.history.work_dir import WorkDir
from nfrun.lookback.page.run_data import change_data
from nfrun.lookback.run_reference import find_run

PIPELINE = """
params: {x: 0}
profiles:
  dev: {params: {x: 1}}
  prod: {params: {x: 2}}
  same: {params: {x: 2}, jobs: 2}
nodes:
  a: {sql: "select $x as x", with: {x: "${{ params.x }}"}}
  b: {sql: "select x, 'one' as t from a", inputs: a}
  c: {python: "steps:c"}
  m: {sql: "select $x as x", with: {x: "${{ params.x * matrix.i }}"}, matrix: {i: [1, 2]}}
  s: {pipeline: sub.yaml, with: {x: "${{ params.x }}"}}
"""
SUB = """
params: {x: 0}
nodes: {n: {sql: "select $x as x", with: {x: "${{ params.x }}"}}}
outputs: {n: n}
"""
STEPS = "def c(): return [{'c': 1}]\n"
TEXT = ("p.yaml", "'one'", "'two'")
VALUE = ("p.yaml", "x: 2}}\n  same", "x: 3}}\n  same")  # of prod
CODE = ("steps.py", "'c': 1", "'c': 2")
Run = Callable[..., dict[str, str]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in {"p.yaml": PIPELINE, "sub.yaml": SUB, "steps.py": STEPS}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def run(project: Path, here: Here) -> Run:
    """Run a profile, "" for none, and return why nodes ran, as `show` tells it. `plan` has told the same before."""

    def why(profile: str, *edits: tuple[str, str, str]) -> dict[str, str]:
        for file, old, new in edits:
            text = (project / file).read_text()
            assert old in text
            (project / file).write_text(text.replace(old, new))
        named = ["--profile", profile] if profile else []
        planned = json.loads(here(project, "plan", "p.yaml", "--json", *named).stdout)["nodes"]
        assert here(project, "run", "p.yaml", "-q", *named).returncode == 0
        nodes = json.loads(here(project, "show", "p.yaml", "--json").stdout)["nodes"]
        found = {name: node["why"] for name, node in nodes.items() if node["status"] == "ok"}
        told = {name: node["why"] for name, node in planned.items() if node["resume"] == "run"}
        sure = {name: reason for name, reason in told.items() if not reason.startswith("it reads '")}
        assert found.items() >= sure.items()
        return found

    return why


def test_a_node_is_compared_with_the_last_run_of_its_profile(run: Run) -> None:
    run("prod")
    run("dev")
    assert run("prod", TEXT) == {"b": "its text changed"}
    assert run("dev") == {"b": "its text changed"}
    assert run("prod", VALUE) == {
        **dict.fromkeys(("a", "m@1", "m@2", "s/n"), "the value 'x' changed"),
        "b": "the input 'a' changed",  # which is known during the run only
    }
    assert run("dev", CODE) == {"c": "the function steps:c changed"}
    assert run("prod") == {}, "the result of another profile is reused"


def test_the_first_run_of_a_profile_says_with_what_it_is_compared(run: Run) -> None:
    assert {*run("").values()} == {"it has not finished in any run that is kept"}
    assert {*run("dev").values()} == {
        "the value 'x' changed",
        "the input 'a' changed",
    }
    assert {*run("prod", TEXT).values()} >= {
        "the value 'x' changed",
        "its text changed",
    }
    assert run("same") == {}
    assert run("", ("p.yaml", "x: 0}\nprofiles", "x: 9}\nprofiles"))["a"] == "the value 'x' changed"


def test_a_result_that_another_profile_has_used_since_is_still_that_of_this_one(run: Run) -> None:
    run("prod")
    run("prod", TEXT)
    run("same")  # it reuses all
    run("dev")
    assert run("prod", ("p.yaml", "'two'", "'three'")) == {"b": "its text changed"}
    assert run("same", ("steps.py", "'c': 1", "'c': 5")) == {"c": "the function steps:c changed"}


def test_a_node_that_the_last_run_of_the_profile_lacks_is_looked_for_in_those_before(
    run: Run, project: Path, here: Here
) -> None:
    run("prod")
    assert here(project, "run", "p.yaml", "-q", "--profile", "prod", "--only", "c").returncode == 0
    run("dev")
    assert run("prod", VALUE)["a"] == "the value 'x' changed"
    with closing(Database(WorkDir(project / ".nfrun"), print)) as database:
        database.remove([run.folder.name for run in database.runs() if run.header.profile == "prod"])
    assert run("prod")["a"] == "the value 'x' changed"


def test_runs_of_another_pipeline_do_not_count(run: Run, project: Path, here: Here) -> None:
    run("dev")
    (project / "q.yaml").write_text(PIPELINE)
    assert here(project, "run", "q.yaml", "-q", "--profile", "prod").returncode == 0
    assert run("prod")["a"] == "the value 'x' changed"


def test_the_variable_names_a_profile_as_the_option_does(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("prod")
    run("dev")
    monkeypatch.setenv("NFRUN_PROFILE", "prod")
    assert run("", TEXT) == {"b": "its text changed"}


def test_what_shows_a_change_compares_with_the_same_profile(run: Run, project: Path, here: Here) -> None:
    run("prod")
    run("dev")
    run("prod", TEXT)
    head = "p.yaml run 1 (ok) -> p.yaml run 3 (ok)\n\nchanged  b: its text changed\n"
    assert here(project, "diff").stdout.startswith(head)
    assert "p.yaml run 2 (ok) -> p.yaml run 3 (ok)\nprofile: dev -> prod\n" in here(project, "diff", "2").stdout
    assert "\n  profile     prod\n" in here(project, "show").stdout
    work = WorkDir(project / ".nfrun")
    last = find_run(work, None)
    change = change_data(work, last, read_journal(last.folder))
    assert change is not None
    assert (change["against"]["number"], [node["id"] for node in change["nodes"]]) == (1, ["b"])
    run("same")
    assert here(project, "diff").stdout.startswith("run 4 equals run 3: "), "there is no other of its profile"
    assert json.loads(here(project, "show", "--json").stdout)["profile"] == "same"


def test_doctor_compares_with_the_same_profile(run: Run, project: Path, here: Here) -> None:
    run("prod")
    run("prod", CODE)
    run("dev")
    assert run("prod", ("steps.py", "'c': 2", "'c': 3")) == {"c": "the function steps:c changed"}
    told = "p.yaml, run 4: 1 ran, 5 reused; not reused: c: the function steps:c changed"
    assert told in here(project, "doctor", "p.yaml").stdout
