"""What nodes need and this machine does not have: declared files, files that are read, packages, services."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nfrun.core.errors import Diagnostic, SpecError, one_line, render_all
from nfrun.core.pipeline import Pipeline
from nfrun.pipeline_file.resolve import resolve
from nfrun.pipeline_file.validate import validate_file


def read(folder: Path, text: str) -> Pipeline:
    (folder / "p.yaml").write_text(text)
    return resolve(folder / "p.yaml", given={}, params_file=None, environ={}, run_id="r").pipeline


def problems(folder: Path, text: str) -> str:
    with pytest.raises(SpecError) as caught:
        read(folder, text)
    return render_all(caught.value.diagnostics).replace(f"{folder}/", "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("train.py", "conf/a.yaml", "conf/b.yaml", "r.csv"):
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


@pytest.mark.parametrize(
    "read_path", ["out/day=1/part-0.parquet", "out/day=1/", "'out/*/*.parquet'", "real/", "real/x.csv"]
)
@pytest.mark.parametrize("written", ["out/", "link/"])
def test_what_is_in_a_folder_that_a_node_before_writes_need_not_be_there(
    folder: Path, read_path: str, written: str
) -> None:
    for link in ("out", "link"):
        (folder / link).symlink_to("real", target_is_directory=True)
    text = f"nodes:\n  r: {{read: r.csv}}\n  w: {{write: {written}, inputs: r}}\n  a: {{read: {read_path}, needs: w}}\n"
    assert read(folder, text)
    other = text.replace("out/day", "other/day").replace("'out", "'other").replace("real", "other")
    assert "there is no" in problems(folder, other) or "no file matches" in problems(folder, other)


def warnings_in(folder: Path, text: str) -> list[str]:
    """The warnings of `validate`."""
    (folder / "p.yaml").write_text(text)
    found: list[Diagnostic] = []
    validate_file(folder / "p.yaml", found.append)
    return [one_line(diagnostic).replace(f"{folder}/", "") for diagnostic in found]


def test_validate_warns_of_files_that_are_missing_now(folder: Path) -> None:
    text = "params: {n: 1}\nnodes:\n  a: {run: x, files: [train.py, tran.py, '${{ params.n }}']}\n"
    assert warnings_in(folder, text) == ["p.yaml:3:33: there is no file 'tran.py': did you mean 'train.py'?"]


READS = {
    "conf/c.csv": ("there is no file 'conf/c.csv'", "a path is relative to the pipeline file"),
    "a.cvs.csv": ("there is no file 'a.cvs.csv'", "did you mean 'a.csv'?"),
    "no/where.csv": ("there is no file 'no/where.csv'", "a path is relative to the pipeline file"),
    "conf/*.csv": (
        "no file matches 'conf/*.csv'",
        "a pattern is relative to the pipeline file; **/ stands for any folders",
    ),
    "file:///no/a.csv": ("there is no file '/no/a.csv'", "a path is relative to the pipeline file"),
    "circle.csv": ("'circle.csv' is a link to a file that does not exist", "mend the link, or name the file itself"),
    "folder.csv": ("'folder.csv' is a folder", "read: folder.csv/ reads all of its files"),
    "ftp://h/a.csv": (
        "a read node cannot read ftp://",
        "it reads s3://, gs://, gcs://, abfs://, abfss://, hdfs://, viewfs://",
    ),
    "https://me:pw@h/a.csv": (
        "a read node cannot read https://",
        "fetch it in a 'run' node: curl -fsSL https://h/a.csv -o \"$NFRUN_OUTPUT\"",
    ),
}


@pytest.mark.parametrize("read", READS)
def test_what_cannot_be_read(folder: Path, read: str) -> None:
    (folder / "a.csv").write_text("x\n1\n")
    (folder / "folder.csv").mkdir()
    (folder / "circle.csv").symlink_to("circle.csv")
    what, hint = READS[read]
    text = f"nodes:\n  a: {{read: '{read}'}}\n"
    assert warnings_in(folder, text) == [f"p.yaml:2:13: {what}: {hint}"]
    found = problems(folder, text).splitlines()
    assert found[0] == f"p.yaml:2:13: {what}"
    assert found[2].endswith(f"^ {hint}")


@pytest.mark.parametrize(
    "before",
    ["w: {write: out/x.csv, inputs: r}", "w: {run: 'cp a.csv out/x.csv'}", "w: {python: 'json:loads', with: {s: '1'}}"],
)
def test_what_a_node_before_may_write_can_be_read(folder: Path, before: str) -> None:
    (folder / "r.csv").write_text("x\n1\n")
    for read in ("out/x.csv", "'out/*.csv'"):
        text = f"nodes:\n  r: {{read: r.csv}}\n  {before}\n  a: {{read: {read}, needs: w}}\n"
        assert warnings_in(folder, text) == []
        assert read and len(resolve_nodes(folder, text)) == 3
    assert len(warnings_in(folder, f"nodes:\n  r: {{read: r.csv}}\n  {before}\n  a: {{read: y.csv, needs: r}}\n")) == 1


def test_a_path_that_is_not_known_yet_may_be_any(folder: Path) -> None:
    text = "params: {n: 5}\nnodes:\n  r: {read: r.csv}\n  w: {write: 'out/${{ params.n }}.csv', inputs: r}\n"
    text += "  a: {read: out/5.csv, needs: w}\n"
    assert warnings_in(folder, text) == []
    assert read(folder, text)
    assert "there is no file 'out/5.csv'\n" in problems(folder, text.replace("n: 5", "n: 6"))


def resolve_nodes(folder: Path, text: str) -> list[str]:
    return list(read(folder, text).nodes)


def test_expressions_in_paths_are_checked_when_they_are_bound(folder: Path) -> None:
    text = "params: {n: 5}\nnodes:\n  a: {read: '${{ params.n }}.csv'}\n"
    assert warnings_in(folder, text) == []
    assert "p.yaml:3:13: there is no file '5.csv'\n" in problems(folder, text)


def test_declared_packages(folder: Path) -> None:
    text = "nodes:\n  a: {run: x, packages: [pyarow, xgboost, zzzqqq]}\n"
    assert warnings_in(folder, text) == [
        "p.yaml:2:26: no package 'pyarow' is installed: did you mean 'pyarrow'?",
        "p.yaml:2:34: no package 'xgboost' is installed: install it, or remove it here",
        "p.yaml:2:43: no package 'zzzqqq' is installed: install it, or remove it here",
    ]
    assert problems(folder, text).count("is installed\n") == 3
