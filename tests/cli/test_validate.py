"""Tests of `nfrun validate`: all diagnostics of all files, their stream and the exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Here
from typer.testing import CliRunner

from nfrun.cli.typer_app import app

GOOD = "nodes:\n  a: {run: x}\n  b: {run: x, inputs: a}\n"
BAD = "nodes:\n  extract: {run: x}\n  join: {run: x, inputs: [extrat], retries: -1}\n"
DIAGNOSTICS = """\
bad.yaml:3:27: node 'join' reads 'extrat', which is not defined
    3 |   join: {run: x, inputs: [extrat], retries: -1}
      |                           ^^^^^^ did you mean 'extract' (line 2)?
bad.yaml:3:45: 'retries' must be at least 0, not -1
    3 |   join: {run: x, inputs: [extrat], retries: -1}
      |                                             ^^
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("good.yaml").write_text(GOOD)
    Path("bad.yaml").write_text(BAD)


def nfrun(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stdout, result.stderr


def test_validate_as_a_program() -> None:
    """The only test in this file that starts a process, as users do."""
    environ = {**os.environ, "PYTHONWARNINGS": "error", "NO_COLOR": "1"}
    result = subprocess.run(
        [sys.executable, "-m", "nfrun", "validate", "good.yaml", "bad.yaml"],
        capture_output=True,
        text=True,
        env=environ,
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (2, "good.yaml: ok, 2 nodes\n", DIAGNOSTICS)


def test_a_valid_file() -> None:
    assert nfrun("validate", "good.yaml") == (0, "good.yaml: ok, 2 nodes\n", "")


def test_all_files_are_validated() -> None:
    Path("other.yaml").write_text("nodes:\n")
    Path("worse.yaml").write_text("nodes: [\n")
    code, out, err = nfrun("validate", "bad.yaml", "worse.yaml", "good.yaml", "other.yaml")
    assert (code, out) == (2, "good.yaml: ok, 2 nodes\n")
    assert err.startswith(DIAGNOSTICS)
    assert [line.split(": ")[0] for line in err.splitlines() if ".yaml:" in line] == [
        "bad.yaml:3:27",
        "bad.yaml:3:45",
        "other.yaml:1:1",
        "worse.yaml:1:8",
    ]


def test_validate_as_json() -> None:
    code, out, err = nfrun("validate", "--json", "good.yaml", "bad.yaml")
    assert (code, err) == (2, "")
    documents: list[dict[str, Any]] = json.loads(out)["files"]
    assert documents == [
        {"file": "good.yaml", "ok": True, "problems": [], "warnings": []},
        {
            "file": "bad.yaml",
            "ok": False,
            "problems": [
                {
                    "file": "bad.yaml",
                    "line": 3,
                    "column": 27,
                    "level": "error",
                    "message": "node 'join' reads 'extrat', which is not defined",
                    "hint": "did you mean 'extract' (line 2)?",
                },
                {
                    "file": "bad.yaml",
                    "line": 3,
                    "column": 45,
                    "level": "error",
                    "message": "'retries' must be at least 0, not -1",
                    "hint": "",
                },
            ],
            "warnings": [],
        },
    ]


def test_every_command_prints_the_same_diagnostics() -> None:
    assert nfrun("plan", "bad.yaml") == (2, "", DIAGNOSTICS)
    assert nfrun("run", "bad.yaml") == (2, "", DIAGNOSTICS)
    assert not Path(".nfrun").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        b"\xff\xfe\x00",
        b"nodes:\n\ta: {}\n",
        b"nodes: &a [*a]\n",
        b"- [\n",
        b"nodes: {a: {run: x, inputs: [[[[[[]]]]]]}}\n",
        b"nodes:\n  a: {run: x}\n---\nnodes: {}\n",
        b"nodes:\n  ? [a]\n  : {run: x}\n",
        b"nodes:\n  a: !!python/object:os.system {run: x}\n",
        b"null\n",
        b"nodes:\n  a: {run: x, with: {v: .nan}}\n",
    ],
)
def test_any_content_of_a_file_gives_diagnostics(content: bytes) -> None:
    Path("odd.yaml").write_bytes(content)
    code, out, err = nfrun("validate", "odd.yaml")
    assert (code, out) == (2, "")
    assert err.startswith("odd.yaml") and "Traceback" not in err and "bug" not in err
    assert err.replace("\n", "").replace("\t", "").isprintable()


