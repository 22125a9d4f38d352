"""Checks values against JSON Schemas.

jsonschema_rs accepts valid values fast. jsonschema, whose import takes longer than a small pipeline, finds the errors
of the others, and `schema_words.py` words them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nfrun
from nfrun.core.pipeline import has_expression
from nfrun.core.text import ellipsize

if TYPE_CHECKING:
    from nfrun.nodes.schema_words import Violation

# Rules about which keys a mapping has, which hold before the values of the keys are known.
_OF_KEYS = frozenset(
    {"additionalProperties", "required", "dependentRequired", "propertyNames", "minProperties", "maxProperties"}
)


@cache
def document_schema(name: str) -> str:
    """Return the text of the schema with this name. Raises FileNotFoundError.

    In a wheel the file is in the package, in a checkout in the folder `schemas` next to the package.
    """
    here, file = Path(nfrun.__file__).parent, f"{name}.schema.json"
    places = (here / file, here.parent / "schemas" / file)
    return next((path for path in places if path.is_file()), places[0]).read_text(encoding="utf-8")


@cache
def fast_validator(schema: str) -> Any:
    """Return the jsonschema_rs validator for the text of a schema, for a yes or no. Raises ValueError for no schema."""
    # jsonschema_rs imports this too, and panics if Ctrl-C comes meanwhile.
    import decimal  # noqa: F401

    from jsonschema_rs import Draft202012Validator

    return Draft202012Validator(json.loads(schema))


def check_value(schema: Mapping[str, Any], value: Any, whole: str, *, evaluated: bool = True) -> Iterator[Violation]:
    """Yield what is wrong with a value, which messages call `whole`.

    Not `evaluated`: it is a mapping, and entries with expressions are checked once these are evaluated.
    """
    known, needed = value, schema
    if not evaluated:
        known, value = {name: item for name, item in value.items() if not has_expressions(item)}, dict(value)
        if len(known) < len(value):
            needed = {**schema, "required": [name for name in schema.get("required", ()) if name not in value]}
    if fast_validator(json.dumps(needed)).is_valid(known):
        return
    from jsonschema import Draft202012Validator

    from nfrun.nodes.schema_words import Violation, violations

    try:
        found = [*Draft202012Validator(schema).iter_errors(value)]
    except re.error:  # a pattern that only the other validator understands
        for other in fast_validator(json.dumps(schema)).iter_errors(known):
            yield Violation(tuple(other.instance_path), f"{whole}: {ellipsize(other.message, 200)}")
        return
    for error in found:
        if evaluated or str(error.validator) in _OF_KEYS or not has_expressions(error.instance):
            yield from violations(error, whole)


def has_expressions(value: Any) -> bool:
    """Return whether a value is a text with an expression, or has one in it."""
    if isinstance(value, str):
        return has_expression(value)
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(map(has_expressions, items))
