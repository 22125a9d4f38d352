"""Computes the keys of pieces: 16 bytes that are the same for tables with the same content, whatever their number."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress

import pyarrow as pa
from xxhash import xxh3_128_digest

from nfrun.rows.cut import Cut
from nfrun.rows.piece import Piece
from nfrun.rows.row_keys import KEY_BYTES, key_array, row_keys
from nfrun.rows.take import take
from nfrun.tables.digest import Digest, dictionary_digests

_VERSION = "nfrun piece key 1"  # raise it with every change that gives the same piece another key
_FEW = 256  # rows: of smaller pieces, the keys of all rows together take less time than a digest each
_AT_ONCE = 1 << 16  # rows


def piece_keys(table: pa.Table, cut: Cut) -> pa.FixedSizeBinaryArray:
    """Return the key of each piece: of its rows and columns as the function gets them, and of their schema.

    A piece has the dictionaries of the whole table, also with values that are not in its rows.
    """
    schema = _VERSION.encode() + _without_ranges(table.schema).serialize().to_pybytes()
    schema += " ".join(dictionary_digests(table)).encode()
    return key_array(b"".join(key for first, last in _runs(cut) for key in _keys(table, cut, schema, first, last)))


def _without_ranges(schema: pa.Schema) -> pa.Schema:
    """Return the schema without the numbers of rows that pandas keeps in its metadata: a piece has others."""
    metadata = dict(schema.metadata or {})
    with suppress(KeyError, ValueError, AttributeError):
        pandas = json.loads(metadata[b"pandas"])
        kept = [each for each in pandas["index_columns"] if not isinstance(each, dict)]
        metadata[b"pandas"] = json.dumps({**pandas, "index_columns": kept}).encode()
    return schema.with_metadata(metadata)


def _keys(table: pa.Table, cut: Cut, schema: bytes, first: int, last: int) -> Iterator[bytes]:
    """Yield the keys of some adjacent pieces, which are all small, or else only one."""
    start, stop = cut.bounds[first], cut.bounds[last]
    if last - first == 1 and stop - start >= _FEW:
        content = Digest(table.schema)
        content.add(Piece(b"", *cut.rows(first)).table(table))
        yield xxh3_128_digest(schema + content.hexdigest().encode())
        return
    rows = table.slice(start, stop - start) if cut.order is None else take(table, cut.order.slice(start, stop - start))
    keys = row_keys(rows, table.schema.names).buffers()[1]
    for number in range(first, last):
        begin, end = cut.bounds[number] - start, cut.bounds[number + 1] - start
        yield xxh3_128_digest(schema + keys[KEY_BYTES * begin : KEY_BYTES * end].to_pybytes())


def _runs(cut: Cut) -> Iterator[tuple[int, int]]:
    """Yield ranges of pieces: of adjacent small ones up to 65,536 rows, and each large one."""
    first = 0
    for number in range(cut.count):
        size = cut.bounds[number + 1] - cut.bounds[number]
        rows = cut.bounds[number] - cut.bounds[first]
        if number > first and (size >= _FEW or rows + size > _AT_ONCE):
            yield first, number
            first = number
        if size >= _FEW:
            yield number, number + 1
            first = number + 1
    if first < cut.count:
        yield first, cut.count