def test_missing_files_and_folders_are_refused() -> None:
    for name in ("nope.yaml", "."):
        code, out, err = nfrun("validate", name)
        assert code == 2 and out == "" and err.startswith(name) and err.count("\n") <= 2


def test_control_characters_in_a_file_name_are_escaped() -> None:
    name = "\x1b[31m\u202e.yaml"
    Path(name).write_text("nodes:\n")
    _, _, err = nfrun("validate", name)
    assert err.startswith("\\x1b[31m\\u202e.yaml:1:1: 'nodes' is empty\n")


def test_no_file_is_a_usage_error() -> None:
    assert nfrun("validate")[0] == 2


def test_invalid_parameters_are_named() -> None:
    Path("p.yaml").write_text("params: {month: 1}\nnodes:\n  a: {run: 'true'}\n")
    code, out, err = nfrun("run", "p.yaml", "-p", "mnth=2", "-p", "month=two")
    assert (code, out) == (2, "")
    assert err == "\n".join(
        [
            "p.yaml: the pipeline has no parameter 'mnth'",
            "   did you mean 'month'?",
            "p.yaml: the parameter 'month' must be of type integer, not 'two'",
            "",
        ]
    )
    Path("params.yaml").write_text("month: x\n")
    assert nfrun("run", "p.yaml", "--params-file", "params.yaml")[0] == 2
    Path("params.yaml").write_text("month: [\n")
    code, _, err = nfrun("run", "p.yaml", "--params-file", "params.yaml")
    assert code == 2 and err.startswith("params.yaml:")
    assert nfrun("run", "p.yaml", "--params-file", "nope.yaml")[0] == 2


def test_many_diagnostics_are_cut_in_text_and_not_in_json() -> None:
    text = "nodes:\n" + "".join(f"  n{i}: {{run: x, inputs: zz{i}, retries: -1}}\n" for i in range(150))
    Path("many.yaml").write_text(text)
    code, _, err = nfrun("validate", "many.yaml")
    assert code == 2 and err.endswith("… and 250 more problems\n")
    assert len(json.loads(nfrun("validate", "--json", "many.yaml")[1])["files"][0]["problems"]) == 300


WARNED = """\
nodes:
  a: {read: abset.csv}
  b: {sql: "select $x from a", inputs: a, with: {x: 1, y: 2}}
"""


def test_warnings() -> None:
    Path("absent.csv").write_text("x\n")
    Path("warned.yaml").write_text(WARNED)
    code, out, err = nfrun("validate", "warned.yaml", "good.yaml")
    assert (code, out) == (0, "warned.yaml: ok, 2 nodes, 2 warnings\ngood.yaml: ok, 2 nodes\n")
    assert err == (
        "nfrun: warning: warned.yaml:3:56: the query does not use the value 'y': "
        "write $y in the query, or remove the value\n"
        "nfrun: warning: warned.yaml:2:13: there is no file 'abset.csv': did you mean 'absent.csv'?\n"
    )
    Path("warned.yaml").write_text(WARNED.replace(", y: 2", ""))
    assert nfrun("validate", "warned.yaml")[1] == "warned.yaml: ok, 2 nodes, 1 warning\n"


