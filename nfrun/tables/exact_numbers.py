"""Finds the type that holds whole numbers past 64 bits as they are, where Arrow guesses doubles."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pyarrow as pa
import pyarrow.types as pt

_EXACT = float(1 << 53)  # up to here, a double holds each whole number
_DIGITS = 38  # of a decimal128


def may_be_inexact(column: pa.ChunkedArray) -> bool:
    """Return whether a column has doubles that stand for several whole numbers."""
    import pyarrow.compute as pc

    if not pt.is_float64(column.type):
        return False
    found = pc.min_max(column).as_py()
    return found["min"] is not None and max(-found["min"], found["max"]) >= _EXACT


def check_doubles(columns: Sequence[pa.ChunkedArray]) -> None:
    """Raise ArrowInvalid for decimals that are not read as doubles, since others would become the same."""
    import pyarrow.compute as pc

    for column in columns:
        if pt.is_decimal128(column.type) and (pc.max(pc.abs(column.cast(pa.float64()))).as_py() or 0) >= _EXACT:
            raise pa.ArrowInvalid("a decimal is larger than whole numbers in doubles")


def exact(texts: pa.ChunkedArray, doubles: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return numbers that are given as texts: the doubles that Arrow makes of them, unless one is another number.

    Then they are uint64, or decimals, or else texts. A number with an exponent is a double, and counts as one.
    """
    import pyarrow.compute as pc

    large = pc.fill_null(pc.greater_equal(pc.abs(doubles), _EXACT), False)
    if not any(_is_other(text) for text in texts.filter(large).to_pylist()):
        return doubles
    numbers = pc.ascii_trim_whitespace(texts)
    point = pc.find_substring(numbers, ".")
    length = pc.binary_length(numbers)
    scale = pc.max(pc.if_else(pc.less(point, 0), 0, pc.subtract(pc.subtract(length, point), 1))).as_py()
    whole = pc.max(pc.if_else(pc.less(point, 0), length, point)).as_py()
    if whole + scale > _DIGITS:  # Arrow would cut it
        return texts
    for type_ in ([pa.uint64()] if not scale else []) + [pa.decimal128(_DIGITS, scale)]:
        try:
            return numbers.cast(type_)
        except pa.ArrowInvalid:
            continue
    return texts


def _is_other(text: str) -> bool:
    """Return whether the double that is nearest to a number is written otherwise, so that others become the same."""
    return "e" not in text.lower() and Decimal(text.strip()) != Decimal(repr(float(text)))
