"""Checks the values of a node against the JSON Schema that its plug-in has for them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from nfrun.core.pipeline import has_expression
from nfrun.core.text import ellipsize
from nfrun.nodes.plugins.worded import Violation, violations

if TYPE_CHECKING:
    from jsonschema import ValidationError

# Rules about which keys a mapping has, which hold before the values of the keys are known.
_OF_KEYS = frozenset(
    {"additionalProperties", "required", "dependentRequired", "propertyNames", "minProperties", "maxProperties"}
)


def check_values(schema: Mapping[str, Any], values: Mapping[str, Any], whole: str) -> Iterator[Violation]:
    """Yield what is wrong with the values of a node. Those that hold expressions are checked once these are evaluated.

    `whole` is what has the values, for messages.
    """
    # jsonschema is imported only to word what is wrong: that takes longer than a small pipeline.
    known = {name: value for name, value in values.items() if not _has_expressions(value)}
    optional = {**schema, "required": [name for name in schema.get("required", ()) if name not in values]}
    if _fast(json.dumps(schema if len(known) == len(values) else optional)).is_valid(dict(known)):
        return
    from jsonschema import Draft202012Validator

    try:
        found = [error for error in Draft202012Validator(schema).iter_errors(dict(values)) if _counts(error)]
    except re.error:  # a pattern that only the other validator understands
        for other in _fast(json.dumps(schema)).iter_errors(known):
            yield Violation(tuple(other.instance_path), f"{whole}: {ellipsize(other.message, 200)}")
        return
    for error in found:
        yield from violations(error, whole)


@cache
def _fast(schema: str) -> Any:
    from jsonschema_rs import Draft202012Validator

    return Draft202012Validator(json.loads(schema))


def _counts(error: ValidationError) -> bool:
    """Whether an error holds whatever the expressions in the value are."""
    return str(error.validator) in _OF_KEYS or not _has_expressions(error.instance)


def _has_expressions(value: Any) -> bool:
    if isinstance(value, str):
        return has_expression(value)
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(map(_has_expressions, items))
