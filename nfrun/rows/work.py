"""The data of a mapped node: which pieces of the input are to be computed, and the result as a whole."""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate, takewhile
from pathlib import Path
from typing import Any

import pyarrow as pa
from xxhash import xxh3_128_digest

from nfrun.core.errors import HandoffError
from nfrun.core.map_spec import KeptRows, MapSpec
from nfrun.core.text import ellipsize
from nfrun.core.values import frozen
from nfrun.rows.joined import CallError, Found, failed_rows, failed_slices, joined_pieces, joined_rows
from nfrun.rows.merge import are_scattered, merge_streams
from nfrun.rows.piece import Piece, take
from nfrun.rows.recorder import ResultWriter, WorkerData
from nfrun.rows.results import Results, are_distinct, kept_records, positions_in, second_halves
from nfrun.rows.row_keys import KEY_BYTES, key_array, row_keys
from nfrun.rows.stream_files import READS, ReadFiles
from nfrun.rows.streams import StreamFile
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


_WITH_DICTIONARY = ("arrow", "chunked", "pandas", "polars")  # forms of a column that show the values of a dictionary
_MOST_SHOWN = 60  # characters of a value in a message
_NO_ROWS = b"no rows".ljust(KEY_BYTES, b"\0")  # the key of the result for an input without rows


