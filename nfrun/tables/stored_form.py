"""Gives tables the form in which readers of a file get them, so that readers of a table in memory see the same.

A reader of a file gets one chunk per batch, one dictionary per column, and extension types only if they are registered.
`as_stored` sees to all of that, for a table that stays in memory. `with_stored_types` leaves the chunks as they are:
whoever writes a file joins them by `joined_batches`. `as_registered` sees to extension types only, when a node reads
the table: it may have registered some. `read_all` makes a table of a reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Set

import pyarrow as pa
import pyarrow.types as pt

from nfrun.core.text import ellipsize
from nfrun.tables.formats import FormatError
from nfrun.tables.plain_arrays import with_inner_types

_RARE = re.compile(r"(run_end_encoded|(?:sparse|dense)_union|list_view)<")
MIN_ROWS = 65_536  # per batch of a file; smaller batches cost readers more than they save
_MIN_BYTES = 8 << 20  # a batch of fewer rows is not joined with others if it has as many


def as_stored(table: pa.Table, plain: bool = False) -> pa.Table:
    """Return the table as a reader of its file gets it. Copies only what the file would not hold as it is.

    `plain`: all its types are known to be, see `is_plain`. Raises FormatError if a file cannot hold a dictionary of the
    table.
    """
    if not plain and "<" in str(table.schema):  # extension<…>, dictionary<…>, list<…>
        table = with_stored_types(table)
        for i, field in enumerate(table.schema):
            # Lists show readers all values of the array that they are a slice of; a file has only their own.
            if any(map(_is_slice, table.column(i).chunks)):
                table = table.set_column(i, field, copied(table.select([i])).column(0))
    if not table.num_columns or (table.num_rows and {column.num_chunks for column in table.columns} == {1}):
        return table
    return pa.Table.from_batches(list(joined_batches(table)), table.schema)


def _is_slice(array: pa.Array) -> bool:
    """Return whether the array, or one inside of it, has more values than a file would hold."""
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return _is_slice(array.storage)
    if not kind.num_fields or not len(array):
        return False
    if array.offset:
        return True
    if pt.is_struct(kind):
        return any(_is_slice(array.field(i)) for i in range(kind.num_fields))
    if pt.is_fixed_size_list(kind):
        return len(array.values) != len(array) * kind.list_size or _is_slice(array.values)
    if pt.is_list(kind) or pt.is_large_list(kind) or pt.is_map(kind):
        first, last = array.offsets[0].as_py(), array.offsets[-1].as_py()
        return first != 0 or last != len(array.values) or _is_slice(array.values)
    return False


def with_stored_types(table: pa.Table) -> pa.Table:
    """Return the table with the types, and with one dictionary per column, as a reader of its file gets them.

    Raises FormatError for a type that is not handed on, see `check_types`.
    """
    check_types(table.schema)
    types = str(table.schema)
    if "extension<" in types:
        table = as_registered(table)
    return with_one_dictionary_each(with_plain_words(table)) if "dictionary<" in types else table


def check_types(schema: pa.Schema) -> None:
    """Raise FormatError for a column of a type that few libraries read, and for which Arrow has few functions."""
    for field in schema:
        if found := _RARE.search(str(field.type)):
            what = f"the column '{ellipsize(field.name)}' is {ellipsize(str(field.type))}"
            raise FormatError(f"{what}, and no {found[1]} is handed on: cast it, or decode it with run_end_decode()")


def is_streamed(value: pa.Table | pa.RecordBatchReader) -> bool:
    """Return whether the batches of an output are written to its file one by one, at once, if it may have a file.

    So are those of a reader. A table of 1 GiB or more with small chunks might need too much memory to join them.
    """
    if isinstance(value, pa.RecordBatchReader):
        return not has_dictionary(pa.struct(value.schema))
    if value.get_total_buffer_size() < HUGE:
        return False
    return any(batch.num_rows < MIN_ROWS for batch in value.to_batches()[:-1])


def is_plain(kind: pa.DataType, field: pa.Field) -> bool:
    """Return whether the type of a field contains no others, is no extension type and cannot become one.

    Whatever asks Arrow more than this lets go of Python's lock, and a thread waits for it longer than a small table
    takes. The type is given, since a field makes a new object of it each time.
    """
    return type(kind) is pa.DataType and field.metadata is None


def as_registered(table: pa.Table) -> pa.Table:
    """Return the table with the extension types that are registered now, and with the storage of the others."""
    schema = table.schema
    if all(is_plain(field.type, field) for field in schema) or registered_schema(schema).equals(schema):
        return table
    return copied(table)


def registered_reader(reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """Return a reader of the same batches, each as `as_registered` returns it. Raises FormatError."""
    check_types(reader.schema)
    schema = registered_schema(reader.schema)
    if schema.equals(reader.schema):
        return reader
    tables = (copied(pa.Table.from_batches([batch])) for batch in reader)
    return pa.RecordBatchReader.from_batches(schema, (batch for table in tables for batch in table.to_batches()))


def read_all(reader: pa.RecordBatchReader) -> pa.Table:
    """Read all batches into memory. Each is copied at once: a node may reuse its arrays for the next batch."""
    reader = registered_reader(reader)
    tables = (frozen(pa.Table.from_batches([batch])) for batch in joined_batches(reader))
    return pa.Table.from_batches([batch for table in tables for batch in table.to_batches()], reader.schema)


def joined_batches(value: pa.Table | pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a table or reader. Adjacent small ones are joined to MIN_ROWS rows, or to 8 MiB."""
    small: list[pa.RecordBatch] = []
    count = size = 0
    for batch in value.to_batches() if isinstance(value, pa.Table) else value:
        count += batch.num_rows
        size += _bytes_of(batch)
        if count >= MIN_ROWS or size >= _MIN_BYTES:
            yield from _joined([*small, batch])
            small, count, size = [], 0, 0
        elif batch.num_rows:
            # The node that makes the batches of a reader may reuse its arrays for the next one.
            kept = batch if isinstance(value, pa.Table) else frozen(pa.Table.from_batches([batch])).to_batches()[0]
            small.append(kept)
    yield from _joined(small)


