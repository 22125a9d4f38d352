"""Freezes what nodes return: copies memory that a node, or who has its objects, could still change.

Arrow shares the memory of numpy arrays, and so that of pandas objects and of polars objects made of them, instead of
copying it. So it does with that of any object which gives its memory to `pa.py_buffer`, such as `array.array`. Memory
that Arrow, polars or DuckDB has allocated does not change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set

import pyarrow as pa
import pyarrow.types as pt

from nfrun.tables.dictionaries import has_dictionary, with_one_dictionary_each

LITTLE = 1 << 12  # bytes, one page
HUGE = 1 << 30  # bytes; copying as much might take more memory than there is
_LARGE = 1 << 20  # bytes; to copy a smaller table takes less time than to compare it with the inputs


def frozen_output(table: pa.Table, inputs: Iterable[pa.Table] = ()) -> pa.Table | pa.RecordBatchReader:
    """Return the output of a node as `frozen` does, but as a reader if the copies would take 1 GiB or more.

    A reader is written to its file at once, batch by batch. The memory of the `inputs` is frozen already.
    """
    if table.get_total_buffer_size() < _LARGE:
        return frozen(table)
    safe = {address for other in inputs for column in other.columns for address in _addresses(column)}
    shared = [i for i in _shareable_columns(table) if not _is_within(table.column(i), safe)]
    if sum(table.column(i).nbytes for i in shared) >= HUGE:
        return table.to_reader()
    return _with_copies(table, shared)


def frozen(table: pa.Table) -> pa.Table:
    """Return the table with copies of the columns whose memory may belong to an object that can change.

    Texts, booleans and decimals need a copy only if Arrow says that their memory can change: numpy has another form for
    them. Raises FormatError if a file cannot hold a dictionary of the table.
    """
    if table.get_total_buffer_size() < LITTLE:  # ten times as fast, but it copies more of slices
        memory = pa.default_cpu_memory_manager()
        return pa.Table.from_batches([batch.copy_to(memory) for batch in table.to_batches()], table.schema)
    return _with_copies(table, _shareable_columns(table))


def copied(table: pa.Table) -> pa.Table:
    """Return the table in new memory, with the extension types that are registered now."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return pa.ipc.open_stream(sink.getvalue()).read_all()


def _shareable_columns(table: pa.Table) -> list[int]:
    """Return the positions of the columns that may share the memory of objects."""
    types = table.schema.types
    return [i for i, kind in enumerate(types) if _is_shareable(kind) or _is_mutable(table.column(i))]


def _with_copies(table: pa.Table, shared: list[int]) -> pa.Table:
    if not shared:
        return table
    fields = list(table.schema)
    if any(has_dictionary(fields[i].type) for i in shared):
        table = with_one_dictionary_each(table)
    columns, copy = table.columns, copied(table.select(shared))
    for i, column, field in zip(shared, copy.columns, copy.schema, strict=True):
        columns[i], fields[i] = column, field
    return pa.Table.from_arrays(columns, schema=pa.schema(fields, table.schema.metadata))


def _is_shareable(kind: pa.DataType) -> bool:
    """Return whether an array of the type may share the memory of a numpy array."""
    texts = pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind)
    return not (texts or pt.is_boolean(kind) or pt.is_null(kind) or pt.is_decimal(kind))


def _is_mutable(column: pa.ChunkedArray) -> bool:
    """Return whether a buffer, or one that it is a part of, can change. That is so of all that Arrow itself builds."""
    for chunk in column.chunks:
        for buffer in chunk.buffers():
            part = buffer
            while part is not None:
                if part.is_mutable:
                    return True
                part = part.parent
    return False


def _is_within(column: pa.ChunkedArray, safe: Set[int]) -> bool:
    """Return whether all buffers of the column are at safe addresses. Unknown for dictionaries, so they are not."""
    return not has_dictionary(column.type) and safe >= {*_addresses(column)}


def _addresses(column: pa.ChunkedArray) -> Iterator[int]:
    """Yield the addresses of the column's buffers, without those of dictionaries."""
    for chunk in column.chunks:
        yield from (buffer.address for buffer in chunk.buffers() if buffer)
