"""What an earlier run has found in order is not checked again while it is the same, and is checked otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
from kept_json import kept_in

from nfrun.core.errors import SpecError
from nfrun.history.cache import remembered_code
from nfrun.history.cache.remembered_code import restore_checks, save_checks
from nfrun.pipeline_file import schema
from nfrun.pipeline_file.known_checks import KnownChecks
from nfrun.pipeline_file.resolve import resolve

STEPS = """\
import os.path

LIMIT = 3


def plain(table, limit=LIMIT, *, name, **more): ...


def positional(table, /): ...


@staticmethod
def decorated(table): ...


def twice(): ...


def twice(table): ...
"""
PIPELINE = """\
nodes:
  a: {python: "steps:plain", with: {table: 1, name: x, other: 2}}
  b: {python: "steps:decorated"}
  c: {python: "steps:twice"}
  d: {python: "steps:LIMIT"}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "steps.py").write_text(STEPS)
    (tmp_path / "p.yaml").write_text(PIPELINE)
    return tmp_path / "p.yaml"


def problems(file: Path, known: KnownChecks) -> list[str]:
    """Return the messages about a pipeline file."""
    try:
        resolve(file, given={}, params_file=None, environ={}, run_id="r", known=known)
    except SpecError as error:
        return [diagnostic.message for diagnostic in error.diagnostics]
    return []


def remembered(file: Path, saved: Path) -> KnownChecks:
    """Check the file, save what is in order, and return what the next run knows."""
    read, write = kept_in(saved)
    known = restore_checks(read)
    assert problems(file, known) == []
    save_checks(known, write)
    return restore_checks(read)


def refuse(*_: object) -> None:
    raise AssertionError("it was checked again")


def test_what_is_known_to_be_in_order_is_not_checked_again(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = remembered(file, tmp_path / "checks.json")
    monkeypatch.setattr(schema, "fast_validator", refuse)
    monkeypatch.setattr("nfrun.code.names_reader._module", refuse)
    assert problems(file, known) == []
    assert not known.is_new
    file.write_text(f"{PIPELINE}# a comment changes no content\n")
    assert problems(file, known) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("other: 2}", "other: 2}, retrys: 1", "'retrys' is not a key of a node"),
        ('"steps:LIMIT"', '"steps:LIMITS"', "steps.py has no function 'LIMITS'"),
        ("name: x, ", "", "plain() needs 'name', which no input and no 'with' value gives"),
    ],
)
def test_an_edit_of_the_file_is_checked(file: Path, tmp_path: Path, old: str, new: str, message: str) -> None:
    known = remembered(file, tmp_path / "checks.json")
    assert PIPELINE.count(old) == 1
    file.write_text(PIPELINE.replace(old, new))
    before = problems(file, KnownChecks())
    assert problems(file, known) == before
    assert message in before
    assert problems(file, known) == before  # what is not in order is not remembered


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name, **more", "name", "plain() has no argument 'other', which is given as a value"),
        ("LIMIT = 3", "LIMITS = 3", "steps.py has no function 'LIMIT'"),
        ("def twice(): ...", "def twice(: ...", "steps.py:16:11: invalid syntax"),
    ],
)
def test_an_edit_of_the_code_is_checked(file: Path, tmp_path: Path, old: str, new: str, message: str) -> None:
    known = remembered(file, tmp_path / "checks.json")
    assert STEPS.count(old) == 1
    file.with_name("steps.py").write_text(STEPS.replace(old, new))
    assert message in problems(file, known)


def test_values_that_are_equal_in_python_are_not_mixed_up(file: Path, tmp_path: Path) -> None:
    file.write_text("nodes:\n  a: {run: 'true', retries: 1}\n")
    known = remembered(file, tmp_path / "checks.json")
    file.write_text("nodes:\n  a: {run: 'true', retries: true}\n")
    assert problems(file, known) == problems(file, KnownChecks()) != []


def test_what_another_nfrun_has_checked_does_not_count(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert remembered(file, tmp_path / "checks.json").digests
    monkeypatch.setattr(remembered_code, "_reader", lambda: "another")
    assert not restore_checks(kept_in(tmp_path / "checks.json")[0]).digests
    assert not restore_checks(kept_in(tmp_path / "none.json")[0]).digests
