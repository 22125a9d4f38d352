"""Tests of the fast argument parser: it agrees with typer, and leaves everything else to typer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from math import inf
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.main import get_command
from typer.testing import CliRunner

from nfrun.cli.commands import CleanOptions, SchemaOptions, all_commands
from nfrun.cli.fast_args import parse_plain
from nfrun.cli.lookback_commands import (
    LOOKBACK_COMMANDS,
    DiffOptions,
    LogsOptions,
    OpenOptions,
    ReportOptions,
    RunsOptions,
    ShowOptions,
)
from nfrun.cli.typer_app import app
from nfrun.core.errors import UsageError
from nfrun.core.values import MISSING, Field, fields
from nfrun.session.options import BenchOptions, Options, PlanOptions, RunOptions, ValidateOptions, with_bare_values

COMMANDS = all_commands()


@pytest.fixture(autouse=True, scope="module")
def one_typer_app() -> Iterator[None]:
    """Let typer make its commands of the declarations once. It would make them again for each command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.testing._get_command", cache(get_command))
        yield


def parse_fast(words: list[str]) -> Options | None:
    """Return the options that the fast parser makes of a command line, None if it makes none."""
    with caught() as calls:
        call = parse_plain(words)
        with suppress(UsageError):
            assert call is None or call() == 0
    return calls[0] if calls else None


def parse_with_typer(words: list[str]) -> Options | None:
    """Return the options that typer makes of a command line, None if it makes none."""
    with caught() as calls:
        found = CliRunner().invoke(app, words)
    assert found.exit_code == (0 if calls or "--help" in words else 2), found.output
    return calls[0] if calls else None


@contextmanager
def caught() -> Iterator[list[Options]]:
    """Yield the options with which commands are called. They do nothing."""
    calls: list[Options] = []

    def catch(options: Options, messages: object) -> int:
        calls.append(options)
        return 0

    with pytest.MonkeyPatch.context() as patch:
        caught = {name: (catch, options, help) for name, (_, options, help) in COMMANDS.items()}
        patch.setattr("nfrun.cli.commands.COMMANDS", caught)
        yield calls


A = Path("a.yaml")


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("run a.yaml", RunOptions(A)),
        ("run -j 2 a.yaml -k", RunOptions(A, slots=2, keep_going=True)),
        ("run -j2 a.yaml", RunOptions(A, slots=2)),
        ("run a.yaml --jobs=2 --json", RunOptions(A, slots=2, json=True)),
        ("run a.yaml -p a=1 --param b=-2", RunOptions(A, given={"a": "1", "b": "-2"})),
        ("run a.yaml --params-file=b.yaml", RunOptions(A, params_file=Path("b.yaml"))),
        ("run a.yaml --schedule staged --handoff=mmap", RunOptions(A, schedule="staged", handoff="mmap")),
        ("run a.yaml --force a --force=b --force a", RunOptions(A, force=["a", "b"])),
        ("run a.yaml --fresh", RunOptions(A, fresh=True)),
        ("run a.yaml --memory 1GB --grace 2m", RunOptions(A, memory=10**9, grace=120.0)),
        ("run a.yaml --wait", RunOptions(A, wait=inf)),
        ("run --wait a.yaml", RunOptions(A, wait=inf)),
        ("run --wait 10m a.yaml", RunOptions(A, wait=600.0)),
        ("run --wait=10m a.yaml --json", RunOptions(A, wait=600.0, json=True)),
        ("run a.yaml --wait --json", RunOptions(A, wait=inf, json=True)),
        ("run --wait forever a.yaml", RunOptions(A, wait=inf)),
        ("plan a.yaml --format dot", PlanOptions(A, format="dot")),
        ("plan a.yaml --fresh", PlanOptions(A, fresh=True)),
        ("validate a.yaml b.yaml --json", ValidateOptions([A, Path("b.yaml")], json=True)),
        ("clean", CleanOptions()),
        ("clean a.yaml --all", CleanOptions(A, all=True)),
        ("bench -j 3 a.yaml", BenchOptions(A, slots=3)),
        ("schema", SchemaOptions()),
        ("schema plan", SchemaOptions("plan")),
        ("plan a.yaml --json", PlanOptions(A, format="json")),
        ("plan a.yaml --json --format json", PlanOptions(A, json=True)),
        ("show a.yaml", ShowOptions(pipeline=A)),
        ("show a.yaml n", ShowOptions(node="n", pipeline=A)),
        ("show --json a.yaml n --run 3", ShowOptions(node="n", pipeline=A, json=True, run="3")),
        ("show --run 3 a.yaml n", ShowOptions(node="n", pipeline=A, run="3")),
        ("show --run=3 ../sub/a.YML", ShowOptions(pipeline=Path("../sub/a.YML"), run="3")),
        ("show n", ShowOptions(node="n")),
        ("show --pipeline a.yaml n", ShowOptions(node="n", pipeline=A)),
        ("runs a.yaml -n 3", RunsOptions(pipeline=A, limit=3)),
        ("runs -n3 a.yaml", RunsOptions(pipeline=A, limit=3)),
        ("logs -f a.yaml n", LogsOptions(node="n", pipeline=A, follow=True)),
        ("diff a.yaml", DiffOptions(pipeline=A)),
        ("diff a.yaml 3 last~1", DiffOptions(before="3", after="last~1", pipeline=A)),
        ("diff --data --key k a.yaml", DiffOptions(pipeline=A, data=True, key="k")),
        ("report a.yaml -o b.yaml", ReportOptions(pipeline=A, file=Path("b.yaml"))),
        ("open a.yaml n.yaml", OpenOptions(output="n.yaml", pipeline=A)),
    ],
)
def test_plain_command_lines_are_parsed(words: str, options: Options) -> None:
    assert parse_fast(words.split()) == options == parse_with_typer(words.split())


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--help"],
        ["--version"],
        ["runs", "a"],
        ["run"],
        ["run", "a.yaml", "b.yaml"],
        ["run", "a.yaml", "--help"],
        ["run", "a.yaml", "-kq"],
        ["run", "a.yaml", "--json=yes"],
        ["run", "a.yaml", "-j"],
        ["run", "a.yaml", "-j", "-1"],
        ["run", "a.yaml", "--schedule", "Eager"],
        ["run", "a.yaml", "--format", "dot"],
        ["run", "a.yaml", "--job", "1"],
        ["run", "a.yaml", "--work", ""],
        ["run", "--", "a.yaml"],
        ["run", "-"],
        ["run", ""],
        ["validate"],
        ["schema", "plan", "run"],
    ],
)
def test_other_command_lines_are_left_to_typer(words: list[str]) -> None:
    assert parse_fast(words) is None


