"""Gives tables the form in which readers of a file get them, so that readers of a table in memory see the same.

A reader of a file gets one chunk per batch, one dictionary per column, and extension types only if they are registered.
`as_stored` sees to all of that, for a table that stays in memory. `with_stored_types` leaves the chunks as they are:
whoever writes a file joins them by `joined_batches`. `as_registered` sees to extension types only, when a node reads
the table: it may have registered some. `read_all` makes a table of a reader.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.types as pt

from nfrun.tables.dictionaries import has_dictionary, with_one_dictionary_each, with_plain_words
from nfrun.tables.frozen import HUGE, copied, frozen

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
            # Lists and runs show readers all values of the array that they are a slice of; a file has only their own.
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
    if pt.is_run_end_encoded(kind):
        return bool(array.run_ends[-1].as_py() != len(array))
    if pt.is_fixed_size_list(kind):
        return len(array.values) != len(array) * kind.list_size or _is_slice(array.values)
    if pt.is_list(kind) or pt.is_large_list(kind) or pt.is_map(kind):
        first, last = array.offsets[0].as_py(), array.offsets[-1].as_py()
        return first != 0 or last != len(array.values) or _is_slice(array.values)
    return False


def with_stored_types(table: pa.Table) -> pa.Table:
    """Return the table with the types, and with one dictionary per column, as a reader of its file gets them."""
    types = str(table.schema)
    if "extension<" in types:
        table = as_registered(table)
    return with_one_dictionary_each(with_plain_words(table)) if "dictionary<" in types else table


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
    """Return a reader of the same batches, each as `as_registered` returns it."""
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
    """Return the bytes of a batch; 0 for narrow rows, of which MIN_ROWS have no more than _MIN_BYTES."""
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
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # sparse unions, or more than 2 GB of text
        return batches
