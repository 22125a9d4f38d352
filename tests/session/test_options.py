"""Tests of the options: texts and values make the same options, wrong ones are named, each is declared once."""

from __future__ import annotations

import ast
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

import nfrun.cli
from nfrun.cli.commands import all_commands
from nfrun.core.errors import UsageError
from nfrun.core.pipeline import Pipeline
from nfrun.core.plan import SCHEDULES
from nfrun.engine.executors.registry import EXECUTORS
from nfrun.session import report_files
from nfrun.session.options import PlanOptions, RunOptions, slots_of

FILE = Path("p.yaml")
VALUES: dict[str, Any] = {
    "given": {"a": "1"},
    "date": "2026-01-31",
    "params_file": Path("a.json"),
    "slots": 3,
    "memory": 2_000_000,
    "work": Path("kept"),
    "events": Path("e.jsonl"),
    "junit": Path("j.xml"),
    "trace": Path("t.json"),
    "grace": 0.1 + 0.2,
    "wait": 600.0,
    "force": ("a", "b"),
    "only": ("a+",),
    "from_": ("tag:a",),
    "until": ("a", "b"),
    "exclude": ("a*",),
}
TEXTS: dict[str, Any] = {
    "given": ["a=1"],
    "date": "20260131",
    "params_file": "a.json",
    "slots": "3",
    "memory": "2MB",
    "work": "kept",
    "events": "e.jsonl",
    "junit": "j.xml",
    "trace": "t.json",
    "grace": "300ms",
    "wait": "10m",
    "force": ["a", "b", "a"],
    "only": ["a+", "a+"],
    "from_": "tag:a",
    "until": ["a", "b"],
    "exclude": ["a*"],
}


def flat(options: Any) -> dict[str, Any]:
    """All options by name."""
    is_run = isinstance(options, RunOptions)
    parts = [options.what, options.kept, options.shown, options.where] if is_run else [options]
    return {option.name: getattr(part, option.name) for part in parts for option in fields(part)}


def test_values_and_texts_make_the_same_options() -> None:
    assert RunOptions(FILE, **VALUES) == RunOptions(FILE, **TEXTS)
    assert {name: flat(RunOptions(FILE, **VALUES))[name] for name in VALUES} == {**VALUES, "grace": 0.3}


def test_the_defaults_are_values() -> None:
    options = RunOptions(FILE)
    where = options.where
    assert (where.memory, where.grace, options.what.given, where.executor) == (None, 5.0, {}, "file")
    pipeline = Pipeline("p.yaml", "/", "p", "", {}, {}, {}, {})
    assert where.slots is None
    assert slots_of(where.slots, pipeline) >= 4
    assert slots_of(where.slots, replace(pipeline, jobs=17)) == 17
    assert slots_of(3, replace(pipeline, jobs=17)) == 3


@pytest.mark.parametrize(
    "options", [RunOptions(FILE, **VALUES), RunOptions(FILE), PlanOptions(FILE), RunOptions(FILE, handoff="mmap")]
)
def test_options_of_options_are_the_same(options: Any) -> None:
    assert type(options)(**flat(options)) == options


@pytest.mark.parametrize(
    ("name", "value", "option", "what"),
    [
        ("slots", 0, "-j", "'0' is neither auto nor a number from 1 to 10,000"),
        ("slots", "two", "-j", "'two' is neither auto nor a number from 1 to 10,000"),
        ("slots", 2.5, "-j", "'2.5' is neither auto nor a number from 1 to 10,000"),
        ("memory", 0, "--memory", "'0' is neither auto nor a size such as 512MB, 1GiB or 2000000000"),
        ("grace", -1.0, "--grace", "'-1.0' is not a duration such as 10s, 500ms, 2m or 0, at most 366d"),
        ("grace", float("nan"), "--grace", "'nan' is not a duration such as 10s, 500ms, 2m or 0, at most 366d"),
        ("wait", "100000h", "--wait", "'100000h' is not a duration such as 30s, 10m or 2h, at most 366d"),
        ("wait", -1.0, "--wait", "'-1.0' is not a duration such as 30s, 10m or 2h, at most 366d"),
        ("wait", float("nan"), "--wait", "'nan' is not a duration such as 30s, 10m or 2h, at most 366d"),
        ("schedule", "lazy", "--schedule", "'lazy' is not one of 'eager', 'staged', 'sequential'."),
        ("handoff", "", "--handoff", "'' is not one of 'auto', 'mmap', 'memory', 'json'."),
        ("executor", "", "--executor", "'' is not one of 'file', 'thread', 'process', 'dask', 'auto'."),
        ("date", "31.1.2026", "--date", "'31.1.2026' is not a date such as 2026-01-31"),
        ("date", "2026-02-30", "--date", "'2026-02-30' is not a date such as 2026-01-31"),
        ("date", "", "--date", "'' is not a date such as 2026-01-31"),
        ("given", ["a"], "-p", "'a' is not NAME=VALUE"),
        ("given", ["a=\udcff"], "-p", "'a=\udcff' is not UTF-8"),
        ("given", [" =1"], "-p", "' =1' is not NAME=VALUE"),
        ("given", {"a": 5}, "-p", "the value of 'a' is not a text: 5"),
        ("work", "", "--work", "an empty name is no folder"),
        ("events", "", "--events", "an empty name is no file"),
        ("params_file", "", "--params-file", "an empty name is no file"),
        ("pipeline", "", "PIPELINE", "an empty name is no file"),
        ("force", ["a", " "], "--force", "an empty name is no node"),
        ("force", "", "--force", "an empty name is no node"),
    ],
)
def test_a_wrong_value_is_an_error_of_its_option(name: str, value: Any, option: str, what: str) -> None:
    with pytest.raises(UsageError) as error:
        RunOptions(**{"pipeline": FILE, name: value})
    assert (error.value.option, str(error.value)) == (option, what)