def _bytes_of(batch: pa.RecordBatch) -> int:
    """Return the bytes of a batch; 0 if its rows are so narrow that MIN_ROWS take at most _MIN_BYTES."""
    return int(batch.nbytes) if batch.get_total_buffer_size() * MIN_ROWS >= _MIN_BYTES * batch.num_rows else 0


def registered_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema as a file's reader gets it."""
    text = schema.serialize()
    return pa.ipc.read_schema(text) if b"ARROW:extension:name" in text.to_pybytes() else schema


def _joined(batches: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
    if len(batches) < 2:
        return batches
    try:
        return [pa.concat_batches(batches)]
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # more than 2 GB of text
        return batches


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
    return pa.ipc.open_stream(in_stream(table)).read_all()


def in_stream(table: pa.Table) -> pa.Buffer:
    """Return the bytes of the table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


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


def has_dictionary(kind: pa.DataType) -> bool:
    """Return whether the type contains a dictionary."""
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    parts = [kind.field(i).type for i in range(kind.num_fields)]
    return isinstance(kind, pa.DictionaryType) or any(has_dictionary(part) for part in parts)


def with_plain_words(table: pa.Table) -> pa.Table:
    """Return the table with dictionaries of plain strings and bytes in place of views of them, as polars makes these.

    Arrow can neither decode nor sort nor write those.
    """
    if not re.search("dictionary<values=(string|binary)_view", str(table.schema)):
        return table
    for i, field in enumerate(table.schema):
        kind = with_inner_types(field.type, _with_plain_values)
        if kind != field.type:
            table = table.set_column(i, field.with_type(kind), table.column(i).cast(kind))
    return table


def _with_plain_values(kind: pa.DataType) -> pa.DataType:
    if not pt.is_dictionary(kind):
        return kind
    values = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}.get(kind.value_type, kind.value_type)
    return pa.dictionary(kind.index_type, values, kind.ordered)


def without_dictionaries(table: pa.Table) -> pa.Table:
    """Return the table with plain values in place of dictionaries inside of lists and structs."""
    for i, field in enumerate(table.schema):
        kind = with_inner_types(field.type, lambda kind: kind.value_type if pt.is_dictionary(kind) else kind)
        if pt.is_nested(field.type) and kind != field.type:
            table = table.set_column(i, field.with_type(kind), table.column(i).cast(kind))
    return table


def with_one_dictionary_each(table: pa.Table) -> pa.Table:
    """Give the chunks of each column the same dictionary. Raises FormatError."""
    for i, field in enumerate(table.schema):
        column, kind = table.column(i), field.type
        if not has_dictionary(kind):
            continue
        if isinstance(kind, pa.DictionaryType) and has_dictionary(kind.value_type):
            raise FormatError(
                f"the values of the dictionary column '{field.name}' contain dictionaries ({kind}), "
                "which an Arrow file cannot hold: decode the column with dictionary_decode()"
            )
        try:
            column = pa.table([column], pa.schema([field])).unify_dictionaries().column(0)
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:  # of lists and structs, or with nulls
            raise FormatError(
                f"the chunks of the column '{field.name}' ({kind}) have different dictionaries, which cannot be "
                f"put together ({str(error).rstrip('.')}): decode it, or give all chunks the same dictionary"
            ) from None
        table = table.set_column(i, field, column)
    return table
