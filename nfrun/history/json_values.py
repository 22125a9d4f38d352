"""Writes values as JSON and reads them: the fields by their names, without those that have their default."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache, partial
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from nfrun.core.values import MISSING, fields, values_of

_Value = TypeVar("_Value")
# Types that `value_of` leaves as JSON has them. Its callers make a `Path` or an `OutputId` where they need one.
_PLAIN = re.compile(r"((str|int|float|bool|None|Any|Path|OutputId)( \| )?)+|Mapping\[str, (str|int|Any)\]")


def given_fields(value: Any) -> dict[str, Any]:
    """Return the fields of a value that differ from their defaults, by name."""
    kind: Any = type(value)
    defaults, values = _defaults(kind)
    items = zip(defaults.items(), values(value), strict=True)
    return {name: found for (name, default), found in items if found is not default and found != default}


@cache
def _defaults(kind: Any) -> tuple[dict[str, Any], Callable[[Any], tuple[Any, ...]]]:
    found = {
        each.name: each.default if each.default_factory is MISSING else each.default_factory() for each in fields(kind)
    }
    return found, values_of(*found)


def value_of(kind: type[_Value], found: Mapping[str, Any]) -> _Value:
    """Return the value with these fields, as JSON has them. Skips those that the class does not have."""
    of: Any = kind
    names, readers = _readers(of)
    known = {name: value for name, value in found.items() if name in names}
    for name, read in readers.items():
        if name in known:
            known[name] = read(known[name])
    return kind(**known)


@cache
def _readers(kind: type[Any]) -> tuple[frozenset[str], dict[str, Callable[[Any], Any]]]:
    types = {each.name: str(each.type) for each in fields(kind)}
    # Without most of them: to evaluate all would take 4 ms.
    others = {name: text for name, text in types.items() if not _PLAIN.fullmatch(text)}
    hints = get_type_hints(type("_", (), {"__annotations__": others, "__module__": kind.__module__}))
    found = {name: read for name, hint in hints.items() if (read := _reader(hint)) is not None}
    return frozenset(types), found


def _reader(hint: Any) -> Callable[[Any], Any] | None:
    """Return the function that makes a value of this type from JSON, None if both are the same."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is tuple:
        read = _reader(args[0]) if args[-1] is ... else None
        return tuple if read is None else lambda found: tuple([read(item) for item in found])
    if origin is Mapping:
        of_value = _reader(args[1])
        return of_value and (lambda found: {key: of_value(value) for key, value in found.items()})
    if type(None) in args:
        some = _reader(args[0])
        return some and (lambda found: None if found is None else some(found))
    if hasattr(hint, "__dataclass_fields__"):
        return partial(value_of, hint)
    return hint if isinstance(hint, type) and issubclass(hint, Enum) else None


as_json = json.JSONEncoder(check_circular=False, default=given_fields).encode
