"""Checks a document against the JSON Schema of pipeline files, and for `nfrun doctor` the line that names the schema.

jsonschema_rs accepts valid files fast. For the others jsonschema finds the errors and `suggestions.py` gives the hints.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nfrun.core.errors import Problem
from nfrun.core.health import NOTE, OK, HealthCheck
from nfrun.core.pipeline import has_expression
from nfrun.core.text import ellipsize
from nfrun.core.values import replace
from nfrun.nodes.schemas import document_schema, fast_validator, first_twice, shown, words_of_value
from nfrun.pipeline_file import suggestions
from nfrun.pipeline_file.known_checks import KnownChecks
from nfrun.pipeline_file.settings import WITH_EXPRESSIONS
from nfrun.pipeline_file.yaml.document import Document, Keys
from nfrun.pipeline_file.yaml.text_file import read_text
from nfrun.system.checksums import text_checksum

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError


UNKNOWN, EMPTY = "additionalProperties", "empty"  # what a problem is about: a rule, or an empty value
_MAX_ERRORS = 1000  # errors; a file with more repeats one mistake, made by a program


@cache
def _validator(text: str) -> Draft202012Validator:
    """Return the jsonschema validator for this schema, which is slow but lists the errors."""
    from jsonschema import Draft202012Validator

    schema = json.loads(text)
    return Draft202012Validator(_inlined(schema, schema["$defs"]))


def _inlined(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """Return the schema with each reference replaced by its definition, and `\\Z` for `$` at the end of a pattern.

    Following references takes a third of the validation time. In Python `$` also matches before a final newline.
    """
    if isinstance(schema, list):
        return [_inlined(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].removeprefix("#/$defs/")], definitions)
    inlined = {key: _inlined(value, definitions) for key, value in schema.items() if key != "$defs"}
    if (either := schema.get("anyOf")) and either[-1] == {"$ref": "#/$defs/expression"}:
        del inlined["anyOf"]  # `_is_unevaluated` admits expressions, and messages are about values
        inlined |= _inlined(either[0], definitions)
    if isinstance(pattern := inlined.get("pattern"), str):
        inlined["pattern"] = re.sub(r"\$\Z", r"\\Z", pattern)
    return inlined


def check_schema(document: Document, known: KnownChecks) -> Iterator[Problem]:
    """Yield each violation of the schema by the document. They are about the rule, or about an empty value."""
    # The content and not the text of the file: it is what the schema is about. JSON would not tell all values apart.
    content = f"{text_checksum(document_schema('pipeline'))} {document.root!r}"
    if known.has(content):
        return
    if fast_validator(document_schema("pipeline")).is_valid(document.root):
        known.keep(content)
        return
    all_errors = _validator(document_schema("pipeline")).iter_errors(document.root)
    errors = islice((error for error in all_errors if not _is_unevaluated(error)), _MAX_ERRORS)
    yield from _merge_unindented(document, [found for error in errors for found in _problems_of(error)])


def _is_unevaluated(error: ValidationError) -> bool:
    """Whether the error is about an expression in a setting, which is checked when its value is known."""
    path, text = list(error.absolute_path), error.instance
    key = path[1] if path[:1] == ["defaults"] and len(path) > 1 else path[2] if len(path) > 2 else ""
    return isinstance(text, str) and key in WITH_EXPRESSIONS and has_expression(text)


def check_setting(key: str, value: Any) -> Iterator[Problem]:
    """Yield each violation of the schema by a setting of a node, with the path from the setting to the value."""
    whole = {"nodes": {"node": {key: value}}}
    for error in _validator(document_schema("pipeline")).iter_errors(whole):
        for found in _problems_of(error):
            yield replace(found, path=found.path[3:])


def _problems_of(error: ValidationError) -> Iterator[Problem]:
    """Yield the problems for one error of jsonschema, about its rule or about an "empty" value."""

    schema: Mapping[str, Any] = error.schema if isinstance(error.schema, Mapping) else {}
    rule, expected, value = str(error.validator), cast("Any", error.validator_value), cast("Any", error.instance)
    path: Keys = tuple(error.absolute_path)
    name, found = suggestions.name_of(path), partial(Problem, path, about=rule)
    if "propertyNames" in error.absolute_schema_path:
        what = f"'{ellipsize(value)}' cannot be the name of {suggestions.thing_in(path)}"
        yield Problem((*path, value), what, schema.get("patternErrorMessage", ""), at_key=True, about=rule)
    elif rule == UNKNOWN:
        yield from _unknown_keys(path, value, list(schema.get("properties", {})))
    elif rule == "required":
        stray_nodes = [key for key in value if suggestions.is_stray_node(path, value, key)]
        for key in expected:
            # A misspelling of this key is already reported as an unknown key.
            if key not in value and not any(
                suggestions.meant(k, [key]) for k in value if k not in schema["properties"]
            ):
                hint = f"indent '{ellipsize(stray_nodes[0])}' and the other nodes below 'nodes:'" if stray_nodes else ""
                yield found(f"{name} needs '{key}'", hint or suggestions.example(path, schema))
    elif rule in ("type", "enum") and value is None:
        hint = f"one of {', '.join(expected)}" if rule == "enum" else suggestions.example(path, schema)
        yield found(f"{name} is empty", hint, about=EMPTY)
    elif rule == "type":
        yield found(words_of_value(error, name), suggestions.wrong_type(path, value, schema))
    elif rule == "enum":
        what = f"one of {', '.join(expected)}" if len(expected) > 1 else f"'{expected[0]}'"
        hint = suggestions.other_value(value, expected) if isinstance(value, str) else ""
        yield found(f"{name} must be {what}, not {shown(value)}", hint)
    elif rule in ("minProperties", "minItems") or (rule == "pattern" and not value.strip()):
        yield found(f"{name} is empty", suggestions.example(path, schema), about=EMPTY)
    elif rule == "pattern":
        what = schema.get("patternErrorWhat", "").format(ellipsize(value)) or words_of_value(error, name)
        yield found(what, suggestions.repair(path, value, schema))
    elif rule == "uniqueItems":
        twice = first_twice(value)
        yield Problem((*path, twice), f"{name} has {shown(value[twice])} twice", about=rule)
    elif rule == "maxLength":
        yield found(f"{name} is longer than {expected} characters")
    else:
        yield found(words_of_value(error, name) or f"{name}: {ellipsize(error.message, 200)}")


def _unknown_keys(path: Keys, value: Mapping[str, Any], known: list[str]) -> Iterator[Problem]:
    """Yield a problem for each key that is not in `known`."""
    for key in [key for key in value if key not in known and not suggestions.is_stray_node(path, value, key)]:
        what = f"'{ellipsize(key)}' is not a key of {suggestions.place_of(path)}"
        if len(path) == 2 and path[0] == "profiles":
            what = f"a profile has no '{ellipsize(key)}'"
        if len(path) > 1 and path[-2] == "checks":
            what = f"there is no check '{ellipsize(key)}'"
        hint = suggestions.unknown_key(key, value[key], known, path)
        yield Problem((*path, key), what, hint, at_key=True, about=UNKNOWN)


def _merge_unindented(document: Document, violations: list[Problem]) -> list[Problem]:
    """Merge the diagnostics of an empty key and of the unknown keys after it, which should be indented below it.

    This is one mistake, and it is reported at the empty key.
    """
    by_path = {found.path: found for found in violations}
    dropped: set[Keys] = set()
    for found in violations:
        if found.about != EMPTY or not found.path:
            continue
        around, key = found.path[:-1], found.path[-1]
        parent = document.root
        for step in around:
            parent = parent[step]
        siblings = list(parent)
        unindented = []
        for sibling in siblings[siblings.index(key) + 1 :] if isinstance(key, str) else []:
            stray = by_path.get((*around, sibling))
            if stray is None or not (stray.about == UNKNOWN or suggestions.is_node_key(stray.path)):
                break
            unindented.append(stray)
        if unindented:
            dropped.update(stray.path for stray in unindented)
            first = unindented[0].path
            line = document.key_span(*first).line
            hint = f"indent what belongs to it: '{ellipsize(str(first[-1]))}' (line {line})"
            by_path[found.path] = replace(found, hint=hint)
    return [by_path.get(found.path, found) for found in violations if found.path not in dropped]


# The second form is that of JetBrains.
_MODELINE = re.compile(r"^#\s*(?:yaml-language-server\s*:\s*\$schema=|\$schema:\s*)(\S+)", re.MULTILINE)


def check_modeline(file: Path) -> HealthCheck:
    """Check whether editors find the schema of this nfrun by the modeline of a file. Raises SpecError."""
    found = _MODELINE.search(read_text(file, str(file)))
    if found is None:
        return HealthCheck("editor", OK, f"{file.name} does not tell editors where its schema is")
    named = found[1]
    facts = {"schema": named}
    if "://" in named and not named.startswith("file://"):
        return HealthCheck("editor", OK, f"{file.name} names the schema {named}", "", facts)
    schema = file.parent / named.removeprefix("file://")
    advice = f"nfrun schema > {shlex.quote(str(schema))}"
    if not schema.is_file():
        return HealthCheck("editor", NOTE, f"{file.name} names the schema {named}, which is not there", advice, facts)
    with suppress(OSError, ValueError):
        if json.loads(schema.read_bytes()) == json.loads(document_schema("pipeline")):
            return HealthCheck("editor", OK, f"{named} is the schema of this nfrun", "", facts)
    text = f"{named} is not the schema of this nfrun: editors may refuse what it can, or offer what it cannot"
    return HealthCheck("editor", NOTE, text, advice, facts)
