"""What `--help` prints: commands and options under headings, in the order in which they are needed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import Here
from typer.testing import CliRunner

from nfrun.cli.typer_app import app


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of the usual width."""
    monkeypatch.setenv("COLUMNS", "80")


def help_of(*words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--help"], prog_name="nfrun")
    assert done.exit_code == 0, done.output
    return done.stdout


def headings(text: str) -> list[str]:
    return re.findall(r"^(\w.*):$", text, re.MULTILINE)


def test_the_commands() -> None:
    commands, _, rest = help_of().partition("Options:\n")
    assert (
        commands
        == """\
Usage: nfrun [OPTIONS] COMMAND [ARGS]...

  Run data and AI pipelines written in YAML: in parallel, on this machine,
  without copying tables.

Make and run a pipeline:
  init      Make a new project that runs at once, from a template.
  run       Run a pipeline, or what has changed in it.
  plan      Show what would run, and why, without running anything.
  validate  Find all problems of pipeline files, without running anything.

Look at runs:
  runs      List the runs that were kept.
  show      Show a run, or all that is recorded of one of its nodes.
  logs      Print what a node printed and logged.
  diff      Show what differs between two runs, and why.
  report    Write a page about a run, for browsers: one HTML file.
  open      Show a table that a run has left, or write it in another format.
  shell     Start Python with the tables that a node had, to try it.

More:
  doctor    Check the machine and the work folder for what slows runs.
  clean     Remove tables, files and old runs that nothing needs.
  plugins   List the kinds of node that installed packages have.
  schema    Print the JSON Schema of pipeline files, or of --json documents.
  bench     Measure here what parallel runs and tables without copies gain.

"""
    )
    assert rest.endswith("\n  'nfrun COMMAND -h' explains a command. To begin: nfrun init etl shop\n")


GROUPS = ["Parameters and inputs", "Which nodes run", "What is shown and written", "How nodes run", "What is kept"]


@pytest.mark.parametrize("command", ["run", "plan"])
def test_commands_with_many_options_have_them_under_headings(command: str) -> None:
    text = help_of(command)
    assert text.startswith(f"Usage: nfrun {command} [OPTIONS] PIPELINE\n")
    assert headings(text) == ["Arguments", *GROUPS, "Options"]
    assert " ".join(text.partition("\nOptions:\n")[2].split()) == "-h, --help Show this message and exit."


@pytest.mark.parametrize(
    ("command", "usage"),
    [
        ("init", "[TEMPLATE] [DIR]"),
        ("validate", "FILE..."),
        ("show", "[FILE] [NODE]"),
        ("diff", "[FILE] [BEFORE] [AFTER]"),
        ("open", "[FILE] OUTPUT"),
        ("clean", "[PIPELINE]"),
        ("schema", "[WHAT]"),
    ],
)
def test_others_have_one_list(command: str, usage: str) -> None:
    text = help_of(command)
    assert text.startswith(f"Usage: nfrun {command} [OPTIONS] {usage}\n")
    assert headings(text) == ["Arguments", "Options"]


def test_names_are_one_column_and_a_long_one_has_a_line_of_its_own() -> None:
    text = help_of("run")
    assert "  --keep                       Remove no tables at the end of this run" in text
    assert "\n  --schedule <eager|staged|sequential>\n" + " " * 31 + "When a node starts." in text
    assert max(map(len, text.splitlines())) <= 80


def test_help_is_asked_for_in_either_way(tmp_path: Path, here: Here) -> None:
    for words in (["help"], ["help", "run"]):
        asked, usual = here(tmp_path, *words), here(tmp_path, *words[1:], "--help")
        assert (asked.returncode, asked.stdout, asked.stderr) == (0, usual.stdout, "")
    wrong = here(tmp_path, "help", "runn")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.endswith("Error: No such command 'runn'. Did you mean 'run', 'runs'?\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("log total", "No such command 'log'. Did you mean 'logs'?"),
        ("x.yaml", "No such command 'x.yaml'. Did you mean 'run x.yaml'?"),
        ("run x.yaml --forced a", "No such option: --forced (Possible options: --force, --store, --trace)"),
        ("run x.yaml total other", "Got unexpected extra argument(s) (total other)"),
    ],
)
def test_words_that_nfrun_does_not_have(words: str, told: str, tmp_path: Path, here: Here) -> None:
    done = here(tmp_path, *words.split())
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, f"Error: {told}")
