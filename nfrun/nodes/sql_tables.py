"""Gives DuckDB the inputs of a query, and takes its result.

Parquet files are scans, of which DuckDB reads what the query needs, and other inputs are Arrow tables. DuckDB asks for
the columns of Arrow files that a query needs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nfrun.core.file_source import FileSource
from nfrun.core.output_types import TABLE
from nfrun.core.pipeline import Input
from nfrun.core.values import replace
from nfrun.nodes.base import NodeContext, NodeError

# Rows of a slice, as many as DuckDB's own row groups have. It scans a table of one large chunk 1.7 times slower.
SLICE_ROWS = 122_880
_LONGEST_NAME = 255  # bytes
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


class BoundInputs:
    """The inputs of a query as tables that only its connection sees.

    `sources` are the files that DuckDB reads while the query runs, and `errors` what went wrong there: DuckDB makes
    texts of it.
    """

    def __init__(self) -> None:
        self.sources: list[FileSource] = []
        self.errors: list[Exception] = []

    def bind(self, context: NodeContext, connection: Any) -> None:
        """Make each input a table of its name. Raises NodeError, FormatError, HandoffError, `duckdb.Error`."""
        for item in context.node.inputs:
            if item.type == TABLE:  # otherwise the query has its path as a value
                self._bind(context, connection, item)

    def _bind(self, context: NodeContext, connection: Any, item: Input) -> None:
        source = context.files(item.name)
        if source is not None and source.format == "arrow":
            self.sources.append(source)
            connection.register(item.name, arrow_file_dataset(source, self.errors))
            return
        scan = None if source is None else _scan(context, item.name, source)
        if source is not None and scan is not None and _is_same_in_arrow(context, connection, source, scan[0]):
            self.sources.append(scan[1])
            connection.execute(f"create or replace temp view {_name(item.name)} as {scan[0]}")
            return
        table = context.table(item.name)
        if not table.num_columns:  # DuckDB has no such tables
            what = f"the table of '{item.output}' has no columns"
            raise NodeError(what, "a query needs one at least: return a table with columns, also where it has no rows")
        connection.register(item.name, sliced(table))


def arrow_file_dataset(source: FileSource, errors: list[Exception]) -> Any:
    """Return an Arrow dataset of files: DuckDB asks it for the columns that a query needs, and these are read.

    They are checked like those of a whole table. What goes wrong is added to `errors`.
    """
    from pyarrow import dataset

    from nfrun.tables.file_table import read_source
    from nfrun.tables.footers import source_schema

    names = source_schema(source).names
    is_by_name = len({name.lower() for name in names}) == len(names)

    class Files(dataset.InMemoryDataset):  # type: ignore[misc]
        def scanner(self, columns: Any = None, filter: Any = None, **options: Any) -> Any:
            only = source.columns
            if columns is not None and is_by_name:  # a filter may be about other columns, which its text names
                only = tuple([name for name in names if name in columns or _has_name(str(filter), name)])
            try:
                table = read_source(replace(source, columns=only))
            except Exception as error:
                errors.append(error)
                raise
            return dataset.dataset(sliced(table)).scanner(columns=columns, filter=filter, **options)

    return Files(sliced(source_schema(source).empty_table()))


def _has_name(text: str, name: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) is not None


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
    import pyarrow as pa

    key = "sql_inputs", source
    if key not in context.memo:
        schema = pa.ipc.read_schema(pa.py_buffer(source.schema))
        try:
            scanned = connection.sql(scan)
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
    return kind.replace("decimal128", "DECIMAL").replace(" ", "") if is_decimal else KNOWN_TYPES.get(kind)


def _scan(context: NodeContext, name: str, source: FileSource) -> tuple[str, FileSource] | None:
    """Return the query that reads the files of an input, with these at the paths that it has for them.

    None if DuckDB cannot read them so. Raises HandoffError, OSError.
    """
    if source.partitions:
        return _scan_of_partitions(context.scratch() / f"input_{name}", source)
    columns = "*" if source.columns is None else ", ".join(map(_name, source.columns))
    return f"select {columns} from read_parquet({_paths(source)}, hive_partitioning = false)", source


def _scan_of_partitions(folder: Path, source: FileSource) -> tuple[str, FileSource] | None:
    """Return the query that reads files with columns in the names of their folders, and leaves out files by these.

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
    return f"select {', '.join(columns)} from read_parquet({_paths(linked)}, {options})", linked


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
