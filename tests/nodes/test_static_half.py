"""What `kind.schema.json` and the reader take as a static half, and the words for what they do not take."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from plugin_site import KIND

from nfrun.core.pipeline import StaticHalf
from nfrun.nodes.plugins import PluginError, read_static_half
from nfrun.nodes.schemas import document_schema


def read(data: Any) -> StaticHalf:
    text = data if isinstance(data, bytes) else json.dumps(data).encode()
    return read_static_half(text, name="toy.x", module="toy.x", origin="/toy/x.py", package="toy 1")


def without(*keys: str, **more: Any) -> dict[str, Any]:
    return {**{key: value for key, value in KIND.items() if key not in keys}, **more}


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(json.loads(document_schema("kind")))


def test_all_keys_are_read() -> None:
    half = read({**KIND, "map": True, "executor": ["process"], "effects": True, "external": True, "env": ["URI"]})
    assert (half.version, half.revision, half.description) == ("1.2", 3, "Repeats rows.")
    assert (half.least, half.most, half.forms, half.outputs) == (1, 2, ("table",), {"rows": "table"})
    assert (half.maps, half.executors, half.effects, half.external, half.env) == (
        True,
        ("process",),
        True,
        True,
        ("URI",),
    )


def test_what_is_left_out_means_no_inputs_no_values_no_outputs_and_both_executors() -> None:
    half = read({"api": 1, "version": "1", "revision": 0})
    assert (half.least, half.most, half.outputs, half.executors) == (0, 0, {}, ("thread", "process"))
    assert half.values == {"type": "object", "properties": {}, "additionalProperties": False}
    assert not (half.maps or half.effects or half.external or half.env)


ROWS = {"columns_in": ["order"], "after": ["times"]}


def test_a_kind_that_is_called_for_each_row() -> None:
    half = read({**KIND, "map": ROWS})
    assert (half.maps, half.columns_in, half.after) == (True, ("order",), ("times",))
    half = read({**KIND, "map": {"columns_in": ["order"]}})
    assert (half.maps, half.columns_in, half.after) == (True, ("order",), ())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"map": {**ROWS, "after": ["time"]}}, "map.after: there is no value 'time' in the 'properties' of 'with'"),
        ({"map": {"columns_in": ["a"]}}, "map.columns_in: there is no value 'a' in the 'properties' of 'with'"),
        ({"map": ROWS, "outputs": {"page": "file"}}, "outputs: a kind that is called for each row has one, a table"),
        (
            {"map": ROWS, "executor": ["process"]},
            "executor: a kind that is called for each row runs on an event loop, so on a thread",
        ),
    ],
)
def test_a_kind_that_cannot_be_called_for_each_row(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PluginError) as raised:
        read({**KIND, **changes})
    assert str(raised.value) == message


def test_inputs_without_bounds_are_any_number() -> None:
    half = read(without("inputs", inputs={"types": ["file", "table"]}))
    assert (half.least, half.most, half.forms) == (0, None, ("file", "table"))


@pytest.mark.parametrize(
    ("data", "message", "hint"),
    [
        (
            b'{"api": 1,',
            "it is no JSON: Expecting property name enclosed in double quotes: line 1 column 11 (char 10)",
            "",
        ),
        ([], "a static half must be a mapping, not a list", ""),
        (
            {**KIND, "api": 2},
            "it is made for version 2 of nfrun's plug-ins, and this nfrun has 1",
            "install a newer nfrun",
        ),
        (
            {**KIND, "api": 0},
            "it is made for version 0 of nfrun's plug-ins, and this nfrun has 1",
            "install a newer version of the package",
        ),
        ({**KIND, "api": "1"}, "api: 'api' must be 1, not '1'", ""),
        (without("api"), "a static half needs 'api'", "The version of nfrun's plug-ins that it is made for."),
        (without("revision", revison=1), "revison: a static half has no 'revison'", "did you mean 'revision'?"),
        (
            {**KIND, "version": "v1"},
            "version: 'version' cannot be 'v1'",
            'The version of the kind, such as "1.4": a node may ask for its first number.',
        ),
        (
            {**KIND, "version": 1.4},
            "version: 'version' must be a string, not 1.4",
            'The version of the kind, such as "1.4": a node may ask for its first number.',
        ),
        (
            {**KIND, "revision": -1},
            "revision: 'revision' must be at least 0, not -1",
            "A whole number that is raised when results change: nodes run again then.",
        ),
        (
            {**KIND, "effects": "yes"},
            "effects: 'effects' must be true or false, not 'yes'",
            "Whether it changes something outside of the run.",
        ),
        (
            {**KIND, "executor": ["treads"]},
            "executor[0]: an item of 'executor' must be thread or process, not 'treads'",
            "did you mean 'thread'?",
        ),
        ({**KIND, "executor": []}, "executor: 'executor' is empty", "Where a node may run; on both if it is left out."),
        ({**KIND, "env": ["A", "A"]}, "env[1]: 'env' has 'A' twice", ""),
        ({**KIND, "inputs": {"min": 3, "max": 2}}, "inputs: 'min' is 3, and 'max' is 2", ""),
        ({**KIND, "inputs": {"most": 2}}, "inputs.most: 'inputs' has no 'most'", "there is min, max, types"),
        ({**KIND, "outputs": {"rows": "tabel"}}, "outputs.rows: 'rows' cannot be 'tabel'", ""),
        ({**KIND, "with": {"properties": {}}}, "with: 'with' needs 'type'", ""),
        ({**KIND, "with": {"type": "array"}}, "with.type: 'type' must be object, not 'array'", ""),
        (
            {**KIND, "with": {"type": "object", "properties": {"a": {"$ref": "https://example.com/a.json"}}}},
            "with: it is no JSON Schema: Resource 'https://example.com/a.json' is not present in a registry and "
            "retrieving it failed: ValueError: copy what it names into '$defs'",
            "",
        ),
    ],
)
def test_what_is_wrong_is_said(data: Any, message: str, hint: str) -> None:
    with pytest.raises(PluginError) as error:
        read(data)
    assert (str(error.value), error.value.hint) == (message, hint)


@pytest.mark.parametrize("data", [b'{"\xff"}', b"[" * 100_000, b'{"api": ' + b"1" * 5_000 + b"}"])
def test_what_cannot_be_read_as_json_is_said(data: bytes) -> None:
    with pytest.raises(PluginError, match=r"^it is no JSON: "):
        read(data)


@pytest.mark.parametrize(
    "values", [{"type": "object", "properties": {"a": {"type": "txt"}}}, {"type": "object", "required": 1}]
)
def test_a_schema_of_values_that_is_none_is_an_error(values: Any) -> None:
    with pytest.raises(PluginError, match=r"^with: it is no JSON Schema: "):
        read({**KIND, "with": values})
