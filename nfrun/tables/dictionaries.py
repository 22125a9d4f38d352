"""Gives the chunks of a column the same dictionary: batches may have different ones, which a file cannot hold."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress

import pyarrow as pa
import pyarrow.types as pt

from nfrun.tables.formats import FormatError


def has_dictionary(kind: pa.DataType) -> bool:
    """Return whether the type contains a dictionary."""
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    parts = [kind.field(i).type for i in range(kind.num_fields)]
    return isinstance(kind, pa.DictionaryType) or any(has_dictionary(part) for part in parts)


def with_plain_words(table: pa.Table) -> pa.Table:
    """Return the table with dictionaries of plain strings and bytes in place of views of them, as polars makes these.

    Arrow can neither decode nor sort nor write those.
    """
    if not re.search("dictionary<values=(string|binary)_view", str(table.schema)):
        return table
    for i, field in enumerate(table.schema):
        kind = _plain_type(field.type)
        if kind != field.type:
            chunks = [_plain_words(chunk) for chunk in table.column(i).chunks]
            table = table.set_column(i, field.with_type(kind), pa.chunked_array(chunks, kind))
    return table


def without_dictionaries(table: pa.Table) -> pa.Table:
    """Return the table with plain values in place of dictionaries inside of lists and structs."""
    for i, field in enumerate(table.schema):
        kind = _with_dictionaries(field.type, lambda kind: kind.value_type)
        if pt.is_nested(field.type) and kind != field.type:
            table = table.set_column(i, field.with_type(kind), table.column(i).cast(kind))
    return table


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the type with dictionaries of strings and bytes in place of views of them."""

    def plain(kind: pa.DataType) -> pa.DataType:
        values = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}.get(kind.value_type, kind.value_type)
        return pa.dictionary(kind.index_type, values, kind.ordered)

    return _with_dictionaries(kind, plain)


def _with_dictionaries(kind: pa.DataType, change: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    """Return the type with others in place of dictionaries, also inside of lists and structs."""
    if pt.is_dictionary(kind):
        return change(kind)
    if pt.is_struct(kind):
        return pa.struct([field.with_type(_with_dictionaries(field.type, change)) for field in kind])
    if pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind):
        field = kind.value_field.with_type(_with_dictionaries(kind.value_type, change))
        if pt.is_fixed_size_list(kind):
            return pa.list_(field, kind.list_size)
        return pa.list_(field) if pt.is_list(kind) else pa.large_list(field)
    return kind


def _plain_words(array: pa.Array) -> pa.Array:
    kind = _plain_type(array.type)
    if kind == array.type:
        return array
    if pt.is_dictionary(kind):
        return pa.DictionaryArray.from_arrays(
            array.indices, array.dictionary.cast(kind.value_type), ordered=kind.ordered
        )
    if pt.is_struct(kind):
        fields = [_plain_words(array.field(i)) for i in range(kind.num_fields)]
        return pa.StructArray.from_arrays(fields, fields=list(kind), mask=array.is_null())
    children, own = [_plain_words(array.values)], 1 if pt.is_fixed_size_list(kind) else 2
    return pa.Array.from_buffers(kind, len(array), array.buffers()[:own], offset=array.offset, children=children)


def with_one_dictionary_each(table: pa.Table) -> pa.Table:
    """Give the chunks of each column the same dictionary. Raises FormatError."""
    for i, field in enumerate(table.schema):
        column, kind = table.column(i), field.type
        if not has_dictionary(kind):
            continue
        if isinstance(kind, pa.DictionaryType) and has_dictionary(kind.value_type):
            raise FormatError(
                f"the values of the dictionary column '{field.name}' contain dictionaries ({kind}), "
                "which an Arrow file cannot hold: decode the column with dictionary_decode()"
            )
        try:
            column = pa.table([column], pa.schema([field])).unify_dictionaries().column(0)
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:  # of lists and structs, or with nulls
            found = _merged(column) if isinstance(kind, pa.DictionaryType) else None
            if found is None:
                raise FormatError(
                    f"the chunks of the column '{field.name}' ({kind}) have different dictionaries, which cannot be "
                    f"put together ({str(error).rstrip('.')}): decode it, or give all chunks the same dictionary"
                ) from None
            column = found
        table = table.set_column(i, field, column)
    return table


def _merged(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Put the dictionaries of the chunks one behind the other; None if the type of the indices is too small."""
    import pyarrow.compute as pc

    kind = column.type
    dictionaries: list[pa.Array] = []
    moved: list[pa.Array] = []
    for chunk in column.chunks:
        index = next((i for i, known in enumerate(dictionaries) if known.equals(chunk.dictionary)), len(dictionaries))
        if index == len(dictionaries):
            dictionaries.append(chunk.dictionary)
        moved.append(pc.add(chunk.indices.cast(pa.int64()), sum(map(len, dictionaries[:index]))))
    whole = pa.concat_arrays(dictionaries)
    with suppress(pa.ArrowInvalid):
        chunks = [
            pa.DictionaryArray.from_arrays(indices.cast(kind.index_type), whole, ordered=kind.ordered)
            for indices in moved
        ]
        return pa.chunked_array(chunks, kind)
    return None