class MapWork:
    """The pieces of an input and their results.

    `columns` are those of the input that the function takes, None if it takes the table. `name` is that of the node,
    and of the column that the function does not name. Results are written to streams as `kept` says. Unless
    `spec.reuse` is false, results are found by the values that the function gets, so equal rows are computed once.

    A unit is a row if the function takes columns, otherwise a piece of the `Cut`. A piece is named by its path: `(3,)`
    is the fourth that is computed, `(3, 1)` its second half. Halves of a batch of the table are units of their own when
    the results are joined, and in a later run if some of them have a result. `record` may be called from several
    threads at once. Raises HandoffError if results cannot be read.
    """

    def __init__(
        self,
        table: pa.Table,
        spec: MapSpec,
        columns: Sequence[str] | None,
        kept: KeptRows,
        *,
        name: str,
    ) -> None:
        self._table, self._spec, self._columns, self._name = table, spec, columns, name
        self._folder = folder = Path(kept.folder)
        self._ended = kept.ended
        self._files = f"{kept.run}-{os.urandom(6).hex()}"
        self._reads = ReadFiles(folder / f"{self._files}{READS}")
        self._recorder = ResultWriter(StreamFile(folder, self._files), explode=spec.explode)
        self.record, self.add_records = self._recorder.record, self._recorder.add_records
        self._cut = None if columns is not None else cut(table, spec)
        self._batch = 1 if self._cut is not None else spec.rows_per_call
        self._keys = self._unit_keys()
        self._key_data = memoryview(self._keys.buffers()[1])
        self._uses_kept = spec.reuse and kept.use_kept
        self._kept = Results(kept_records(folder, without=kept.outdated) if self._uses_kept else [])
        self._is_scattered = are_scattered(self._kept.records)
        self._halves = Halves(table, self._note_halved, by_content=spec.reuse)
        if self._kept.records and self._cut is not None and spec.batch:
            self._recall_halves(self._cut)
            self._take_halves()
        # Where the results of units are, and which units to compute. None: no unit has one, and all are to be computed.
        # There may be millions of units, so that neither these nor the sums below are lists.
        self._found = self._kept.find(self._keys) if self._kept.records else None
        self._missing, covered = self._plan()
        # The number of rows of the input that the units before each one stand for.
        self._covered: Sequence[int] = range(self._to_compute + 1)
        if covered is not None:
            self._covered = array("q", accumulate(covered, initial=0))
        pa.default_memory_pool().release_unused()
        self._failed: dict[bytes, CallError] = {}

    @property
    def rows(self) -> int:
        """The number of rows of the input."""
        return int(self._table.num_rows)

    @property
    def reused(self) -> int:
        """The number of rows whose results lie in the folder already."""
        return self.rows - self._covered[-1]

    @property
    def count(self) -> int:
        """The number of pieces to compute, none of them halved."""
        return -(-self._to_compute // self._batch)

    def rows_of(self, path: Sequence[int]) -> int:
        """Return how many rows of the input a piece stands for; rows that are equal are computed once."""
        first, last = self._range(path)
        rows = self._covered[last] - self._covered[first]
        if self._cut is None or len(path) == 1:
            return rows
        start, stop = self._rows_of_part(path)
        whole_start, whole_stop = self._rows_of_part(path[:1])
        return rows // (whole_stop - whole_start) * (stop - start)

    def can_halve(self, path: Sequence[int]) -> bool:
        """Return whether a piece has halves: more than one row, and it is no group and no part."""
        if self._cut is None:
            first, last = self._range(path)
        else:
            first, last = self._rows_of_part(path) if self._spec.batch else (0, 0)
        return last - first > 1

    def piece(self, path: Sequence[int]) -> Piece:
        """Return the piece with this path."""
        first, last = self._range(path)
        if self._cut is not None:
            unit = self._unit(path)
            start, stop, listed = self._cut.rows(unit)
            start, stop, key = self._halves.part((start, stop, self._key_bytes(unit, unit + 1)), path[1:])
            return Piece(key, start, stop, listed, row_wise=False)
        if not self.rows:
            return Piece(_NO_ROWS)
        if self._missing is None:
            return Piece(self._key_bytes(first, last), first, last)
        units = self._missing.slice(first, last - first)
        start, stop, listed = adjacent_or_listed(units)
        if listed:
            keys = b"".join(self._key_bytes(row, row + 1) for row in units.to_pylist())
        else:
            keys = self._key_bytes(start, stop)
        return Piece(keys, start, stop, listed)

    def table(self, piece: Piece) -> pa.Table:
        """Return the rows of a piece, as a view of the input if they are adjacent."""
        return piece.table(self._table)

    def for_worker(self, path: str) -> WorkerData:
        """Return what a worker process needs. `path` is the Arrow IPC file of the input."""
        return WorkerData(path, str(self._folder), self._files, self._spec.explode, self._reads.reads)

    def note_reads(self, reads: Mapping[str, str], obstacle: str = "") -> None:
        """Keep which files a call was seen to read, with their checksums: its result counts while they are unchanged.

        With an `obstacle`, no later run uses results of this one. Raises HandoffError.
        """
        self._reads.add(reads, obstacle)

    def fail(self, piece: Piece, error: str, message: str, attempts: int) -> None:
        """Note that there is no result for a piece: the type of the error, its message, and the number of attempts."""
        for start in range(0, len(piece.keys), KEY_BYTES):
            self._failed[piece.keys[start : start + KEY_BYTES]] = CallError(error, message, attempts)

    def made(self, pieces: Sequence[Piece]) -> int:
        """Return how many of these pieces, from the first on, workers have kept a result of."""
        there = Results(kept_records(self._folder, self._files))
        found = (there.find(key_array(piece.keys)).null_count == 0 for piece in pieces)
        return sum(takewhile(bool, found))

    def row_text(self, piece: Piece) -> tuple[int, str]:
        """Return the number of the first row, from 1, and its values in the columns of the key, for a message."""
        first = piece.numbers()[0]
        names = self._columns if self._columns is not None else self._spec.by
        values = self._table.slice(first, 1).select(list(names)).to_pylist()[0]
        shown = [f"{name}: {_shown(value)}" for name, value in values.items()]
        return first + 1, ", ".join(shown)

    def joined(self) -> pa.RecordBatchReader:
        """Return the whole result, without the rows that failed, when all calls have ended.

        Raises HandoffError if a result is not there, and FormatError if the results do not fit together.
        """
        self._recorder.flush()
        self._take_halves()
        results, found, rows = self._kept, self._found, None
        if found is None or found.null_count:
            results, found = self._with_new()
            found = self._without_failed(found)
        pa.default_memory_pool().release_unused()  # what the look-ups needed, for millions of rows much
        if found.null_count:
            rows = self._units_there(found)
            found = found.take(rows)
        if self._cut is not None:
            return joined_pieces(Found(results, found, rows, self._name))
        return joined_rows(Found(results, found, rows, self._name), self._table, self._spec.keep)

    def errors(self) -> pa.Table:
        """Return a row for each row of the input that failed, or each piece: its key, `error`, `message`, `attempts`.

        The key are the columns that the function takes, or those of the group. A piece that is no group has the number
        of its first row, from 1, and of its rows.
        """
        self._take_halves()
        units = self._failed_units()
        if self._cut is None:
            return failed_rows(self._table.select(list(self._columns or ())), units)
        failed = [(Piece(b"", *self._cut.rows(unit)), call) for unit, call in units.items()]
        if not self._spec.by:
            return failed_slices((piece.numbers()[0] + 1, piece.rows, call) for piece, call in failed)
        firsts = {number: call for piece, call in failed for number in self._group_starts(piece)}
        return failed_rows(self._table.select(list(self._spec.by)), firsts)

    def close(self) -> None:
        """Write all results, close the stream, and write small ones as one. Raises HandoffError."""
        self._recorder.close()
        if self._spec.reuse and self._to_compute:
            with suppress(HandoffError):  # all results are there, as they were
                merge_streams(
                    self._folder,
                    lambda name: name < self._ended or name.startswith(self._files),
                    self._files,
                    replaced=not self._uses_kept,
                    scattered=self._is_scattered,
                )

    def _unit_keys(self) -> pa.FixedSizeBinaryArray:
        if not self.rows and self._cut is None:
            return key_array(_NO_ROWS)
        if not self._spec.reuse:
            count = self.rows if self._cut is None else self._cut.count
            return key_array(_numbered(count))
        if self._cut is None:
            columns, form = self._columns or (), self._spec.form
            shown = [name for name in columns if form is not None and form.batches.get(name) in _WITH_DICTIONARY]
            return row_keys(self._table, columns, dictionary_digests(self._table.select(shown)))
        return piece_keys(self._table, self._cut)

    @property
    def _to_compute(self) -> int:
        """The number of units to compute."""
        return len(self._keys if self._missing is None else self._missing)

    def _plan(self) -> tuple[pa.Array | None, Iterable[int] | None]:
        """Return the units to compute, in ascending order, and how many rows of the input each stands for.

        None: all units, and one row each.
        """
        import pyarrow.compute as pc

        found = self._found
        if found is None and self._cut is None and self.rows and (not self._spec.reuse or are_distinct(self._keys)):
            return None, None  # for millions of rows, the steps below need much memory
        found = pa.nulls(len(self._keys), pa.int64()) if found is None else found
        missing = pc.indices_nonzero(found.is_null()).cast(pa.int64())
        if not len(missing):
            return missing, None
        keys = self._keys.take(missing)
        same = positions_in(keys, keys)  # the first unit with the same key
        firsts = same.value_counts()
        units = missing.take(firsts.field("values"))
        if self._cut is None:
            is_one_each = self.rows and len(units) == len(missing)
            return units, None if is_one_each else firsts.field("counts").to_pylist() if self.rows else [0]
        sizes = [b - a for a, b in zip(self._cut.bounds, self._cut.bounds[1:], strict=False)]
        covered = dict.fromkeys(firsts.field("values").to_pylist(), 0)
        for unit, first in zip(missing.to_pylist(), same.to_pylist(), strict=True):
            covered[first] += sizes[unit]
        return units, covered.values()

    def _range(self, path: Sequence[int]) -> tuple[int, int]:
        """Return the range of a piece in the units to compute."""
        first = path[0] * self._batch
        last = min(first + self._batch, self._to_compute)
        return (first, last) if self._cut is not None else part_of(first, last, path[1:])

    def _unit(self, path: Sequence[int]) -> int:
        """Return the number of the unit that a piece is, or is a part of."""
        return path[0] if self._missing is None else int(self._missing[path[0]].as_py())

    def _rows_of_part(self, path: Sequence[int]) -> tuple[int, int]:
        """Return the range of a batch of the table, or of a part of it, in the rows."""
        assert self._cut is not None
        return part_of(*self._cut.rows(self._unit(path))[:2], path[1:])

    def _recall_halves(self, cut: Cut) -> None:
        """Cut batches without a result as an earlier run has called them, if there are results of these parts."""
        found = self._kept.find(self._keys)
        parts = [
            (cut.bounds[unit], cut.bounds[unit + 1], self._key_bytes(unit, unit + 1))
            for unit, position in enumerate(found.to_pylist())
            if position is None
        ]
        self._halves.recall(self._kept, parts)

    def _take_halves(self) -> None:
        """Make units of the halves that were called."""
        if self._halves and self._cut is not None:
            self._cut, self._keys = self._halves.take(self._cut, self._keys)
            self._key_data = memoryview(self._keys.buffers()[1])
            self._found = self._kept.find(self._keys) if self._kept.records else None

    def _note_halved(self, key: bytes) -> None:
        if self._spec.reuse:
            self._recorder.note(halved_key(key))

    def _key_bytes(self, first: int, last: int) -> bytes:
        return bytes(self._key_data[KEY_BYTES * first : KEY_BYTES * last])

    def _with_new(self) -> tuple[Results, pa.Array]:
        """Return the results that were kept with those of this run behind them, and the position of that of each unit.

        A unit that has none has no position.
        """
        import pyarrow.compute as pc

        new = Results(kept_records(self._folder, self._files))
        self._is_scattered = self._is_scattered or are_scattered(new.records)
        keys = self._keys if self._found is None else self._keys.filter(self._found.is_null())
        positions = new.find(keys)
        if self._found is None:
            return new, positions
        found = pc.replace_with_mask(self._found, self._found.is_null(), pc.add(positions, self._kept.starts[-1]))
        return Results([*self._kept.records, *new.records]), found

    def _units_there(self, found: pa.Array) -> pa.Array:
        """Return the units that have a result. Raises HandoffError if others than the failed ones have none."""
        import pyarrow.compute as pc

        missing = pc.indices_nonzero(found.is_null()).to_pylist()
        lost = [unit for unit in missing if self._key_bytes(unit, unit + 1) not in self._failed]
        if lost:
            what = f"{len(lost):,} {'rows' if self._cut is None else 'pieces'} of '{self._name}'"
            raise HandoffError(f"the results of {what} are gone from {self._folder}")
        return pc.indices_nonzero(found.is_valid()).cast(pa.int64())

    def _without_failed(self, found: pa.Array) -> pa.Array:
        """Return where the results are, none for failed rows: a call that took too long may have left one."""
        import pyarrow.compute as pc

        if not self._failed:
            return found
        failed = positions_in(self._keys, key_array(b"".join(self._failed))).is_valid()
        return pc.if_else(failed, pa.scalar(None, found.type), found)

    def _failed_units(self) -> dict[int, CallError]:
        """Return the units that failed, also those that are equal to one whose call did."""
        import pyarrow.compute as pc

        keys = list(self._failed)
        if not keys or not self.rows:
            return {}
        same = positions_in(self._keys, key_array(b"".join(keys)))
        units = pc.indices_nonzero(same.is_valid()).to_pylist()
        return {unit: self._failed[keys[same[unit].as_py()]] for unit in units}

    def _group_starts(self, piece: Piece) -> list[int]:
        """Return the first row of each group in a piece."""
        numbers = piece.numbers()
        groups = row_keys(piece.table(self._table), self._spec.by)
        return [numbers[i] for i in positions_in(groups, groups).unique().to_pylist()]


def _numbered(count: int) -> bytes:
    """Return the keys of units that are found by number."""
    keys = array("q", bytes(KEY_BYTES * count))
    keys[::2] = array("q", range(count))
    return keys.tobytes()


def _shown(value: Any) -> str:
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return ellipsize(text, _MOST_SHOWN)
