"""Tests of the fast argument parser: it agrees with typer, and leaves everything else to typer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from nfrun.cli import commands, fast_args
from nfrun.cli.commands import Handoff, PlanFormat, Schedule
from nfrun.cli.fast_args import COMMANDS, SHORT, parse_plain
from nfrun.cli.typer_app import app

Call = tuple[str, tuple[str, ...], dict[str, Any]]


def parse_fast(words: list[str]) -> Call | None:
    """Return the call that the fast parser makes: the command, its files and the given options."""
    call = parse_plain(words)
    if call is None:
        return None
    partial: Any = call
    return partial.func.__name__, partial.args, partial.keywords


def parse_with_typer(words: list[str]) -> Call | None:
    """Return the call that typer makes, without options that have their default; None if it makes none."""
    calls: list[Call] = []

    def catch(name: str) -> Any:
        defaults = fast_args._defaults(COMMANDS[name][0])

        def command(*files: Path, **options: Any) -> int:
            options = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
            options = {k: str(v) if isinstance(v, Path) else v for k, v in options.items() if v != defaults[k]}
            calls.append((name, tuple(map(str, files)), options))
            return 0

        return command

    with pytest.MonkeyPatch.context() as patch:
        for name in COMMANDS:
            patch.setattr(commands, name, catch(name))
        CliRunner().invoke(app, words)
    return calls[0] if calls else None


@pytest.mark.parametrize(
    ("words", "call"),
    [
        ("run a.yaml", ("run", ("a.yaml",), {})),
        ("run -j 2 a.yaml -k", ("run", ("a.yaml",), {"jobs": "2", "keep_going": True})),
        ("run -j2 a.yaml", ("run", ("a.yaml",), {"jobs": "2"})),
        ("run a.yaml --jobs=2 --json", ("run", ("a.yaml",), {"jobs": "2", "json": True})),
        ("run a.yaml -p a=1 --param b=-2", ("run", ("a.yaml",), {"param": ("a=1", "b=-2")})),
        ("run a.yaml --params-file=b.yaml", ("run", ("a.yaml",), {"params_file": "b.yaml"})),
        (
            "run a.yaml --schedule staged --handoff=mmap",
            ("run", ("a.yaml",), {"schedule": Schedule.staged, "handoff": Handoff.mmap}),
        ),
        ("plan a.yaml --format dot", ("plan", ("a.yaml",), {"format": PlanFormat.dot})),
        ("validate a.yaml b.yaml --json", ("validate", ("a.yaml", "b.yaml"), {"json": True})),
        ("schema", ("schema", (), {})),
    ],
)
def test_plain_command_lines_are_parsed(words: str, call: Call) -> None:
    assert parse_fast(words.split()) == call == parse_with_typer(words.split())


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--help"],
        ["--version"],
        ["runs", "a.yaml"],
        ["run"],
        ["run", "a.yaml", "b.yaml"],
        ["run", "a.yaml", "--help"],
        ["run", "a.yaml", "-kq"],
        ["run", "a.yaml", "--json=yes"],
        ["run", "a.yaml", "-j"],
        ["run", "a.yaml", "-j", "-1"],
        ["run", "a.yaml", "-j", "1", "--jobs", "2"],
        ["run", "a.yaml", "-k", "-k"],
        ["run", "a.yaml", "--schedule", "Eager"],
        ["run", "a.yaml", "--format", "dot"],
        ["run", "a.yaml", "--job", "1"],
        ["run", "a.yaml", "--work", ""],
        ["run", "--", "a.yaml"],
        ["run", "-"],
        ["run", ""],
        ["validate"],
        ["schema", "a.yaml"],
    ],
)
def test_other_command_lines_are_left_to_typer(words: list[str]) -> None:
    assert parse_plain(words) is None


VALUES = ["2", "a=1", "-3", "", "json", "eager", "mmap", "never", "x y", "-k", "a.yaml"]


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """Draw a command line that is usually valid."""
    name = draw(st.sampled_from(sorted(COMMANDS)))
    long = sorted(f"--{option.replace('_', '-')}" for option in fast_args._defaults(COMMANDS[name][0])) or ["--none"]
    option, value = st.sampled_from([*long, *SHORT]), st.sampled_from(VALUES)
    chunk = st.one_of(
        st.tuples(option),
        st.tuples(option, value),
        st.tuples(st.builds("{}={}".format, st.sampled_from(long), value)),
        st.tuples(st.builds("{}{}".format, st.sampled_from(sorted(SHORT)), value)),
        st.tuples(st.sampled_from(["--help", "--", "-", "-kq", "b.yaml"])),
    )
    chunks = draw(st.lists(chunk, max_size=3))
    return [name, *(["a.yaml"] if draw(st.integers(0, 9)) else []), *(word for words in chunks for word in words)]


@settings(max_examples=120, deadline=None, derandomize=True)
@given(command_lines())
def test_typer_parses_every_plain_command_line_alike(words: list[str]) -> None:
    call = parse_fast(words)
    if call is not None:
        name, files, options = call
        defaults = fast_args._defaults(COMMANDS[name][0])
        assert parse_with_typer(words) == (name, files, {k: v for k, v in options.items() if v != defaults[k]})


def test_the_fast_parser_and_the_help_have_the_same_options() -> None:
    """Otherwise an option would always take the slow path, or work without being in the help."""
    for name, (command, _, _) in COMMANDS.items():
        help = CliRunner().invoke(app, [name, "--help"]).stdout
        listed = {word for line in help.splitlines() for word in line.split() if line.startswith("  -")}
        long_options = {word.strip(",") for word in listed if word.startswith("--")} - {"--help"}
        assert long_options == {f"--{option.replace('_', '-')}" for option in fast_args._defaults(command)}, name


def test_typer_passes_the_same_defaults() -> None:
    for words in (["run", "a.yaml"], ["plan", "a.yaml"], ["validate", "a.yaml"], ["schema"]):
        assert parse_with_typer(words) == (words[0], tuple(words[1:]), {})