@pytest.mark.parametrize("handoff", ["memory", "json"])
@pytest.mark.parametrize(
    ("name", "option"), [("resume", "--resume"), ("keep", "--keep"), ("fsync", "--durable"), ("force", "--force")]
)
def test_what_needs_files_of_tables_needs_a_handoff_with_files(handoff: str, name: str, option: str) -> None:
    wrong: dict[str, Any] = {"handoff": handoff, name: ["a"] if name == "force" else True}
    with pytest.raises(UsageError, match=f"^--handoff {handoff} leaves no files of tables$") as error:
        RunOptions(FILE, **wrong)
    assert error.value.option == option
    RunOptions(FILE, **{**wrong, "handoff": "auto"})


@pytest.mark.parametrize(
    ("given", "fresh"),
    [
        ({}, False),
        ({"fresh": True}, True),
        ({"resume": True}, False),
        ({"force": ["a"]}, False),
        ({"fresh": True, "force": ["a"]}, True),
        ({"handoff": "auto"}, True),
        ({"handoff": "mmap"}, True),
        ({"handoff": "json"}, True),
        ({"schedule": "eager"}, True),
        ({"schedule": "staged", "handoff": "mmap"}, True),
        ({"schedule": "staged", "resume": True}, False),
        ({"handoff": "mmap", "force": ["a"]}, False),
        ({"handoff": "mmap", "fresh": False}, False),
    ],
)
def test_a_schedule_or_handoff_that_is_given_means_fresh_unless_other_options_say_what_runs(
    given: dict[str, Any], fresh: bool
) -> None:
    options = RunOptions(FILE, **given)
    assert options.what.fresh is fresh
    assert (options.where.schedule, options.where.handoff) == (
        given.get("schedule", "eager"),
        given.get("handoff", "auto"),
    )


def test_fresh_wins_over_resume() -> None:
    assert RunOptions(FILE, fresh=True, resume=True).what.fresh


def test_options_that_contradict_each_other_are_an_error() -> None:
    with pytest.raises(UsageError, match="--format dot is given: give one of them") as error:
        PlanOptions(FILE, json=True, format="dot")
    assert error.value.option == "--json"
    assert PlanOptions(FILE, format="json").json


@pytest.mark.parametrize(("name", "choices"), [("executor", ("file", *EXECUTORS, "auto")), ("schedule", (*SCHEDULES,))])
def test_the_choices_are_those_of_the_engine(name: str, choices: tuple[str, ...]) -> None:
    (option,) = (option for option in fields(RunOptions) if option.name == name)
    assert option.metadata["choices"] == choices


def test_no_parser_names_an_option() -> None:
    """Their only source are the declarations."""
    flags = {
        flag
        for _, options, _ in all_commands().values()
        for option in fields(options)
        for flag in option.metadata["flags"]
    }
    names = {option.name for _, options, _ in all_commands().values() for option in fields(options)}
    for module in ("fast_args", "typer_app"):
        tree = ast.parse((Path(nfrun.cli.__file__).parent / f"{module}.py").read_text())
        texts = {
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        keywords = {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword)}
        # `main` in typer_app looks for --json when it reports an error; a FILE that stands first is one of --pipeline.
        assert texts & flags <= {"--json", "--pipeline"}, module
        assert not keywords & names, module


def test_no_file_of_a_run_overwrites_another_file() -> None:
    """`session/report_files.py` must know how each file begins that an option of `run` writes."""
    of_plan = {field.name for field in fields(PlanOptions)}
    own = [field for field in fields(RunOptions) if field.name not in of_plan and "settings" in field.metadata]
    written = {field.name for field in own if field.metadata["settings"].get("metavar") == "FILE"}
    assert written == report_files._FILES.keys()
