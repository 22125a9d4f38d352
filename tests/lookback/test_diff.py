"""`nfrun diff` on real runs: what changed, the rows that differ, and which runs are compared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from conftest import Here
from project import BROKEN, Project, new_project


@pytest.fixture(scope="module")
def _kept(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with three runs, which no test changes. The second has another function; the third equals it."""
    project = new_project(tmp_path_factory.mktemp("project"))
    project.edit("trial.yaml", ", executor: thread", "")  # draws are the same in all runs of a worker process
    project.run()
    project.edit("steps.py", "factor * n", "factor * n + (n > 1)")
    project.run()
    project.run()
    return project


@pytest.fixture
def kept(_kept: Project, here: Here) -> Project:
    """The same project; nfrun runs in this process."""
    return Project(_kept.folder, here)


def diffed(project: Project, *words: str, code: int = 0) -> list[str]:
    """The lines of a diff, up to the times."""
    before = project.files()
    done = project.look("diff", *words)
    assert (done.returncode, done.stderr) == (code, "")
    assert project.files() == before
    lines = done.stdout.splitlines()
    return lines[: next((i - 1 for i, line in enumerate(lines) if line.startswith("time ")), len(lines))]


def test_equal_runs_say_so_in_one_line(kept: Project) -> None:
    (line,) = diffed(kept)
    assert line.startswith("run 3 equals run 2: 7 nodes, the same code, inputs and outputs; ")


def test_a_changed_function_shows_with_all_that_it_changed(kept: Project) -> None:
    lines = diffed(kept, "1", "2")
    assert lines[:4] == [
        "trial.yaml run 1 (ok) -> trial.yaml run 2 (ok)",
        "",
        "changed  double: the function steps:double changed",
        "           other content, 3 rows",
    ]
    assert sorted(line for line in lines[4:] if line.startswith("changed")) == [
        "changed  listed: the input 'table' changed",
        "changed  parts: the input 'table' changed",
        "changed  told: what 'double' depends on changed",
        "changed  total: the input 'double' changed",
    ]
    assert "           parts.high: other content, 2 rows" in lines
    assert lines[-1] == "2 nodes are the same"


def test_data_shows_the_first_rows_that_differ(kept: Project) -> None:
    lines = diffed(kept, "1", "2", "--data")
    assert lines[2:6] == [
        "changed  double: the function steps:double changed",
        "           other content, 3 rows",
        "             1 row changed",
        "               row 2: n 4 -> 5",
    ]
    assert "               name n2: n 4 -> 5" in diffed(kept, "1", "2", "--data", "--key", "name")
    wrong = "the table of the earlier run has no column 'nmae': it has n, name"
    assert f"             its rows are not compared: {wrong}" in diffed(kept, "1", "2", "--data", "--key", "nmae")


def test_one_run_is_compared_with_the_last(kept: Project) -> None:
    assert diffed(kept, "1")[0] == "trial.yaml run 1 (ok) -> trial.yaml run 3 (ok)"
    assert diffed(kept, "last~2")[0] == "trial.yaml run 1 (ok) -> trial.yaml run 3 (ok)"


def test_the_exit_code_says_it_if_asked(kept: Project) -> None:
    diffed(kept, "--exit-code", code=0)
    diffed(kept, "1", "2", "--exit-code", code=1)
    diffed(kept, "1", "2", code=0)


def test_the_document_has_the_differences_and_the_rows(kept: Project) -> None:
    done = kept.look("diff", "1", "2", "--data", "--json")
    document = json.loads(done.stdout)
    double = next(node for node in document["nodes"] if node["node"] == "double")
    assert double["because"] == "the function steps:double changed"
    assert double["outputs"][0]["data"] == {
        "changed": 1,
        "new": 0,
        "gone": 0,
        "rows": [{"row": 2, "before": {"n": 4}, "after": {"n": 5}}],
    }
    assert json.loads(kept.look("diff", "--json").stdout)["equal"] is True


def test_a_parameter_that_differs_is_named(tmp_path: Path, here: Here) -> None:
    project = new_project(tmp_path, here)
    project.run()
    project.run("-p", "count=4")
    lines = diffed(project, "--data")
    assert lines[:3] == ["trial.yaml run 1 (ok) -> trial.yaml run 2 (ok)", "parameter count: 3 -> 4", ""]
    assert lines[3:7] == [
        "changed  numbers: the value 'count' changed",
        "           3 -> 4 rows",
        "             1 row new",
        "             + row 3: n 3, name n3",
    ]


def test_a_failure_is_shown_with_its_error(tmp_path: Path, here: Here) -> None:
    project = new_project(tmp_path, here)
    project.run()
    project.edit("trial.yaml", "\noutputs:", BROKEN)
    project.run(code=1)
    lines = diffed(project)
    assert lines[0] == "trial.yaml run 1 (ok) -> trial.yaml run 2 (failed)"
    assert any(r" broken: failed; ValueError: no \x1b[31m" in line for line in lines)


def test_rows_of_removed_and_of_damaged_tables_are_not_compared(tmp_path: Path, here: Here) -> None:
    project = new_project(tmp_path, here)
    project.run()
    project.edit("steps.py", "factor * n", "factor * n + 1")
    project.run()
    project.table(1, "double").unlink()
    file = project.damage(1, "total")
    text = "\n".join(diffed(project, "--data"))
    assert "its rows are not compared: the table of 'double' in run 1 was removed; to make it again: nfrun run" in text
    assert f"its rows are not compared: {file} is damaged and is not used" in text


def test_runs_of_a_copied_folder_are_compared(kept: Project, tmp_path: Path) -> None:
    shutil.copytree(kept.folder / ".nfrun", tmp_path / "copied")
    assert diffed(kept, "1", "2", "--work", str(tmp_path / "copied")) == diffed(kept, "1", "2")


def test_runs_that_were_killed_are_compared(tmp_path: Path, here: Here) -> None:
    project = new_project(tmp_path, here)
    project.run()
    project.edit("steps.py", "factor * n", "factor * n + 1")
    project.run()
    project.rewrite_journal(2, lambda line: line if line["event"] != "ended" and line.get("node") != "told" else None)
    lines = diffed(project, "--data")
    assert lines[:2] == ["trial.yaml run 1 (ok) -> trial.yaml run 2 (killed)", ""]
    assert "changed  double: the function steps:double changed" in lines
    assert "               row 0: n 0 -> 1" in lines
    assert "changed  told: ok -> not ended" in lines


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["9"], "nfrun: there is no run 9 in "),
        (["1", "9"], "nfrun: there is no run 9 in "),
        (["lasst"], "nfrun: there is no run lasst in "),
        (["last~7"], "nfrun: there is no run last~7 in "),
        (["3"], "nfrun: run 3 is the last one: name the run to compare it with, such as last~1"),
        (["last"], "nfrun: run 3 is the last one: name the run to compare it with, such as last~1"),
        (["1", "2", "3"], "3"),
        (["\x1b[31m"], r"nfrun: there is no run \x1b[31m in "),
        (["--work", "nowhere"], "nfrun: there is no folder "),
        (["--pipeline", "nothing.yaml"], "nothing.yaml: there is no such file"),
        (["--key", "n"], "it needs --data"),
    ],
)
def test_what_is_not_there_is_named(kept: Project, words: list[str], message: str) -> None:
    done = kept.look("diff", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_single_run_has_none_to_compare_with(tmp_path: Path, here: Here) -> None:
    project = new_project(tmp_path, here)
    project.run()
    done = project.look("diff")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("nfrun: there is no run last~1 in ")
