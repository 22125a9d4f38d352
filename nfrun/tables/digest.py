"""Computes the content digest of an Arrow table. The class `Digest` defines which parts of a table are content."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.types as pt
from xxhash import xxh3_128

from nfrun.system.checksums import bytes_checksum, text_checksum
from nfrun.tables.plain_arrays import (
    cast_to,
    is_list,
    map_entries,
    taken,
    unsigned,
    valid_values,
    wide_type,
)

# Import pyarrow.compute where it is used: it takes 40 ms and 9 MB, and columns of numbers without nulls don't need it.
_VERSION = b"nfrun table digest 1"  # raise it with every change by which another table could have the same digest


class Digest:
    """Computes the digest of a table batch by batch.

    The digest covers column names, types, row order, values and nulls. It ignores batch boundaries, slices, padding,
    the bytes under a null, dictionary order, extension types, metadata, nullability and the names of list items.
    `schema_digest` covers those of them that readers can see. Values are compared as bits: 0.0 differs from -0.0, and
    NaNs with different payloads differ.

    Each stream of a column (nulls, lengths, data) has its own hasher, which reads Arrow's buffers in place. Only the
    hasher states are kept. Chunks of 64 KiB and more are hashed without the GIL (measured with xxhash 4.1); smaller
    ones take a few microseconds.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._names = list(schema.names)
        self._types = list(schema.types)
        self._columns = [_node(kind) for kind in schema.types]
        self._rows = 0

    def add(self, batch: pa.RecordBatch | pa.Table) -> None:
        """Hash the next rows. Raises ValueError if their column names or types differ from the schema's."""
        if batch.schema.names != self._names or batch.schema.types != self._types:
            given, known = (", ".join(map(str, fields)) for fields in (batch.schema, self._schema))
            raise ValueError(f"rows of ({given}) do not fit ({known})")
        self._rows += batch.num_rows
        for node, column in zip(self._columns, batch.columns, strict=True):
            for array in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
                node.add(array)

    def hexdigest(self) -> str:
        """Return `xxh3_128:` and 32 hex digits for the rows added so far. More rows may be added afterwards."""
        whole = xxh3_128(_VERSION)
        _write(whole, len(self._columns), self._rows)
        for name, node in zip(self._names, self._columns, strict=True):
            _write(whole, name, node.text)
            node.finish(whole)
        return f"xxh3_128:{whole.hexdigest()}"

    def schema_digest(self, table: pa.Table | pa.RecordBatchReader) -> str:
        """Return 32 hex digits for the parts of `table` that `hexdigest` ignores but readers see: the schema with
        metadata, nullability and all names, and the (unified) dictionaries. A reader has only the schema."""
        parts = [bytes_checksum(self._schema.serialize())]
        if isinstance(table, pa.Table):
            with_some = [i for i, node in enumerate(self._columns) if "dictionary<" in node.text]
            parts += dictionary_digests(table.select(with_some)) if with_some else []
        return parts[0] if len(parts) == 1 else text_checksum(" ".join(parts))


def table_digest(table: pa.Table) -> str:
    """Return the digest of a table's content (see `Digest`): `xxh3_128:` and 32 hex digits."""
    whole = Digest(table.schema)
    whole.add(table)
    return whole.hexdigest()


def dictionary_digests(table: pa.Table) -> list[str]:
    """Return the digests of the dictionaries in a stored table: all chunks of a column have the same."""
    firsts = [chunk for column in table.columns for chunk in column.chunks[:1]]
    return [table_digest(pa.table({"": found})) for chunk in firsts for found in _dictionaries(chunk)]


class _Node:
    """Hashes one level of a column: the number of slots, the positions of nulls, and by `values` the valid slots.

    `text` is a unique name of the type. An array that encodes another type is decoded, and hashed by the only child.
    """

    def __init__(
        self,
        text: str,
        values: Callable[[_Node, pa.Array], object] | None = None,
        children: Iterable[_Node] = (),
        *,
        streams: int = 1,
        decode: Callable[[pa.Array], pa.Array] | None = None,
    ) -> None:
        self.text, self._values, self._decode = text, values, decode
        self._rows = 0
        self._nulls = xxh3_128()
        self.streams = [xxh3_128() for _ in range(streams)]
        self.children = list(children)

    def add(self, array: pa.Array) -> None:
        """Hash the next slots. The result must not depend on how the column is split into arrays."""
        if isinstance(array.type, pa.BaseExtensionType):
            array = array.storage
        if self._decode is not None:
            if len(array):
                self.children[0].add(self._decode(array))
            return
        if self._values is not None and array.null_count:
            import pyarrow.compute as pc

            # Hash positions, not bitmaps: bitmaps of chunks do not line up, and a chunk without nulls has no bitmap.
            positions = pc.add(pc.indices_nonzero(array.is_null()), unsigned(self._rows, pa.uint64()))
            _feed(self._nulls, positions, 8)
        self._rows += len(array)
        if self._values is not None:
            self._values(self, array)

    def finish(self, whole: Any) -> None:
        digests = [stream.digest() for stream in self.streams]
        _write(whole, self._rows, self._nulls.digest(), *digests, len(self.children))
        for child in self.children:
            child.finish(whole)


