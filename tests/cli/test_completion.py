"""Tests of what nfrun answers shells that complete its command line, of their functions, and of what they install."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import Here
from typer.testing import CliRunner

from nfrun.cli.commands import all_commands
from nfrun.cli.completion.answer import answer, answer_shell
from nfrun.cli.completion.command_line import Line, split_line
from nfrun.cli.completion.shell_scripts import SCRIPTS, install, script_of
from nfrun.cli.typer_app import _words, app
from nfrun.core.errors import NotRecorded
from nfrun.core.values import fields

BREAKS = " \t\n\"'@><=;|&(:"  # those of bash
FILE = """
params:
  month: {type: integer, enum: [1, 2, 12], help: "The month,\\n1 to 12"}
  fast: false
  source: data
  hostile: {type: string, enum: ["$(touch x)", "a b", "`id`", fine]}
inputs: {orders: orders.csv, rates: {}}
matrix:
  model: [{id: lr, C: 0.1}, {id: rf}]
  fold: [0, 1]
  lane: {rows: lanes.csv}
nodes:
  data: {python: "steps:data", tags: [raw]}
  score: {matrix: [model, fold], sql: select 1 as x, tags: [night, slow]}
  lane: {matrix: lane, sql: select 1 as x}
  part: {matrix: {size: [s, m]}, sql: select 1 as x}
  split: {python: "steps:split", inputs: data, outputs: [large, small]}
  sub: {pipeline: other.yaml}
