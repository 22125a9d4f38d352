"""Puts the tables of cells together: as one table, or as a mapping by the values of the cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from nfrun.core.pipeline import Gather, OutputId
from nfrun.core.text import shortened
from nfrun.tables.formats import FormatError
from nfrun.tables.stored_form import joined_batches, with_stored_types

Tables = Mapping[OutputId, pa.Table]

_MIN_ROWS = 2048  # per chunk, on average: with fewer, a reader takes longer for the chunks than to join them
_LISTED = 3
# What a column of whole numbers, such as sums, is by its values. Different ones together are the last of these.
_WHOLE = (pa.int64(), pa.uint64(), pa.decimal128(38, 0))


def put_together(gather: Gather, tables: Tables) -> Any:
    """Return the tables of the cells that are there as one table, or as a mapping by the values on the axes.

    A mapping is nested in the order of the axes. Raises FormatError if they do not fit together.
    """
    return _nested(gather, tables) if gather.form == "dict" else _concatenated(gather, tables)


def flattened(gather: Gather, nested: Mapping[Any, Any]) -> Iterator[tuple[OutputId, Any]]:
    """Yield the items of such a mapping by the outputs of their cells, in cell order."""
    for output, values in gather.cells.items():
        item: Any = nested
        for value in values:
            item = item.get(value) if isinstance(item, Mapping) else None
        if item is not None:
            yield output, item


def _nested(gather: Gather, tables: Tables) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for output, table in tables.items():
        *outer, last = gather.cells[output]
        place = found
        for value in outer:
            place = place.setdefault(value, {})
        if last in place:
            twins = [o for o in tables if gather.cells[o] == gather.cells[output]]
            raise _misfit(twins[:2], "their values are one key in Python")
        place[last] = table
    return found


def _concatenated(gather: Gather, tables: Tables) -> pa.Table:
    """Return one table: a column for each axis in `columns`, then the columns of the tables.

    Columns are matched by name, in the order of their first appearance. What a table lacks is null. A column without
    any values, of the type null, fits each type. Sums that are int64 in one table and decimals in another are decimals.
    """
    items = list(tables.values())
    schema = items[0].schema
    if not all(schema.equals(table.schema) for table in items):
        schema = _common_schema(tables)
        items = [table if table.schema.equals(schema) else _as(table, schema) for table in items]
    for axis in gather.columns:
        if axis in schema.names:
            has = next(output for output, table in tables.items() if axis in table.schema.names)
            others = ", ".join(name for name in gather.columns if name != axis)
            what = f"that of '{has}' has a column '{axis}', like the axis"
            raise _misfit(tables, f"{what} (leave the axis out: columns: [{others}])")
    whole = pa.concat_tables(items)
    if whole.schema.metadata and any(table.schema.metadata != whole.schema.metadata for table in tables.values()):
        whole = whole.replace_schema_metadata(None)
    for place, axis in enumerate(gather.columns):
        kind, values = gather.column(axis)
        field = pa.field(axis, pa.type_for_alias(kind))
        chunks = [pa.repeat(pa.scalar(values[o], field.type), table.num_rows) for o, table in tables.items()]
        whole = whole.add_column(place, field, pa.chunked_array(chunks, field.type))
    whole = with_stored_types(whole)
    if whole.num_columns and whole.num_rows < _MIN_ROWS * len(items):
        return pa.Table.from_batches(list(joined_batches(whole)), whole.schema)
    return whole


def _common_schema(tables: Tables) -> pa.Schema:
    fields: dict[str, pa.Field] = {}
    first: dict[str, OutputId] = {}
    nulls: set[str] = set()  # columns that a table lacks, or that may have nulls in one
    for i, (output, table) in enumerate(tables.items()):
        names = table.schema.names
        if len(set(names)) < len(names):
            name = next(name for name in names if names.count(name) > 1)
            raise _misfit(tables, f"that of '{output}' has two columns '{name}'")
        nulls.update(fields.keys() ^ names if i else ())
        for field in table.schema:
            name, known = field.name, fields.get(field.name)
            if field.nullable:
                nulls.add(name)
            if known is None or pt.is_null(known.type):
                fields[name], first[name] = field, output
            elif field.type != known.type and field.type in _WHOLE and known.type in _WHOLE:
                fields[name] = known.with_type(_WHOLE[-1])
            elif not pt.is_null(field.type) and not field.type.equals(known.type):
                what = f"'{name}' is {known.type} in the one and {field.type} in the other"
                raise _misfit([first[name], output], what)
    return pa.schema([field.with_nullable(name in nulls) for name, field in fields.items()])


def _as(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the table with the columns of a schema, and nulls for those that it lacks or that have no values."""
    columns = []
    for field in schema:
        i = table.schema.get_field_index(field.name)
        columns.append(table.column(i).cast(field.type) if i >= 0 else pa.nulls(table.num_rows, field.type))
    return pa.Table.from_arrays(columns, schema=schema.with_metadata(table.schema.metadata))


def _misfit(outputs: Any, why: str) -> FormatError:
    """Return the error for tables that do not fit together."""
    quoted = [f"'{output}'" for output in outputs]
    listed = " and ".join(quoted) if len(quoted) < _LISTED else shortened(quoted, _LISTED)
    return FormatError(f"the tables of {listed} cannot be put together: {why}")