@pytest.mark.parametrize("partition", ["[country, day]", "[day, country, shop]"])
def test_partitions_of_several_columns_that_are_replaced_alone_are_warned_of(partition: str) -> None:
    write = f"  b: {{write: out/, inputs: a, with: {{partition: {partition}, mode: partitions}}}}\n"
    head = "nodes:\n  a: {sql: 'select 1 as day, 2 as country, 3 as shop, 4 as n'}\n"
    Path("parts.yaml").write_text(head + write)
    code, out, err = nfrun("validate", "parts.yaml")
    assert (code, out) == (0, "parts.yaml: ok, 2 nodes, 1 warning\n")
    first = partition[1:].partition(",")[0]
    assert err == (
        f"nfrun: warning: parts.yaml:3:{write.index('partitions}') + 1}: each combination of {partition[1:-1]} is "
        "replaced alone: a row that moves to another one is there twice: "
        f"put the columns that a run replaces first, and name them: replace: [{first}]\n"
    )
    for safe in (f"{first}], replace: [{first}", f"{partition[1:-1]}], replace: [{first}"):
        Path("parts.yaml").write_text(head + write.replace(partition[1:-1], safe))
        assert nfrun("validate", "parts.yaml")[::2] == (0, "")


def test_warnings_count_as_problems_with_strict() -> None:
    Path("warned.yaml").write_text(WARNED)
    code, out, err = nfrun("validate", "--strict", "warned.yaml", "good.yaml")
    assert (code, out) == (2, "good.yaml: ok, 2 nodes\n")
    assert err == (
        "warned.yaml:2:13: there is no file 'abset.csv'\n"
        "    2 |   a: {read: abset.csv}\n"
        "      |             ^^^^^^^^^ a path is relative to the pipeline file\n"
        "warned.yaml:3:56: the query does not use the value 'y'\n"
        '    3 |   b: {sql: "select $x from a", inputs: a, with: {x: 1, y: 2}}\n'
        "      |                                                        ^ write $y in the query, or remove the value\n"
    )


def test_warnings_as_json() -> None:
    Path("warned.yaml").write_text(WARNED.replace(", y: 2", ""))
    warning = {
        "file": "warned.yaml",
        "line": 2,
        "column": 13,
        "message": "there is no file 'abset.csv'",
        "hint": "a path is relative to the pipeline file",
    }
    code, out, err = nfrun("validate", "--json", "warned.yaml")
    assert (code, err) == (0, "")
    warned = {"file": "warned.yaml", "ok": True, "problems": [], "warnings": [{**warning, "level": "warning"}]}
    assert json.loads(out) == {"files": [warned]}
    code, out, err = nfrun("validate", "--json", "--strict", "warned.yaml")
    assert (code, err) == (2, "")
    strict = {"file": "warned.yaml", "ok": False, "problems": [{**warning, "level": "error"}], "warnings": []}
    assert json.loads(out) == {"files": [strict]}


def test_what_is_missing_is_an_error_of_a_plan_and_fails_its_node_in_a_run(tmp_path: Path, here: Here) -> None:
    Path("warned.yaml").write_text(WARNED)
    found = (
        "warned.yaml:2:13: there is no file 'abset.csv'\n"
        "    2 |   a: {read: abset.csv}\n"
        "      |             ^^^^^^^^^ a path is relative to the pipeline file\n"
    )
    assert nfrun("plan", "warned.yaml") == (2, "", found)
    assert not Path(".nfrun").exists()
    done = here(tmp_path, "run", "warned.yaml")
    assert done.returncode == 1
    assert "warned.yaml:2:3: node 'a' failed: no such file: abset.csv\n" in done.stderr
    Path("abset.csv").write_text("x\n1\n")
    assert here(tmp_path, "run", "warned.yaml").returncode == 0  # the value that is not used prevents nothing


def test_the_errors_of_a_query_are_those_of_validate() -> None:
    Path("wrong.yaml").write_text("nodes:\n  a: {run: x, retries: -1}\n  b: {sql: selct 1, inputs: a}\n")
    code, out, err = nfrun("validate", "wrong.yaml")
    assert (code, out) == (2, "")
    assert [line.split(": ")[0] for line in err.splitlines() if ".yaml:" in line] == [
        "wrong.yaml:2:24",
        "wrong.yaml:3:12",
    ]
