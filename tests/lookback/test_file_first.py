"""Tests of a pipeline file as the first word of the commands that look back, as it is for `run` and `plan`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Here
from kept_runs import Kept, finished

import nfrun

PIPELINE = 'nodes: {n: {run: "echo said 1; (echo x; echo 1) > $NFRUN_OUTPUT", format: csv}}'


KEEPS = "'nfrun run' keeps runs in a folder .nfrun beside the pipeline file"


@pytest.fixture
def project(tmp_path: Path, here: Here) -> Path:
    """A folder with two pipelines in `sub`, of which each has two runs with nodes of the same name."""
    (tmp_path / "sub").mkdir()
    for file in ("a.yaml", "b.yaml") * 2:
        (tmp_path / "sub" / file).write_text(PIPELINE.replace("1", file[0].upper()))
        assert here(tmp_path, "run", f"sub/{file}", "-q", "--fresh").returncode == 0
    return tmp_path


@pytest.mark.parametrize(
    "words",
    ["runs", "show", "show n", "show --json n", "logs n", "diff", "diff 1 3", "report -o -", "open n --format csv"],
)
def test_it_is_the_same_as_with_pipeline(project: Path, here: Here, words: str) -> None:
    command, *others = words.split()
    flags = [word for word in others if word.startswith("-")]
    found = here(project, command, "sub/a.yaml", *others)
    assert (found.returncode, found.stderr) == (0, "")
    assert here(project, command, "--pipeline", "sub/a.yaml", *others).stdout == found.stdout != ""
    if command not in ("diff", "report"):
        assert here(project, command, "sub/b.yaml", *others).stdout != found.stdout
    if flags[:1] == ["--json"]:
        assert here(project, command, "--json", "sub/a.yaml", "n").stdout == found.stdout


def test_without_the_file_the_runs_of_both_pipelines_are_meant(project: Path, here: Here) -> None:
    counts = [len(json.loads(here(project, "runs", *file, "--json").stdout)["runs"]) for file in ((), ("sub/a.yaml",))]
    assert counts == [4, 2]


def test_a_file_that_is_gone_is_known_by_its_runs(project: Path, here: Here) -> None:
    (project / "sub/a.yaml").unlink()
    assert here(project, "open", "sub/a.yaml", "n", "--format", "csv").stdout == '"x"\n"A"\n'
    found = here(project, "clean", "sub/a.yaml", "--all")
    assert (found.returncode, found.stderr) == (0, "")
    for command in ("show", "clean", "doctor"):
        found = here(project, command, "sub/a.yaml")
        assert (found.returncode, found.stderr) == (2, "sub/a.yaml: there is no such file\n   check the path\n")


@pytest.mark.parametrize(
    ("words", "told"),
    {
        "show sub": "the node 'sub' is not recorded in run 4: its nodes are n",
        "show sub/a.yam": "the node 'sub/a.yam' is not recorded in run 4: its nodes are n",
        "show sub/c.yaml": "sub/c.yaml: there is no such file\n   check the path",
        "show -- sub/a.yaml": "the node 'sub/a.yaml' is not recorded in run 4: its nodes are n",
        "logs sub/a.yaml m": "the node 'm' is not recorded in run 3: its nodes are n",
        "open sub/a.yaml n.yaml": "run 3 has no output 'n.yaml': it has n",
        "open -- n.yaml": "run 4 has no output 'n.yaml': it has n",
        "show sub/a.yaml --run 4": "there is no run 4 of a.yaml in SUB/.nfrun: 2 runs from 1 to 3 are kept there",
        "diff sub/a.yaml 4": "there is no run 4 of a.yaml in SUB/.nfrun: 2 runs from 1 to 3 are kept there",
        "runs sub/a.yaml --work sub": f"no run was ever kept in SUB: {KEEPS}",
    }.items(),
)
def test_what_is_wrong_is_said_of_the_right_word(project: Path, here: Here, words: str, told: str) -> None:
    found = here(project, *words.split())
    assert (found.returncode, found.stdout) == (2, "")
    text = found.stderr.removeprefix("nfrun: ").rstrip("\n").replace(str(project / "sub"), "SUB")
    assert text == told


def test_a_cell_whose_name_ends_as_that_of_a_file_is_a_node(tmp_path: Path, here: Here) -> None:
    text = PIPELINE.replace("n: {", "n: {matrix: [of], ") + "\nmatrix: {of: [x.yaml]}"
    (tmp_path / "a@b.yaml").write_text(text)
    assert here(tmp_path, "run", "a@b.yaml", "-q").returncode == 0
    for words in (["show"], ["logs"], ["open", "--format", "csv"]):
        for file in ([], ["--"], ["a@b.yaml"]):
            found = here(tmp_path, *words, *file, "n@x.yaml")
            assert (found.returncode, found.stderr) == (0, ""), [*words, *file]


def test_a_pipeline_that_a_program_has_built_is_known_by_the_file_of_its_name(tmp_path: Path, here: Here) -> None:
    built = nfrun.Pipeline("built", folder=tmp_path)
    built.sql("n", "select 1 as x")
    built.run()
    found = here(tmp_path, "open", "built.yaml", "n", "--format", "csv")
    assert (found.returncode, found.stdout, found.stderr) == (0, '"x"\n1\n', "")


def test_a_copy_of_a_work_folder_needs_no_file(tmp_path: Path, here: Here) -> None:
    Kept(tmp_path).add(1, nodes=[finished("n")])
    Kept(tmp_path).add(2, pipeline="q.yaml", nodes=[finished("n")])
    assert here(tmp_path, "show", "p.yaml").stdout.startswith("run 1 of p.yaml: ok")
    assert here(tmp_path, "show", "q.yaml", "n").stdout.startswith("node 'n' in run 2")
