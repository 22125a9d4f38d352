"""Describes the columns of a table: nulls, distinct values, a histogram or the most frequent values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from nfrun.tables.json_values import is_bytes, json_form, json_values

_BINS, _MOST_BINS = 16, 32  # so many if each has one whole number
_TOP = 6
_LONGEST_TEXT = 80  # characters of a value
_EXACT = 2**53  # whole numbers beyond it are not exact in JavaScript
_MANY_DISTINCT = 0.9  # share of the values from which on the most frequent ones say nothing


def column_of(name: str, column: pa.ChunkedArray) -> dict[str, Any]:
    """Describe a column as JSON values. What cannot be computed of its type is left out."""
    found: dict[str, Any] = {"name": name, "nulls": column.null_count}
    with suppress(pa.ArrowException, ValueError, OverflowError):
        found |= _values_of(column)
    return found


def shown_values(column: pa.ChunkedArray) -> list[Any]:
    """Return the values of a column as JSON values that are short: numbers, texts, true, false and null."""
    if pt.is_floating(column.type):
        return [None if value is None else _number(value) for value in column.to_pylist()]
    try:
        form = json_form(column.type)
        found = [value for chunk in column.chunks for value in json_values(chunk, form)]
    except (pa.ArrowException, ValueError, OverflowError):
        found = [str(scalar) if scalar.is_valid else None for scalar in column]
    return [_short(value) for value in found]


def _values_of(column: pa.ChunkedArray) -> dict[str, Any]:
    kind = column.type
    if pt.is_dictionary(kind):
        return _values_of(column.cast(kind.value_type))
    if pt.is_nested(kind) or pt.is_null(kind) or is_bytes(kind) or isinstance(kind, pa.BaseExtensionType):
        return {}
    distinct = pc.count_distinct(column).as_py()
    if _is_counted(kind) or (pt.is_integer(kind) and distinct <= _TOP):
        return {"distinct": distinct, **_top(column, distinct)}
    numbers = _numbers(column)
    return {"distinct": distinct, **({} if numbers is None else _histogram(column, numbers))}


def _is_counted(kind: pa.DataType) -> bool:
    return bool(pt.is_boolean(kind) or pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind))


def _top(column: pa.ChunkedArray, distinct: int) -> dict[str, Any]:
    """Return the most frequent values, each with its count; none if nearly all values differ."""
    if distinct > _TOP and distinct > _MANY_DISTINCT * (len(column) - column.null_count):
        return {}
    counted = pc.value_counts(column.combine_chunks() if pt.is_string_view(column.type) else column)
    values, counts = counted.field(0), counted.field(1)
    keep = pc.is_valid(values)
    values, counts = values.filter(keep), counts.filter(keep)
    order = pc.select_k_unstable(counts, _TOP, sort_keys=[("not used", "descending")])
    shown = shown_values(pa.chunked_array([values.take(order)]))
    return {"top": [list(pair) for pair in zip(shown, counts.take(order).to_pylist(), strict=True)]}


def _numbers(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Return the values as doubles that can be put into bins; None if the type has no such numbers."""
    kind = column.type
    if pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind):
        numbers = column.cast(pa.float64(), safe=False)
    elif pt.is_date(kind) or pt.is_timestamp(kind) or pt.is_duration(kind) or pt.is_time(kind):
        whole = pa.int32() if kind.bit_width == 32 else pa.int64()
        numbers = column.cast(whole).cast(pa.float64(), safe=False)
    else:
        return None
    numbers = numbers.drop_null()
    return numbers.filter(pc.is_finite(numbers))


def _histogram(column: pa.ChunkedArray, numbers: pa.ChunkedArray) -> dict[str, Any]:
    """Return how many values lie in bins of equal width, with the edges of the bins: the last one is the largest value.

    Bins of whole numbers, and of dates and times, have a whole width, so that none has more of them than others.
    """
    if not len(numbers):
        return {}
    ends = pc.min_max(numbers).as_py()
    low, high = ends["min"], ends["max"]
    kind, has_fractions = column.type, pt.is_floating(column.type) or pt.is_decimal(column.type)
    if low == high or not math.isfinite(high - low):
        return {"histogram": {"edges": _edges(kind, [low, high]), "counts": [len(numbers)]}}
    if has_fractions:
        bins, width = _BINS, (high - low) / _BINS
    else:
        width = 1.0 if high - low < _MOST_BINS else float(-(-(high - low + 1) // _BINS))
        bins = int((high - low) // width) + 1
    places = pc.min_element_wise(pc.floor(pc.divide(pc.subtract(numbers, low), width)), float(bins - 1))
    counts = [0] * bins
    for pair in pc.value_counts(places).to_pylist():
        counts[max(0, int(pair["values"]))] += pair["counts"]
    return {"histogram": {"edges": _edges(kind, [low + i * width for i in range(bins)] + [high]), "counts": counts}}


def _edges(kind: pa.DataType, edges: list[float]) -> list[Any]:
    """Return the edges of bins as numbers, and those of dates and times as texts."""
    if pt.is_floating(kind) or pt.is_decimal(kind):
        return [float(f"{edge:.10g}") for edge in edges]
    if pt.is_integer(kind):
        return [int(edge) for edge in edges]
    whole = pa.array([round(edge) for edge in edges], pa.int32() if kind.bit_width == 32 else pa.int64())
    return shown_values(pa.chunked_array([whole.cast(kind)]))


def _short(value: Any) -> Any:
    if isinstance(value, bool) or value is None or (isinstance(value, int) and abs(value) < _EXACT):
        return value
    if isinstance(value, float):
        return value
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"


def _number(value: float) -> float | str:
    """Return a float with the digits that are shown. One that JSON does not have is a text."""
    if math.isfinite(value):
        return float(f"{value:.10g}")
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def columns_of(table: pa.Table, most: int) -> Iterator[dict[str, Any]]:
    """Yield what `column_of` returns of the first columns of a table."""
    for i, name in enumerate(table.column_names[:most]):
        yield column_of(name, table.column(i))
