"""The words for values that do not fit the schema of a plug-in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from plugin_site import KIND

from nfrun.core.errors import Problem
from nfrun.nodes.plugins import read_static_half
from nfrun.nodes.schemas import check_value

SCHEMA = {
    "type": "object",
    "required": ["sql"],
    "additionalProperties": False,
    "properties": {
        "sql": {"type": "string", "minLength": 1, "description": "the query"},
        "mode": {"enum": ["replace", "append"]},
        "rows": {"type": "integer", "minimum": 1, "maximum": 10},
        "keys": {
            "type": "array",
            "items": {"type": "string", "pattern": "^[a-z]+$"},
            "minItems": 1,
            "uniqueItems": True,
        },
        "on": {"oneOf": [{"type": "string"}, {"type": "object", "required": ["a"], "properties": {"a": {"const": 1}}}]},
        "deep": {"type": "object", "additionalProperties": {"type": ["number", "null"]}, "maxProperties": 1},
    },
}


def found(values: dict[str, Any]) -> list[Problem]:
    return list(check_value(SCHEMA, values, "'toy.x'", evaluated=False))


def test_values_that_fit_have_no_problems() -> None:
    assert (
        found({"sql": "x", "mode": "append", "rows": 10, "keys": ["a", "b"], "on": {"a": 1}, "deep": {"x": None}}) == []
    )


@pytest.mark.parametrize(
    ("values", "violations"),
    [
        ({}, [Problem((), "'toy.x' needs 'sql'", "the query")]),
        ({"sq": "x"}, [Problem(("sq",), "'toy.x' has no 'sq'", "did you mean 'sql'?", at_key=True)]),
        ({"sql": ""}, [Problem(("sql",), "'sql' is empty", "the query")]),
        ({"sql": 1}, [Problem(("sql",), "'sql' must be a string, not 1", "the query")]),
        (
            {"sql": "x", "mode": "apend"},
            [Problem(("mode",), "'mode' must be replace or append, not 'apend'", "did you mean 'append'?")],
        ),
        ({"sql": "x", "rows": 11}, [Problem(("rows",), "'rows' must be at most 10, not 11")]),
        ({"sql": "x", "rows": True}, [Problem(("rows",), "'rows' must be a whole number, not true")]),
        ({"sql": "x", "keys": ["a", "a"]}, [Problem(("keys", 1), "'keys' has 'a' twice")]),
        ({"sql": "x", "keys": ["A"]}, [Problem(("keys", 0), "an item of 'keys' cannot be 'A'")]),
        ({"sql": "x", "on": {"a": 2}}, [Problem(("on", "a"), "'a' must be 1, not 2")]),
        ({"sql": "x", "deep": {"x": "y"}}, [Problem(("deep", "x"), "'x' must be a number or null, not 'y'")]),
        ({"sql": "x", "deep": {"x": 1, "y": 2}}, [Problem(("deep",), "'deep' has more than 1 entries")]),
        (
            {"sql": "x", "wrong": 1},
            [Problem(("wrong",), "'toy.x' has no 'wrong'", "there is sql, mode, rows, keys, on, deep", at_key=True)],
        ),
    ],
)
def test_what_is_wrong_is_said(values: dict[str, Any], violations: list[Problem]) -> None:
    assert found(values) == violations


EXPRESSION = "${{ params.x }}"


@pytest.mark.parametrize(
    "values", [{"sql": EXPRESSION}, {"sql": "x", "rows": EXPRESSION}, {"sql": "x", "keys": [EXPRESSION, EXPRESSION]}]
)
def test_values_with_expressions_wait_until_these_are_evaluated(values: dict[str, Any]) -> None:
    assert found(values) == []


def test_what_is_wrong_beside_an_expression_is_said_at_once() -> None:
    messages = [each.message for each in found({"sql": EXPRESSION, "mode": 1, "rwos": EXPRESSION})]
    assert messages == ["'toy.x' has no 'rwos'", "'mode' must be replace or append, not 1"]
    assert [each.message for each in check_value(KIND["with"], {"order": EXPRESSION}, "'k'", evaluated=False)] == [
        "'k' needs 'times'"
    ]


def test_a_pattern_that_python_does_not_know() -> None:
    schema = {"type": "object", "properties": {"word": {"type": "string", "pattern": "^\\p{L}+$"}}}
    assert list(check_value(schema, {"word": "Ärger"}, "'toy.x'", evaluated=False)) == []
    (wrong,) = check_value(schema, {"word": "1"}, "'toy.x'", evaluated=False)
    assert (wrong.path, wrong.message.endswith('does not match "^\\p{L}+$"')) == (("word",), True)


def test_a_value_that_is_a_json_schema_is_checked_as_one() -> None:
    own = {"form": {"$ref": "https://json-schema.org/draft/2020-12/schema"}}
    half = read_static_half(
        json.dumps({**KIND, "with": {"type": "object", "properties": own}}).encode(),
        name="toy.x",
        module="toy.x",
        origin="/toy/x.py",
        package="toy 1",
    )
    right = {"type": "object", "properties": {"n": {"type": ["integer", "null"]}}}
    assert [*check_value(half.values, {"form": right}, "'toy.x'", evaluated=False)] == []
    (found,) = check_value(half.values, {"form": {"properties": {"n": {"type": "integr"}}}}, "'toy.x'", evaluated=False)
    assert found == Problem(
        ("form", "properties", "n", "type"),
        "'type' must be array, boolean, integer, null, number, object or string, not 'integr'",
        "did you mean 'integer'?",
    )
