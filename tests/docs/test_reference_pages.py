"""The pages under `docs/reference/` have every kind of node, every place of expressions, and what the code says now."""

from __future__ import annotations

import re
import runpy

import pytest

from nfrun.cli import exit_codes
from nfrun.nodes.registry import written_kinds
from nfrun.pipeline_file.expressions import FILTERS
from tests.docs.pages import ROOT

REFERENCE = ROOT / "docs" / "reference"
NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


def test_the_table_of_kinds_has_all_of_them() -> None:
    text = (REFERENCE / "nodes.md").read_text(encoding="utf-8")
    table = text[: text.index("\n## ")]
    assert set(re.findall(r"^\| `(\w+): ", table, re.MULTILINE)) == set(written_kinds())
    assert f"exactly one of {NUMBERS[len(written_kinds())]} kinds" in table


def test_the_places_of_expressions_have_the_kinds_that_are_templates() -> None:
    text = (REFERENCE / "expressions.md").read_text(encoding="utf-8")
    places = text[text.index("**Where.**") : text.index("**What it sees.**")]
    kinds = written_kinds()
    assert set(kinds).intersection(re.findall(r"`(\w+)`", places)) == {k for k in kinds if kinds[k].says.is_template}


def test_the_page_on_expressions_has_all_filters() -> None:
    text = (REFERENCE / "expressions.md").read_text(encoding="utf-8")
    told = text[text.index("**Filters.**") + len("**Filters.**") : text.index("**Types.**")]
    assert re.findall(r"\w+", told) == list(FILTERS)


def test_the_page_on_exit_codes_has_all_of_them() -> None:
    text = (REFERENCE / "exit-codes.md").read_text(encoding="utf-8")
    told = {int(code) for codes in re.findall(r"^\| ([\d, ]+) \|", text, re.MULTILINE) for code in codes.split(", ")}
    assert {value for name, value in vars(exit_codes).items() if re.match(r"EXIT_(?!SIGNAL|CODES)", name)} <= told


def test_what_is_made_from_schemas_options_and_docstrings_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    make_reference = runpy.run_path(str(ROOT / "docs" / "make_reference.py"))
    assert make_reference["main"](check=True) == 0, capsys.readouterr().out
