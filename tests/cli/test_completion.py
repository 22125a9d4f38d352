"""Tests of what may stand at the cursor of a command line, and of shells that ask for it with typer's functions."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Here

from nfrun.cli.commands import all_commands
from nfrun.cli.completion import answer_shell
from nfrun.cli.typer_app import app
from nfrun.core.values import fields

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
OTHER = "hostile=fine"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "p.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


Ask = Callable[..., list[str]]


@pytest.fixture
def ask(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Return a function that returns what may stand at the end of a line; [] where a shell completes names of files."""

    def answer(line: str, *, fails: str = "") -> list[str]:
        asked = {"_NFRUN_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
        with monkeypatch.context() as patch, pytest.raises(SystemExit):
            for name, value in {**asked, "_TYPER_COMPLETE_ARGS": line, "NFRUN_DEBUG": "1", "COLUMNS": "80"}.items():
                patch.setenv(name, value)
            answer_shell(app, os.environ)
        found = capsys.readouterr()
        assert found.err.startswith(fails) and bool(found.err) == bool(fails)
        return [text.partition("\t")[0] for text in found.out.splitlines() if text]

    return answer


COMMANDS = [*all_commands()]


@pytest.mark.parametrize(
    ("line", "expected"),
    {
        "nfrun pl": ["plan", "plugins"],
        "nfrun --v": ["--version"],
        "nfrun wrong ": COMMANDS,
        "nfrun help pl": ["plan", "plugins"],
        "nfrun init e": ["etl", "evals", "empty"],
        "nfrun init etl ": [],
        "nfrun run ": [],
        "nfrun run --fo": ["--force"],
        "nfrun run --junit out": [],
        "nfrun run --work ": [],
        "nfrun run --grace ": [],
        "nfrun run p.yaml --handoff m": ["mmap", "memory"],
        "nfrun run p.yaml --profile ": ["prod", "dev"],
        "nfrun run p.yaml --profile=d": ["dev"],
        "nfrun run p.yaml -p ": ["month=1", "month=2", "month=12", "fast=true", "fast=false", "source=data", OTHER],
        "nfrun run p.yaml -p month=1": ["month=1", "month=12"],
        "nfrun run p.yaml --param fast=": ["fast=true", "fast=false"],
        "nfrun run p.yaml --param source=": ["source=data"],
        "nfrun run p.yaml -p hostile=": [OTHER],
        "nfrun run p.yaml -p unknown=": [],
        "nfrun run p.yaml --input ": ["orders=", "rates="],
        "nfrun run p.yaml --input orders=da": [],
        "nfrun run p.yaml --only sc": ["score"],
        "nfrun run p.yaml --only score@": [],
        "nfrun plan p.yaml --until l": ["lane"],
        "nfrun run p.yaml --exclude ord": ["orders"],
        "nfrun run p.yaml --force tag:": ["tag:raw", "tag:night", "tag:slow"],
        "nfrun run p.yaml --from kind:": ["kind:python", "kind:sql", "kind:pipeline"],
        "nfrun run p.yaml --only status:": ["status:failed", "status:skipped", "status:ok"],
        "nfrun run p.yaml --only file:da": [],
        "nfrun run p.yaml --only tag:raw,2+da": ["tag:raw,2+data"],
        "nfrun run p.yaml --only tell": [],
        "nfrun run --only da": [],
        "nfrun run p.yaml --wait ": [],
        "nfrun run p.yaml more ": [],
        "nfrun validate a.yaml ": [],
        "nfrun run 'p.yaml' --only 'sco": ["score"],
        "nfrun run p.yaml --only=da": ["data"],
    }.items(),
)
def test_what_may_stand_at_the_cursor(line: str, expected: list[str], ask: Ask) -> None:
    assert ask(line) == expected


def test_options_are_offered_once_unless_they_may_be_given_more_than_once(ask: Ask) -> None:
    found = ask("nfrun run p.yaml --quiet --only data --profile dev -")
    assert {"--only", "--fresh", "-p", "--help", "-k"} <= {*found}
    assert not {"--quiet", "-q", "--profile"} & {*found}


def test_each_option_of_each_command_has_a_function_that_does_not_fail(ask: Ask) -> None:
    nowhere = "NotRecorded: there is no work folder .nfrun in "
    for command, (_, options, _) in all_commands().items():
        for option in fields(options):
            for flag in option.metadata["flags"][:1]:
                is_argument_next = option.metadata["kind"] is bool and command in ("show", "logs", "open", "shell")
                ask(f"nfrun {command} {flag} ", fails=nowhere if is_argument_next else "")
        assert "--help" in ask(f"nfrun {command} --")


def test_a_file_that_cannot_be_read_gives_no_names(folder: Path, ask: Ask) -> None:
    (folder / "broken.yaml").write_text("nodes: [")
    (folder / "odd.yaml").write_text("nodes: {a: 1, b: [2]}\nparams: [x]\nmatrix: 3\nprofiles: x\n")
    for file in ("broken.yaml", "missing.yaml", "/dev/zero", "."):
        assert ask(f"nfrun run {file} --only ") == ["status:failed", "status:skipped", "status:ok"]
    assert ask("nfrun run odd.yaml --only ") == ["a", "b", "status:failed", "status:skipped", "status:ok"]
    assert ask("nfrun run odd.yaml -p ") == []


def test_files_are_found_behind_variables_and_a_tilde(folder: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    for file in ("~/p.yaml", "$HOME/p.yaml", "${HOME}/p.yaml", str(folder / "p.yaml")):
        assert ask(f"nfrun run {file} --only da") == ["data"]


HOSTILE = [
    *(
        "$(touch x)",
        "`touch x`",
        "a'; touch x; '",
        'a"; touch x; "',
        "a b",
        "a\\$(touch x)",
        "a\\`touch x`",
        "a*",
        "a;b",
    ),
    *(
        "a|b",
        "<a",
        "(touch x)",
        "=(touch x)",
        "<(touch x)",
        "${(e):-$(touch x)}",
        "ä",
        "a\ntouch x\n",
        "[/b]",
        "--json",
    ),
    *("~", ")) ; touch x ; ((", '"\\"; touch x'),
]


@pytest.fixture
def hostile(folder: Path) -> Path:
    """Return a folder with a pipeline whose names, helps and neighbours a shell would run if it evaluated them."""
    import json

    names = [*map(json.dumps, HOSTILE)]
    sections = {
        "params": [f"  p{i}: {{type: string, help: {name}, enum: [v, {name}]}}" for i, name in enumerate(names)],
        "nodes": ["  good: {sql: select 1}", *(f"  {name}: {{sql: select 1, tags: [{name}, fine]}}" for name in names)],
        "profiles": ["  prod: {}", *(f"  {name}: {{}}" for name in names)],
        "inputs": ["  rates: {}", *(f"  {name}: {{}}" for name in names)],
    }
    lines = [line for section, body in sections.items() for line in (f"{section}:", *body)]
    (folder / "hostile.yaml").write_text("\n".join(lines))
    for name in HOSTILE:
        if "/" not in name:
            (folder / f"{name}.yaml").touch()
    return folder


def test_names_that_a_shell_would_evaluate_are_not_offered(hostile: Path, ask: Ask) -> None:
    tags, statuses = ["tag:fine", "tag:--json", "tag:~"], ["status:failed", "status:skipped", "status:ok"]
    assert ask("nfrun run hostile.yaml --only ") == ["good", "rates", *tags, "kind:sql", *statuses]
    assert ask("nfrun run hostile.yaml --only tag:") == tags
    assert ask("nfrun run hostile.yaml --profile ") == ["prod"]
    assert ask("nfrun run hostile.yaml --input ") == ["rates="]
    assert {text.partition("=")[2] for text in ask("nfrun run hostile.yaml -p p")} == {"v", "~", "--json"}


PIPELINE = """
matrix: {letter: "${{ ['a', 'b'] }}"}
nodes:
  data: {python: "steps:data", outputs: [large, small]}
  score: {matrix: letter, sql: select 1 as x}
"""


def test_recorded_runs_nodes_and_outputs(folder: Path, here: Here, ask: Ask) -> None:
    (folder / "steps.py").write_text("def data(): return {'large': [{'x': 1}], 'small': [{'x': 2}]}\n")
    (folder / "p.yaml").write_text(PIPELINE)
    assert ask("nfrun show --run ") == ["last", "last-ok"]
    assert here(folder, "run", "p.yaml", "-q").returncode == 0
    assert ask("nfrun show --run ") == ["last", "last-ok", "1"]
    assert ask("nfrun diff l") == ["last", "last-ok"]
    assert ask("nfrun diff last ") == ["last", "last-ok", "1"]
    assert ask("nfrun show ") == ["data", "score"]
    assert ask("nfrun show score@") == ask("nfrun logs sc") == ["score@a", "score@b"]
    assert ask("nfrun logs ") == ["data", "score@a", "score@b"]
    assert ask("nfrun shell d") == ["data"]
    assert ask("nfrun open data") == ["data.large", "data.small"]
    (folder / "p.yaml").write_text("nodes: [")  # while it is edited
    assert ask("nfrun open --run 7 ", fails="NotRecorded: there is no run 7 in ") == []
    for command in ("show", "logs", "shell", "open", "diff"):
        assert ask(f"nfrun {command} p.") == [], "a pipeline file may stand first"
    assert ask("nfrun open p.yaml data") == ["data.large", "data.small"]
    assert ask("nfrun show --json p.yaml d") == ["data"]
    assert ask("nfrun show p.yaml p.") == []
    assert ask("nfrun diff p.yaml ") == ["last", "last-ok", "1"]
    assert "--json" in ask("nfrun runs p.yaml -")


def test_a_line_runs_nothing_and_imports_no_pyarrow(folder: Path) -> None:
    (folder / "steps.py").write_text("raise SystemExit('imported')")
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('loaded', {'pyarrow', 'duckdb', 'steps'} & {*sys.modules}))\n"
        "from nfrun.__main__ import main\n"
        "sys.argv = ['nfrun', 'run', 'p.yaml']\n"
        "main()"
    )
    asked = {"_NFRUN_COMPLETE": "complete_bash", "COMP_WORDS": "nfrun\nrun\np.yaml\n--only\nd", "COMP_CWORD": "4"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "data\nloaded set()\n", "")
    old = {
        "_NFRUN_COMPLETE": "bash",
        "_NFRUN_LINE": "nfrun ru",
    }  # as a function of nfrun 0.1 asks, which may be installed
    done = subprocess.run(
        [sys.executable, "-m", "nfrun"], env={**os.environ, **old}, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "", "and what it writes to stderr, the function drops"
    assert not (folder / ".nfrun").exists()


# ------------------------------------------------------------------ in shells


def function_of(shell: str) -> str:
    """Return what `--install-completion` installs for a shell."""
    from typer._completion_shared import get_completion_script

    return get_completion_script(prog_name="nfrun", complete_var="_NFRUN_COMPLETE", shell=shell)


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes(folder: Path, here: Here) -> None:
    """Bash parts words at `=`, `:` and `@`, and replaces only the last part."""
    (folder / "cells.yaml").write_text("nodes: {score: {matrix: {model: [lr, rf], fold: [0, 1]}, sql: select 1 as x}}")
    assert here(folder, "run", "cells.yaml", "-q").returncode == 0
    asked = {
        "nfrun run p.yaml --only sc": ["score"],
        "nfrun logs score @ l": ["@lr@0", "@lr@1"],
        "nfrun logs score @ lr @": ["@0", "@1"],
        "nfrun run p.yaml --only tag : ra": ["raw"],
        "nfrun run p.yaml --only tag :": ["raw", "night", "slow"],
        "nfrun run p.yaml --only = tag : ra": ["raw"],
        "nfrun run p.yaml -p month =": ["1", "2", "12"],
        "nfrun run p.yaml -p month = 1": ["1", "12"],
        "nfrun run p.yaml --profile = d": ["dev"],
        "nfrun run p.yaml --profile =": ["prod", "dev"],
        "nfrun run p.yaml --only 'sc": ["score"],
        "nfrun run a": [],
    }
    assert in_bash([line.split(" ") for line in asked]) == [*asked.values()]


def in_bash(lines: list[list[str]]) -> list[list[str]]:
    """Return what the function offers for command lines, given in the words into which bash parts them."""
    import shlex

    call = "_nfrun_completion nfrun; printf '%s|' \"${COMPREPLY[@]}\"; echo"
    asked = [f"COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; {call}" for words in lines]
    script = "\n".join([f"PATH={Path(sys.executable).parent}:$PATH", function_of("bash"), *asked])
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return [[text for text in line.split("|") if text] for line in done.stdout.splitlines()]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_no_name_makes_bash_run_something(hostile: Path) -> None:
    lines = [
        "--only ",
        "--only tag:",
        "-p ",
        "--profile ",
        "--input ",
        "--only '$(touch x)",
        "-p p0=",
        "--only '`touch x`",
    ]
    found = in_bash([["nfrun", "run", "hostile.yaml", *line.split(" ", 1)] for line in lines])
    assert all(map(found.__getitem__, (0, 1, 2, 3, 4, 6)))
    assert not any(character in text for line in found for text in line for character in "$`;'\"\\()<>| ")
    assert not (hostile / "x").exists()


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish")
def test_no_name_makes_fish_run_something(hostile: Path) -> None:
    asked = {
        "nfrun run hostile.yaml --only g": ["good"],
        "nfrun run hostile.yaml -p p0": ["p0=v\ttouch x"],
        "nfrun run p.y": ["p.yaml"],
    }
    lines = [f"complete -C '{line}'; echo ---" for line in asked]
    script = "\n".join([f"set -x PATH {Path(sys.executable).parent} $PATH", function_of("fish"), *lines])
    home = {"HOME": str(hostile / "home")}
    done = subprocess.run(
        ["fish", "-N", "-c", script], env={**os.environ, **home}, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    found = [[line.strip() for line in text.splitlines()] for text in done.stdout.split("---\n")[:-1]]
    assert found == [*asked.values()]
    assert not (hostile / "x").exists()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh")
def test_no_name_makes_zsh_run_something(hostile: Path) -> None:
    import pexpect

    (hostile / ".zshrc").write_text(
        f"autoload -Uz compinit; compinit -u; PATH={Path(sys.executable).parent}:$PATH; PS1='> '\n{function_of('zsh')}"
    )
    environ = {**os.environ, "ZDOTDIR": str(hostile), "HOME": str(hostile), "TERM": "dumb"}
    shell = pexpect.spawn("zsh", ["-i"], env=environ, encoding="utf-8", timeout=60)
    for typed, shown in {
        "nfrun run hostile.yaml --only r\t": "rates ",
        "nfrun run hostile.yaml --only g\t": "good ",
        "nfrun run hostile.yaml -p p\t": "p1=v",
        "nfrun run hostile.yaml --pro\t": "--profile ",
        "nfrun run hostile.yaml --profile \t": "prod",
    }.items():
        shell.expect("> ")
        shell.send(typed)
        shell.expect(shown)
        shell.send("\x03")
    shell.close(force=True)
    assert not (hostile / "x").exists()
