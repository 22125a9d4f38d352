"""Holds a document against the JSON Schema of pipeline files, and says what is wrong in plain words. Knows no runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nfrun.document import Document
from nfrun.errors import Problem, near, shorten

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError

_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}

# What people coming from other tools write.
_SYNONYMS = {
    "nodes": ("steps", "tasks", "jobs", "stages", "pipeline"),
    "needs": ("depends_on", "depends", "dependencies", "after", "upstream"),
    "inputs": ("input", "deps"),
    "outputs": ("output", "outs"),
    "run": ("command", "cmd", "shell", "script", "bash"),
    "python": ("function", "call", "callable", "uses"),
    "with": ("args", "arguments", "kwargs", "options"),
    "retries": ("retry",),
    "params": ("parameters", "vars", "variables"),
    "sql": ("query", "duckdb"),
}
_MEANT = {synonym: word for word, synonyms in _SYNONYMS.items() for synonym in synonyms}


@cache
def schema_text() -> str:
    """The JSON Schema of pipeline files as text. In the wheel it lies in the package, in a checkout beside it."""
    here = Path(__file__).parent
    for path in (here / "pipeline.schema.json", here.parent / "schemas" / "pipeline.schema.json"):
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise FileNotFoundError("pipeline.schema.json is missing from this installation of nfrun")


@cache
def _validator() -> Draft202012Validator:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(schema_text()))


def check_schema(document: Document) -> Iterator[tuple[tuple[str | int, ...], Problem]]:
    """Every place where the document is not as the schema says, each with its path in the document."""
    for error in _validator().iter_errors(document.root):
        path = tuple(error.absolute_path)
        for deeper, problem in _problems(document, path, error):
            yield (*path, *deeper), problem


def _problems(
    document: Document, path: tuple[str | int, ...], error: ValidationError
) -> Iterator[tuple[tuple[str, ...], Problem]]:
    schema: Mapping[str, Any] = error.schema if isinstance(error.schema, Mapping) else {}
    rule, wanted, value = str(error.validator), cast("Any", error.validator_value), cast("Any", error.instance)
    name = _name(path)
    where = document.where(*path)
    if rule == "additionalProperties":
        known = list(schema.get("properties", {}))
        for key in value:
            if key not in known:
                yield (key,), Problem(document.where_key(*path, key), *_unknown_key(key, known, path))
    elif rule == "required":
        for key in wanted:
            if key not in value:
                yield (), Problem(where, f"{name} needs '{key}'", _nearest_key(key, value))
    elif "propertyNames" in error.absolute_schema_path:
        yield (value,), Problem(document.where_key(*path, value), *_bad_key(value, schema, path))
    elif rule == "type":
        types = [wanted] if isinstance(wanted, str) else list(wanted)
        yield (), Problem(where, f"{name} must be {' or '.join(_TYPES[t] for t in types)}, not {_shown(value)}")
    elif rule == "enum":
        guess = near(value, wanted) if isinstance(value, str) else None
        hint = f"did you mean '{guess}'?" if guess else ""
        if name == "'executor'":
            hint = "other executors are not there yet"
        what = f"one of {', '.join(wanted)}" if len(wanted) > 1 else f"'{wanted[0]}'"
        yield (), Problem(where, f"{name} must be {what}, not {_shown(value)}", hint)
    elif rule == "pattern":
        yield (), Problem(where, f"{name} cannot be {_shown(value)}", schema.get("patternErrorMessage", ""))
    elif rule in ("minimum", "maximum", "exclusiveMinimum"):
        bound = {"minimum": "at least", "maximum": "at most", "exclusiveMinimum": "more than"}[rule]
        yield (), Problem(where, f"{name} must be {bound} {wanted}, not {_shown(value)}")
    elif rule in ("minProperties", "minItems", "minLength"):
        yield (), Problem(where, f"{name} is empty")
    elif rule == "uniqueItems":
        twice = next(item for i, item in enumerate(value) if item in value[:i])
        yield (), Problem(where, f"{name} has {_shown(twice)} twice")
    else:
        yield (), Problem(where, f"{name}: {shorten(error.message, 200)}")


def _unknown_key(key: str, known: list[str], path: tuple[str | int, ...]) -> tuple[str, str]:
    place = _place(path)
    guess = _MEANT.get(key) if _MEANT.get(key) in known else near(key, known)
    hint = f"did you mean '{guess}'?" if guess else f"there is {', '.join(known)}"
    return f"'{shorten(key)}' is not a key of {place}", hint


def _bad_key(key: str, schema: Mapping[str, Any], path: tuple[str | int, ...]) -> tuple[str, str]:
    what = {"nodes": "a node", "params": "a parameter", "inputs": "an input", "env": "an environment variable"}
    last = str(path[-1]) if path else ""
    thing = what.get(last, "an output" if last == "outputs" else "a value")
    return f"'{shorten(key)}' cannot be the name of {thing}", schema.get("patternErrorMessage", "")


def _nearest_key(key: str, value: Mapping[str, Any]) -> str:
    found = next((k for k in value if _MEANT.get(k) == key), None) or near(key, value)
    return f"did you mean it by '{shorten(found)}'?" if found else ""


def _place(path: tuple[str | int, ...]) -> str:
    if not path:
        return "a pipeline file"
    if len(path) == 2 and path[0] == "nodes":
        return "a node"
    if len(path) == 2 and path[0] == "params":
        return "a parameter"
    return f"'{path[-1]}'"


def _name(path: tuple[str | int, ...]) -> str:
    if not path:
        return "a pipeline file"
    if isinstance(path[-1], int):
        return f"an item of '{path[-2]}'"
    if len(path) == 2 and path[0] in ("nodes", "params"):
        return (
            f"{'node' if path[0] == 'nodes' else 'parameter'} '{shorten(path[1])}'" if isinstance(path[1], str) else ""
        )
    return f"'{shorten(path[-1])}'"


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"'{shorten(value)}'"
    return "a mapping" if isinstance(value, dict) else "a list" if isinstance(value, list) else str(value)
