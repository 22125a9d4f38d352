"""Reads those columns of Arrow files that a query needs. DuckDB cannot read such files, but knows what it would read.

The query is planned over tables without rows. The columns that the plan reads are read from the files, and checked like
those of a whole table; the others are nulls, which take no memory. They stay in their places, so that the query means
the same as over the whole table.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from nfrun.core.values import replace
from nfrun.nodes.sql_inputs import SLICE_ROWS, ArrowFiles, QueryInput


def bind_needed(
    connection: Any, inputs: Sequence[QueryInput], query: str, values: Mapping[str, Any]
) -> Sequence[QueryInput]:
    """Return the inputs with tables in place of Arrow files, and bind these.

    Raises FormatError, HandoffError, `duckdb.Error`.
    """
    needed = _columns_read(connection, inputs, query, values)
    found = _bind_tables(connection, inputs, needed)
    if needed is not None:
        read = _columns_read(connection, found, query, values)
        if read is None or not read <= needed:  # the plan is another one, now that there are rows
            found = _bind_tables(connection, inputs, None)
    return found


def _bind_tables(connection: Any, inputs: Sequence[QueryInput], needed: Collection[str] | None) -> list[QueryInput]:
    found = []
    for item in inputs:
        found.append(item)
        if isinstance(item.value, ArrowFiles):
            found[-1] = _with_table(item, needed)
            found[-1].bind(connection)
    return found


def _columns_read(
    connection: Any, inputs: Sequence[QueryInput], query: str, values: Mapping[str, Any]
) -> set[str] | None:
    """Return the names of the columns that the plan of a query reads of Arrow tables; None if they are not known."""
    import duckdb

    try:
        (_, plan), *_ = connection.execute(f"explain (format json) {query}", values).fetchall()
    except duckdb.Error:  # the query says it better
        return None
    read: set[str] = set()
    for scan in _scans(json.loads(plan)):
        columns = scan["extra_info"].get("Projections", ())
        read.update([columns] if isinstance(columns, str) else columns)
    names = {name for item in inputs if (schema := _schema(item)) is not None for name in schema.names}
    # A part of a struct is 'column.part'.
    found = {name for name in names if any(text == name or text.startswith(f"{name}.") for text in read)}
    is_known = all(any(text == name or text.startswith(f"{name}.") for name in found) for text in read)
    return found if is_known else None


def _scans(value: Any) -> Iterator[dict[str, Any]]:
    for plan in value:
        if plan["name"] == "PYTHON_ARROW_SCAN":
            yield plan
        yield from _scans(plan["children"])


def _schema(item: QueryInput) -> Any:
    from nfrun.tables.footers import source_schema

    if isinstance(item.value, ArrowFiles):
        return source_schema(item.value.source)
    return getattr(item.value, "schema", None)  # none of a scan


def _with_table(item: QueryInput, needed: Collection[str] | None) -> QueryInput:
    """Return the input with a table that has at least the needed columns, all of them if that is None."""
    if not isinstance(item.value, ArrowFiles):
        return item
    from nfrun.tables.file_table import read_source
    from nfrun.tables.plain_arrays import empty_table

    source, schema = item.value.source, _schema(item)
    wanted = [name for name in schema.names if needed is None or name in needed]
    if len({name.lower() for name in schema.names}) < len(schema.names) or len(wanted) == len(schema.names):
        return QueryInput(item.name, read_source(source))
    if not wanted:  # the query does not read this input
        return QueryInput(item.name, empty_table(schema))
    return QueryInput(item.name, _with_nulls(read_source(replace(source, columns=tuple(wanted))), schema))


def _with_nulls(table: Any, schema: Any) -> Any:
    """Return the table with all columns of the schema. Those that it lacks are nulls."""
    import pyarrow as pa

    longest = min(SLICE_ROWS, table.num_rows)
    nulls = {field.type: pa.nulls(longest, field.type) for field in schema if field.name not in table.column_names}
    batches = [
        pa.RecordBatch.from_arrays(
            [
                batch.column(field.name) if field.name in table.column_names else nulls[field.type].slice(0, len(batch))
                for field in schema
            ],
            schema=schema,
        )
        for batch in table.to_batches(max_chunksize=SLICE_ROWS)
    ]
    return pa.Table.from_batches(batches, schema)
