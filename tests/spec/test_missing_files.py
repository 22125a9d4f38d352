"""Files that nodes declare under `files`: they are there before the run, or a node before makes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nfrun.core.errors import SpecError, render_all
from nfrun.core.pipeline import Pipeline
from nfrun.spec.loader import read_pipeline
from nfrun.spec.pipeline_warnings import warnings_of
from nfrun.spec.resolve import resolve


def read(folder: Path, text: str, *, bound: bool = True) -> Pipeline:
    (folder / "p.yaml").write_text(text)
    given = {} if bound else None
    return resolve(folder / "p.yaml", given=given, params_file=None, environ={}, run_id="r").pipeline


def problems(folder: Path, text: str, *, bound: bool = True) -> str:
    with pytest.raises(SpecError) as caught:
        read(folder, text, bound=bound)
    return render_all(caught.value.diagnostics).replace(f"{folder}/", "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("train.py", "conf/a.yaml", "conf/b.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to("circle")
    return tmp_path


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ("train.py", ("train.py",)),
        ("[train.py, conf/*.yaml]", ("train.py", "conf/*.yaml")),
        ("conf", ("conf",)),
        ("../{folder}/train.py", ("../{folder}/train.py",)),
        ('"${{ params.name }}.py"', ("train.py",)),
        ('["${{ params.many }}", conf]', ("train.py", "conf/a.yaml", "conf")),
    ],
)
def test_files_that_are_there(folder: Path, files: str, found: tuple[str, ...]) -> None:
    params = "params: {name: train, many: {default: [train.py, conf/a.yaml]}}\n"
    text = f"{params}nodes:\n  a: {{run: x, files: {files}}}\n".replace("{folder}", folder.name)
    assert read(folder, text).nodes["a"].files == tuple(name.replace("{folder}", folder.name) for name in found)


WRONG = {
    "[train.py, tran.py]": "p.yaml:2:33: there is no file 'tran.py'\n"
    "    2 |   a: {run: x, files: [train.py, tran.py]}\n"
    "      |                                 ^^^^^^^ did you mean 'train.py'?",
    "nowhere": "p.yaml:2:22: there is no file 'nowhere'\n"
    "    2 |   a: {run: x, files: nowhere}\n"
    "      |                      ^^^^^^^ a path is relative to the pipeline file",
    "no/where": "p.yaml:2:22: there is no file 'no/where'\n"
    "    2 |   a: {run: x, files: no/where}\n"
    "      |                      ^^^^^^^^ a path is relative to the pipeline file",
    "['conf/*.yml']": "p.yaml:2:23: no file matches 'conf/*.yml'\n"
    "    2 |   a: {run: x, files: ['conf/*.yml']}\n"
    "      |                       ^^^^^^^^^^^^ a pattern is relative to the pipeline file; **/ stands for any folders",
    "empty": "p.yaml:2:22: there is no file in the folder 'empty'\n"
    "    2 |   a: {run: x, files: empty}\n"
    "      |                      ^^^^^ hidden folders in it do not count",
    "pipe": "p.yaml:2:22: 'pipe' is not an ordinary file\n"
    "    2 |   a: {run: x, files: pipe}\n"
    "      |                      ^^^^ name a file, a folder or a pattern",
    "circle": "p.yaml:2:22: 'circle' is a link to a file that does not exist\n"
    "    2 |   a: {run: x, files: circle}\n"
    "      |                      ^^^^^^ mend the link, or name the file itself",
    "/": "p.yaml:2:22: '/' contains the pipeline's folder\n"
    "    2 |   a: {run: x, files: /}\n"
    "      |                      ^ name only what the node reads",
    "'../**/*.csv'": "p.yaml:2:22: '../**/*.csv' contains the pipeline's folder\n"
    "    2 |   a: {run: x, files: '../**/*.csv'}\n"
    "      |                      ^^^^^^^^^^^^^ name only what the node reads",
    "s3://b/x.csv": "p.yaml:2:22: 's3://b/x.csv' is a URI, and 'files' takes paths\n"
    "    2 |   a: {run: x, files: s3://b/x.csv}\n"
    "      |                      ^^^^^^^^^^^^ read it with a 'read' node",
    '""': "p.yaml:2:22: 'files' is empty\n"
    '    2 |   a: {run: x, files: ""}\n'
    "      |                      ^^ for example files: [train.py, conf/*.yaml]",
    "[]": "p.yaml:2:22: 'files' is empty\n"
    "    2 |   a: {run: x, files: []}\n"
    "      |                      ^^ for example files: [train.py, conf/*.yaml]",
    "[1]": "p.yaml:2:23: an item of 'files' must be a string, not 1\n"
    "    2 |   a: {run: x, files: [1]}\n"
    "      |                       ^ put it in quotes",
    "{a: train.py}": "p.yaml:2:22: 'files' must be a string or a list, not a mapping\n"
    "    2 |   a: {run: x, files: {a: train.py}}\n"
    "      |                      ^^^^^^^^^^^^^ for example files: [train.py, conf/*.yaml]",
}


@pytest.mark.parametrize("files", WRONG)
def test_files_that_are_missing_or_cannot_be(folder: Path, files: str) -> None:
    assert problems(folder, f"nodes:\n  a: {{run: x, files: {files}}}\n") == WRONG[files]


def test_an_expression_that_gives_no_name(folder: Path) -> None:
    text = "params: {n: 1}\nnodes:\n  a: {run: x, files: ['${{ params.n }}']}\n"
    assert "p.yaml:3:23: this is no name of a file: 1\n" in problems(folder, text)
    assert read(folder, text, bound=False).nodes["a"].files == ("${{ params.n }}",), "not evaluated yet"


def test_an_expression_that_gives_the_name_of_a_missing_file(folder: Path) -> None:
    text = "params: {n: absent}\nnodes:\n  a: {run: x, files: ['${{ params.n }}.py']}\n"
    assert "p.yaml:3:22: there is no file 'absent.py'\n" in problems(folder, text)


@pytest.mark.parametrize(
    "before",
    [
        "  w: {write: out/x.csv, inputs: r}\n  r: {read: r.csv}\n  b: {run: x, needs: w}\n",
        '  b: {run: "cp r.csv out/x.csv"}\n',
        "  b: {python: 'json:loads', with: {s: '1'}}\n",
    ],
)
def test_what_a_node_before_may_write_need_not_be_there(folder: Path, before: str) -> None:
    for files in ("out/x.csv", "'out/*.csv'", "out"):
        if "cp" not in before or files != "out":
            assert read(folder, f"nodes:\n{before}  a: {{run: x, files: {files}, needs: b}}\n")
    assert "there is no file 'y'" in problems(folder, f"nodes:\n{before}  a: {{run: x, files: y}}\n")


def test_validate_warns_of_files_that_are_missing_now(folder: Path) -> None:
    text = "params: {n: 1}\nnodes:\n  a: {run: x, files: [train.py, tran.py, '${{ params.n }}']}\n"
    (folder / "p.yaml").write_text(text)
    pipeline, _ = read_pipeline(folder / "p.yaml")
    [warning] = warnings_of(pipeline)
    what = "'files' of 'a': there is no file 'tran.py': did you mean 'train.py'?"
    assert warning == f"{folder}/p.yaml:3:3: {what}"