finally: {tell: {run: "true"}}
profiles: {prod: {jobs: 2}, dev: {jobs: 1}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "p.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ask(line: str) -> list[str]:
    """Return what bash would be given, each as the whole word at the cursor; files as `files REST`."""
    split = split_line(line)
    first, kept, rest, *found = answer("fish", split).splitlines()
    assert kept[:1] == rest[:1] == ">"
    return [kept[1:] + text.partition("\t")[0] for text in found] if first.startswith("values") else [first, rest[1:]]


@pytest.mark.parametrize(
    ("line", "expected"),
    {
        "nfrun pl": ["plan", "plugins"],
        "nfrun --v": ["--version"],
        "nfrun --install-completion ": ["bash", "zsh", "fish"],
        "nfrun wrong ": [],
        "nfrun help pl": ["plan", "plugins"],
        "nfrun init e": ["etl", "evals", "empty"],
        "nfrun init etl ": ["folders", ""],
        "nfrun run ": ["pipelines", ""],
        "nfrun run sub/p": ["pipelines", "sub/p"],
        "nfrun run --fo": ["--force"],
        "nfrun run --junit out": ["files", "out"],
        "nfrun run --junit=out": ["files", "out"],
        "nfrun run --work ": ["folders", ""],
        "nfrun run --grace ": [],
        "nfrun run p.yaml --handoff m": ["mmap", "memory"],
        "nfrun run p.yaml --profile ": ["prod", "dev"],
        "nfrun run p.yaml --profile=d": ["--profile=dev"],
        "nfrun run p.yaml -p ": ["month=", "fast=", "source=", "hostile="],
        "nfrun run p.yaml -p month=1": ["month=1", "month=12"],
        "nfrun run p.yaml -pmonth=2": ["-pmonth=2"],
        "nfrun run p.yaml --param fast=": ["fast=true", "fast=false"],
        "nfrun run p.yaml --param source=": ["source=data"],
        "nfrun run p.yaml -p hostile=": ["hostile=fine"],
        "nfrun run p.yaml -p unknown=": [],
        "nfrun run p.yaml --input ": ["orders=", "rates="],
        "nfrun run p.yaml --input orders=da": ["files", "da"],
        "nfrun run p.yaml --only sc": ["score", "score@"],
        "nfrun run p.yaml --only score@": ["score@lr@", "score@rf@"],
        "nfrun run p.yaml --only score@lr@": ["score@lr@0", "score@lr@1"],
        "nfrun run p.yaml --only part@": ["part@s", "part@m"],
        "nfrun run p.yaml --only lane@": [],
        "nfrun plan p.yaml --until l": ["lane"],
        "nfrun run p.yaml --exclude ord": ["orders"],
        "nfrun run p.yaml --force tag:": ["tag:raw", "tag:night", "tag:slow"],
        "nfrun run p.yaml --from kind:": ["kind:python", "kind:sql", "kind:pipeline"],
        "nfrun run p.yaml --only status:": ["status:failed", "status:skipped", "status:ok"],
        "nfrun run p.yaml --only file:da": ["files", "da"],
        "nfrun run p.yaml --only tag:raw,2+da": ["tag:raw,2+data"],
        "nfrun run p.yaml --only tell": [],
        "nfrun run --only da": [],
        "nfrun run p.yaml --wait ": [],
        "nfrun run p.yaml more ": [],
        "nfrun validate a.yaml ": ["pipelines", ""],
        "A=1 B=2 nfrun sho": ["show"],
        "nfrun run 'p.yaml' --only 'score@lr@0": ["score@lr@0"],
        "nfrun run p.yaml --only=da": ["--only=data"],
    }.items(),
)
def test_what_may_stand_at_the_cursor(line: str, expected: list[str], folder: Path) -> None:
    found = ask(line)
    assert found == expected if "more" not in line else "--only" in found


def test_options_are_offered_once_unless_they_may_be_given_more_than_once(folder: Path) -> None:
    found = ask("nfrun run p.yaml --quiet --only data --profile dev -")
    assert {"--only", "--fresh", "-p", "--help", "-k"} <= {*found}
    assert not {"--quiet", "-q", "--profile"} & {*found}


def test_each_option_of_each_command_can_be_completed(folder: Path) -> None:
    for command, (_, options, _) in all_commands().items():
        for option in fields(options):
            for flag in option.metadata["flags"]:
                with suppress(NotRecorded):
                    answer("zsh", Line(("nfrun", command, flag), ""))
        assert ask(f"nfrun {command} --")


def test_a_file_that_cannot_be_read_gives_no_names(folder: Path) -> None:
    (folder / "broken.yaml").write_text("nodes: [")
    (folder / "odd.yaml").write_text("nodes: {a: 1, b: [2]}\nparams: [x]\nmatrix: 3\nprofiles: x\n")
    for file in ("broken.yaml", "missing.yaml", "/dev/zero", "."):
        assert ask(f"nfrun run {file} --only ") == ["tag:", "kind:", "file:", "status:"]
    assert ask("nfrun run odd.yaml --only ") == ["a", "b", "tag:", "kind:", "file:", "status:"]
    assert ask("nfrun run odd.yaml -p ") == []


def test_files_are_found_behind_variables_and_a_tilde(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    for file in ("~/p.yaml", "$HOME/p.yaml", "${HOME}/p.yaml", str(folder / "p.yaml")):
        assert ask(f"nfrun run {file} --only da") == ["data"]


def test_names_that_a_shell_would_evaluate_are_not_offered(folder: Path) -> None:
    hostile = [
        "$(touch x)",
        "`touch x`",
        "a'; touch x; '",
        "a b",
        "a\\\\$(touch x)",
        "a*",
        "a;b",
        "a|b",
        "<a",
        "ä",
        "a\\nb",
    ]
    nodes = [f'  "{name}": {{sql: select 1, tags: ["{name}", fine]}}' for name in hostile]
    profiles = [f'  "{name}": {{}}' for name in hostile]
    text = ["nodes:", *nodes, "  good: {sql: select 1}", "profiles:", *profiles, "  prod: {}"]
    (folder / "hostile.yaml").write_text("\n".join(text))
    assert ask("nfrun run hostile.yaml --only ") == ["good", "tag:", "kind:", "file:", "status:"]
    assert ask("nfrun run hostile.yaml --only tag:") == ["tag:fine"]
    assert ask("nfrun run hostile.yaml --profile ") == ["prod"]


PIPELINE = """
matrix: {letter: "${{ ['a', 'b'] }}"}
nodes:
  data: {python: "steps:data", outputs: [large, small]}
  score: {matrix: letter, sql: select 1 as x}
"""


def test_recorded_runs_nodes_and_outputs(folder: Path, here: Here) -> None:
    (folder / "steps.py").write_text("def data(): return {'large': [{'x': 1}], 'small': [{'x': 2}]}\n")
    (folder / "p.yaml").write_text(PIPELINE)
    assert ask("nfrun show --run ") == ["last", "last-ok"]
    assert here(folder, "run", "p.yaml", "-q").returncode == 0
    assert ask("nfrun show --run ") == ["last", "last-ok", "1"]
    assert ask("nfrun diff l") == ["last", "last-ok"]
    assert ask("nfrun show ") == ["score", "data", "score@"]
    assert ask("nfrun logs ") == ["data", "score@"]
    assert ask("nfrun logs score@") == ["score@a", "score@b"]
    assert ask("nfrun shell d") == ["data"]
    assert ask("nfrun open data") == ["data.large", "data.small"]
    assert ask("nfrun run p.yaml --only score@") == ["score@a", "score@b"]  # its values are known from the run
    (folder / "p.yaml").write_text("nodes: [")  # while it is edited
    assert ask("nfrun run p.yaml --only score@") == ["score@a", "score@b"]
    with pytest.raises(Exception, match="there is no run 7"):
        ask("nfrun open --run 7 ")
    for command in ("show", "logs", "shell", "open", "diff"):
        assert ask(f"nfrun {command} p.") == ["pipelines", "p."], "a pipeline file may stand first"
    assert ask("nfrun open p.yaml data") == ["data.large", "data.small"]
    assert ask("nfrun show --json p.yaml d") == ["data"]
    assert ask("nfrun show p.yaml p.") == []
    assert ask("nfrun diff p.yaml ") == ["last", "last-ok", "1"]
    assert ask("nfrun runs ") == ask("nfrun report --run 1 ") == ["pipelines", ""]
    assert "--json" in ask("nfrun runs p.yaml ")


@pytest.mark.parametrize(
    ("typed", "replaced"),
    {
        "score@l": "@l",
        "score@lr@": "@",
        "tag:ra": "ra",
        "tag:": "",
        "--profile=de": "de",
        "'score@l": "score@l",
        "a\\ b": "a b",
        "": "",
    }.items(),
)
def test_bash_replaces_the_end_of_a_word(typed: str, replaced: str) -> None:
    split = split_line(f"nfrun run {typed}", BREAKS)
    assert split.words == ("nfrun", "run")
    assert split.current[split.kept :] == replaced


def test_an_error_is_no_answer(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    environ = {"_NFRUN_COMPLETE": "zsh", "_NFRUN_WORDS": "nfrun\nopen\n--run\n7", "_NFRUN_CURRENT": ""}
    answer_shell(environ)
    answer_shell({"_NFRUN_COMPLETE": "complete_bash"})  # the function of typer
    assert capsys.readouterr() == ("", "")


def test_a_line_runs_nothing_and_imports_neither_pyarrow_nor_typer(folder: Path) -> None:
    (folder / "steps.py").write_text("raise SystemExit('imported')")
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('loaded', {'pyarrow', 'typer', 'duckdb', 'rich', 'steps'} & {*sys.modules}))\n"
        "from nfrun.__main__ import main\n"
        "sys.argv = ['nfrun', 'run', 'p.yaml']\n"  # as an older function could give it
        "main()"
    )
    asked = {"_NFRUN_COMPLETE": "bash", "_NFRUN_LINE": "nfrun run p.yaml --only d"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "values\n>\n>d\ndata\nloaded set()\n", "")
    assert not (folder / ".nfrun").exists()


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes(folder: Path) -> None:
    (folder / "a b.yaml").touch()
    (folder / "notes.txt").touch()
    asked = {
        "nfrun run p.yaml --only sc": ["score", "score@"],
        "nfrun run p.yaml --only score@l": ["@lr@"],
        "nfrun run p.yaml -p month=": ["1", "2", "12"],
        "nfrun run a": ["a b.yaml"],
        "nfrun run p.yaml --junit=no": ["notes.txt"],
    }
    call = "_nfrun_completion nfrun; printf '%s|' \"${COMPREPLY[@]}\"; echo"
    lines = [f"COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; {call}" for line in asked]
    script = "\n".join([f"PATH={Path(sys.executable).parent}:$PATH", script_of("bash"), *lines])
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    shown = [[text for text in line.split("|") if text] for line in done.stdout.splitlines()]
    assert dict(zip(asked, shown, strict=True)) == asked


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish")
def test_fish_completes(folder: Path) -> None:
    (folder / "a b.yaml").touch()
    (folder / "notes.txt").touch()
    asked = {
        "nfrun run p.yaml --only score@l": ["score@lr@\tthe cells"],
        "nfrun run p.yaml -p mo": ["month=\tThe month, 1 to 12"],
        "nfrun run ": ["a b.yaml", "home/", "p.yaml"],
        "nfrun run p.yaml --junit=no": ["--junit=notes.txt"],
    }
    lines = [f"complete -C '{line}'; echo ---" for line in asked]
    script = "\n".join([f"set -x PATH {Path(sys.executable).parent} $PATH", script_of("fish"), *lines])
    home = {"HOME": str(folder / "home")}
    done = subprocess.run(
        ["fish", "-N", "-c", script], env={**os.environ, **home}, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert [text.split("\n")[:-1] for text in done.stdout.split("---\n")[:-1]] == [*asked.values()]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh")
def test_zsh_completes(folder: Path) -> None:
    import pexpect

    (folder / ".zshrc").write_text(
        f"autoload -Uz compinit; compinit -u; PATH={Path(sys.executable).parent}:$PATH; PS1='> '\n{script_of('zsh')}"
    )
    environ = {**os.environ, "ZDOTDIR": str(folder), "HOME": str(folder), "TERM": "dumb"}
    shell = pexpect.spawn("zsh", ["-i"], env=environ, encoding="utf-8", timeout=20)
    for typed, shown in {
        "nfrun run p.y\t": r"p\.yaml ",
        "nfrun run p.yaml --only score@l\t1\t": r"score@lr@1",
        "nfrun run p.yaml -p mo\t": r"month=",
        "nfrun run p.yaml --profile=d\t": r"--profile=dev",
    }.items():
        shell.expect("> ")
        shell.send(typed)
        shell.expect(shown)
        shell.send("\x03")
    shell.close(force=True)


@pytest.mark.parametrize("shell", SCRIPTS)
def test_installing_twice_is_installing_once(shell: str, tmp_path: Path) -> None:
    (tmp_path / ".bashrc").write_bytes(b"# \xff, without a line end")
    files = install(shell, {"HOME": str(tmp_path)})
    texts = [file.read_bytes() for file in files]
    assert files[0].read_text() == script_of(shell)
    install(shell, {"HOME": str(tmp_path)})
    assert [file.read_bytes() for file in files] == texts
    if shell == "bash":
        assert texts[1] == f"# ÿ, without a line end\nsource {files[0]}\n".encode("latin-1")


def test_a_home_with_a_quote_in_its_name(tmp_path: Path) -> None:
    home = tmp_path / "o'brien and co"
    home.mkdir()
    install("bash", {"HOME": str(home)})
    read = "source ~/.bashrc && complete -p nfrun"
    done = subprocess.run(
        ["bash", "--norc", "-c", read], env={"HOME": str(home)}, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("complete -o bashdefault -o default -F _nfrun_completion nfrun\n", "")


def test_the_options_of_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("tcsh", "tcsh"))

    def call(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, _words(words))
        return done.exit_code, done.output

    assert call("--show-completion", "fish") == (0, script_of("fish"))
    file = tmp_path / ".config/fish/completions/nfrun.fish"
    assert call("--install-completion=fish") == (0, f"wrote {file}: shells that start from now on complete nfrun\n")
    code, text = call("--show-completion")
    assert code == 2 and "Invalid value for --show-completion: name the shell: bash, zsh or fish" in text
    code, text = call("--install-completion", "csh")
    assert code == 2 and "'csh' is not one of 'bash', 'zsh', 'fish'." in text
    monkeypatch.setenv("SHELL", "/usr/bin/zsh")
    assert call("--show-completion") == (0, script_of("zsh"))
