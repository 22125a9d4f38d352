"""Puts the result of a mapped node together: the rows of all calls, in the order of the input, and the failed ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate

import pyarrow as pa
import pyarrow.types as pt

from nfrun.core.values import frozen
from nfrun.rows.piece import counted, take
from nfrun.rows.results import Results
from nfrun.rows.returned import UNNAMED
from nfrun.tables.formats import FormatError

_BLOCK_ROWS = 1 << 16
_BLOCK_BYTES = 8 << 20
_SCATTERED = 2  # blocks that need a record, on average
_LARGE = 32 << 20  # bytes of results that are not copied together; and of a block of those
_COLUMNS = {"error": pa.string(), "message": pa.string(), "attempts": pa.int64()}


@frozen
class Found:
    """The results to join, in their order: the position of each in `results`. `name` is that of the node.

    `rows` are the numbers of the input's rows that they belong to, None for all rows.
    """

    results: Results
    positions: pa.Array
    rows: pa.Array | None
    name: str

    def table(self, number: int) -> pa.Table:
        """Return the rows of a record. A column without a name gets that of the node."""
        table = self.results.records[number].table()
        if UNNAMED not in table.schema.names:
            return table
        return table.rename_columns([column or self.name for column in table.schema.names])

    def has_values(self, number: int) -> bool:
        """Return whether a record has columns; the function may have given None for each of its rows."""
        schema = self.results.records[number].table().schema
        return schema.names != [UNNAMED] or not pt.is_null(schema.field(0).type)


def joined_rows(found: Found, given: pa.Table, keep: Sequence[str] | None) -> pa.RecordBatchReader:
    """Return the rows of the input with the new columns of each; a new one takes the place of one of the same name.

    `keep` are the columns of the input that stay, None for all. A batch has 65,536 rows, or more if rows give several;
    fewer if these take more than 8 MiB. Raises FormatError.
    """
    new = _schema(found, "row")
    kept = given if keep is None else given.select(list(keep))
    schema, places = _with_new(kept.schema, new)

    def batches() -> Iterator[pa.RecordBatch]:
        for start, positions, records in _blocks(found, new):
            table, parents = records.take(positions)
            rows = _rows_of(found, kept, start, len(positions))
            columns = [*rows.columns] if parents is None else [*take(rows, parents).columns]
            for place, column in zip(places, table.columns, strict=True):
                columns[place : place + 1] = [column]
            yield from _batches(columns, schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def joined_pieces(found: Found) -> pa.RecordBatchReader:
    """Return the tables of the pieces, one behind the other. Raises FormatError if they do not fit."""
    schema = _schema(found, "piece")

    def batches() -> Iterator[pa.RecordBatch]:
        opened: tuple[int, pa.Table, list[int]] | None = None
        records = found.results.records_of(found.positions).to_pylist()
        for position, number in zip(found.positions.to_pylist(), records, strict=True):
            if opened is None or opened[0] != number:
                record = found.results.records[number]
                starts = [0, *accumulate(record.counts.to_pylist())] if record.counts is not None else []
                opened = number, as_schema(found.table(number), schema), starts
            unit = position - found.results.starts[number]
            start, stop = opened[2][unit : unit + 2] if opened[2] else (unit, unit + 1)
            yield from opened[1].slice(start, stop - start).to_batches()

    return pa.RecordBatchReader.from_batches(schema, batches())


def _schema(found: Found, unit: str) -> pa.Schema:
    """Return the columns of all results, in the order in which the rows of the input give them.

    A row for which the function gave None has nulls in the columns of the others. A column of a dictionary gets the
    type of its values: the dictionaries of calls differ. Raises FormatError with the number of the first `unit`, from
    1, of each of two results that do not fit together.
    """
    import pyarrow.compute as pc

    used = found.results.used_by(found.positions)
    used = [*filter(found.has_values, used)] or used
    try:
        return common_schema([_without_dictionaries(found.table(i).schema) for i in used])
    except Conflict as error:
        records = found.results.records_of(found.positions)
        firsts = [pc.index(records, used[i]).as_py() for i in (error.one, error.other)]
        rows = [first if found.rows is None else found.rows[first].as_py() for first in firsts]
        what = " and ".join(f"{unit} {row + 1:,}" for row in rows)
        raise FormatError(f"the results of {what} of '{found.name}' cannot be put together: {error}") from None


def _with_new(kept: pa.Schema, new: pa.Schema) -> tuple[pa.Schema, list[int]]:
    """Return the input's columns and the new ones as a schema, and the place of each new one."""
    fields, places = list(kept), []
    for field in new:
        place = kept.get_field_index(field.name)
        places.append(len(fields) if place < 0 else place)
        fields[places[-1] : places[-1] + 1] = [field]
    return pa.schema(fields, kept.metadata), places


