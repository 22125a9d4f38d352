"""Makes values of a Python program to those that a pipeline file can have."""

from __future__ import annotations

import datetime
import math
import os
from collections.abc import Callable, Mapping
from typing import Any

from nfrun.core.errors import UsageError
from nfrun.core.text import ellipsize


def plain_value(value: Any, written: Callable[[Any], Any] = lambda value: value) -> Any:
    """Return a value as a file has it: dicts, lists, texts, numbers, booleans and null.

    Tuples become lists, paths texts, and dates texts as in ISO 8601. `written(value)` returns what a file has for an
    object. Raises ValueError for other values.
    """
    value = written(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if value.encode(errors="ignore").decode() != value:
            raise ValueError("a text with bytes that are not UTF-8")
        return str(value)
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise ValueError(f"{ellipsize(str(value))}, an integer that does not fit in 64 bits")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value}, which is no number that a file can have")
        return float(value)
    if isinstance(value, datetime.date | datetime.time):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        if wrong := next((key for key in value if not isinstance(key, str)), None):
            raise ValueError(f"a mapping with the key {ellipsize(repr(wrong))}, which is no text")
        return {str(key): plain_value(item, written) for key, item in value.items()}
    if isinstance(value, list | tuple | range):
        return [plain_value(item, written) for item in value]
    raise ValueError(f"{ellipsize(repr(value), 60)}, a {type(value).__name__}")


def plain_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of parameters. Raises UsageError."""
    if not isinstance(params, Mapping):
        raise UsageError(f"{ellipsize(repr(params), 60)} is no mapping of names to values", "--param")
    found = {}
    for name, value in params.items():
        if not isinstance(name, str):
            raise UsageError(f"{ellipsize(repr(name), 60)} is no name of a parameter", "--param")
        try:
            found[name] = plain_value(value)
        except ValueError as error:
            raise UsageError(f"a file cannot have the value of '{name}': it is {error}", "--param") from None
    return found
