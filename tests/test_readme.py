"""The README has every kind of node, every place of expressions and every option of `run`."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from nfrun.nodes.registry import written_kinds
from nfrun.running.options import RunOptions

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


def part(start: str, end: str) -> str:
    """The text of the README from `start` up to `end`."""
    return README[(begin := README.index(start)) : README.index(end, begin)]


def test_the_table_of_kinds_has_all_of_them() -> None:
    table = part("**Nodes** have exactly one of", "\n\nPaths are")
    assert set(re.findall(r"^\| `(\w+): ", table, re.MULTILINE)) == set(written_kinds())
    assert f"exactly one of {NUMBERS[len(written_kinds())]} kinds" in table


def test_the_places_of_expressions_have_the_kinds_that_are_templates() -> None:
    places = part("**Expressions.**", ", and sees")
    kinds = written_kinds()
    assert set(kinds).intersection(re.findall(r"`(\w+)`", places)) == {k for k in kinds if kinds[k].is_template}


@pytest.mark.parametrize("flags", [option.metadata["flags"] for option in fields(RunOptions)[1:]], ids=" ".join)
def test_the_table_of_run_has_every_option(flags: tuple[str, ...]) -> None:
    table = part("| `nfrun run` | |", "\n\n")
    assert set(flags).intersection(re.findall(r"`(--?[\w-]+)[ `]", table))