class _Records:
    """The records of some results, with the columns of `schema`."""

    def __init__(self, found: Found, numbers: Sequence[int], schema: pa.Schema) -> None:
        self._results, self._numbers = found.results, pa.array(numbers, pa.int64())
        records = [found.results.records[i] for i in numbers]
        self._tables = [as_schema(found.table(i), schema) for i in numbers]
        self._table = pa.concat_tables(self._tables)
        self._ends: pa.Array | None = None  # of the tables, if rows are taken from each by itself
        # The index of a result among those of these records: less by the results of the records left out before it.
        offsets = [*accumulate((len(record.keys) for record in records), initial=0)][:-1]
        starts = [found.results.starts[i] for i in numbers]
        self._shifts = pa.array([start - offset for start, offset in zip(starts, offsets, strict=True)], pa.int64())
        self._counts = None
        if any(record.counts is not None for record in records):
            self._counts = pa.concat_arrays([_counts(record.counts, len(record.keys)) for record in records])

    def take(self, positions: pa.Array) -> tuple[pa.Table, pa.Array | None]:
        """Return the rows of some results, and for each the index of its result; None if each result is one row."""
        import pyarrow.compute as pc

        places = pc.index_in(self._results.records_of(positions), value_set=self._numbers)
        units = pc.subtract(positions, self._shifts.take(places))
        if self._counts is None:
            return self._rows(units), None
        starts = pc.subtract(pc.cumulative_sum(self._counts), self._counts)
        parents, within = _parents(self._counts.take(units))
        return self._rows(pc.add(starts.take(units).take(parents), within)), parents

    def scatter(self, size: int) -> None:
        """Prepare for rows from all records at once, which are not adjacent. `size` is that of the records, in bytes.

        Arrow copies all chunks of a column into one, each time that it takes rows of several. So that is done here
        once, or if they are large, never.
        """
        if size <= _LARGE:
            self._table = self._table.combine_chunks()
        else:
            self._ends = pa.array([*accumulate(table.num_rows for table in self._tables)], pa.int64())

    def _rows(self, rows: pa.Array) -> pa.Table:
        """Return the rows with these numbers, in all tables together."""
        import pyarrow.compute as pc

        if self._ends is None or not len(rows):
            return _taken(self._table, rows)
        tables = pc.search_sorted(self._ends, rows, side="right")
        order = pc.array_sort_indices(tables)
        ordered, sizes = rows.take(order), tables.take(order).value_counts()
        parts, start = [], 0
        for number, size in zip(sizes.field("values").to_pylist(), sizes.field("counts").to_pylist(), strict=True):
            first = self._ends[number - 1].as_py() if number else 0
            parts.append(take(self._tables[number], pc.subtract(ordered.slice(start, size), first)))
            start += size
        return take(_in_one_chunk(pa.concat_tables(parts)), pc.array_sort_indices(order))


