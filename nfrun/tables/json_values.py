"""Converts Arrow values to JSON values: times to ISO 8601, decimals to text, bytes to base64."""

from __future__ import annotations

import base64
import json
import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from nfrun.core.values import frozen
from nfrun.tables.plain_arrays import is_list

encode_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
# For files: with Infinity and -Infinity, which JSON lacks, and which readers of it know.
encode_line = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def is_bytes(kind: pa.DataType) -> bool:
    """Return whether values of the type are bytes, which JSON cannot represent."""
    plain = pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_binary_view(kind)
    return bool(plain or pt.is_fixed_size_binary(kind))


@frozen
class Form:
    """Describes how values of a type become JSON: Arrow casts them to `kind`, then `convert`, if set, maps each value.

    Arrow casts times and decimals to text, because Python's types are too narrow: a datetime holds no nanoseconds and
    few of the years, and pyarrow returns pandas objects if pandas happens to be installed.
    """

    kind: pa.DataType
    convert: Callable[[Any], Any] | None = None


def json_values(array: pa.Array, form: Form) -> list[Any]:
    """Return the values in the form that `encode_json` takes. Raises `ArrowException` if a cast is not possible."""
    if pt.is_dictionary(array.type):
        array = array.dictionary_decode()
    if array.type != form.kind:
        array = array.cast(form.kind)
    values: list[Any] = array.to_pylist()
    return values if form.convert is None else _each_item(form.convert, values)


def json_form(kind: pa.DataType) -> Form:
    """Return the JSON form of a type. Raises ValueError for one that has none, also inside other types."""
    if pt.is_dictionary(kind):
        return json_form(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        is_uuid = kind == pa.uuid()
        return Form(kind.storage_type, lambda v: str(uuid.UUID(bytes=v))) if is_uuid else json_form(kind.storage_type)
    if pt.is_floating(kind):
        return Form(kind, lambda v: None if math.isnan(v) else v)
    if is_bytes(kind):
        return Form(kind, lambda v: base64.b64encode(v).decode())
    if pt.is_timestamp(kind):
        return Form(pa.string(), _iso)
    if pt.is_date(kind):
        return Form(pa.string(), in_range)
    if pt.is_decimal(kind) or pt.is_time(kind):
        return Form(pa.string())
    if pt.is_duration(kind):
        digits = {"s": 0, "ms": 3, "us": 6, "ns": 9}[kind.unit]
        return Form(pa.int64(), lambda v: f"PT{_seconds(v, digits)}S")
    if pt.is_interval(kind):
        return Form(kind, lambda v: f"P{v.months}M{v.days}DT{_seconds(v.nanoseconds, 9)}S")
    if pt.is_nested(kind):
        return _nested_form(kind)
    return Form(kind)


def _nested_form(kind: pa.DataType) -> Form:
    if pt.is_map(kind):
        # A map becomes a list, not an object: its keys need not be strings or unique.
        return _nested_form(pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)])))
    if pt.is_struct(kind):
        forms = {field.name: json_form(field.type) for field in kind}
        inner = {name: form.convert for name, form in forms.items() if form.convert}
        struct = pa.struct([(name, form.kind) for name, form in forms.items()])
        return Form(struct if struct.names == kind.names else kind, partial(_each_field, inner) if inner else None)
    if not is_list(kind):
        raise ValueError(f"there is no text form for {kind}")
    form = json_form(kind.value_type)
    return Form(pa.large_list(form.kind), partial(_each_item, form.convert) if form.convert else None)


def _each_field(converts: Mapping[str, Callable[[Any], Any]], row: Mapping[str, Any]) -> dict[str, Any]:
    return {k: converts[k](v) if v is not None and k in converts else v for k, v in row.items()}


def _each_item(convert: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    return [None if v is None else convert(v) for v in items]


def in_range(text: str) -> str:
    """Return the text that Arrow makes of a date or a time. Raises ValueError for one that it has no text for."""
    if text.startswith("<"):
        raise ValueError(f"{text.strip('<>')}: Arrow has no text for such a year")
    return text


def _iso(text: str) -> str:
    """Convert Arrow's "2024-01-01 10:00:00+0100" to ISO 8601, with a T and a colon in the offset."""
    text = in_range(text).replace(" ", "T", 1)
    return f"{text[:-2]}:{text[-2:]}" if text[-5] in "+-" else text


def _seconds(value: int, digits: int) -> str:
    whole, part = divmod(abs(value), 10**digits)
    fraction = f"{part:0{digits}}".rstrip("0") if part else ""
    return f"{'-' if value < 0 else ''}{whole}{'.' if fraction else ''}{fraction}"
