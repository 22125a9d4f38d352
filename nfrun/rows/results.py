"""Finds results by their keys: those that earlier runs have left in a folder, and those of this run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path

import pyarrow as pa

from nfrun.rows.key_lookup import positions_in
from nfrun.rows.segment_files import segments_in
from nfrun.rows.segments import Record, read_segment

_AT_ONCE = 1 << 16  # positions


class Results:
    """Results of calls, in records. A result has a position: the number of units in all records before its own.

    Of a key that is there twice, the result in the first record counts.
    """

    def __init__(self, records: Sequence[Record] = ()) -> None:
        self.records = list(records)
        self._place()

    def add(self, records: Sequence[Record]) -> None:
        """Add records behind the others."""
        self.records += records
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


def kept_records(folder: Path, prefix: str = "", *, without: tuple[str, ...] = (), since: str = "") -> list[Record]:
    """Return the records in the segments of a folder whose names begin with `prefix`, those of the last run first.

    Leaves out those whose names begin with one of `without`, or are sorted before `since`. Raises HandoffError.

    A segment that is removed meanwhile has its records in another by then, so the folder is read again.
    """
    while True:
        with suppress(FileNotFoundError):
            paths = [
                path for path in segments_in(folder, prefix) if path.name >= since and not path.name.startswith(without)
            ]
            return [record for path in reversed(paths) for record in read_segment(path)]
