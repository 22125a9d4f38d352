"""Cuts a table into pieces for a function that takes the table, gives them keys, and halves those that have failed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import pyarrow as pa
from xxhash import xxh3_128_digest

from nfrun.core.map_spec import MapSpec
from nfrun.core.values import frozen
from nfrun.rows.piece import Piece, take
from nfrun.rows.results import Results, positions_in, second_halves
from nfrun.rows.row_keys import KEY_BYTES, key_array, row_keys
from nfrun.tables.digest import Digest, dictionary_digests

_VERSION = "nfrun piece key 1"  # raise it with every change that gives the same piece another key
_FEW = 256  # rows: of smaller pieces, the keys of all rows together take less time than a digest each
Part = tuple[int, int, bytes]  # adjacent rows, from the first to the one behind the last, and their key


@frozen
class Cut:
    """The pieces of a table. Piece `i` has the rows from `bounds[i]` to `bounds[i + 1]`, in ascending order.

    `order` has the numbers of the rows, piece by piece; None for the order of the table.
    """

    bounds: tuple[int, ...]
    order: pa.Array | None = None

    @property
    def count(self) -> int:
        """The number of pieces."""
        return len(self.bounds) - 1

    def rows(self, number: int) -> tuple[int, int, bytes]:
        """Return the rows of a piece, in the form of `adjacent_or_listed`."""
        start, stop = self.bounds[number : number + 2]
        if self.order is None:
            return start, stop, b""
        return adjacent_or_listed(self.order.slice(start, stop - start))


def cut(table: pa.Table, spec: MapSpec) -> Cut:
    """Return the pieces of a table.

    Groups come in the order of their first appearance, and null is a group of its own. Parts have whole groups, by a
    hash of their values; those without rows are left out. A table without rows is one piece.
    """
    rows = table.num_rows
    if not rows:
        return Cut((0, 0))
    if spec.by:
        return _grouped(row_keys(table, spec.by), spec.parts)
    if spec.parts:
        return Cut(tuple(dict.fromkeys(rows * i // spec.parts for i in range(spec.parts + 1))))
    return Cut((*range(0, rows, spec.batch), rows))


def adjacent_or_listed(rows: pa.Array) -> tuple[int, int, bytes]:
    """Return row numbers as the first one and the one behind the last, if they are adjacent, or else as bytes.

    `rows` are 64-bit numbers in ascending order, at least one.
    """
    size, first, last = len(rows), rows[0].as_py(), rows[-1].as_py()
    if last - first == size - 1:
        return first, last + 1, b""
    return 0, 0, rows.buffers()[1].slice(8 * rows.offset, 8 * size).to_pybytes()


def _grouped(keys: pa.Array, parts: int) -> Cut:
    import pyarrow.compute as pc

    if parts:
        # The second half of a key is as random as the first. An unsigned division has no remainder in Arrow.
        hashes = second_halves(keys).view(pa.uint64())
        count = pa.scalar(parts, pa.uint64())
        groups = pc.subtract(hashes, pc.multiply(pc.divide(hashes, count), count))
    else:
        groups = keys.dictionary_encode().indices
    order = pc.array_sort_indices(groups)  # stable: within a piece, rows keep the order of the table
    sizes = groups.take(order).value_counts().field("counts").to_pylist()
    bounds = [0]
    for size in sizes:
        bounds.append(bounds[-1] + size)
    return Cut(tuple(bounds), order.cast(pa.int64()))


_MOST_ROWS = 1 << 16  # rows


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
        if number > first and (size >= _FEW or rows + size > _MOST_ROWS):
            yield first, number
            first = number
        if size >= _FEW:
            yield number, number + 1
            first = number + 1
    if first < cut.count:
        yield first, cut.count


class Halves:
    """Knows which pieces of a table are halved, by their keys. Thread-safe.

    Unless results are found `by_content`, the keys of halves are made of that of the whole. `note(key)` is called with
    the key of a piece when it is halved; `halved_key` gives what is to be kept then, so that a later run finds the
    results of the halves.
    """

    def __init__(self, table: pa.Table, note: Callable[[bytes], object], *, by_content: bool) -> None:
        self._table, self._note, self._by_content = table, note, by_content
        self._of: dict[bytes, tuple[bytes, bytes]] = {}

    def __bool__(self) -> bool:
        """Whether any piece is halved."""
        return bool(self._of)

    def part(self, whole: Part, path: Sequence[int]) -> Part:
        """Return the part of a piece with this path: 0 or 1 for each time that it is halved."""
        for half in path:
            if whole[2] not in self._of:
                self._note(whole[2])
            whole = self._halves(whole)[half]
        return whole

    def recall(self, kept: Results, parts: Sequence[Part]) -> None:
        """Find out which of these pieces, that have no result, were halved in an earlier run, and left some results."""
        there: set[bytes] = set()
        halved = _halved(kept, parts)
        while halved:
            halves = [half for part in halved for half in self._halves(part)]
            found = kept.find(_keys_of_parts(halves)).is_valid().to_pylist()
            there.update(key for (_, _, key), is_there in zip(halves, found, strict=True) if is_there)
            halved = _halved(kept, [half for half, is_there in zip(halves, found, strict=True) if not is_there])

        def is_there(key: bytes) -> bool:
            return key in there or any(map(is_there, self._of.get(key, ())))

        self._of = {key: halves for key, halves in self._of.items() if is_there(key)}

    def take(self, cut: Cut, keys: pa.FixedSizeBinaryArray) -> tuple[Cut, pa.FixedSizeBinaryArray]:
        """Return the pieces and their keys with halves in the place of those that are halved; and forget these."""
        import pyarrow.compute as pc

        split = pc.indices_nonzero(positions_in(keys, key_array(b"".join(self._of))).is_valid()).to_pylist()
        bounds, found, done = [cut.bounds[0]], list[pa.Array](), 0
        for unit in split:
            parts = [*self._leaves((*cut.bounds[unit : unit + 2], keys[unit].as_py()))]
            bounds += [*cut.bounds[done + 1 : unit + 1], *(stop for _, stop, _ in parts)]
            found += [keys.slice(done, unit - done), _keys_of_parts(parts)]
            done = unit + 1
        self._of = {}
        every = pa.concat_arrays([*found, keys.slice(done)])
        return Cut((*bounds, *cut.bounds[done + 1 :])), every

    def _leaves(self, part: Part) -> Iterator[Part]:
        if part[2] not in self._of:
            yield part
            return
        for half in self._halves(part):
            yield from self._leaves(half)

    def _halves(self, part: Part) -> tuple[Part, Part]:
        start, stop, key = part
        middle = part_of(start, stop, (0,))[1]
        keys = self._of.get(key)
        if keys is None:
            if self._by_content:
                data = piece_keys(self._table, Cut((start, middle, stop))).buffers()[1].to_pybytes()
                keys = data[:KEY_BYTES], data[KEY_BYTES:]
            else:
                keys = xxh3_128_digest(key + b"0"), xxh3_128_digest(key + b"1")
            self._of[key] = keys
        return (start, middle, keys[0]), (middle, stop, keys[1])


def part_of(start: int, stop: int, path: Sequence[int]) -> tuple[int, int]:
    """Return the range of the part with this path, of the range of a whole."""
    for half in path:
        middle = start + (stop - start) // 2
        start, stop = (middle, stop) if half else (start, middle)
    return start, stop


def halved_key(key: bytes) -> bytes:
    """Return the key under which is kept that a piece was halved."""
    return xxh3_128_digest(key + b"halved")


def _halved(kept: Results, parts: Sequence[Part]) -> list[Part]:
    several = [part for part in parts if part[1] - part[0] > 1]
    found = kept.find(key_array(b"".join(halved_key(key) for _, _, key in several)))
    return [part for part, position in zip(several, found.to_pylist(), strict=True) if position is not None]


def _keys_of_parts(parts: Sequence[Part]) -> pa.FixedSizeBinaryArray:
    return key_array(b"".join(key for _, _, key in parts))