def _parents(counts: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return the index of each list and the index in it, for each item of lists with these lengths."""
    import pyarrow.compute as pc

    ends = pc.cumulative_sum(counts)
    total = ends[-1].as_py() if len(ends) else 0
    offsets = pa.concat_arrays([pa.array([0], pa.int64()), ends])
    items = counted(total)
    parents = pc.list_parent_indices(pa.LargeListArray.from_arrays(offsets, items)).cast(pa.int64())
    return parents, pc.subtract(items, offsets.take(parents))


def _counts(counts: pa.Array | None, keys: int) -> pa.Array:
    return pa.array([1] * keys, pa.int64()) if counts is None else counts


def _taken(table: pa.Table, rows: pa.Array) -> pa.Table:
    """Return these rows: a view if they are all adjacent, as where nothing has changed since an earlier run."""
    import pyarrow.compute as pc

    size = len(rows)
    if size and rows[-1].as_py() - rows[0].as_py() == size - 1:
        first = rows[0].as_py()
        if pc.subtract(rows, first).equals(counted(size)):
            return table.slice(first, size)
    return take(table, rows)


def _rows_of(found: Found, kept: pa.Table, start: int, size: int) -> pa.Table:
    if found.rows is None:
        return kept.slice(start, size)
    return take(kept, found.rows.slice(start, size))


def _blocks(found: Found, schema: pa.Schema) -> Iterator[tuple[int, pa.Array, _Records]]:
    """Yield the results block by block: the index of the first, their positions, and the records with them.

    If the rows were computed in another order, so that most blocks need most records, these are opened once, for larger
    blocks.
    """
    records = {number: found.results.records[number] for number in found.results.used_by(found.positions)}
    units = sum(len(record.keys) for record in records.values())
    size = sum(record.body.size for record in records.values())
    step = _block_rows(units, size, _BLOCK_BYTES)
    used = [sorted(found.results.used_by(block)) for _, block in _slices(found.positions, step)]
    whole = None
    if sum(map(len, used)) > _SCATTERED * len(records) + len(used):
        whole = _Records(found, sorted(records), schema)
        whole.scatter(size)
        step = _block_rows(units, size, _LARGE)
    for i, (start, block) in enumerate(_slices(found.positions, step)):
        yield start, block, whole or _Records(found, used[i], schema)


def _slices(positions: pa.Array, step: int) -> Iterator[tuple[int, pa.Array]]:
    """Yield the slices of an array with `step` values, each with the index of its first one."""
    for start in range(0, len(positions), step):
        yield start, positions.slice(start, step)


def _block_rows(units: int, size: int, most: int) -> int:
    """Return how many results a block has, of at most so many bytes, if `units` results have `size` bytes."""
    return int(max(1, min(_BLOCK_ROWS, most * units // max(1, size))))


def _batches(columns: Sequence[pa.ChunkedArray], schema: pa.Schema) -> list[pa.RecordBatch]:
    found: list[pa.RecordBatch] = _in_one_chunk(pa.Table.from_arrays(list(columns), schema=schema)).to_batches()
    return found


def _in_one_chunk(table: pa.Table) -> pa.Table:
    with suppress(pa.ArrowNotImplementedError, pa.ArrowInvalid):  # unions, or more than 2 GB of text
        return table.combine_chunks()
    return table


class Conflict(Exception):
    """Two results have different types in one column. `one` and `other` are the indices of their schemas."""

    def __init__(self, what: str, one: int, other: int) -> None:
        super().__init__(what)
        self.one, self.other = one, other


def common_schema(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """Return all columns, in the order of their first appearance, with types that hold the values of each schema.

    A call may have given integers where another gave floats, or nothing but nulls: Python's values have no type, so
    they get that of a column with all of them. Raises Conflict if there is none.
    """
    fields: dict[str, pa.Field] = {}
    first: dict[str, int] = {}
    has_all = True
    for i, schema in enumerate(schemas):
        if i and schema.equals(schemas[i - 1]):
            continue
        has_all = has_all and (not i or fields.keys() == set(schema.names))
        for field in schema:
            known = fields.get(field.name)
            if known is None:
                fields[field.name], first[field.name] = field, i
                continue
            kind = common_type(known.type, field.type)
            if kind is None:
                what = f"'{field.name}' is {known.type} in the one and {field.type} in the other"
                raise Conflict(what, first[field.name], i)
            if pt.is_null(known.type) and not pt.is_null(kind):
                first[field.name] = i
            fields[field.name] = known.with_type(kind).with_nullable(known.nullable or field.nullable)
    metadata = schemas[0].metadata if schemas else None
    same = all(schema.metadata == metadata for schema in schemas)
    found = fields.values() if has_all else [field.with_nullable(True) for field in fields.values()]
    return pa.schema(list(found), metadata if same else None)


def common_type(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Return a type for the values of both types, None if there is none."""
    if one.equals(other):
        return one
    if pt.is_null(one) or pt.is_null(other):
        return other if pt.is_null(one) else one
    if any(is_one(one) and is_one(other) for is_one in (_is_number, _is_nested, _is_text, pt.is_decimal)):
        try:
            fields = [pa.schema([pa.field("", kind)]) for kind in (one, other)]
            return pa.unify_schemas(fields, promote_options="permissive").field(0).type
        except (pa.ArrowTypeError, pa.ArrowInvalid):
            return None
    return None


def as_schema(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the table with the columns of a schema, and nulls for those that it lacks. Raises FormatError."""
    if table.schema.equals(schema):
        return table
    columns = []
    for field in schema:
        place = table.schema.get_field_index(field.name)
        if place < 0:
            columns.append(pa.chunked_array([pa.nulls(table.num_rows, field.type)], field.type))
            continue
        try:
            columns.append(table.column(place).cast(field.type))
        except pa.ArrowException as error:
            kind = table.schema.field(place).type
            raise FormatError(
                f"the values of '{field.name}' are {kind}, and do not fit {field.type}: {error}"
            ) from None
    return pa.Table.from_arrays(columns, schema=schema)


def _without_dictionaries(schema: pa.Schema) -> pa.Schema:
    fields = [f.with_type(f.type.value_type) if pt.is_dictionary(f.type) else f for f in schema]
    return pa.schema(fields, schema.metadata)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pt.is_integer(kind) or pt.is_floating(kind))


def _is_nested(kind: pa.DataType) -> bool:
    return bool(pt.is_list(kind) or pt.is_struct(kind) or pt.is_large_list(kind))


def _is_text(kind: pa.DataType) -> bool:
    return kind in (pa.string(), pa.large_string(), pa.string_view())


@frozen
class CallError:
    """The error of a failed call: the type of the error, its message, and how many attempts there were."""

    error: str
    message: str
    attempts: int


def failed_rows(given: pa.Table, failed: Mapping[int, CallError]) -> pa.Table:
    """Return a row for each failed row: its values in `given`, and why its call failed.

    `failed` has the numbers of the rows. A column of `given` that is named like one of those with the reasons gives
    way.
    """
    numbers = sorted(failed)
    kept = take(given.select(_others(given)), pa.array(numbers, pa.int64()))
    return _with_reasons(kept, [failed[number] for number in numbers])


def failed_slices(slices: Iterable[tuple[int, int, CallError]]) -> pa.Table:
    """Return a row for each failed piece: the number of its first row, from 1, how many rows it has, and why."""
    found = sorted(slices, key=lambda each: each[:2])
    columns = {"row": [row for row, _, _ in found], "rows": [rows for _, rows, _ in found]}
    table = pa.table(columns, schema=pa.schema({name: pa.int64() for name in columns}))
    return _with_reasons(table, [call for _, _, call in found])


def _others(given: pa.Table) -> list[str]:
    return [name for name in given.schema.names if name not in _COLUMNS]


def _with_reasons(table: pa.Table, calls: Sequence[CallError]) -> pa.Table:
    for name, kind in _COLUMNS.items():
        table = table.append_column(pa.field(name, kind), pa.array([getattr(call, name) for call in calls], kind))
    return table
