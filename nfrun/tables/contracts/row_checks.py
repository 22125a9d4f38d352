"""Finds the rows that fail a check of values: `not_null`, `unique`, `enum`, `range`, `match` and `references`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import reduce
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
    counted = _countable(plain)
    known = [_literal(value, plain.type, counted.type).as_py() for value in values if value is not None]
    wanted = pa.array(known, counted.type)
    return _fail_unless(pc.is_in(_one_zero(counted), value_set=_one_zero(wanted)), counted)


def rows_outside(column: pa.ChunkedArray, limits: Mapping[str, Any]) -> Mask:
    """Return the rows below `min` or above `max`, and those that are NaN. Raises LiteralError."""
    plain = plain_column(column)
    counted = _countable(plain)
    tests = {"min": pc.greater_equal, "max": pc.less_equal}
    parts = [tests[key](counted, _literal(limit, plain.type, counted.type)) for key, limit in limits.items()]
    return _fail_unless(reduce(pc.and_, parts), counted)


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


class LiteralError(ValueError):
    """A value of the file cannot be compared with a column."""


def _countable(plain: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a plain column with its `ticks` in the widest type of its kind, which has more values of a file."""
    counted = ticks(plain)
    kind = counted.type
    if pt.is_decimal(kind):
        return counted.cast(pa.decimal256(76, kind.scale) if pt.is_decimal256(kind) else pa.decimal128(38, kind.scale))
    return counted.cast(pa.int64()) if pt.is_integer(kind) and not pt.is_uint64(kind) else counted


def _literal(value: Any, type_: pa.DataType, counted: pa.DataType) -> pa.Scalar:
    """Return a value of the file as one of a plain column of this type, and of its `_countable` one.

    Raises LiteralError for a value that no row of the column can have, such as 1.5 among whole numbers, or a text.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        if is_temporal(type_):
            units = _seconds(value, type_) * per_second(type_)
            if units.denominator == 1:
                return pa.scalar(int(units), counted)
        elif pt.is_floating(type_) and is_number:
            return pa.scalar(float(value), counted)
        elif pt.is_decimal(type_) and is_number:
            return pa.scalar(Decimal(repr(value)), counted)
        elif pt.is_integer(type_) and is_number and value == int(value):
            return pa.scalar(int(value), counted)
        elif (pt.is_boolean(type_) and isinstance(value, bool)) or (is_text(type_) and isinstance(value, str)):
            return pa.scalar(value, counted)
    except (ValueError, OverflowError) as error:  # it does not fit: ArrowInvalid is a ValueError
        if isinstance(error, LiteralError):
            raise
    raise _unlike(value, type_)


def _unlike(value: Any, type_: pa.DataType, hint: str = "") -> LiteralError:
    shown = f"the text {value!r}" if isinstance(value, str) else str(value).lower()
    return LiteralError(f"{shown} cannot be compared with {type_}{hint}")


def _seconds(value: Any, type_: pa.DataType) -> Fraction:
    """Return the seconds of a duration or since midnight, or those since 1970."""
    try:
        if pt.is_duration(type_):
            return Fraction(to_seconds(value))
        at = datetime.fromisoformat(f"1970-01-01T{value}" if pt.is_time(type_) else value)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        hint = f": write it as an ISO text, such as '{'12:00:00' if pt.is_time(type_) else '2024-01-31'}'"
        raise _unlike(value, type_, "" if pt.is_duration(type_) else hint) from error
    if at.tzinfo is not None and not (pt.is_timestamp(type_) and type_.tz):
        raise LiteralError(f"'{value}' has a time zone, and {type_} has none")
    return Fraction(((at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND, 10**6)
