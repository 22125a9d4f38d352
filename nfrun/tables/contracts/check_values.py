"""Checks the values of checks as a pipeline file has them. Only a regular expression needs pyarrow."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nfrun.system.units import parse_duration

Steps = tuple[str | int, ...]
Problem = tuple[Steps, str, str]  # the steps from the value of the check, the message and the hint

_REFERENCE = re.compile(r"\s*([A-Za-z][\w-]*(?:\.[A-Za-z_]\w*)?)\s*\(\s*([^()]*[^()\s])\s*\)\s*", re.ASCII)
_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)


def value_problems(kind: str, value: Any) -> Iterator[Problem]:
    """Yield the problems of the value of a check, which holds no expressions."""
    wanted, hint, is_right = _FORMS[kind]
    if kind not in _OF_COLUMNS:
        if not is_right(value):
            yield (), f"'{kind}' must be {wanted}", hint
    elif not isinstance(value, Mapping) or not value:
        yield (), f"'{kind}' must be a mapping of columns", hint
    else:
        for name, item in value.items():
            if not is_right(item):
                yield (name,), f"each column under '{kind}' must have {wanted}", hint


def reference_of(text: str) -> tuple[str, str]:
    """Return the output and the column of `node(column)`. Raises ValueError for another text."""
    found = _REFERENCE.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return found[1], found[2]


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_rows(value: Any) -> bool:
    return _is_count(value) or (_is_range(value) and all(map(_is_count, value.values())))


def _is_range(value: Any) -> bool:
    if not isinstance(value, Mapping) or not value or not value.keys() <= {"min", "max"}:
        return False
    first, *_ = limits = list(value.values())
    are_numbers = all(isinstance(limit, int | float) and not isinstance(limit, bool) for limit in limits)
    are_of_one_kind = are_numbers or all(isinstance(limit, str) for limit in limits)
    return are_of_one_kind and bool(value.get("min", first) <= value.get("max", first))


def _are_names(value: Any) -> bool:
    names = [value] if isinstance(value, str) else value
    is_list = isinstance(names, list) and all(isinstance(name, str) and name for name in names)
    return is_list and 0 < len(names) == len(set(names))


def _are_values(value: Any) -> bool:
    return isinstance(value, list) and not any(isinstance(item, list | Mapping) for item in value)


def _is_pattern(value: Any) -> bool:
    if not isinstance(value, str) or not value:
        return False
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        pc.match_substring_regex(pa.array([""]), value)
    except pa.ArrowInvalid:
        return False
    return True


def _is_age(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and parse_duration(str(value)) > 0
    except ValueError:
        return False


def _is_text_like(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


_NAMES = "a column, or a list of different columns"
_OF_COLUMNS = ("enum", "range", "match", "references", "fresh")  # whose value has one of this form for each column
# By check: what its value must be, a hint, and whether a value is so.
_FORMS: Mapping[str, tuple[str, str, Callable[[Any], bool]]] = {
    "rows": ("a whole number, or {min, max} with min <= max", "for example rows: 5, or rows: {min: 1}", _is_rows),
    "unique": (_NAMES, "for example unique: [a, b]", _are_names),
    "not_null": (_NAMES, "for example not_null: [a, b]", _are_names),
    "enum": ("a list of texts, numbers, true or false", "for example enum: {status: [a, b]}", _are_values),
    "range": (
        "min or max, or both with min <= max, as numbers or ISO texts",
        "for example range: {amount: {min: 0, max: 100}}",
        _is_range,
    ),
    "match": ("a regular expression of RE2", "for example match: {email: '^[^@]+@[^@]+$'}", _is_pattern),
    "references": ("a column of a node", "write node(column), such as customers(id)", _is_text_like(_REFERENCE)),
    "fresh": ("an age, at most a year", "write 12h, 1d or 30d", _is_age),
    "sql": (
        "a query",
        "for example sql: select * from this where paid > amount",
        _is_text_like(re.compile(r"(?s).*\S.*")),
    ),
    "python": ("a function", "write module:function, such as checks:balanced", _is_text_like(_FUNCTION)),
}