def _node(kind: pa.DataType) -> _Node:
    """Return the node of a type. An extension type has that of its storage: `schema_digest` covers its name."""
    if isinstance(kind, pa.BaseExtensionType):
        return _node(kind.storage_type)
    text = str(kind)
    if pt.is_dictionary(kind):
        wide = wide_type(kind.value_type)
        text = f"dictionary<{_node(kind.value_type).text}, {kind.index_type}, ordered={kind.ordered}>"
        decode: Callable[[pa.Array], pa.Array] = lambda array: taken(cast_to(array.dictionary, wide), array.indices)  # noqa: E731
        return _Node(text, children=[_node(wide)], decode=decode)
    if pt.is_string_view(kind) or pt.is_binary_view(kind):
        # The bytes of a view array can be in any order. Cast to large_*: more than 2 GB do not fit int32 offsets.
        wide = wide_type(kind)
        return _Node(text, children=[_node(wide)], decode=lambda array: array.cast(wide))
    if pt.is_map(kind):  # hashed as lists of entries
        key, item = _node(kind.key_type), _node(kind.item_type)
        return _Node(f"map<{key.text}, {item.text}>", _lists(4), [_Node("entries", _fields, [key, item])])
    if pt.is_struct(kind):
        children = [_node(field.type) for field in kind]
        # Encode names as JSON: a field may be called "a: int64, b".
        inner = ", ".join(f"{json.dumps(f.name)}: {c.text}" for f, c in zip(kind, children, strict=True))
        return _Node(f"struct<{inner}>", _fields, children)
    if is_list(kind):
        child = _node(kind.value_type)
        if pt.is_fixed_size_list(kind):  # whose lengths are not hashed
            return _Node(f"fixed_size_list<{child.text}>[{kind.list_size}]", _lists(0), [child])
        is_large = pt.is_large_list(kind)
        return _Node(f"{'large_' if is_large else ''}list<{child.text}>", _lists(8 if is_large else 4), [child])
    if pt.is_null(kind):
        return _Node(text)
    if pt.is_boolean(kind):
        return _Node(text, lambda node, array: _feed(node.streams[0], valid_values(array).cast(pa.uint8()), 1))
    if pt.is_string(kind) or pt.is_binary(kind):
        return _Node(text, _texts(4), streams=2)
    if pt.is_large_string(kind) or pt.is_large_binary(kind):
        return _Node(text, _texts(8), streams=2)
    return _Node(text, _fixed(kind.bit_width // 8))  # ValueError for a type that this version does not know


def _fixed(width: int) -> Callable[[_Node, pa.Array], None]:
    """Return what hashes values of a fixed width in whole bytes."""
    of_width = {1: pa.uint8(), 2: pa.uint16(), 4: pa.uint32(), 8: pa.uint64()}.get(width)

    def add(node: _Node, array: pa.Array) -> None:
        if array.null_count and of_width is not None:
            # 1.5 times as fast as dropping the nulls, and by far the most common case.
            array = array.view(of_width).fill_null(unsigned(0, of_width))
        _feed(node.streams[0], valid_values(array), width)

    return add


def _texts(width: int) -> Callable[[_Node, pa.Array], None]:
    """Return what hashes strings and binaries with offsets of this width.

    The stream of lengths tells ["ab", "c"] from ["a", "bc"].
    """

    def add(node: _Node, array: pa.Array) -> None:
        array = valid_values(array)
        if not len(array):
            return  # an empty array may have no buffers
        import pyarrow.compute as pc

        _feed(node.streams[0], pc.binary_length(array), width)
        _, offsets, data = array.buffers()
        first, last = (
            int.from_bytes(offsets.slice(i * width, width), sys.byteorder, signed=True)
            for i in (array.offset, array.offset + len(array))
        )
        if last > first:
            node.streams[1].update(data.slice(first, last - first))

    return add


def _lists(width: int) -> Callable[[_Node, pa.Array], None]:
    """Return what hashes lists of all kinds: the lengths, with so many bytes each, and the flattened values."""

    def add(node: _Node, array: pa.Array) -> None:
        import pyarrow.compute as pc

        if pt.is_map(array.type):
            array = map_entries(array)
        lengths = pc.list_value_length(array).drop_null()
        _feed(node.streams[0], lengths, width)
        if pc.max(lengths).as_py():  # flatten() cannot make an empty array of every type
            # Don't use .values: only flatten() respects offsets and drops the values under nulls.
            # With lists of one size in it, it takes other slots where some are null (pyarrow 26).
            node.children[0].add((valid_values(array) if "fixed_size_list<" in node.text else array).flatten())

    return add


def _fields(node: _Node, array: pa.Array) -> None:
    array = valid_values(array)
    for i, child in enumerate(node.children):
        child.add(array.field(i))


def _dictionaries(array: pa.Array) -> Iterator[pa.Array]:
    """Yield the dictionaries in an array, including nested ones."""
    left = [array]
    while left:
        array = left.pop()
        if pt.is_dictionary(array.type):
            yield array.dictionary
            left.append(array.dictionary)
        elif isinstance(array.type, pa.BaseExtensionType):
            left.append(array.storage)
        elif pt.is_map(array.type):
            left += array.keys, array.items
        elif pt.is_struct(array.type):
            left += (array.field(i) for i in range(array.type.num_fields))
        elif array.type.num_fields:  # lists of all kinds
            left.append(array.values)


def _feed(hasher: Any, array: pa.Array, width: int) -> None:
    """Hash the values of an array without nulls in place. Each value has `width` bytes."""
    if len(array) and width:
        hasher.update(array.buffers()[1].slice(array.offset * width, len(array) * width))


def _write(hasher: Any, *parts: str | bytes | int) -> None:
    """Hash the parts with their lengths, so that different parts never give the same bytes."""
    written: list[bytes] = []
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        written += len(data).to_bytes(8, "little"), data
    hasher.update(b"".join(written))