def values_of(command: str, option: Field[Any]) -> list[str]:
    """Return values that an option accepts, from a few of all sorts."""
    options, found = COMMANDS[command][1], []
    required: dict[str, Any] = {field.name: "a.yaml" for field in fields(options) if field.default is MISSING}
    required |= NEEDED.get(option.name, {})
    for value in option.metadata["choices"] or VALUES:
        with suppress(UsageError):
            options(**{**required, option.name: [value] if option.metadata["kind"] == list[str] else value})
            found.append(value)
    return found


@pytest.mark.parametrize(
    ("word", "is_value"),
    [
        *(("10m", True), ("0", True), ("1.5h", True), ("10x", True), ("1h30m", True), ("forever", True)),
        *(("1.yaml", False), ("01_flights.yaml", False), ("a.yaml", False), ("--json", False), ("", False)),
    ],
)
def test_a_word_that_looks_like_a_duration_is_the_value_of_wait(word: str, is_value: bool) -> None:
    expected = ["--wait", word] if is_value else ["--wait=forever", word]
    assert with_bare_values(RunOptions, ["--wait", word]) == expected


DASK: dict[str, Any] = {"executor": "dask"}
NEEDED = {"key": {"data": True}, "address": DASK, "store": DASK}  # what an option is refused without
VALUES = ["2", "2026-01-31", "a=1", "-3", "x", "json", "1GB", "never", "tcp://a:1", "x y", "-k", "a.yaml", "b=2"]
OPTIONS = [
    (command, option)
    for command, (_, options, _) in COMMANDS.items()
    for option in fields(options)
    if option.metadata["flags"] and option.metadata["kind"] is not int
]
# What stands before the options, for commands that take an argument.
ARGUMENTS = {
    command: ["a" if command in LOOKBACK_COMMANDS else "a.yaml"]
    * any(not option.metadata["flags"] for option in fields(options))
    for command, (_, options, _) in COMMANDS.items()
}
IDS = [f"{command}-{option.name}" for command, option in OPTIONS]


