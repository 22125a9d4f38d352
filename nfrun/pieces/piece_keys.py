"""Computes the keys of pieces: 16 bytes that are the same for tables with the same content, whatever their number."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
from xxhash import xxh3_128_digest

from nfrun.pieces.cut import Cut
from nfrun.pieces.piece import Piece
from nfrun.pieces.row_keys import KEY_BYTES, key_array, row_keys
from nfrun.pieces.take import take
from nfrun.tables.digest import Digest

_VERSION = "nfrun piece key 1"  # raise it with every change that gives the same piece another key
_FEW = 256  # rows: of smaller pieces, the keys of all rows together take less time than a digest each
_AT_ONCE = 1 << 16  # rows


def piece_keys(table: pa.Table, cut: Cut) -> pa.FixedSizeBinaryArray:
    """Return the key of each piece: of its rows and columns as the function gets them, and of their types."""
    return key_array(b"".join(key for first, last in _runs(cut) for key in _keys(table, cut, first, last)))


def _keys(table: pa.Table, cut: Cut, first: int, last: int) -> Iterator[bytes]:
    """Yield the keys of some adjacent pieces, which are all small, or else only one."""
    start, stop = cut.bounds[first], cut.bounds[last]
    if last - first == 1 and stop - start >= _FEW:
        content = Digest(table.schema)
        content.add(Piece(b"", *cut.rows(first)).table(table))
        yield xxh3_128_digest(f"{_VERSION} {content.hexdigest()}".encode())
        return
    rows = table.slice(start, stop - start) if cut.order is None else take(table, cut.order.slice(start, stop - start))
    keys = row_keys(rows, table.schema.names).buffers()[1]
    types = f"{_VERSION} {[*map(str, table.schema.types)]}".encode()
    for number in range(first, last):
        begin, end = cut.bounds[number] - start, cut.bounds[number + 1] - start
        yield xxh3_128_digest(types + keys[KEY_BYTES * begin : KEY_BYTES * end].to_pybytes())


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
