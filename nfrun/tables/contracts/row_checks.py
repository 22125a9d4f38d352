"""Finds the rows that fail a check of values: `not_null`, `unique`, `enum`, `range`, `match` and `references`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import MAX_PREC, Context, Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from nfrun.system.units import to_seconds
from nfrun.tables.plain_arrays import held_type, is_text, plain_column, wide_type

Mask = Any  # a chunked array of bool without nulls: true where a row fails
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def null_count(column: pa.ChunkedArray) -> int:
    """Return the number of nulls, also of those that a dictionary or a run has as its value."""
    is_encoded = held_type(column.type) != column.type
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


def per_second(type_: pa.DataType) -> Fraction:
    """Return how many of the `ticks` of a type are a second."""
    if pt.is_date(type_):
        return Fraction(1, 86400) if pt.is_date32(type_) else Fraction(1000)
    return Fraction({"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[type_.unit])


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
    return _fail_unless(pc.is_in(_one_zero(counted), value_set=_one_zero(known)), counted)


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
            raise _unlike(limit, plain.type)
        part = test(counted, pa.scalar(limit, counted.type))
        within = part if within is None else pc.and_(within, part)
    if within is None:  # no column of floats, whose bounds are never beyond all values
        return pa.chunked_array([pa.repeat(False, len(column))])
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
    mine, others = _comparable(plain_column(column), plain_column(other))
    if pt.is_nested(mine.type):
        raise LiteralError(f"'references' is not for {mine.type}")
    return _fail_unless(pc.is_in(mine, value_set=pc.unique(others).drop_null()), mine)


def _comparable(first: pa.ChunkedArray, second: pa.ChunkedArray) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Return two plain columns with one type, in which equal values are equal. Raises LiteralError."""
    both = [pa.schema([("", column.type)]) for column in (first, second)]
    what = f"{first.type} cannot be compared with {second.type}"
    try:
        common = pa.unify_schemas(both, promote_options="permissive").field(0).type
    except pa.ArrowException as error:
        raise LiteralError(what) from error
    if pt.is_floating(common) and (pt.is_decimal(first.type) or pt.is_decimal(second.type)):
        raise LiteralError(what)  # several decimals may be one double
    if pt.is_decimal(common) or (pt.is_int64(common) and pa.uint64() in (first.type, second.type)):
        common = pa.decimal256(76, common.scale if pt.is_decimal(common) else 0)  # Arrow's choice is too narrow
    try:
        return _one_zero(first.cast(common)), _one_zero(second.cast(common))
    except pa.ArrowInvalid as error:  # a value does not fit: 2 ** 53 + 1 is no float, for instance
        raise LiteralError(f"{what}: {error}") from error


def _one_zero(values: Any) -> Any:
    """Return a plain column in which equal floats have equal bits: -0.0 equals 0.0, and all NaN count as one value."""
    if not pt.is_floating(values.type):
        return values
    nan = pa.scalar(math.nan, values.type)
    return pc.if_else(pc.is_nan(values), nan, pc.add(values, pa.scalar(0.0, values.type)))


def _fail_unless(holds: pa.ChunkedArray, column: pa.ChunkedArray) -> Mask:
    """Return the rows that are not null and where `holds` is false or null."""
    return pc.and_(pc.is_valid(column), pc.invert(pc.fill_null(holds, False)))


# ------------------------------------------------------------------ unique


def rows_that_agree(columns: Sequence[pa.ChunkedArray]) -> Mask:
    """Return the rows that agree with another one in all columns. Rows with a null are left out; NaN agrees with NaN.

    Raises LiteralError for columns of lists, structs and maps.
    """
    plain = [_one_zero(ticks(plain_column(column))) for column in columns]
    for column in plain:
        if pt.is_nested(column.type):
            raise LiteralError(f"'unique' is not for {column.type}")
    none = pa.chunked_array([pa.repeat(False, len(plain[0]))])
    if any(pt.is_null(column.type) or is_rising(column) for column in plain):
        return none
    names = [f"c{i}" for i in range(len(plain))]
    keys = pa.table([_as_key(column) for column in plain], names)
    valid = keys.drop_null()
    if valid.group_by(names, use_threads=False).aggregate([]).num_rows == len(valid):  # on one thread twice as fast
        return none
    rows = pa.chunked_array([pa.arange(0, len(keys))])
    groups = keys.append_column("row", rows).drop_null().group_by(names).aggregate([("row", "list"), ([], "count_all")])
    several = groups.filter(pc.greater(groups["count_all"], 1))["row_list"]
    return pc.is_in(rows, value_set=pc.list_flatten(several))


