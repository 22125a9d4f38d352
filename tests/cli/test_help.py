"""What `--help` prints: commands and options under headings, with the words that they are declared with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import Here
from typer.testing import CliRunner

from nfrun.cli.commands import all_commands
from nfrun.cli.typer_app import app
from nfrun.core.values import fields


def help_of(*words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--help"], prog_name="nfrun", env={"COLUMNS": "1000"})
    assert done.exit_code == 0, done.output
    return done.stdout


def headings(text: str) -> list[str]:
    return re.findall(r"╭─ (.+?) ─", text)


def test_the_commands() -> None:
    text = help_of()
    assert headings(text) == ["Options", "Make and run a pipeline", "Look at runs", "More"]
    found = re.findall(r"^│ ([a-z]+) +(\S.*\S) +│$", text, re.MULTILINE)
    assert found == [(name, told) for name, (_, _, told) in all_commands().items()]
    assert "'nfrun COMMAND -h' explains a command. To begin: nfrun init etl shop" in text


GROUPS = ["Parameters and inputs", "Which nodes run", "What is shown and written", "How nodes run", "What is kept"]


@pytest.mark.parametrize("command", ["run", "plan"])
def test_options_are_under_their_headings(command: str) -> None:
    text = help_of(command)
    assert text.split("\n")[1].strip() == f"Usage: nfrun {command} [OPTIONS] PIPELINE"
    assert headings(text)[:4] == ["Arguments", "Options", *GROUPS[:2]]
    assert sorted(headings(text)[2:]) == sorted(GROUPS)


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
def test_the_usage(command: str, usage: str) -> None:
    assert help_of(command).split("\n")[1].strip() == f"Usage: nfrun {command} [OPTIONS] {usage}"


@pytest.mark.parametrize("command", all_commands())
def test_each_option_is_explained_in_the_words_of_its_declaration(command: str) -> None:
    """None of which rich takes for markup."""
    text = help_of(command)
    for option in fields(all_commands()[command][1]):
        for word in (*option.metadata["flags"], option.metadata["settings"]["help"]):
            assert word in text


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


def test_without_a_command_the_help_is_printed(tmp_path: Path, here: Here) -> None:
    done = here(tmp_path)
    assert done.returncode == 2
    assert "Make and run a pipeline" in done.stdout + done.stderr
    assert "bug" not in done.stderr


def test_options_without_a_value_show_none() -> None:
    assert "<bool>" not in help_of("run").replace(
        next(line for line in help_of("run").splitlines() if "--help" in line), ""
    )
