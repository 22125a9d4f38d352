"""Gives the values of a column of Arrow as objects of Python, to be shown."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

NO_PREVIEW = "(cannot be shown)"


def values_of(column: pa.ChunkedArray) -> Sequence[object]:
    """Return the values of a column. Those that Python cannot have, such as a date of the year 20,000, are texts."""
    try:
        return list(column.to_pylist())
    except Exception:
        return [_value(scalar) for scalar in column]


def _value(scalar: pa.Scalar) -> object:
    for value in (scalar.as_py, lambda: scalar.cast("string").as_py()):
        with suppress(Exception):
            return value()
    return NO_PREVIEW
