"""Checks the values of checks as a pipeline file has them. Only a regular expression needs pyarrow."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nfrun.core.text import ellipsize
from nfrun.system.units import parse_duration

Steps = tuple[str | int, ...]
Problem = tuple[Steps, str, str]  # the steps from the value of the check, the message and the hint

_REFERENCE = re.compile(r"\s*([A-Za-z][\w-]*(?:\.[A-Za-z_]\w*)?)\s*\(\s*([^()]*[^()\s])\s*\)\s*", re.ASCII)
_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)


def value_problems(kind: str, value: Any) -> Iterator[Problem]:
    """Yield the problems of the value of a check, which holds no expressions."""
    yield from _FORMS[kind](value)


def reference_of(text: str) -> tuple[str, str]:
    """Return the output and the column of `node(column)`. Raises ValueError for another text."""
    found = _REFERENCE.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return found[1], found[2]


def _rows(value: Any) -> Iterator[Problem]:
    example = "for example rows: 5, or rows: {min: 1}"
    if isinstance(value, Mapping):
        yield from _limits((), value, example)
        for key, limit in value.items():
            if key in ("min", "max") and not _is_count(limit):
                yield (key,), f"'{key}' must be a whole number, at least 0", ""
    elif not _is_count(value):
        yield (), "'rows' must be a whole number, or a mapping with min and max", example


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _limits(steps: Steps, value: Mapping[str, Any], example: str) -> Iterator[Problem]:
    """Yield the problems of a mapping with `min` and `max`: other keys, wrong values, a wrong order."""
    for key in value:
        if key not in ("min", "max"):
            yield (*steps, key), f"'{ellipsize(str(key))}' is neither min nor max", example
    low, high = value.get("min"), value.get("max")
    try:
        if low is not None and high is not None and low > high:
            yield (*steps, "max"), f"'max' is below 'min': {high} and {low}", "no value is within"
    except TypeError:
        yield (*steps, "max"), "'min' and 'max' must both be numbers or both be texts", ""
    if not value:
        yield steps, "it has neither min nor max", example


def _names(kind: str) -> Callable[[Any], Iterator[Problem]]:
    def check(value: Any) -> Iterator[Problem]:
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list) or not names:
            yield (), f"'{kind}' must be a column or a list of columns", f"for example {kind}: [a, b]"
            return
        for i, name in enumerate(names):
            steps: Steps = () if names is not value else (i,)
            if not isinstance(name, str) or not name:
                yield steps, "the name of a column is a text", "put it in quotes" if isinstance(name, int) else ""
            elif name in names[:i]:
                yield steps, f"'{kind}' has '{ellipsize(name)}' twice", ""

    return check


def _columns(kind: str, example: str, check: Callable[[Steps, Any], Iterator[Problem]]) -> Any:
    """Return the check of a mapping from columns to values of one form."""

    def of_mapping(value: Any) -> Iterator[Problem]:
        if not isinstance(value, Mapping) or not value:
            yield (), f"'{kind}' must be a mapping of columns", f"for example {kind}: {example}"
            return
        for name, item in value.items():
            yield from check((name,), item)

    return of_mapping


def _enum(steps: Steps, value: Any) -> Iterator[Problem]:
    if not isinstance(value, list):
        yield steps, f"the values of '{ellipsize(str(steps[0]))}' must be a list", "for example enum: {status: [a, b]}"
        return
    for i, item in enumerate(value):
        if isinstance(item, list | Mapping):
            yield (*steps, i), "a value must be a text, a number, true or false", ""


def _range(steps: Steps, value: Any) -> Iterator[Problem]:
    example = "for example range: {amount: {min: 0, max: 100}}"
    if not isinstance(value, Mapping):
        yield steps, f"the range of '{ellipsize(str(steps[0]))}' must be a mapping with min and max", example
        return
    yield from _limits(steps, value, example)
    for key, limit in value.items():
        if key in ("min", "max") and (isinstance(limit, bool) or not isinstance(limit, int | float | str)):
            yield (*steps, key), f"'{key}' must be a number or a text", "a date is an ISO text: '2024-01-31'"


def _match(steps: Steps, value: Any) -> Iterator[Problem]:
    if not isinstance(value, str) or not value:
        yield steps, "a pattern must be a text", "for example match: {email: '^[^@]+@[^@]+$'}"
        return
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        pc.match_substring_regex(pa.array([""]), value)
    except pa.ArrowInvalid as error:
        why = str(error).removeprefix("Invalid regular expression: ")
        yield steps, f"{value!r} is not a regular expression of RE2: {ellipsize(why, 100)}", ""


def _references(steps: Steps, value: Any) -> Iterator[Problem]:
    if not isinstance(value, str) or _REFERENCE.fullmatch(value) is None:
        shown = f"'{ellipsize(value)}'" if isinstance(value, str) else "this"
        yield steps, f"{shown} does not say which column of which node", "write node(column), such as customers(id)"


def _fresh(steps: Steps, value: Any) -> Iterator[Problem]:
    try:
        if isinstance(value, bool) or parse_duration(str(value)) <= 0:
            raise ValueError(value)
    except ValueError:
        shown = ellipsize(str(value).lower() if isinstance(value, bool) else str(value))
        yield steps, f"'{shown}' is no age", "write 12h, 1d or 30d; at most a year"


def _sql(value: Any) -> Iterator[Problem]:
    if not isinstance(value, str) or not value.strip():
        yield (), "'sql' must be a query", "for example sql: select * from this where paid > amount"


def _python(value: Any) -> Iterator[Problem]:
    if not isinstance(value, str) or not _FUNCTION.fullmatch(value):
        yield (), "'python' must be a function", "write module:function, such as checks:balanced"


_FORMS: Mapping[str, Callable[[Any], Iterator[Problem]]] = {
    "rows": _rows,
    "unique": _names("unique"),
    "not_null": _names("not_null"),
    "enum": _columns("enum", "{status: [a, b]}", _enum),
    "range": _columns("range", "{amount: {min: 0}}", _range),
    "match": _columns("match", "{email: '@'}", _match),
    "references": _columns("references", "{customer_id: customers(id)}", _references),
    "fresh": _columns("fresh", "{updated: 1d}", _fresh),
    "sql": _sql,
    "python": _python,
}
