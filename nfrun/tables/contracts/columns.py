"""Gives columns a plain form for checks: without dictionaries, runs, views and extension types."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from nfrun.tables.contracts.column_types import held_type


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
