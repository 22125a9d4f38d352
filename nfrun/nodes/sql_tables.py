"""Gives DuckDB the inputs of a query, and takes its result.

Parquet files are scans, of which DuckDB reads what the query needs, and other inputs are Arrow tables.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from nfrun.core.file_source import FileSource
from nfrun.core.pipeline import TABLE
from nfrun.nodes.base import NodeContext, NodeError

# Rows of a slice, as many as DuckDB's own row groups have. It scans a table of one large chunk 1.7 times slower.
SLICE_ROWS = 122_880
# The types that DuckDB gives columns of Arrow. There are more, and it is asked for these.
KNOWN_TYPES = {
    "bool": "BOOLEAN",
    "int8": "TINYINT",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "uint8": "UTINYINT",
    "uint16": "USMALLINT",
    "uint32": "UINTEGER",
    "uint64": "UBIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "large_string": "VARCHAR",
    "string_view": "VARCHAR",
    "binary": "BLOB",
    "date32[day]": "DATE",
    "timestamp[us]": "TIMESTAMP",
}
# What DuckDB would hand on as its own bytes, or as another number or time.
_CAST = {
    "BIT": "VARCHAR",
    "BIGNUM": "VARCHAR",
    "VARIANT": "VARCHAR",
    "TIME WITH TIME ZONE": "VARCHAR",
    "UHUGEINT": "HUGEINT",
}
# A type, also inside of another one, and no name of a field, which has a blank or a quote behind it.
_CAST_IN = re.compile(rf"\b({'|'.join(_CAST)})(?=[\[\]),]|$)")
_HUGE_IN = re.compile(r"\bU?HUGEINT(?=[\[\]),]|$)")


def bind_inputs(context: NodeContext, connection: Any) -> list[FileSource]:
    """Make each input a table of its name that only this connection sees. Return the files that DuckDB reads itself.

    Raises NodeError, FormatError, HandoffError, `duckdb.Error`.
    """
    scanned = []
    for item in context.node.inputs:
        if item.type != TABLE:  # the query has its path as a value
            continue
        source = context.files(item.name)
        scan = _scan(connection, source) if source is not None else ""
        if source is not None and scan and _is_same_in_arrow(context, connection, source, scan):
            connection.execute(f"create or replace temp view {_name(item.name)} as {scan}")
            scanned.append(source)
            continue
        table = context.table(item.name)
        if not table.num_columns:  # DuckDB has no such tables
            what = f"the table of '{item.output}' has no columns"
            raise NodeError(what, "a query needs one at least: return a table with columns, also where it has no rows")
        connection.register(item.name, sliced(table))
    return scanned


def with_names(message: str, scanned: Sequence[FileSource]) -> str:
    """Return a message of DuckDB with the names of files in place of the paths at which it has read them."""
    for source in scanned:
        for file in source.files:
            message = message.replace(file.path, file.name)
    return message


def sliced(table: Any) -> Any:
    """Return the table in slices that DuckDB scans one by one. Nothing is copied but dictionaries in lists of one size.

    DuckDB would give the indices of these.
    """
    if "fixed_size_list<" in (types := str(table.schema)) and "dictionary<" in types:
        from nfrun.tables.stored_form import without_dictionaries

        table = without_dictionaries(table)
    if table.num_rows <= SLICE_ROWS or not table.num_columns:
        return table
    return type(table).from_batches(table.to_batches(max_chunksize=SLICE_ROWS), table.schema)


def _is_same_in_arrow(context: NodeContext, connection: Any, source: FileSource, scan: str) -> bool:
    """Return whether DuckDB gives the columns of the files the names and types that it gives the table in Arrow.

    It does not for times in milliseconds and for lists of a fixed size, for instance.
    """
    import duckdb

    key = "sql_inputs", source
    if key not in context.memo:
        try:
            scanned, given = connection.sql(scan), _in_arrow(connection, source)
            context.memo[key] = (scanned.columns, scanned.types) == (given.columns, given.types)
        except duckdb.Error:  # the table may still be readable
            context.memo[key] = False
    return bool(context.memo[key])


def _in_arrow(connection: Any, source: FileSource) -> Any:
    """Return the relation of the table in files as one of Arrow, without its rows. Raises `duckdb.Error`."""
    from nfrun.tables.footers import source_schema
    from nfrun.tables.plain_arrays import empty_table

    return connection.from_arrow(empty_table(source_schema(source)))


def _scan(connection: Any, source: FileSource) -> str:
    """Return the query of DuckDB that reads the files of an input, "" if there is none. Raises `duckdb.Error`."""
    if source.partitions:
        columns = _with_partitions(connection, source)
        options = "hive_partitioning = false, filename = true"  # an error where the files have a column of this name
    else:
        columns = "*" if source.columns is None else ", ".join(map(_name, source.columns))
        options = "hive_partitioning = false"
    return f"select {columns} from read_parquet({_paths(source)}, {options})" if columns else ""


def _with_partitions(connection: Any, source: FileSource) -> str:
    """Return the columns to select from files that have some of them in the names of their folders, "" if unknown.

    DuckDB may take other values from a path than Arrow does, so they are looked up by the path. It knows the path of a
    file before it reads it, and leaves out the files in which no row fits.
    """
    given, columns = _in_arrow(connection, source), []
    for name, type_ in zip(given.columns, map(str, given.types), strict=True):
        columns.append(_name(name))
        if name in source.partitions:
            if type_ not in {*KNOWN_TYPES.values()} - {"BLOB"} and not type_.startswith("DECIMAL("):
                return ""  # DuckDB may make other values of texts than Arrow
            texts = [file.partition[source.partitions.index(name)] for file in source.files]
            values = ", ".join("null" if text is None else _text(text) for text in texts)
            text = f"(map({_paths(source)}, [{values}]::varchar[]))[filename]"
            columns[-1] = f"cast({text} as {type_}) as {_name(name)}"
    return ", ".join(columns)


def _paths(source: FileSource) -> str:
    return f"[{', '.join(_text(file.path) for file in source.files)}]"


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def arrow_table(result: Any) -> Any:
    """Return the table of a relation of DuckDB. Raises NodeError, `duckdb.Error`.

    Whole numbers of 128 bits, such as those of `sum`, are int64 if all of their column fit, otherwise decimals of 38
    digits.
    """
    names, types = result.columns, [str(type_) for type_ in result.types]
    wanted = [_CAST_IN.sub(lambda found: _CAST[found[1]], type_) for type_ in types]
    if wanted != types:
        pairs = enumerate(zip(wanted, types, strict=True), 1)
        columns = ", ".join([f"#{i}" if new == old else f"#{i}::{new}" for i, (new, old) in pairs])
        table = result.project(columns).to_arrow_table().rename_columns(names)
    else:
        table = result.to_arrow_table()
    for i, type_ in enumerate(types):
        if _HUGE_IN.search(type_) and "DECIMAL(38,0)" not in type_:  # which is the same in Arrow
            table = table.set_column(i, names[i], _narrowed(names[i], table.column(i)))
    return table


def _narrowed(name: str, column: Any) -> Any:
    import pyarrow as pa

    try:
        return column.cast(_with_int64(column.type))
    except pa.ArrowInvalid:  # a value is too large
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            what = f"the column '{name}' has a whole number of more than 38 digits, which tables do not have"
            raise NodeError(what, f'make texts of them: "{name}"::varchar') from None
        return column


def _with_int64(kind: Any) -> Any:
    """Return the type of a column of DuckDB's with int64 in place of whole numbers of 128 bits."""
    import pyarrow as pa
    import pyarrow.types as pt

    from nfrun.tables.plain_arrays import with_inner_types

    def narrow(kind: Any) -> Any:
        if pt.is_map(kind):
            return pa.map_(_with_int64(kind.key_type), _with_int64(kind.item_type))
        return pa.int64() if kind == pa.decimal128(38, 0) else kind

    return with_inner_types(kind, narrow)
