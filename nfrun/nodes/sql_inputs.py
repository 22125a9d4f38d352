"""Gives DuckDB the inputs of a query: files as scans, of which it reads what the query needs, and Arrow tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nfrun.core.file_source import FileSource, SourceFile
from nfrun.core.output_types import TABLE
from nfrun.core.pipeline import Input
from nfrun.core.values import frozen, replace
from nfrun.nodes.base import NodeContext, NodeError

# Rows of a slice, as many as DuckDB's own row groups have. It scans a table of one large chunk 1.7 times slower.
SLICE_ROWS = 122_880
_LONGEST_NAME = 255  # bytes
ROW_NUMBER = "file_row_number"  # the column of DuckDB's that has the number of the row in its file
# The types that DuckDB gives columns of Arrow. There are more, and it is asked for these.
_KNOWN_TYPES = {
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


@frozen
class Scan:
    """The query of DuckDB that reads the files of a `source`. They have the paths that it has for them."""

    query: str
    source: FileSource

    def only(self, files: Sequence[SourceFile], rows: range | None = None) -> Scan:
        """Return the scan of some of the files, or of these rows of one, by their numbers.

        A plan of DuckDB has the number of the row in its filters. A condition that it knows to hold would not be there.
        """
        from nfrun.tables.footers import source_schema

        source = replace(self.source, files=tuple(files))
        columns = ", ".join(map(_name, source_schema(source).names))
        scanned = f"read_parquet({_paths(source)}, hive_partitioning = false, {ROW_NUMBER} = true)"
        which = f"{ROW_NUMBER} | 0 >= 0"
        if rows is not None:
            which = f"{ROW_NUMBER} >= {rows.start} and {ROW_NUMBER} < {rows.stop}"
        return Scan(f"select {columns} from {scanned} where {which}", source)


@frozen
class ArrowFiles:
    """Arrow files, of which the columns that a query needs are to be read."""

    source: FileSource


@frozen
class QueryInput:
    """A table of a query, and what it is: an Arrow table, the scan of files, or Arrow files."""

    name: str
    value: Any

    def bind(self, connection: Any) -> None:
        """Make it a table of its name that only this connection sees; of Arrow files without rows.

        Raises `duckdb.Error`.
        """
        if isinstance(self.value, ArrowFiles):
            from nfrun.tables.footers import source_schema
            from nfrun.tables.plain_arrays import empty_table

            connection.register(self.name, empty_table(source_schema(self.value.source)))
        elif isinstance(self.value, Scan):
            connection.execute(f"create or replace temp view {_name(self.name)} as {self.value.query}")
        else:
            connection.register(self.name, sliced(self.value))


def bind_inputs(context: NodeContext, connection: Any, *, by_column: bool) -> list[QueryInput]:
    """Make each input a table of its name that only this connection sees. Return them.

    `by_column`: Arrow files are left to `bind_needed`. Raises NodeError, FormatError, HandoffError, `duckdb.Error`.
    """
    found = []
    for item in context.node.inputs:
        if item.type == TABLE:  # otherwise the query has its path as a value
            found.append(QueryInput(item.name, _value_of(context, connection, item, by_column=by_column)))
            found[-1].bind(connection)
    return found


def _value_of(context: NodeContext, connection: Any, item: Input, *, by_column: bool) -> Any:
    source = context.files(item.name)
    if source is not None and source.format == "arrow":
        if by_column:
            return ArrowFiles(source)
    elif source is not None:
        scan = _scan(context, item.name, source)
        if scan is not None and _is_same_in_arrow(context, connection, source, scan):
            return scan
    table = context.table(item.name)
    if not table.num_columns:  # DuckDB has no such tables
        what = f"the table of '{item.output}' has no columns"
        raise NodeError(what, "a query needs one at least: return a table with columns, also where it has no rows")
    return table


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


def _is_same_in_arrow(context: NodeContext, connection: Any, source: FileSource, scan: Scan) -> bool:
    """Return whether DuckDB gives the columns of the files the names and types that it gives the table in Arrow.

    It does not for times in milliseconds and for lists of a fixed size, for instance.
    """
    import duckdb
    import pyarrow as pa

    key = "sql_inputs", source
    if key not in context.memo:
        schema = pa.ipc.read_schema(pa.py_buffer(source.schema))
        try:
            scanned = connection.sql(scan.query)
            is_same = scanned.columns == schema.names and list(map(str, scanned.types)) == list(
                map(_known_type, schema)
            )
            if not is_same:  # only then, since it imports pandas where that is installed
                given = connection.from_arrow(schema.empty_table())
                is_same = (scanned.columns, scanned.types) == (given.columns, given.types)
            context.memo[key] = is_same
        except duckdb.Error:  # the table may still be readable
            context.memo[key] = False
    return bool(context.memo[key])


def _known_type(field: Any) -> str | None:
    """Return the type that DuckDB gives a column of Arrow; None where that has to be looked up."""
    kind = str(field.type)
    if field.metadata and b"ARROW:extension:name" in field.metadata:
        return None
    is_decimal = kind.startswith("decimal128(")
    return kind.replace("decimal128", "DECIMAL").replace(" ", "") if is_decimal else _KNOWN_TYPES.get(kind)


def _scan(context: NodeContext, name: str, source: FileSource) -> Scan | None:
    """Return the scan of the files of an input, None if DuckDB cannot make it. Raises HandoffError, OSError."""
    if source.partitions:
        return _scan_of_partitions(context.scratch() / f"input_{name}", source)
    columns = "*" if source.columns is None else ", ".join(map(_name, source.columns))
    return Scan(f"select {columns} from read_parquet({_paths(source)}, hive_partitioning = false)", source)


def _scan_of_partitions(folder: Path, source: FileSource) -> Scan | None:
    """Return the scan of files with columns in the names of their folders, which leaves out files by these columns.

    DuckDB takes such columns from paths, and the files are held at paths without them: it gets links in the new
    `folder`. There a text has a `v` in front, as DuckDB makes nulls of some texts, and of which depends on its version.
    """
    import pyarrow as pa

    from nfrun.tables.partitions import folder_name

    schema = pa.ipc.read_schema(pa.py_buffer(source.schema))
    key = "p"
    while any(name.lower().startswith(key) for name in schema.names):
        key += "_"
    columns = []
    for field in schema:
        column = _name(field.name)
        if field.name in source.partitions:
            type_ = _known_type(field)
            if type_ is None:
                return None
            part = f"{key}{source.partitions.index(field.name)}"
            column = f"case when {part} <> 'n' then cast(substr({part}, 2) as {type_}) end as {column}"
        columns.append(column)
    if "=" in str(folder):  # DuckDB would take columns from the names of all folders
        return None
    files = []
    for i, file in enumerate(source.files):
        parts = [folder_name(f"{key}{j}", "n" if text is None else f"v{text}") for j, text in enumerate(file.partition)]
        if any(len(part.encode()) > _LONGEST_NAME for part in parts):
            return None
        link = folder.joinpath(*parts, str(i))
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file.path)
        files.append(replace(file, path=str(link)))
    linked = replace(source, files=tuple(files))
    types = ", ".join(f"{key}{i}: VARCHAR" for i in range(len(source.partitions)))
    options = f"hive_partitioning = true, hive_types = {{{types}}}"
    return Scan(f"select {', '.join(columns)} from read_parquet({_paths(linked)}, {options})", linked)


def _paths(source: FileSource) -> str:
    return f"[{', '.join(_text(file.path) for file in source.files)}]"


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
