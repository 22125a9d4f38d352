"""Makes values of a Python program to those that a pipeline file can have."""

from __future__ import annotations

import datetime
import math
import os
from collections.abc import Callable, Mapping
from typing import Any

from nfrun.core.errors import UsageError
from nfrun.core.text import ellipsize
from nfrun.nodes.returned_tables import a_


class NotPlain(ValueError):
    """A file cannot have a value. The text says what it is; `keys` lead to it from the outer value."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.keys: tuple[str, ...] = ()


def plain_value(value: Any, written: Callable[[Any], Any] = lambda value: value) -> Any:
    """Return a value as a file has it: dicts, lists, texts, numbers, booleans and null.

    Tuples become lists, paths texts, and dates texts as in ISO 8601. `written(value)` returns what a file has for an
    object. Raises NotPlain for other values.
    """
    value = written(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if value.encode(errors="ignore").decode() != value:
            raise NotPlain("a text with bytes that are not UTF-8")
        return str(value)
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise NotPlain(f"{ellipsize(str(value))}, an integer that does not fit in 64 bits")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NotPlain(f"{value}, which is no number that a file can have")
        return float(value)
    if isinstance(value, datetime.date | datetime.time):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        if wrong := next((key for key in value if not isinstance(key, str)), None):
            raise NotPlain(f"a mapping with the key {ellipsize(repr(wrong))}, which is no text")
        return {str(key): _inner(str(key), item, written) for key, item in value.items()}
    if isinstance(value, list | tuple | range):
        return [_inner(str(i), item, written) for i, item in enumerate(value)]
    raise NotPlain(f"{ellipsize(repr(value), 60)}, {a_(value)}")


def _inner(key: str, value: Any, written: Callable[[Any], Any]) -> Any:
    try:
        return plain_value(value, written)
    except NotPlain as error:
        error.keys = (key, *error.keys)
        raise


def plain_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of parameters. Raises UsageError."""
    if not isinstance(params, Mapping):
        raise UsageError(f"{ellipsize(repr(params), 60)} is no mapping of names to values", "--param")
    if wrong := [name for name in params if not isinstance(name, str)]:
        raise UsageError(f"{ellipsize(repr(wrong[0]), 60)} is no name of a parameter", "--param")
    try:
        return {name: _inner(name, value, lambda value: value) for name, value in params.items()}
    except NotPlain as error:
        what = f"a file cannot have the value of '{'.'.join(error.keys)}': it is {error}"
        raise UsageError(what, "--param") from None
