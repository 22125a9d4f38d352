"""Finds the rows that fail a check of single values: `not_null`, `enum`, `range`, `match` and `references`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from nfrun.tables.contracts.columns import is_text, plain_column, ticks
from nfrun.tables.contracts.literals import LiteralError, bound, equal_value

Mask = Any  # a chunked array of bool without nulls: true where a row fails


def null_rows(column: pa.ChunkedArray) -> Mask:
    """Return the rows with a null."""
    return pc.is_null(plain_column(column))


def rows_not_in(column: pa.ChunkedArray, values: Sequence[Any]) -> Mask:
    """Return the rows that are neither null nor one of the values. Raises LiteralError."""
    plain = plain_column(column)
    if pt.is_nested(plain.type):
        raise LiteralError(f"'enum' is not for {plain.type}")
    found = [equal_value(value, plain.type) for value in values if value is not None]
    counted = ticks(plain)
    known = pa.array([value for value in found if value is not None], counted.type)
    if pt.is_floating(counted.type):
        counted, known = _one_zero(counted), _one_zero(known)
    return _fail_unless(pc.is_in(counted, value_set=known), counted)


def rows_outside(column: pa.ChunkedArray, limits: Mapping[str, Any]) -> Mask:
    """Return the rows below `min` or above `max`, and those that are NaN. Raises LiteralError."""
    plain = plain_column(column)
    counted = ticks(plain)
    within: Any = None
    for key, test in (("min", pc.greater_equal), ("max", pc.less_equal)):
        if key not in limits:
            continue
        limit = bound(limits[key], plain.type, upper=key == "max")
        if limit is None:
            return pc.is_valid(counted)
        if limit is ...:
            continue
        if isinstance(limit, float) and math.isnan(limit):
            raise LiteralError("nan is no bound")
        part = test(counted, pa.scalar(limit, counted.type))
        within = part if within is None else pc.and_(within, part)
    if within is None:
        return pc.and_(pc.is_valid(counted), _is_nan(counted))
    return _fail_unless(within, counted)


def rows_unlike(column: pa.ChunkedArray, pattern: str) -> Mask:
    """Return the rows that are not null and in which the regular expression (RE2) does not match.

    Raises LiteralError if the column has no texts, or the pattern is not valid.
    """
    plain = plain_column(column)
    if not is_text(plain.type):
        raise LiteralError(f"'match' is for texts, and not for {plain.type}")
    try:
        return _fail_unless(pc.match_substring_regex(plain, pattern), plain)
    except pa.ArrowInvalid as error:
        raise LiteralError(f"{pattern!r} is not a regular expression of RE2: {error}") from error


def rows_without_match(column: pa.ChunkedArray, other: pa.ChunkedArray) -> Mask:
    """Return the rows that are not null and whose value is not in the other column. Raises LiteralError."""
    mine, others = comparable(plain_column(column), plain_column(other))
    if pt.is_nested(mine.type):
        raise LiteralError(f"'references' is not for {mine.type}")
    return _fail_unless(pc.is_in(mine, value_set=pc.unique(others).drop_null()), mine)


def comparable(first: pa.ChunkedArray, second: pa.ChunkedArray) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Return two plain columns with one type, in which equal values are equal. Raises LiteralError."""
    if pt.is_null(first.type) or pt.is_null(second.type):
        common = second.type if pt.is_null(first.type) else first.type
        return first.cast(common), second.cast(common)
    common = _common_type(first.type, second.type)
    if common is None:
        raise LiteralError(f"{first.type} cannot be compared with {second.type}")
    try:
        first, second = first.cast(common), second.cast(common)
    except pa.ArrowInvalid as error:  # a value does not fit: 2 ** 53 + 1 is no float, for instance
        raise LiteralError(f"{first.type} cannot be compared with {second.type}: {error}") from error
    return (_one_zero(first), _one_zero(second)) if pt.is_floating(common) else (first, second)


def _common_type(first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
    if first.equals(second):
        return first
    if is_text(first) and is_text(second):
        return pa.large_string()
    if pt.is_integer(first) and pt.is_integer(second):
        wide = pt.is_uint64(first) or pt.is_uint64(second)
        return pa.decimal128(20, 0) if wide else pa.int64()
    numbers = [t for t in (first, second) if pt.is_floating(t) or pt.is_integer(t)]
    if len(numbers) == 2:
        return pa.float64()
    exact = [t for t in (first, second) if pt.is_decimal(t) or pt.is_integer(t)]
    if len(exact) == 2:
        scale = max(t.scale for t in exact if pt.is_decimal(t))
        digits = max(t.precision - t.scale if pt.is_decimal(t) else 20 for t in exact)
        return pa.decimal256(digits + scale, scale) if digits + scale <= 76 else None
    if pt.is_timestamp(first) and pt.is_timestamp(second) and (first.tz is None) is (second.tz is None):
        order = ("s", "ms", "us", "ns")
        return pa.timestamp(max(first.unit, second.unit, key=order.index), first.tz)
    return pa.date32() if pt.is_date(first) and pt.is_date(second) else None


def _one_zero(values: Any) -> Any:
    """Return floats with one zero and one NaN, since -0.0 equals 0.0, and all NaN count as one value."""
    nan = pa.scalar(math.nan, values.type)
    return pc.if_else(pc.is_nan(values), nan, pc.add(values, pa.scalar(0.0, values.type)))


def one_zero(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a plain column in which equal floats have equal bits."""
    return _one_zero(column) if pt.is_floating(column.type) else column


def _is_nan(column: pa.ChunkedArray) -> Mask:
    if pt.is_floating(column.type):
        return pc.fill_null(pc.is_nan(column), False)
    return pa.chunked_array([pa.repeat(False, len(column))])


def _fail_unless(holds: pa.ChunkedArray, column: pa.ChunkedArray) -> Mask:
    """Return the rows that are not null and where `holds` is false or null."""
    return pc.and_(pc.is_valid(column), pc.invert(pc.fill_null(holds, False)))
