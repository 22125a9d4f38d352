"""Finds results by their keys: those that earlier runs have left in a folder, and those of this run.

Keys are found among others in parts, so that millions of them need little memory beyond the answer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa

from nfrun.core.errors import HandoffError
from nfrun.rows.piece import int64_array
from nfrun.rows.row_keys import key_array
from nfrun.rows.stream_files import streams_in
from nfrun.rows.streams import Record, records_in
from nfrun.system.os_errors import reason

_AT_ONCE = 1 << 16  # positions
_PART_KEYS = 1 << 20  # in a part: their hash table takes about 50 MB
Keys: TypeAlias = pa.FixedSizeBinaryArray | pa.ChunkedArray  # 16 random bytes each, or a number and zeros


class Results:
    """Results of calls, in records. A result has a position: the number of units in all records before its own.

    Of a key that is there twice, the result in the first record counts.
    """

    def __init__(self, records: Sequence[Record] = ()) -> None:
        self.records = list(records)
        self._place()

    def find(self, keys: pa.FixedSizeBinaryArray) -> pa.Array:
        """Return the position of the result of each key, null if there is none. Reads and checks the results found.

        Damaged records are dropped. So positions that an earlier call returned are no longer right.
        """
        while True:
            positions = self._found(keys)
            damaged = {i for i in self.used_by(positions) if not self.records[i].is_intact()}
            if not damaged:
                return positions
            self.records = [record for i, record in enumerate(self.records) if i not in damaged]
            self._place()

    def records_of(self, positions: pa.Array) -> pa.Array:
        """Return the number of the record with each of these results."""
        import pyarrow.compute as pc

        ends = pa.array(self.starts[1:], pa.int64())
        return pc.search_sorted(ends, positions, side="right").cast(pa.int64())

    def used_by(self, positions: pa.Array) -> list[int]:
        """Return the numbers of the records with these results, in the order in which they come first."""
        found: dict[int, None] = {}
        for start in range(0, len(positions), _AT_ONCE):
            records = self.records_of(positions.slice(start, _AT_ONCE).drop_null())
            found.update(dict.fromkeys(records.unique().to_pylist()))
        return [*found]

    def _found(self, keys: pa.FixedSizeBinaryArray) -> pa.Array:
        if not self.records:
            return pa.nulls(len(keys), pa.int64())
        return positions_in(keys, pa.chunked_array([record.keys for record in self.records]))

    def _place(self) -> None:
        self.starts = [*accumulate((len(record.keys) for record in self.records), initial=0)]


def kept_records(folder: Path, prefix: str = "", *, without: tuple[str, ...] = ()) -> list[Record]:
    """Return the records in the streams of a folder whose names begin with `prefix`, those of the last run first.

    Leaves out those whose names begin with one of `without`. Raises HandoffError.

    A stream that is removed meanwhile has its records in another by then, so the folder is read again.
    """
    while True:
        with suppress(FileNotFoundError):
            paths = [path for path in streams_in(folder, prefix) if not path.name.startswith(without)]
            return [record for path in reversed(paths) for record in read_stream(path)]


def read_stream(path: Path) -> Iterator[Record]:
    """Yield the records in a file, as views of it, which is mapped. Yields none if it is no stream of this format.

    Records are not checked, see `Record.is_intact`. Raises FileNotFoundError, and HandoffError if it cannot be read.
    """
    try:
        if not path.stat().st_size:
            return
        whole = pa.memory_map(os.fsencode(path), "r").read_buffer()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise HandoffError(f"cannot read {path}: {reason(error)}", error) from error
    yield from records_in(whole)


def positions_in(keys: Keys, known: Keys) -> pa.Array:
    """Return the index of the first equal key in `known` for each key, null if there is none.

    Compares the first halves: numbers are found in a third of the time that 16 bytes take. Should two of the known keys
    have only those in common, one of them is not found.
    """
    import pyarrow.compute as pc

    firsts, known_firsts = first_halves(keys), first_halves(known)
    parts = _parts(len(known))
    if parts == 1:
        return _equal(keys, known, pc.index_in(firsts, value_set=known_firsts).cast(pa.int64()))
    found = pa.nulls(len(keys), pa.int64())
    for part in range(parts):
        chosen, known_chosen = _in_part(firsts, part, parts), _in_part(known_firsts, part, parts)
        places = pc.index_in(firsts.filter(chosen), value_set=known_firsts.filter(known_chosen))
        positions = pc.indices_nonzero(known_chosen).take(places).cast(pa.int64())
        found = pc.replace_with_mask(found, chosen, _equal(keys.filter(chosen), known, positions))
        pa.default_memory_pool().release_unused()  # otherwise the parts together need twice the memory
    return found


def are_distinct(keys: Keys) -> bool:
    """Return whether surely no two keys are equal. Sorts numbers: a hash table takes ten times the memory."""
    import pyarrow.compute as pc

    firsts = first_halves(keys)
    parts = _parts(len(firsts))
    for part in range(parts):
        some = firsts.filter(_in_part(firsts, part, parts)) if parts > 1 else firsts
        some = some.take(pc.array_sort_indices(some))
        if pc.any(pc.equal(some.slice(1), some.slice(0, max(0, len(some) - 1)))).as_py():
            return False
    return True


def first_halves(keys: Keys) -> pa.Array:
    """Return the first half of each key, as a 64-bit number."""
    return _halves(keys, 0)


def second_halves(keys: Keys) -> pa.Array:
    """Return the second half of each key, as a 64-bit number."""
    return _halves(keys, 1)


def _halves(keys: Keys, which: int) -> pa.Array:
    import pyarrow.compute as pc

    if isinstance(keys, pa.ChunkedArray):
        keys = pa.concat_arrays(keys.chunks or [key_array(b"")])
    if not len(keys):
        return pa.array([], pa.int64())
    whole = int64_array(keys.buffers()[1].slice(16 * keys.offset, 16 * len(keys)))
    return pc.list_element(pa.FixedSizeListArray.from_arrays(whole, 2), which)


def _parts(count: int) -> int:
    """Return a power of two: how many parts have about as many keys as are looked up at once."""
    return 1 << (max(0, count - 1) // _PART_KEYS).bit_length()


def _in_part(firsts: pa.Array, part: int, parts: int) -> pa.Array:
    import pyarrow.compute as pc

    return pc.equal(pc.bit_wise_and(firsts, pa.scalar(parts - 1, pa.int64())), pa.scalar(part, pa.int64()))


def _equal(keys: Keys, known: Keys, positions: pa.Array) -> pa.Array:
    """Return the positions, null where the key there is another."""
    import pyarrow.compute as pc

    there = pc.equal(known.take(positions), keys)
    there = there.combine_chunks() if isinstance(there, pa.ChunkedArray) else there
    return pc.if_else(there, positions, pa.scalar(None, pa.int64()))
