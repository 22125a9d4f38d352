"""Cuts a table into the pieces that a function gets which takes the table: batches, groups, parts and slices."""

from __future__ import annotations

import pyarrow as pa

from nfrun.core.map_spec import MapSpec
from nfrun.core.values import frozen
from nfrun.rows.key_lookup import second_halves
from nfrun.rows.row_keys import row_keys


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
