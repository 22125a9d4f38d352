"""Checks values against JSON Schemas.

jsonschema_rs accepts valid values fast. jsonschema, whose import takes longer than a small pipeline, finds the errors
of the others, which are worded here for people.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import nfrun
from nfrun.core.errors import Problem
from nfrun.core.text import closest_match, did_you_mean, ellipsize
from nfrun.nodes.base import is_evaluated

if TYPE_CHECKING:
    from jsonschema import ValidationError

# Rules about which keys a mapping has, which hold before the values of the keys are known.
_OF_KEYS = frozenset(
    {"additionalProperties", "required", "dependentRequired", "propertyNames", "minProperties", "maxProperties"}
)

_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}
_BOUNDS = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "more than",
    "exclusiveMaximum": "less than",
}
_SIZES = {
    "minLength": "has fewer than {} characters",
    "maxLength": "has more than {} characters",
    "minItems": "has fewer than {} items",
    "maxItems": "has more than {} items",
    "minProperties": "has fewer than {} entries",
    "maxProperties": "has more than {} entries",
}


@cache
def document_schema(name: str) -> str:
    """Return the text of the schema with this name. Raises FileNotFoundError.

    `run` and `show` share one. In a wheel it is in the package, in a checkout in `schemas` next to the package.
    """
    here, file = Path(nfrun.__file__).parent, f"{'run' if name == 'show' else name}.schema.json"
    places = (here / file, here.parent / "schemas" / file)
    return next((path for path in places if path.is_file()), places[0]).read_text(encoding="utf-8")


@cache
def fast_validator(schema: str) -> Any:
    """Return the jsonschema_rs validator for the text of a schema, for a yes or no. Raises ValueError for no schema."""
    # jsonschema_rs imports this too, and panics if Ctrl-C comes meanwhile.
    import decimal  # noqa: F401

    from jsonschema_rs import Draft202012Validator

    return Draft202012Validator(json.loads(schema), retriever=_refuse)


def _refuse(uri: str) -> Any:
    """Refuse a reference to another file or address: nothing is downloaded."""
    raise ValueError("copy what it names into '$defs'")


def check_value(schema: Mapping[str, Any], value: Any, whole: str, *, evaluated: bool = True) -> Iterator[Problem]:
    """Yield the mistakes in a value, which messages call `whole`.

    Not `evaluated`: it is a mapping, and entries with expressions are checked once these are evaluated.
    """
    known, needed = value, schema
    if not evaluated:
        known, value = {name: item for name, item in value.items() if is_evaluated(item)}, dict(value)
        if len(known) < len(value):
            needed = {**schema, "required": [name for name in schema.get("required", ()) if name not in value]}
    if fast_validator(json.dumps(needed)).is_valid(known):
        return
    from jsonschema import Draft202012Validator

    try:
        found = [*Draft202012Validator(schema).iter_errors(value)]
    except re.error:  # a pattern that only the other validator understands
        for other in fast_validator(json.dumps(schema)).iter_errors(known):
            yield Problem(tuple(other.instance_path), f"{whole}: {ellipsize(other.message, 200)}")
        return
    for error in found:
        if evaluated or str(error.validator) in _OF_KEYS or is_evaluated(error.instance):
            yield from violations(error, _name(error.absolute_path, whole))


def violations(error: ValidationError, name: str) -> Iterator[Problem]:
    """Yield the messages for one error of jsonschema about a value called `name`."""
    path = tuple(error.absolute_path)
    rule, expected, value = str(error.validator), error.validator_value, error.instance
    if rule == "additionalProperties" and expected is False:
        known = [*_mapping(error.schema).get("properties", {})]
        for key in [key for key in _mapping(value) if key not in known]:
            yield Problem((*path, key), f"{name} has no '{ellipsize(key)}'", _instead(key, known), at_key=True)
    elif rule == "required" and isinstance(expected, Sequence):
        known = [*_mapping(error.schema).get("properties", {})]
        for key in [key for key in expected if key not in _mapping(value)]:
            if not any(closest_match(other, [key]) for other in _mapping(value) if other not in known):
                about = _mapping(_mapping(_mapping(error.schema).get("properties")).get(key)).get("description", "")
                yield Problem(path, f"{name} needs '{ellipsize(key)}'", ellipsize(str(about), 100))
    elif said := words_of_value(error, name):
        yield Problem(path, said, _about(error))
    elif rule in ("enum", "const"):
        allowed = list(expected) if rule == "enum" else [expected]  # type: ignore[arg-type]
        hint = did_you_mean(value, [v for v in allowed if isinstance(v, str)]) if isinstance(value, str) else ""
        listed = either([str(item) if isinstance(item, str) else json.dumps(item) for item in allowed])
        yield Problem(path, f"{name} must be {listed}, not {shown(value)}", hint)
    elif rule in _SIZES:
        is_empty = expected == 1 and rule.startswith("min")
        yield Problem(
            path, f"{name} is empty" if is_empty else f"{name} {_SIZES[rule].format(expected)}", _about(error)
        )
    elif rule == "uniqueItems" and isinstance(value, list):
        twice = first_twice(value)
        yield Problem((*path, twice), f"{name} has {shown(value[twice])} twice")
    elif error.context:
        from jsonschema.exceptions import best_match

        # Of the alternatives, those count that the value seems to mean: the ones of its type.
        nearest = [each for each in error.context if each.path or not _is_other_type(each)]
        found = best_match(nearest or error.context)
        yield from violations(found, _name(found.absolute_path, name)) if found is not None else ()
    else:
        yield Problem(path, f"{name}: {ellipsize(error.message, 200)}", _about(error))


def words_of_value(error: ValidationError, name: str) -> str:
    """Return the message for an error of a type, a bound or a pattern of a value called `name`, "" for others."""
    rule, expected, value = str(error.validator), error.validator_value, error.instance
    if rule == "type":
        types = [expected] if isinstance(expected, str) else cast("list[str]", expected)
        return f"{name} must be {either([_TYPES.get(word, word) for word in types])}, not {shown(value)}"
    if rule in _BOUNDS:
        return f"{name} must be {_BOUNDS[rule]} {expected}, not {shown(value)}"
    return f"{name} cannot be {shown(value)}" if rule == "pattern" else ""


def first_twice(items: Sequence[Any]) -> int:
    """Return the index of the first item that is in the list before."""
    return next(i for i, item in enumerate(items) if item in items[:i])


def either(words: Sequence[str]) -> str:
    """Return "a, b or c"."""
    return " or ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def shown(value: Any) -> str:
    """Return a value of a YAML or JSON file as text for a message."""
    if isinstance(value, str):
        return f"'{ellipsize(value)}'"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def _name(path: Sequence[str | int], whole: str) -> str:
    if not path:
        return whole
    last = path[-1]
    around = next((step for step in reversed(path) if isinstance(step, str)), "")
    return (
        f"'{ellipsize(last)}'"
        if isinstance(last, str)
        else f"an item of '{ellipsize(around)}'"
        if around
        else "an item"
    )


def _is_other_type(error: ValidationError) -> bool:
    """Whether a value is no case of an alternative: it has another type than all that this admits."""
    return error.validator == "type" or (error.validator == "enum" and isinstance(error.instance, dict | list))


def _about(error: ValidationError) -> str:
    return ellipsize(str(_mapping(error.schema).get("description", "")), 100)


def _instead(key: str, known: Sequence[str]) -> str:
    return did_you_mean(key, known, f"there is {', '.join(known)}" if known else "it has no entries")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
