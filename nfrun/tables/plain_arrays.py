"""Gives arrays a plain form: without an encoding, without nulls, or some of their slots. Works for every type."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pyarrow as pa
import pyarrow.types as pt

# Import pyarrow.compute where it is used: it takes 40 ms and 9 MB, and columns of numbers without nulls don't need it.


def empty_table(schema: pa.Schema) -> pa.Table:
    """Return a table without rows, and without an import of pandas, which `schema.empty_table()` takes 130 ms for."""
    return pa.Table.from_batches([], schema)


def unsigned(value: int, kind: pa.DataType) -> pa.Scalar:
    """Return a scalar of an unsigned type, and without an import of pandas, as `pa.scalar` has one."""
    data = value.to_bytes(kind.bit_width // 8, sys.byteorder)
    return pa.Array.from_buffers(kind, 1, [None, pa.py_buffer(data)])[0]


def held_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values of a column: that inside a dictionary or an extension type."""
    while True:
        if isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        elif pt.is_dictionary(kind):
            kind = kind.value_type
        else:
            return kind


def is_text(kind: pa.DataType) -> bool:
    """Return whether values of the type are texts, with offsets of either width."""
    return bool(pt.is_string(kind) or pt.is_large_string(kind))


def is_list(kind: pa.DataType) -> bool:
    """Return whether values of the type are lists of any kind."""
    return bool(pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind))


def byte_width(kind: pa.DataType) -> int:
    """Return how many whole bytes a value of the type takes, 0 if they differ or are none."""
    if kind.num_fields or pt.is_boolean(kind) or pt.is_null(kind):
        return 0
    try:
        bits: int = kind.bit_width
    except ValueError:
        return 0
    return 0 if bits % 8 else bits // 8


def plain_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the same values in a type that Arrow's functions take: decoded, and halves of floats as floats."""
    kind = held_type(column.type)
    if kind != column.type or pt.is_string_view(kind) or pt.is_binary_view(kind):
        kind = wide_type(kind)
        column = pa.chunked_array([cast_to(decoded(chunk), kind) for chunk in column.chunks], kind)
    return column.cast(pa.float32()) if pt.is_float16(kind) else column


def with_inner_types(kind: pa.DataType, change: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    """Return the type with what `change` makes of the types inside of lists and structs, or of the type itself."""
    if pt.is_struct(kind):
        return pa.struct([field.with_type(with_inner_types(field.type, change)) for field in kind])
    if pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind):
        field = kind.value_field.with_type(with_inner_types(kind.value_type, change))
        if pt.is_fixed_size_list(kind):
            return pa.list_(field, kind.list_size)
        return pa.list_(field) if pt.is_list(kind) else pa.large_list(field)
    return change(kind)


def wide_type(kind: pa.DataType) -> pa.DataType:
    """Return a type for the decoded values of `kind` that holds any number of them and has a take kernel."""
    if pt.is_string(kind) or pt.is_string_view(kind):
        return pa.large_string()
    if pt.is_binary(kind) or pt.is_binary_view(kind):
        return pa.large_binary()
    return kind


def cast_to(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return the array with this type: itself if it has the type."""
    return array if array.type == kind else array.cast(kind)


def times_of_day(texts: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Return texts as times of day, which Arrow casts none to. Raises ArrowInvalid."""
    import pyarrow.compute as pc

    return pc.binary_join_element_wise("1970-01-01T", texts, "").cast(pa.timestamp(kind.unit)).cast(kind)


def map_entries(array: pa.Array) -> pa.Array:
    """Return a map array as a list array: maps have no kernels for lengths and values."""
    return array.cast(pa.list_(pa.struct([array.type.key_field, array.type.item_field])))


def valid_values(array: pa.Array) -> pa.Array:
    """Return the slots that are not null, in order, without the bytes under nulls."""
    if not array.null_count:
        return array
    try:
        return array.drop_null()
    except pa.ArrowNotImplementedError:
        import pyarrow.compute as pc

        return taken(array, pc.indices_nonzero(array.is_valid()))


def taken(array: pa.Array, indices: pa.Array) -> pa.Array:
    """Return the slots at these indices; null for an index that is null."""
    try:
        return array.take(indices)
    except pa.ArrowNotImplementedError:
        # There is no kernel for views and types that contain them. Concatenate slices: slow.
        null = pa.nulls(1, array.type)
        pieces = [null if i is None else array.slice(i, 1) for i in indices.to_pylist()]
        return pa.concat_arrays(pieces or [array.slice(0, 0)])


def decoded(array: pa.Array) -> pa.Array:
    """Return the array without the encodings of its type: dictionary, view, extension, one in the other.

    The values inside of nested types stay as they are.
    """
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return decoded(array.storage)
    if pt.is_dictionary(kind):
        return decoded(taken(cast_to(array.dictionary, wide_type(kind.value_type)), array.indices))
    return cast_to(array, wide_type(kind)) if pt.is_string_view(kind) or pt.is_binary_view(kind) else array
