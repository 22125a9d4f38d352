"""Computes keys of rows: 16 bytes that are the same for rows with the same values.

The key of a row depends on the names and types of the columns and on the values as bits: 0.0 differs from -0.0, and
NaNs with different payloads differ. It does not depend on other rows, on chunks and slices, on the bytes under a null,
and on how values are encoded: dictionaries, run ends, views, and large offsets or small ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import pyarrow as pa
import pyarrow.types as pt
from xxhash import xxh3_64_intdigest, xxh3_128_digest

from nfrun.tables.plain_arrays import byte_width, decoded, is_list, map_entries, valid_values

KEY_TYPE = pa.binary(16)
KEY_BYTES = 16
_AT_ONCE = 1 << 16  # rows; bounds the memory for the bytes of their values
_VERSION = "nfrun row key 1"  # raise it with every change that gives the same row another key
_NULL = xxh3_128_digest(b"null", 1)
_WITH_NULLS, _PLAIN = b"\1", b"\0"  # end the bytes of a list

Values = Sequence[bytes | None]  # the bytes of each value, None for null


def row_keys(table: pa.Table, columns: Sequence[str], besides: Iterable[str] = ()) -> pa.FixedSizeBinaryArray:
    """Return the key of each row, 16 bytes, by the values in these columns, and by texts that count for all rows."""
    chosen = table.select(list(columns))
    text = json.dumps([_VERSION, *([field.name, _type_text(field.type)] for field in chosen.schema), *besides])
    seed = xxh3_64_intdigest(text.encode())
    keys = pa.allocate_buffer(KEY_BYTES * chosen.num_rows)
    writer = pa.FixedSizeBufferWriter(keys)
    for batch in chosen.to_batches(max_chunksize=_AT_ONCE):
        writer.write(_batch_keys(batch, seed))
    return key_array(keys)


def key_array(keys: bytes | pa.Buffer) -> pa.FixedSizeBinaryArray:
    """Return an array of the keys in a buffer, without a copy."""
    buffer = pa.py_buffer(keys) if isinstance(keys, bytes) else keys
    return pa.FixedSizeBinaryArray.from_buffers(KEY_TYPE, buffer.size // KEY_BYTES, [None, buffer])


def _batch_keys(batch: pa.RecordBatch, seed: int) -> bytes:
    columns = [_values(column) for column in batch.columns]
    if len(columns) == 1:
        if None in columns[0]:
            return b"".join([_NULL if v is None else xxh3_128_digest(v, seed) for v in columns[0]])
        return b"".join([xxh3_128_digest(value, seed) for value in columns[0]])  # type: ignore[arg-type]
    return b"".join([xxh3_128_digest(row, seed) for row in _joined(columns, batch.num_rows)])


def _joined(columns: Sequence[Values], rows: int) -> Iterator[bytes]:
    """Yield 16 bytes for each column, joined, for each row."""
    if not columns:
        return iter([b""] * rows)
    return map(b"".join, zip(*map(_hashed, columns), strict=True))


def _hashed(values: Values) -> Iterable[bytes]:
    return [_NULL if value is None else xxh3_128_digest(value) for value in values]


def _values(array: pa.Array) -> Values:
    """Return the bytes of each value. Values of one type have the same bytes only if they are equal."""
    array = decoded(array)
    kind = array.type
    if pt.is_null(kind):
        return [None] * len(array)
    if pt.is_map(kind):
        array = map_entries(array)
        kind = array.type
    if pt.is_struct(kind):
        children = [_values(array.field(i)) for i in range(kind.num_fields)]  # `flatten` aborts for some types
        return _masked(list(_joined(children, len(array))), array)
    if is_list(kind):
        return _lists(array)
    if pt.is_string(kind) or pt.is_binary(kind):
        return _listed(array.cast(pa.binary()))
    if pt.is_large_string(kind) or pt.is_large_binary(kind):
        return _listed(array.cast(pa.large_binary()))
    if pt.is_boolean(kind):
        return _values(array.cast(pa.uint8()))
    width = byte_width(kind)
    if not width:
        return [repr(value.as_py()).encode() if value.is_valid else None for value in array]
    return _listed(array if pt.is_fixed_size_binary(kind) else array.view(pa.binary(width)))


def _listed(array: pa.Array) -> Values:
    found: list[bytes | None] = array.to_pylist()
    return found


def _lists(array: pa.Array) -> Values:
    """Return the bytes of lists: those of their items, if these have a fixed width and none is null, else hashes."""
    import pyarrow.compute as pc

    lengths = pc.list_value_length(array).fill_null(0).to_pylist()
    if not any(lengths):
        return _masked([_PLAIN] * len(array), array)
    bounds = [0]
    for length in lengths:
        bounds.append(bounds[-1] + length)
    items = decoded(valid_values(array).flatten())
    width = byte_width(items.type)
    if width and not items.null_count:
        data = _fixed_bytes(items, width)
        return _masked([data[width * i : width * j] + _PLAIN for i, j in pairwise(bounds)], array)
    values = _values(items)
    found = [_list_bytes(values[i:j], width) for i, j in pairwise(bounds)]
    return _masked(found, array)


def _list_bytes(items: Values, width: int) -> bytes:
    if width and None not in items:
        return b"".join(items) + _PLAIN  # type: ignore[arg-type]
    return b"".join(_hashed(items)) + _WITH_NULLS if items else _PLAIN


def _masked(values: list[bytes], array: pa.Array) -> Values:
    if not array.null_count:
        return values
    return [value if valid else None for value, valid in zip(values, array.is_valid().to_pylist(), strict=True)]


def _fixed_bytes(array: pa.Array, width: int) -> bytes:
    if not len(array):
        return b""
    content: bytes = array.buffers()[1].slice(width * array.offset, width * len(array)).to_pybytes()
    return content


def _type_text(kind: pa.DataType) -> str:
    """Return a unique name of the type of the values, whatever their encoding."""
    if isinstance(kind, pa.BaseExtensionType):
        return f"extension<{kind.extension_name!r}, {_type_text(kind.storage_type)}>"
    if pt.is_dictionary(kind):
        return _type_text(kind.value_type)
    if pt.is_map(kind):
        return f"map<{_type_text(kind.key_type)}, {_type_text(kind.item_type)}>"
    if pt.is_fixed_size_list(kind):
        return f"fixed_size_list<{_type_text(kind.value_type)}>[{kind.list_size}]"
    if is_list(kind):
        return f"list<{_type_text(kind.value_type)}>"
    if pt.is_struct(kind):
        return f"struct<{', '.join(f'{json.dumps(field.name)}: {_type_text(field.type)}' for field in kind)}>"
    if pt.is_large_string(kind) or pt.is_string_view(kind):
        return "string"
    if pt.is_large_binary(kind) or pt.is_binary_view(kind):
        return "binary"
    return str(kind)
