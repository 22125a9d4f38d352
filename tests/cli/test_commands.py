"""Tests of the other commands, and of the message and exit code of each sort of error of nfrun itself."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import forked
import pytest
from typer.testing import CliRunner

from nfrun import __version__
from nfrun.__main__ import main
from nfrun.cli import typer_app
from nfrun.cli.exit_codes import EXIT_CODES, report_errors
from nfrun.cli.typer_app import app
from nfrun.core.errors import Cause, HandoffError
from nfrun.history import work_dir
from nfrun.history.database import TIMINGS, Database
from nfrun.history.work_dir import WorkDir
from nfrun.system.logs.redaction import Redactor

TWO = "name: two\nnodes:\n  a: {run: echo}\n  b: {run: echo, inputs: a}\n"
MORE_MEMORY = "   end other programs, or raise the memory limit of this process\n"


@pytest.fixture
def two(tmp_path: Path) -> str:
    (tmp_path / "two.yaml").write_text(TWO)
    return str(tmp_path / "two.yaml")


def nfrun(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, arguments)
    return done.exit_code, done.stdout, done.stderr


def test_version() -> None:
    assert nfrun("--version") == (0, f"nfrun {__version__}\n", "")


def test_the_schema_is_the_file_in_the_repository() -> None:
    text = (Path(__file__).parents[2] / "schemas" / "pipeline.schema.json").read_text()
    assert nfrun("schema") == (0, text, "")


def test_plan_shows_stages_and_runs_nothing(two: str) -> None:
    code, out, err = nfrun("plan", two, "-j", "3")
    assert (code, err) == (0, "")
    assert out.startswith("two: 2 nodes, 2 stages, 1 edge, at most 1 wide\n")
    assert "best possible with 3 workers: 1.0x faster" in out
    assert sorted(path.name for path in Path(two).parent.iterdir()) == ["two.yaml"]


def test_plan_as_json(two: str) -> None:
    code, out, _ = nfrun("plan", two, "--format", "json")
    assert code == 0
    assert json.loads(out)["stages"] == [["a"], ["b"]]


def test_plan_uses_recorded_durations(two: str) -> None:
    work = WorkDir(Path(two).parent / ".nfrun")
    work.make()
    with closing(Database(work, print)) as database:
        database.kept(TIMINGS, "two.yaml")[1]({"took": {"a": 2_000_000, "b": 1_000_000}})
    assert "(3.00 s of work, 3.00 s on the longest path, as recorded)" in nfrun("plan", two)[1]


def test_validate_reports_on_every_file(two: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("nodes:\n  a: {run: echo, inputs: b}\n  c: {}\n")
    bad = str(tmp_path / "bad.yaml")
    code, out, err = nfrun("validate", two, bad)
    assert code == 2
    assert out == f"{two}: ok, 2 nodes\n"
    assert f"{bad}:2:26: node 'a' reads 'b', which is not defined" in err
    assert f"{bad}:3:3: node 'c' has no kind" in err


def test_validate_as_json(two: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("nodes:\n  a: {run: echo, inputs: b}\n")
    bad = str(tmp_path / "bad.yaml")
    code, out, err = nfrun("validate", "--json", two, bad)
    assert (code, err) == (2, "")
    good, wrong = json.loads(out)["files"]
    assert good == {"file": two, "ok": True, "problems": [], "warnings": []}
    (problem,) = wrong["problems"]
    assert (problem["file"], problem["line"], problem["column"]) == (bad, 2, 26)
    assert problem["message"] == "node 'a' reads 'b', which is not defined"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (RuntimeError("oh \x1b[31m"), 70, "this is a bug in nfrun, please report it: RuntimeError: oh \\x1b[31m\n"),
        (
            HandoffError("cannot write the output 'a': No space left on device"),
            74,
            "nfrun: cannot write the output 'a'",
        ),
        (OSError(28, "No space left on device", "x"), 74, "nfrun: x: No space left on device\n"),
        (MemoryError(), 74, f"nfrun: out of memory\n{MORE_MEMORY}"),
        (
            ImportError("libarrow.so.2600: failed to map segment from shared object"),
            74,
            f"nfrun: out of memory: libarrow.so.2600: failed to map segment from shared object\n{MORE_MEMORY}",
        ),
        (ImportError("no module of nfrun"), 70, "report it: ImportError: no module of nfrun\n"),
        (PermissionError(13, "Permission denied", "/w/.nfrun"), 77, "nfrun: no permission: /w/.nfrun\n"),
        (KeyboardInterrupt(), 130, "nfrun: interrupted\n"),
    ],
)
def test_errors_of_nfrun_are_reported_without_a_traceback(
    two: str, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, message: str
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(work_dir.WorkDir, "make_run_folder", fail)
    found, out, err = nfrun("run", two)
    assert (found, out) == (code, "")
    assert message in err
    assert "Traceback" not in err


def test_plan_and_validate_import_neither_arrow_nor_user_code(tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text("open('imported', 'w')\ndef go(): pass\n")
    (tmp_path / "x.csv").touch()
    (tmp_path / "p.yaml").write_text(
        "nodes: {a: {python: 'steps:go'}, b: {read: x.csv}, c: {write: y.csv, inputs: b}}\n"
    )
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom nfrun.cli.typer_app import app\n"
        "for command in ('plan', 'validate'):\n    done = CliRunner().invoke(app, [command, 'p.yaml'])\n"
        "    assert done.exit_code == 0, done.output\n"
        "print([m for m in ('pyarrow', 'duckdb', 'numpy', 'jinja2', 'steps') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert not (tmp_path / "imported").exists()


def test_ctrl_c_during_the_start(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(arguments: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nfrun.cli.fast_args.parse_plain", interrupted)
    with pytest.raises(SystemExit) as exit_info:
        main()
    gc.enable()
    assert exit_info.value.code == 130
    assert capsys.readouterr().err == "nfrun: interrupted\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run", "p.yaml", "--nope\u2028"], "No such option: --nope\\u2028"),
        (["run", "p.yaml", "x\u200f\u202e"], "Got unexpected extra argument(s) (x\\u200f\\u202e)"),
        (["run", "p.yaml", "--color", "\u202ered"], "'\\u202ered' is not one of 'auto', 'always', 'never'."),
        (["run", "p.yaml", "-p", "a=\udcff"], "Invalid value for -p: 'a=\\udcff' is not UTF-8"),
        (["plan", "p.yaml", "-j", "\x1b[31m"], "'\\x1b[31m' is neither auto nor a number from 1 to 10,000"),
    ],
)
def test_control_characters_in_usage_errors_are_escaped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], expected: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["nfrun", *words])
    with pytest.raises(SystemExit) as exit_info:
        main(guarded=False)
    gc.enable()
    captured = capsys.readouterr()
    assert (exit_info.value.code, captured.out) == (2, "")
    assert expected in captured.err
    assert f" {words[0]} [OPTIONS] PIPELINE\n" in captured.err


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["run", "p.yaml", "--executor", "x"],
         "Invalid value for --executor: 'x' is not one of 'file', 'thread', 'process', 'dask', 'auto'."),
        (["bench", "--repeat", "0"], "Invalid value for --repeat: '0' is not a number from 1 to 1,000"),
        (["bench", "--repeat", "1001"], "Invalid value for --repeat: '1001' is not a number from 1 to 1,000"),
        (["bench", "--repeat", "x"], "Invalid value for --repeat: 'x' is not a number from 1 to 1,000"),
        (["run", "p.yaml", "--wait", "100000h"],
         "Invalid value for --wait: '100000h' is not a duration such as 30s, 10m or 2h, at most 366d"),
    ],
)  # fmt: skip
def test_the_words_about_a_wrong_value_are_those_of_nfrun(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], error: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["nfrun", *words])
    with pytest.raises(SystemExit) as exit_info:
        main(guarded=False)
    gc.enable()
    captured = capsys.readouterr()
    assert (exit_info.value.code, captured.out, captured.err.splitlines()[-1]) == (2, "", f"Error: {error}")


@pytest.mark.parametrize(
    ("words", "code"),
    [("plan p.yaml", 141), ("validate p.yaml", 141), ("runs", 141), ("show", 141), ("logs a", 141), ("schema", 141),
     ("--version", 141), ("doctor", 141),
     ("run p.yaml -q", 0), ("run p.yaml --json", 0), ("run p.yaml --fresh", 0)],
)  # fmt: skip
def test_a_closed_pipe_ends_a_command_quietly_and_not_a_run(tmp_path: Path, words: str, code: int) -> None:
    (tmp_path / "p.yaml").write_text("name: p\nnodes:\n  a: {run: echo hello}\n  b: {sql: select 1}\noutputs: {b: b}\n")
    nfrun = [sys.executable, "-P", "-m", "nfrun"]
    if not words.startswith("run "):
        forked.run([*nfrun, "run", "p.yaml", "-q"], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing) as stdout:
        done = forked.run(
            [*nfrun, *words.split()], cwd=tmp_path, check=False, stdout=stdout, stderr=subprocess.PIPE, text=True
        )
    assert (done.returncode, [line for line in done.stderr.splitlines() if "rror" in line or "ipe" in line]) == (
        code,
        [],
    )
    assert code == 0 or not done.stderr


def test_a_usage_error_is_reported_as_json_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["nfrun", "run", "p.yaml", "--json", "--zz"])
    with pytest.raises(SystemExit) as exit_info:
        main(guarded=False)
    gc.enable()
    captured = capsys.readouterr()
    assert exit_info.value.code == 2
    document = json.loads(captured.out)
    assert document == {"status": "failed", "error": "No such option: --zz", "problems": []}
    assert document["error"] in captured.err


@pytest.mark.parametrize(("error", "code", "expected"), [(EOFError(), 1, "Aborted!"), (KeyboardInterrupt(), 130, "")])
def test_an_unanswered_question_ends_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, expected: str
) -> None:
    def ask(name: str, given: object) -> int:
        raise error

    monkeypatch.setattr(typer_app, "execute", ask)
    monkeypatch.setattr(sys, "argv", ["nfrun", "run", "-qk", "p.yaml"])  # typer parses letters together
    with pytest.raises(SystemExit) as exit_info:
        main(guarded=False)
    gc.enable()
    assert exit_info.value.code == code
    assert capsys.readouterr().err.strip() == expected


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OSError(28, "No space left on device"), Cause.IO),
        (HandoffError("cannot write"), Cause.IO),
        (PermissionError(13, "Permission denied", "x"), Cause.PERMISSION),
    ],
)
def test_one_table_has_the_exit_codes_of_runs_and_of_errors(
    monkeypatch: pytest.MonkeyPatch, error: Exception, cause: Cause
) -> None:
    monkeypatch.setitem(EXIT_CODES, cause, 99)
    with pytest.raises(SystemExit) as exit_info, report_errors():
        raise error
    assert exit_info.value.code == 99


def test_a_newline_in_a_file_name_is_escaped(tmp_path: Path, two: str) -> None:
    odd = tmp_path / "a\nb.yaml"
    odd.write_text(Path(two).read_text())
    code, out, _ = nfrun("validate", str(odd))
    assert (code, out.count("\n")) == (0, 1)
    assert "a\\nb.yaml: ok, " in out


def test_nfrun_debug_shows_a_redacted_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NFRUN_DEBUG", "1")
    with pytest.raises(SystemExit) as exit_info, report_errors() as messages:
        messages.set_redactor(Redactor(["hunter2"]))
        raise KeyError("hunter2")
    err = capsys.readouterr().err
    assert exit_info.value.code == 70
    assert err.startswith(
        "nfrun: this is a bug in nfrun, please report it: KeyError: '***'\nTraceback (most recent call last)"
    )
    assert 'raise KeyError("***")' in err
