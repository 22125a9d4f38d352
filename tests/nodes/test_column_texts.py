"""Texts that name columns as `{name}`: which ones, where, and what stands in their place."""

from __future__ import annotations

from typing import Any

import pytest

from nfrun.nodes.job import filled_in, named_columns


@pytest.mark.parametrize(
    ("value", "places"),
    [
        ("no column", {}),
        ("{a} and {b_2} and {a}", {"a": ((), 0), "b_2": ((), 8)}),
        ([{"role": "system"}, {"role": "user", "content": "Q: {a}"}], {"a": ((1, "content"), 3)}),
        ('{"json": {"a": 1}} { a } {} {1} {a-b} {{a}} {a', {}),
        ("${{ params.text }} {a}", {}),  # until the expression is evaluated
        ({"n": 3, "of": None, "all": [True, "{a}"]}, {"a": (("all", 1), 0)}),
    ],
)
def test_the_columns_that_texts_name(value: Any, places: dict[str, Any]) -> None:
    assert named_columns(value) == places


def test_columns_stand_in_texts_as_they_are_or_as_json() -> None:
    row = {"text": "{n} ü", "n": 2.5, "yes": True, "list": ["ä", None]}
    value = {"a": ["{text}/{n}/{yes}", 7], "b": '{{n}} {"n": {list}}'}
    assert filled_in(value, row) == {"a": ["{n} ü/2.5/true", 7], "b": '{n} {"n": ["ä", null]}'}
    with pytest.raises(ValueError, match=r"^the column 'n' is null$"):
        filled_in("{n}", {"n": None})
