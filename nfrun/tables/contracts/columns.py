"""Gives columns a plain form for checks, and turns values of a pipeline file into values of a column.

A value that no row can have, such as 1.5 in a column of whole numbers, is no error: no row equals it, and as a bound it
lies between two values. A value of another kind, such as a text for a column of numbers, is an error.
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from nfrun.tables.plain_arrays import held_type

PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def plain_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the same values in a type that Arrow's functions take."""
    type_ = column.type
    while isinstance(type_, pa.BaseExtensionType):
        type_ = type_.storage_type
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], type_)
    if pt.is_run_end_encoded(type_):
        chunks = [pc.run_end_decode(chunk) for chunk in column.chunks]
        return plain_column(pa.chunked_array(chunks, type_.value_type))
    if pt.is_dictionary(type_):
        return plain_column(column.cast(type_.value_type))
    if pt.is_string_view(type_):
        return column.cast(pa.large_string())
    if pt.is_binary_view(type_):
        return column.cast(pa.large_binary())
    return column.cast(pa.float32()) if pt.is_float16(type_) else column


def null_count(column: pa.ChunkedArray) -> int:
    """Return the number of nulls, also of those that a dictionary or a run has as its value."""
    is_encoded = held_type(column.type) is not column.type
    return int((plain_column(column) if is_encoded else column).null_count)


def ticks(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a plain column of dates, times or durations as whole numbers of its unit, other columns as they are."""
    type_ = column.type
    if pt.is_date32(type_) or pt.is_time32(type_):
        return column.cast(pa.int32())
    return column.cast(pa.int64()) if is_temporal(type_) else column


def is_temporal(type_: pa.DataType) -> bool:
    """Return whether values are points or spans of time, which Arrow keeps as whole numbers."""
    return bool(pt.is_date(type_) or pt.is_time(type_) or pt.is_timestamp(type_) or pt.is_duration(type_))


def is_text(type_: pa.DataType) -> bool:
    """Return whether a plain column has texts."""
    return bool(pt.is_string(type_) or pt.is_large_string(type_))


# ------------------------------------------------------------------ values of a pipeline file


class LiteralError(ValueError):
    """A value of the file cannot be compared with a column."""


def equal_value(value: Any, type_: pa.DataType) -> Any:
    """Return what equals the value in a plain column with its `ticks`, None if no row can. Raises LiteralError."""
    if pt.is_boolean(type_) and isinstance(value, bool):
        return value
    if pt.is_floating(type_):
        return _float(value, type_)
    least, greatest = (bound(value, type_, upper=upper) for upper in (False, True))
    return least if least == greatest else None  # a value between two others has two bounds


def bound(value: Any, type_: pa.DataType, *, upper: bool) -> Any:
    """Return the bound of a range as a value of a plain column with its `ticks`.

    The least value at or above a lower bound, the greatest at or below an upper one; None if no row is within, and
    `...` if the bound is beyond all values of the type. Raises LiteralError.
    """
    if is_temporal(type_) or pt.is_integer(type_):
        exact = _exact(value, type_)
        if exact is None:
            return _infinite(value, upper=upper)
        whole = math.floor(exact) if upper else math.ceil(exact)
        low, high = _limits(type_)
        return _clipped(whole, low, high, upper=upper)
    if pt.is_decimal(type_):
        if isinstance(value, float) and math.isinf(value):
            return _infinite(value, upper=upper)
        rounded = _decimal(value, type_, ROUND_FLOOR if upper else ROUND_CEILING)
        return rounded if _fits(rounded, type_) else _clipped(rounded, 0, 0, upper=upper)
    if pt.is_floating(type_):
        return _float(value, type_)
    if is_text(type_) and isinstance(value, str):
        return value
    raise _unlike(value, type_)


def _clipped(value: Any, low: int, high: int, *, upper: bool) -> Any:
    if low <= value <= high:
        return value
    return ... if (value > high) is upper else None


def _infinite(value: float, *, upper: bool) -> Any:
    return ... if (value > 0) is upper else None


def _unlike(value: Any, type_: pa.DataType) -> LiteralError:
    shown = (
        f"the text {value!r}"
        if isinstance(value, str)
        else f"{str(value).lower() if value in (True, False) else value}"
    )
    return LiteralError(f"{shown} cannot be compared with {type_}")


def _exact(value: Any, type_: pa.DataType) -> Fraction | None:
    """Return the value as an exact number of the units of the type, None for an infinity."""
    if is_temporal(type_):
        return _exact_ticks(value, type_)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unlike(value, type_)
    if isinstance(value, float) and not math.isfinite(value):
        if math.isnan(value):
            raise LiteralError("nan is no bound and no value of a column of whole numbers")
        return None
    return Fraction(value)


def _exact_ticks(value: Any, type_: pa.DataType) -> Fraction:
    if pt.is_duration(type_):
        from nfrun.system.units import to_seconds

        try:
            return Fraction(to_seconds(value)) * PER_SECOND[type_.unit]
        except (ValueError, TypeError, OverflowError) as error:
            raise _unlike(value, type_) from error
    if not isinstance(value, str):
        raise LiteralError(f"{value} cannot be compared with {type_}: write it as an ISO text, in quotes")
    try:
        if pt.is_date(type_):
            days = (date.fromisoformat(value) - date(1970, 1, 1)).days
            return Fraction(days if pt.is_date32(type_) else days * 86_400_000)
        if pt.is_time(type_):
            at = time.fromisoformat(value)
            span = timedelta(hours=at.hour, minutes=at.minute, seconds=at.second, microseconds=at.microsecond)
        else:
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is not None and type_.tz is None:
                raise LiteralError(f"'{value}' has a time zone, and {type_} has none")
            span = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
    except LiteralError:
        raise
    except ValueError as error:
        example = (
            {"d": "2024-01-31", "t": "2024-01-31T12:00:00"}[str(type_)[0]] if not pt.is_time(type_) else "12:00:00"
        )
        raise LiteralError(f"'{value}' is not an ISO text for {type_}, such as '{example}'") from error
    return Fraction(span // _MICROSECOND * PER_SECOND[type_.unit], 10**6)


def _limits(type_: pa.DataType) -> tuple[int, int]:
    bits = type_.bit_width
    return (0, 2**bits - 1) if pt.is_unsigned_integer(type_) else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _exact_decimal(value: Any, type_: pa.DataType) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unlike(value, type_)
    return Decimal(repr(value))  # 0.1 is a tenth here, as in the file


def _decimal(value: Any, type_: pa.DataType, rounding: str) -> Decimal:
    exact = _exact_decimal(value, type_)
    if not exact.is_finite():
        return Decimal("Infinity")
    from decimal import Context

    return exact.quantize(Decimal(1).scaleb(-type_.scale), rounding, Context(prec=400))


def _fits(value: Decimal, type_: pa.DataType) -> bool:
    return value.is_finite() and len(value.as_tuple().digits) <= type_.precision


def _float(value: Any, type_: pa.DataType) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unlike(value, type_)
    try:
        return float(pa.scalar(float(value), type_).as_py())
    except OverflowError:
        return math.inf if value > 0 else -math.inf
