"""Checks a document against the JSON Schema of pipeline files.

jsonschema_rs accepts valid files fast. For the others jsonschema finds the errors and `suggestions.py` gives the hints.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from nfrun.core.errors import Problem
from nfrun.core.pipeline import has_expression
from nfrun.core.text import ellipsize
from nfrun.core.values import replace
from nfrun.nodes.schemas import document_schema, fast_validator, violations
from nfrun.pipeline_file import suggestions
from nfrun.pipeline_file.known_checks import KnownChecks
from nfrun.pipeline_file.settings import WITH_EXPRESSIONS
from nfrun.pipeline_file.yaml.document import Document
from nfrun.system.checksums import text_checksum

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError


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
    """Yield each violation of the schema by the document."""
    # The content and not the text of the file: it is what the schema is about. JSON would not tell all values apart.
    content = f"{text_checksum(document_schema('pipeline'))} {document.root!r}"
    if known.has(content):
        return
    if fast_validator(document_schema("pipeline")).is_valid(document.root):
        known.keep(content)
        return
    all_errors = _validator(document_schema("pipeline")).iter_errors(document.root)
    errors = islice((error for error in all_errors if not _is_unevaluated(error)), _MAX_ERRORS)
    yield from (found for error in errors for found in _problems_of(error))


def _is_unevaluated(error: ValidationError) -> bool:
    """Whether the error is about an expression in a setting, which is checked when its value is known."""
    path, text = list(error.absolute_path), error.instance
    key = path[1] if path[:1] == ["defaults"] and len(path) > 1 else path[2] if len(path) > 2 else ""
    return isinstance(text, str) and key in WITH_EXPRESSIONS and has_expression(text)


def check_setting(key: str, value: Any) -> Iterator[Problem]:
    """Yield each violation of the schema by a setting of a node, with the path from the setting to the value."""
    whole = {"nodes": {"node": {key: value}}}
    if fast_validator(document_schema("pipeline")).is_valid(whole):
        return
    for error in _validator(document_schema("pipeline")).iter_errors(whole):
        for found in _problems_of(error):
            yield replace(found, path=found.path[3:])


def _problems_of(error: ValidationError) -> Iterator[Problem]:
    """Yield the problems for one error of jsonschema."""
    schema: Mapping[str, Any] = error.schema if isinstance(error.schema, Mapping) else {}
    rule, value, path = str(error.validator), cast("Any", error.instance), tuple(error.absolute_path)
    name, known = suggestions.name_of(path), list(schema.get("properties", {}))
    if "propertyNames" in error.absolute_schema_path:
        what = f"'{ellipsize(value)}' cannot be a name in {name}"
        yield Problem((*path, value), what, schema.get("patternErrorMessage", ""), at_key=True)
    elif rule == "additionalProperties":
        for key in [key for key in value if key not in known]:
            what = f"'{ellipsize(key)}' is not a key of {suggestions.place_of(path)}"
            hint = suggestions.unknown_key(key, value[key], known, path)
            yield Problem((*path, key), what, hint, at_key=True)
    elif rule == "required":
        for key in cast("list[str]", error.validator_value):
            # A misspelling of this key is already reported as an unknown key.
            if key not in value and not any(suggestions.meant(k, [key]) for k in value if k not in known):
                yield Problem(path, f"{name} needs '{key}'", suggestions.example(path, schema))
    elif value is None or rule in ("minProperties", "minItems") or (rule == "pattern" and not value.strip()):
        yield Problem(path, f"{name} is empty", suggestions.example(path, schema))
    else:
        is_of_value, is_choice = rule in ("type", "pattern"), rule == "enum"
        for found in violations(error, name):
            hint = suggestions.wrong_value(path, value, schema) if is_of_value else found.hint if is_choice else ""
            yield replace(found, hint=hint)
