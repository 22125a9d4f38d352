"""Holds a document against the JSON Schema of pipeline files, and finds what is wrong. Words are `advice`'s matter."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import nfrun
from nfrun.core.errors import Diagnostic
from nfrun.core.text import closest_match, ellipsize
from nfrun.spec import suggestions
from nfrun.spec.yaml_document import Document

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError

Keys = tuple[str | int, ...]

_MOST = 1000  # of one sort; more than that is one mistake made by a program
_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}
_BOUNDS = {"minimum": "at least", "maximum": "at most", "exclusiveMinimum": "more than"}


@dataclass(frozen=True, slots=True)
class SchemaDiagnostic:
    """A rule of the schema that the value at `path`, or the key there, does not keep."""

    path: Keys
    rule: str
    message: str
    hint: str = ""
    at_key: bool = False


@cache
def schema_text() -> str:
    """The JSON Schema of pipeline files as text. In the wheel it lies in the package, in a checkout beside it."""
    here = Path(nfrun.__file__).parent
    for path in (here / "pipeline.schema.json", here.parent / "schemas" / "pipeline.schema.json"):
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise FileNotFoundError("pipeline.schema.json is missing from this installation of nfrun")


@cache
def _validator() -> Draft202012Validator:
    from jsonschema import Draft202012Validator

    schema = json.loads(schema_text())
    return Draft202012Validator(_inlined(schema, schema["$defs"]))


@cache
def _quick() -> Any:
    from jsonschema_rs import Draft202012Validator

    return Draft202012Validator(json.loads(schema_text()))


def _holds(root: Any) -> bool:
    """Whether the document is as the schema says: a quick yes, or a no which jsonschema explains, or overrules.

    To import jsonschema takes as long as to start and to read a small file without it, and it needs 6 s for 100,000
    nodes, this 0.1. What this takes, jsonschema takes too; the other way round `\\w` is ASCII here.
    """
    holds: bool = _quick().is_valid(root)
    return holds


def _inlined(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """The schema with its definitions where they are used: following references takes a third of the time.

    And with `\\Z` for `$` at the end of a pattern: to Python a `$` also matches before a final newline.
    """
    if isinstance(schema, list):
        return [_inlined(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].removeprefix("#/$defs/")], definitions)
    inlined = {key: _inlined(value, definitions) for key, value in schema.items() if key != "$defs"}
    if isinstance(pattern := inlined.get("pattern"), str):
        inlined["pattern"] = re.sub(r"\$\Z", r"\\Z", pattern)
    return inlined


def check_schema(document: Document) -> Iterator[tuple[Keys, Diagnostic]]:
    """Every place where the document is not as the schema says, each with its path in the document."""
    if _holds(document.root):
        return
    errors = islice(_validator().iter_errors(document.root), _MOST)
    breaks = [found for error in errors for found in _breaks(error)]
    for found in _without_astray(document, breaks):
        where = document.key_span(*found.path) if found.at_key else document.span(*found.path)
        yield found.path, Diagnostic(where, found.message, found.hint)


def _breaks(error: ValidationError) -> Iterator[SchemaDiagnostic]:
    schema: Mapping[str, Any] = error.schema if isinstance(error.schema, Mapping) else {}
    rule, wanted, value = str(error.validator), cast("Any", error.validator_value), cast("Any", error.instance)
    path: Keys = tuple(error.absolute_path)
    name = suggestions.name_of(path)
    if "propertyNames" in error.absolute_schema_path:
        what = f"'{ellipsize(value)}' cannot be the name of {suggestions.thing_in(path)}"
        yield SchemaDiagnostic((*path, value), rule, what, schema.get("patternErrorMessage", ""), at_key=True)
    elif rule == "additionalProperties":
        yield from _unknown_keys(path, value, list(schema.get("properties", {})))
    elif rule == "required":
        strays = [key for key in value if suggestions.is_stray_node(path, value, key)]
        for key in wanted:
            # A key that was meant to be this one is a mistake that has been told already.
            if key not in value and not any(
                suggestions.meant(k, [key]) for k in value if k not in schema["properties"]
            ):
                hint = f"indent '{ellipsize(strays[0])}' and the other nodes below 'nodes:'" if strays else ""
                yield SchemaDiagnostic(path, rule, f"{name} needs '{key}'", hint or suggestions.example(path, schema))
    elif rule in ("type", "enum") and value is None:
        hint = f"one of {', '.join(wanted)}" if rule == "enum" else suggestions.example(path, schema)
        yield SchemaDiagnostic(path, "empty", f"{name} is empty", hint)
    elif rule == "type":
        types = [_TYPES[word] for word in ([wanted] if isinstance(wanted, str) else wanted)]
        listed = " or ".join(part for part in (", ".join(types[:-1]), types[-1]) if part)
        hint = suggestions.wrong_type(path, value, schema)
        yield SchemaDiagnostic(path, rule, f"{name} must be {listed}, not {_shown(value)}", hint)
    elif rule == "enum":
        guess = closest_match(value, wanted) or suggestions.meant(value, wanted) if isinstance(value, str) else None
        hint = (
            f"did you mean '{guess}'?" if guess else suggestions.KEYS.get(value, "") if isinstance(value, str) else ""
        )
        what = f"one of {', '.join(wanted)}" if len(wanted) > 1 else f"'{wanted[0]}'"
        yield SchemaDiagnostic(path, rule, f"{name} must be {what}, not {_shown(value)}", hint)
    elif rule == "pattern" and not value.strip():
        yield SchemaDiagnostic(path, "empty", f"{name} is empty", suggestions.example(path, schema))
    elif rule == "pattern":
        yield SchemaDiagnostic(path, rule, f"{name} cannot be {_shown(value)}", suggestions.repair(path, value, schema))
    elif rule in _BOUNDS:
        yield SchemaDiagnostic(path, rule, f"{name} must be {_BOUNDS[rule]} {wanted}, not {_shown(value)}")
    elif rule in ("minProperties", "minItems"):
        yield SchemaDiagnostic(path, "empty", f"{name} is empty", suggestions.example(path, schema))
    elif rule == "uniqueItems":
        twice = next(i for i, item in enumerate(value) if item in value[:i])
        yield SchemaDiagnostic((*path, twice), rule, f"{name} has {_shown(value[twice])} twice")
    elif rule == "maxLength":
        yield SchemaDiagnostic(path, rule, f"{name} is longer than {wanted} characters")
    else:
        yield SchemaDiagnostic(path, rule, f"{name}: {ellipsize(error.message, 200)}")


def _unknown_keys(path: Keys, value: Mapping[str, Any], known: list[str]) -> Iterator[SchemaDiagnostic]:
    unknown = [key for key in value if key not in known and not suggestions.is_stray_node(path, value, key)]
    nobody = unknown == list(value) and not any(suggestions.meant(key, known) for key in unknown)
    if nobody and len(path) == 2 and path[0] == "params":
        what = f"{suggestions.name_of(path)} has none of {', '.join(known)}"
        yield SchemaDiagnostic(path, "additionalProperties", what, "a mapping as default is written default: {…}")
        return
    for key in unknown:
        what = f"'{ellipsize(key)}' is not a key of {suggestions.place_of(path)}"
        yield SchemaDiagnostic(
            (*path, key), "additionalProperties", what, suggestions.unknown_key(key, value[key], known, path), True
        )


def _without_astray(document: Document, breaks: list[SchemaDiagnostic]) -> list[SchemaDiagnostic]:
    """Without what is wrong only because it was not indented: an empty key, then keys that do not belong here.

    They are one mistake, which is told at the empty key.
    """
    told = {found.path: found for found in breaks}
    dropped: set[Keys] = set()
    for found in breaks:
        if found.rule != "empty" or not found.path:
            continue
        around, key = found.path[:-1], found.path[-1]
        siblings = list(suggestions.value_at(document.root, around))
        astray = []
        for sibling in siblings[siblings.index(key) + 1 :] if isinstance(key, str) else []:
            stray = told.get((*around, sibling))
            if stray is None or not (stray.rule == "additionalProperties" or suggestions.is_node_key(stray.path)):
                break
            astray.append(stray)
        if astray:
            dropped.update(stray.path for stray in astray)
            first = astray[0].path
            line = document.key_span(*first).line
            hint = f"indent what belongs to it: '{ellipsize(str(first[-1]))}' (line {line})"
            told[found.path] = replace(found, hint=hint)
    return [told.get(found.path, found) for found in breaks if found.path not in dropped]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"'{ellipsize(value)}'"
    return "a mapping" if isinstance(value, dict) else "a list" if isinstance(value, list) else str(value)
