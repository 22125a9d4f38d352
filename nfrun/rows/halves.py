"""Halves pieces of a table: of a batch that has failed, each half is called alone, and has a result of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
from xxhash import xxh3_128_digest

from nfrun.rows.cut import Cut
from nfrun.rows.key_lookup import positions_in
from nfrun.rows.piece_keys import piece_keys
from nfrun.rows.results import Results
from nfrun.rows.row_keys import KEY_BYTES, key_array

Part = tuple[int, int, bytes]  # adjacent rows, from the first to the one behind the last, and their key


class Halves:
    """Which pieces of a table are halved, by their keys. Thread-safe.

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
            found = kept.find(_keys(halves)).is_valid().to_pylist()
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
            found += [keys.slice(done, unit - done), _keys(parts)]
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


def _keys(parts: Sequence[Part]) -> pa.FixedSizeBinaryArray:
    return key_array(b"".join(key for _, _, key in parts))
