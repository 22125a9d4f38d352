"""Which type a column has in each database, and the Arrow type in which it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from nfrun import NodeError

_POSTGRESQL = {
    **dict.fromkeys((pa.int8(), pa.uint8(), pa.int16()), "smallint"),
    **dict.fromkeys((pa.uint16(), pa.int32()), "integer"),
    **dict.fromkeys((pa.uint32(), pa.int64()), "bigint"),
    **{pa.bool_(): "boolean", pa.float32(): "real", pa.float64(): "double precision"},
    **{pa.string(): "text", pa.binary(): "bytea", pa.date32(): "date", pa.time64("us"): "time"},
    pa.timestamp("us"): "timestamp",
}
_DUCKDB = {
    **{pa.int8(): "tinyint", pa.int16(): "smallint", pa.int32(): "integer", pa.int64(): "bigint"},
    **{pa.uint8(): "utinyint", pa.uint16(): "usmallint", pa.uint32(): "uinteger", pa.uint64(): "ubigint"},
    **{pa.bool_(): "boolean", pa.float32(): "float", pa.float64(): "double", pa.string(): "varchar"},
    **{pa.binary(): "blob", pa.date32(): "date", pa.time64("us"): "time"},
    **{pa.timestamp("s"): "timestamp_s", pa.timestamp("ms"): "timestamp_ms", pa.timestamp("us"): "timestamp"},
    pa.timestamp("ns"): "timestamp_ns",
}
_SQLITE = {
    **dict.fromkeys((pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8()), "integer"),
    **dict.fromkeys((pa.uint16(), pa.uint32()), "integer"),
    **dict.fromkeys((pa.float32(), pa.float64()), "real"),
    **{pa.string(): "text", pa.binary(): "blob"},
}
_UTC_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def type_in(scheme: str, kind: pa.DataType) -> str | None:
    """Return the type of a column in the database, for a type that `as_taken` returns; None if there is none."""
    if scheme == "sqlite":
        return _SQLITE.get(kind)
    known = _POSTGRESQL if scheme == "postgresql" else _DUCKDB
    if pt.is_decimal(kind) and (scheme == "postgresql" or kind.precision <= 38):
        return f"numeric({kind.precision}, {kind.scale})"
    if pt.is_timestamp(kind) and kind.tz is not None:
        return "timestamptz"
    if pt.is_list(kind):
        inner = type_in(scheme, kind.value_type) if kind.value_type == _target(scheme, kind.value_type) else None
        return f"{inner}[]" if inner and not inner.endswith("]") else None
    return known.get(kind)


def as_taken(scheme: str, table: pa.Table) -> pa.Table:
    """Return the table with the types that the driver takes. Raises NodeError for a column that has none of these."""
    columns = [_converted(scheme, field.name, field.type, table.column(i)) for i, field in enumerate(table.schema)]
    return pa.table(columns, names=table.column_names)


def _converted(scheme: str, name: str, kind: pa.DataType, column: pa.ChunkedArray) -> pa.ChunkedArray:
    target = _target(scheme, kind)
    if type_in(scheme, target) is None:
        what = f"the column '{name}' has the type {kind}, and {scheme} has none for it"
        raise NodeError(what, "make a text of it in the node before: to_json(…) in a query")
    if target == kind:
        return column
    try:
        if pt.is_timestamp(kind) and pt.is_string(target) and kind.tz is not None:
            return pc.strftime(column.cast(pa.timestamp(kind.unit, "UTC")), _UTC_FORMAT)
        return column.cast(target)
    except pa.ArrowException as error:
        what = f"the column '{name}' does not fit a column of {scheme}: {error}"
        raise NodeError(what, f"{kind} becomes {target} there: round or cast it in the node before") from None


def _target(scheme: str, kind: pa.DataType) -> pa.DataType:
    """Return the Arrow type in which a driver takes columns of a type."""
    if pt.is_dictionary(kind):
        return _target(scheme, kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return _target(scheme, kind.storage_type)
    for is_it, target in _COMMON:
        if is_it(kind):
            return target
    if pt.is_decimal(kind) and kind.bit_width < 128:
        kind = pa.decimal128(kind.precision, kind.scale)
    if pt.is_decimal256(kind) and kind.precision <= 38:
        kind = pa.decimal128(kind.precision, kind.scale)
    if pt.is_timestamp(kind) and (scheme == "postgresql" or (scheme == "duckdb" and kind.tz is not None)):
        return pa.timestamp("us", kind.tz)
    if pt.is_time(kind) and scheme != "sqlite":
        return pa.time64("us")
    if scheme == "postgresql" and kind == pa.uint64():
        return pa.decimal128(20, 0)
    if scheme == "sqlite":
        if kind == pa.uint64():
            return pa.int64()
        if any(is_it(kind) for is_it in (pt.is_decimal, pt.is_temporal)) and not pt.is_duration(kind):
            return pa.string()
    return kind


_COMMON: Iterable[tuple[Callable[[Any], bool], pa.DataType]] = (
    (pt.is_null, pa.string()),
    (pt.is_large_string, pa.string()),
    (pt.is_string_view, pa.string()),
    (pt.is_large_binary, pa.binary()),
    (pt.is_binary_view, pa.binary()),
    (pt.is_fixed_size_binary, pa.binary()),
    (pt.is_float16, pa.float32()),
)