@pytest.mark.parametrize(("command", "option"), OPTIONS, ids=IDS)
def test_both_parsers_take_all_forms_of_every_option(command: str, option: Field[Any]) -> None:
    for flag in option.metadata["flags"]:
        forms = [[flag]]
        if option.metadata["kind"] is not bool:
            values = values_of(command, option)
            assert values, f"VALUES has none for {flag}"
            joined = "=" if flag.startswith("--") else ""
            forms = [[flag, value] for value in values if not value.startswith("-")]
            forms += [[f"{flag}{joined}{value}"] for value in values]
            if option.metadata["kind"] == list[str]:
                again = [] if option.name in ("given", "inputs") else [flag, values[0]]  # a name has one value
                forms.append([flag, values[0], f"{flag}{joined}{values[-1]}", *again])
        for form in forms:
            needed = [
                [f"--{name}", value][: 1 + (value is not True)] for name, value in NEEDED.get(option.name, {}).items()
            ]
            words = [command, *ARGUMENTS[command], *form, *(word for words in needed for word in words)]
            found = parse_fast(words)
            assert found is not None, words
            assert found == parse_with_typer(words), words


@pytest.mark.parametrize(("command", "option"), OPTIONS, ids=IDS)
def test_both_parsers_refuse_what_an_option_does_not_accept(command: str, option: Field[Any]) -> None:
    flag = option.metadata["flags"][-1]
    if option.metadata["kind"] is bool:
        wrong = [[f"{flag}=x"]]
    else:
        wrong = [[flag, value] for value in VALUES if value not in values_of(command, option)]
        if option.metadata["bare"] is None:
            wrong.append([flag])
        else:  # what follows is another word
            wrong = [words for words in wrong if not words[1].startswith("-")]
    for form in wrong:
        words = [command, *ARGUMENTS[command], *form]
        assert parse_fast(words) is parse_with_typer(words) is None, words


@pytest.mark.parametrize(
    ("words", "told"),
    {
        "run a.yaml -p x=1 -p x=2": "for -p: 'x' is given twice: leave one out",
        "plan a.yaml -px=1 --param=x=1": "for -p: 'x' is given twice: leave one out",
        "run a.yaml --input o=a.csv --input o=b.csv": "for --input: 'o' is given twice: leave one out",
        "clean --all --cache-size 1GB": "for --cache-size: --all removes all tables: give one of them",
    }.items(),
)
def test_what_would_count_for_nothing_is_refused(words: str, told: str) -> None:
    found: Any = CliRunner().invoke(app, words.split(), standalone_mode=False).exception
    assert (found.exit_code, found.format_message()) == (2, f"Invalid value {told}")


def test_help_is_shown_whatever_else_is_wrong() -> None:
    found = CliRunner().invoke(app, ["run", "a.yaml", "-j", "2", "-j", "4", "--help"])
    assert found.exit_code == 0
    assert "Usage: nfrun run [OPTIONS] PIPELINE" in found.output


def test_a_pipeline_file_stands_first_unless_it_is_behind_dashes() -> None:
    assert parse_fast(["show", "sub/n"]) == ShowOptions(node="sub/n")  # a node of a sub-pipeline
    assert parse_fast(["open", "n.csv"]) == OpenOptions(output="n.csv")
    assert parse_fast(["open", "a.yaml"]) is parse_with_typer(["open", "a.yaml"]) is None, "the output is missing"
    for words in (["show", "--", "a.yaml"], ["show", "--json", "--", "a.yaml"]):
        assert parse_with_typer(words) == ShowOptions(node="a.yaml", json="--json" in words)


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """Draw a command line that is usually valid."""
    name = draw(st.sampled_from(sorted(COMMANDS)))
    flags = [flag for option in fields(COMMANDS[name][1]) for flag in option.metadata["flags"]] or ["--none", "-n"]
    long, short = ([flag for flag in flags if flag.startswith("--") is is_long] or ["-n"] for is_long in (True, False))
    value = st.sampled_from(VALUES)
    chunk = st.one_of(
        st.tuples(st.sampled_from(flags)),
        st.tuples(st.sampled_from(flags), value),
        st.tuples(st.builds("{}={}".format, st.sampled_from(long), value)),
        st.tuples(st.builds("{}{}".format, st.sampled_from(short), value)),
        st.tuples(st.sampled_from(["--help", "--", "-", "-kq", "b.yaml", ""])),
    )
    chunks = draw(st.lists(chunk, max_size=3))
    return [name, *(["a.yaml"] if draw(st.integers(0, 9)) else []), *(word for words in chunks for word in words)]


@settings(derandomize=True)
@given(command_lines())
def test_typer_parses_every_plain_command_line_alike(words: list[str]) -> None:
    options = parse_fast(words)
    if options is not None:
        assert parse_with_typer(words) == options
