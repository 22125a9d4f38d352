"""What a Python function may return as a file or a folder, and what is said of the rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nfrun.nodes.base import NodeError
from nfrun.nodes.returned_tables import check_apart, made_file
from tests.conftest import Trial, failed


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    found = tmp_path / "scratch"
    (found / "site").mkdir(parents=True)
    (found / "m.bin").write_text("x")
    (found / "link").symlink_to("m.bin")
    (tmp_path / "mine.pkl").write_text("mine")
    (found / "away").symlink_to(tmp_path)
    return found


@pytest.mark.parametrize("value", [b"x", bytearray(b"x"), memoryview(b"x")])
def test_bytes_are_written(scratch: Path, value: Any) -> None:
    path = made_file(value, ".pkl", "model", scratch)
    assert (path.name, path.read_bytes(), path.parent) == ("output_model.pkl", b"x", scratch)


def test_paths_below_the_scratch_folder_are_taken(scratch: Path) -> None:
    assert made_file(scratch / "m.bin", "file", "model", scratch) == scratch / "m.bin"
    assert made_file(scratch / "site" / ".." / "m.bin", "file", "model", scratch) == scratch / "m.bin"
    assert made_file(scratch / "site", "folder", "pages", scratch) == scratch / "site"


HOW = "make it at context.output('model.pkl'), and return that path"
WRONG: dict[str, tuple[str, Callable[[Path], Any], str, str]] = {
    "a path elsewhere": (
        ".pkl",
        lambda scratch: scratch.parent / "mine.pkl",
        "the function returned {tmp}/mine.pkl as 'model', which is not below its scratch folder",
        f"{HOW}. A file that is there already is read by a node: read: mine.pkl",
    ),
    "a path by way of a link": (
        ".pkl",
        lambda scratch: scratch / "away" / "mine.pkl",
        "the function returned {tmp}/scratch/away/mine.pkl as 'model', which is not below its scratch folder",
        f"{HOW}. A file that is there already is read by a node: read: mine.pkl",
    ),
    "a link": (
        ".pkl",
        lambda scratch: scratch / "link",
        "the function returned a link as 'model': link",
        "copy what it leads to",
    ),
    "a text": (
        ".pkl",
        lambda scratch: str(scratch / "m.bin"),
        "the output 'model' is a file, and the function returned a str",
        f"{HOW}; or return bytes",
    ),
    "an object": (
        ".pkl",
        lambda scratch: {"a": 1},
        "the output 'model' is a file, and the function returned a dict",
        f"{HOW}; or return bytes",
    ),
    "nothing at the path": (
        ".pkl",
        lambda scratch: scratch / "none",
        "there is no file {tmp}/scratch/none, which the function returned as 'model'",
        HOW,
    ),
    "a folder for a file": (
        ".pkl",
        lambda scratch: scratch / "site",
        "the output 'model' is a file, and the function returned a folder: site",
        "",
    ),
    "a file for a folder": (
        "folder",
        lambda scratch: scratch / "m.bin",
        "the output 'model' is a folder, and the function returned a file: m.bin",
        "",
    ),
    "bytes for a folder": (
        "folder",
        lambda scratch: b"x",
        "the output 'model' is a folder, and the function returned a bytes",
        "make it at context.output('model'), and return that path",
    ),
    "the scratch folder itself": (
        "folder",
        lambda scratch: scratch,
        "the function returned {tmp}/scratch as 'model', which is not below its scratch folder",
        "make it at context.output('model'), and return that path. A file that is there already is read by a node: "
        "read: scratch",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_anything_else_is_an_error_that_says_what_to_do(scratch: Path, tmp_path: Path, what: str) -> None:
    type, value, message, details = WRONG[what]
    with pytest.raises(NodeError) as caught:
        made_file(value(scratch), type, "model", scratch)
    assert (str(caught.value), caught.value.details) == (message.replace("{tmp}", str(tmp_path)), details)


def test_two_outputs_are_two_files(scratch: Path) -> None:
    check_apart({"a": scratch / "m.bin", "b": scratch / "site"})
    with pytest.raises(NodeError) as caught:
        check_apart({"a": scratch / "m.bin", "b": scratch / "m.bin"})
    assert str(caught.value) == "the function returned m.bin as 'a', which is the output 'b'"
    with pytest.raises(NodeError, match="returned x as 'a', which is in the output 'b'"):
        check_apart({"a": scratch / "site" / "x", "b": scratch / "site"})


ONE_FILE: dict[str, Any] = {"outputs": ("table",), "types": {"table": "file"}}


def test_a_file_that_is_made_and_not_returned(trial: Trial) -> None:
    source = "def f(context): context.output('table.csv').write_text('a')"
    failure = failed(trial.python(source, **ONE_FILE))
    assert (failure.message, failure.details) == (
        "the output 'table' is a file, and the function returned None; it made 'table.csv'",
        "return the path, as in: return context.output('table.csv')",
    )
    assert failed(trial.python(f"async {source}", **ONE_FILE)).message == failure.message


def test_a_function_that_makes_no_file_may_return_none(trial: Trial) -> None:
    assert trial.python("def f(context): context.output('table.csv')", **ONE_FILE).outputs == {}
    assert trial.python("def f(context): (context.scratch / 'x').write_text('a')").outputs == {}
