"""Describes the columns of a table: nulls, distinct values, a histogram or the most frequent values."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from nfrun.tables.json_values import is_bytes, json_form, json_values
from nfrun.tables.python_values import values_of

_BINS, _MOST_BINS = 16, 32  # so many if each has one whole number
_TOP = 6
_LONGEST_TEXT = 80  # characters of a value
_EXACT = 10**15  # whole numbers with as many digits are shown as they are in browsers
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
        found = [None if value is None else str(value) for value in values_of(column)]
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
    if pt.is_floating(kind):
        return {"distinct": distinct, **_floats(column)}
    if pt.is_decimal(kind):
        return {"distinct": distinct, **_decimals(column)}
    numbers = _whole_numbers(column)
    return {"distinct": distinct, **({} if numbers is None else _histogram_of_whole(numbers, _edge_maker(kind)))}


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


def _floats(column: pa.ChunkedArray) -> dict[str, Any]:
    """Return the histogram of floats, and how many of them are no numbers or infinite."""
    numbers = column.cast(pa.float64(), safe=False).drop_null()
    finite = numbers.filter(pc.is_finite(numbers))
    nan = pc.sum(pc.is_nan(numbers)).as_py() or 0
    infinite = len(numbers) - len(finite) - nan
    found = {name: count for name, count in (("nan", nan), ("infinite", infinite)) if count}
    if not len(finite):
        return found
    ends = pc.min_max(finite).as_py()
    low, high = ends["min"], ends["max"]
    width = (high - low) / _BINS
    if not 0 < width < math.inf or low + width == low:
        edges, counts = [low, high], [len(finite)]
    else:
        places = pc.min_element_wise(pc.floor(pc.divide(pc.subtract(finite, low), width)), float(_BINS - 1))
        edges, counts = [low + i * width for i in range(_BINS)] + [high], _counted(places, _BINS)
    return {**found, "histogram": {"edges": [float(f"{edge:.10g}") for edge in edges], "counts": counts}}


def _whole_numbers(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Return whole numbers, dates and times as the integers that they are; None of other types."""
    kind = column.type
    if pt.is_integer(kind):
        return column.drop_null().cast(pa.uint64() if pt.is_uint64(kind) else pa.int64())
    if pt.is_date(kind) or pt.is_timestamp(kind) or pt.is_duration(kind) or pt.is_time(kind):
        return column.drop_null().cast(pa.int32() if kind.bit_width == 32 else pa.int64()).cast(pa.int64())
    return None


def _histogram_of_whole(numbers: pa.ChunkedArray, edge_of: Callable[[int], Any]) -> dict[str, Any]:
    """Return how many integers lie in bins of equal whole width, so that no bin has more of them than others.

    The last edge is the largest of them. `edge_of` makes an edge of the integer where a bin begins.
    """
    if not len(numbers):
        return {}
    ends = pc.min_max(numbers).as_py()
    low, high = ends["min"], ends["max"]
    width = 1 if high - low < _MOST_BINS else -(-(high - low + 1) // _BINS)
    bins = (high - low) // width + 1
    # The difference of two int64 may be larger than one: it wraps, and is right as a uint64.
    offsets = pc.subtract(numbers, pa.scalar(low, numbers.type))
    offsets = pa.chunked_array([chunk.view(pa.uint64()) for chunk in offsets.chunks], pa.uint64())
    counts = _counted(pc.divide(offsets, pa.scalar(width, pa.uint64())), bins)
    return {"histogram": {"edges": [*(edge_of(low + i * width) for i in range(bins)), edge_of(high)], "counts": counts}}


def _decimals(column: pa.ChunkedArray) -> dict[str, Any]:
    """Return the histogram of decimals, whose digits may be more than Arrow's numbers have."""
    scale = column.type.scale
    found = [int(value.scaleb(scale)) for value in column.drop_null().to_pylist()]
    low, high = (min(found), max(found)) if found else (0, 0)
    width = max(1, -(-(high - low + 1) // _BINS))
    bins = (high - low) // width + 1
    counts = Counter((value - low) // width for value in found)
    edges = [str(Decimal(edge).scaleb(-scale)) for edge in [*(low + i * width for i in range(bins)), high]]
    return {"histogram": {"edges": edges, "counts": [counts[i] for i in range(bins)]}} if found else {}


def _counted(places: pa.ChunkedArray, bins: int) -> list[int]:
    counts = [0] * bins
    for pair in pc.value_counts(places).to_pylist():
        counts[max(0, int(pair["values"]))] += pair["counts"]
    return counts


def _edge_maker(kind: pa.DataType) -> Callable[[int], Any]:
    """Return what makes the edge of a bin: a number, or a text if it is a date or time, or if numbers are not exact."""
    if pt.is_integer(kind):
        return lambda edge: edge if abs(edge) < _EXACT else str(edge)
    whole = pa.int32() if kind.bit_width == 32 else pa.int64()
    return lambda edge: shown_values(pa.chunked_array([pa.array([edge], whole).cast(kind)]))[0]


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