def _as_key(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column with offsets of 32 bits where these do: Arrow groups such texts ten times as fast."""
    narrow = {pa.large_string(): pa.string(), pa.large_binary(): pa.binary()}
    is_small = column.nbytes < 1 << 31
    return column.cast(narrow.get(column.type, column.type) if is_small else wide_type(column.type))


def is_rising(column: pa.ChunkedArray) -> bool:
    """Return whether each value of a column of whole numbers is greater than the one before: then none is twice."""
    if not pt.is_integer(column.type) or column.null_count:
        return False
    chunks = [chunk for chunk in column.chunks if len(chunk)]
    if not all(pc.all(pc.less(chunk[:-1], chunk[1:])).as_py() for chunk in chunks):
        return False
    return all(pc.less(one[-1], other[0]).as_py() for one, other in pairwise(chunks))


# ------------------------------------------------------------------ values of a pipeline file

# A value that no row can have, such as 1.5 in a column of whole numbers, is no error: no row equals it, and as a bound
# it lies between two values. A value of another kind, such as a text for a column of numbers, is an error.


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
    if is_text(type_) and isinstance(value, str):
        return value
    if pt.is_floating(type_):
        return _float(value, type_)
    exact, (low, high) = _units(value, type_), _limits(type_)
    if not low <= exact <= high:
        return ... if (exact > high) is upper else None
    whole = math.floor(exact) if upper else math.ceil(exact)
    return Decimal(whole).scaleb(-type_.scale, Context(prec=MAX_PREC)) if pt.is_decimal(type_) else whole


def _unlike(value: Any, type_: pa.DataType) -> LiteralError:
    shown = f"the text {value!r}" if isinstance(value, str) else str(value).lower()
    hint = ""
    if pt.is_date(type_) or pt.is_time(type_) or pt.is_timestamp(type_):
        hint = f": write it as an ISO text, such as '{'12:00:00' if pt.is_time(type_) else '2024-01-31'}'"
    return LiteralError(f"{shown} cannot be compared with {type_}{hint}")


def _number(value: Any, type_: pa.DataType) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unlike(value, type_)
    return value


def _units(value: Any, type_: pa.DataType) -> Fraction | float:
    """Return the value as an exact number of the least units of the type, or an infinity."""
    if is_temporal(type_):
        return _seconds(value, type_) * per_second(type_)
    if not (pt.is_integer(type_) or pt.is_decimal(type_)) or math.isnan(_number(value, type_)):
        raise _unlike(value, type_)
    if value in (math.inf, -math.inf):
        return float(value)
    return Fraction(repr(value)) * Fraction(10) ** (type_.scale if pt.is_decimal(type_) else 0)


def _seconds(value: Any, type_: pa.DataType) -> Fraction:
    """Return the seconds of a duration or since midnight, or those since 1970."""
    try:
        if pt.is_duration(type_):
            return Fraction(to_seconds(value))
        at = datetime.fromisoformat(f"1970-01-01T{value}" if pt.is_time(type_) else value)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise _unlike(value, type_) from error
    if at.tzinfo is not None and not (pt.is_timestamp(type_) and type_.tz):
        raise LiteralError(f"'{value}' has a time zone, and {type_} has none")
    return Fraction(((at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND, 10**6)


def _limits(type_: pa.DataType) -> tuple[int, int]:
    if pt.is_decimal(type_):
        return 1 - 10**type_.precision, 10**type_.precision - 1
    bits = type_.bit_width
    return (0, 2**bits - 1) if pt.is_unsigned_integer(type_) else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _float(value: Any, type_: pa.DataType) -> float:
    try:
        return float(pa.scalar(float(_number(value, type_)), type_).as_py())
    except OverflowError:
        return math.inf if value > 0 else -math.inf
