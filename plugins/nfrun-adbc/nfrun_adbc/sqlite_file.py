"""A database of SQLite, through Python's own `sqlite3`.

It gives each value as it is stored, so that none is rounded, and has an authorizer for queries.
"""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from nfrun import NodeError

_BUSY_SECONDS = 60.0  # that a writer waits for other programs
_BATCH = 16_384  # rows
_TYPES = {int: pa.int64(), float: pa.float64(), str: pa.string(), bytes: pa.binary()}
_NAMES = {int: "whole numbers", float: "floats", str: "texts", bytes: "blobs"}
# What a query that reads may do, and the pragmas that only tell something.
_READS = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_PRAGMAS = {
    *("table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list"),
    *("database_list", "foreign_key_check", "integrity_check", "quick_check"),
}


class SQLiteFile:
    """A connection to a file of SQLite. `stopped` tells whether to stop waiting for other writers."""

    scheme = "sqlite"
    errors = (sqlite3.Error,)

    def __init__(self, file: Path, stopped: Callable[[], bool], *, reads: bool) -> None:
        uri = f"file:{quote(str(file))}?mode={'rw' if reads else 'rwc'}"
        # Its connection is used by one thread at a time, and interrupted by another.
        self._connection = sqlite3.connect(
            uri, uri=True, timeout=0.2, isolation_level=None, check_same_thread=False, cached_statements=0
        )
        try:
            self._begin(file, stopped, reads=reads)
        except BaseException:
            self._connection.close()
            raise

    def _begin(self, file: Path, stopped: Callable[[], bool], *, reads: bool) -> None:
        if reads:
            self.execute("begin")
        until = time.monotonic() + _BUSY_SECONDS
        while not reads:  # the lock to write comes first: one who has read before does not wait for it
            try:
                self.execute("begin immediate")
                break
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                if stopped():
                    raise NodeError("stopped") from None
                if time.monotonic() > until:
                    what = f"another program has been writing into {file} for {_BUSY_SECONDS:.0f} s"
                    raise NodeError(what, "end its transaction, or let the node try again: retries") from None
        self.execute(f"pragma busy_timeout = {_BUSY_SECONDS * 1000:.0f}")

    def execute(self, sql: str) -> None:
        self._connection.execute(sql)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, parameters).fetchall()

    def ingest(self, name: str, table: pa.Table) -> None:
        """Make a temporary table of the rows. Its columns have no types, so that SQLite changes no value."""
        columns = ", ".join('"' + column.replace('"', '""') + '"' for column in table.column_names)
        self.execute(f'create temp table "{name}" ({columns})')
        insert = f'insert into "{name}" values ({", ".join("?" * table.num_columns)})'
        for batch in table.to_batches(_BATCH):
            self._connection.executemany(insert, zip(*(column.to_pylist() for column in batch.columns), strict=True))

    def query(self, sql: str, parameters: Sequence[Any]) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        """Run one statement that reads. A column has the type of its first values, or its declared type without any."""
        self.execute("pragma query_only = 1")
        cursor = self._read(sql, parameters)
        if cursor.description is None:
            raise NodeError("the query gives no table", "adbc.query is for queries that read")
        names = [column[0] for column in cursor.description]
        first = cursor.fetchmany(_BATCH)
        kinds = [_kind(name, column) for name, column in zip(names, _columns(first, len(names)), strict=True)]
        if None in kinds:
            declared = self._declared(sql, parameters, len(names))
            kinds = [found or declared[i] for i, found in enumerate(kinds)]
        schema = pa.schema([(name, _TYPES[kind or str]) for name, kind in zip(names, kinds, strict=True)])
        return schema, (_batch(schema, rows) for rows in itertools.chain([first], _more(cursor)) if rows)

    def _read(self, sql: str, parameters: Sequence[Any]) -> sqlite3.Cursor:
        refused = []

        def allowed(action: int, first: str | None, second: str | None, *_: object) -> int:
            if action in _READS or (action == sqlite3.SQLITE_PRAGMA and first in _PRAGMAS):
                return sqlite3.SQLITE_OK
            refused.append(action)
            return sqlite3.SQLITE_DENY

        self._connection.set_authorizer(allowed)
        try:
            return self._connection.execute(sql, parameters)
        except sqlite3.Error as error:
            if refused or "one statement" in str(error):
                raise NodeError("adbc.query takes one statement, and one that only reads", "write a select") from None
            raise
        finally:
            self._connection.set_authorizer(None)

    def _declared(self, sql: str, parameters: Sequence[Any], count: int) -> list[type]:
        """Return the types that the columns have by their declarations, text where there is none.

        A view has them as they are declared, but takes no parameters; a table has what SQLite makes of them.
        """
        self.execute("pragma query_only = 0")
        query = sql.rstrip().rstrip(";")
        made = (
            f"table nfrun_types as select * from ({query}\n) limit 0" if parameters else f"view nfrun_types as {query}"
        )
        try:
            self._connection.execute(f"create temp {made}", parameters)
            found = self.rows("select type from temp.pragma_table_info('nfrun_types')")
        except sqlite3.Error:  # such as a pragma, which cannot be in a view
            found = []
        finally:
            self.execute("pragma query_only = 1")
        return [_declared_kind(row[0]) for row in found] if len(found) == count else [str] * count

    def commit(self) -> None:
        self.execute("commit")

    def interrupt(self) -> None:
        self._connection.interrupt()

    def close(self) -> None:
        """Close the connection, which rolls back what is not committed."""
        self._connection.close()


def _more(cursor: sqlite3.Cursor) -> Iterator[list[tuple[Any, ...]]]:
    while rows := cursor.fetchmany(_BATCH):
        yield rows


def _columns(rows: Sequence[tuple[Any, ...]], count: int) -> list[tuple[Any, ...]]:
    return list(zip(*rows, strict=True)) if rows else [()] * count


def _kind(name: str, column: Sequence[Any]) -> type | None:
    """Return the Python type of the values of a column, None if all are null. Raises NodeError for several types."""
    kinds = {type(value) for value in column} - {type(None)}
    if kinds == {int, float}:
        return float
    if len(kinds) > 1:
        raise _mixed(name, kinds)
    return next(iter(kinds), None)


def _mixed(name: str, kinds: set[type]) -> NodeError:
    listed = " and ".join(_NAMES[kind] for kind in _NAMES if kind in kinds)
    return NodeError(f"the column '{name}' has {listed}", f'make one type of them: cast("{name}" as text) in the query')


def _batch(schema: pa.Schema, rows: Sequence[tuple[Any, ...]]) -> pa.RecordBatch:
    """Return the rows as Arrow. Raises NodeError for a value of another type than its column has."""
    arrays = []
    for field, column in zip(schema, _columns(rows, len(schema)), strict=True):
        wanted = next(kind for kind, type in _TYPES.items() if type == field.type)
        found = {type(value) for value in column} - {type(None)}
        if found - ({int, float} if wanted is float else {wanted}):
            raise _mixed(field.name, found | {wanted})
        try:
            arrays.append(pa.array(column, field.type))
        except pa.ArrowInvalid as error:  # a whole number that no float is
            what = f"the column '{field.name}' has whole numbers and floats, and not all fit a float: {error}"
            raise NodeError(what, f'make one type of them: cast("{field.name}" as text) in the query') from None
    return pa.record_batch(arrays, schema=schema)


def _declared_kind(declared: str) -> type:
    """Return the Python type of the values for which a column is declared."""
    return {"integer": int, "real": float, "numeric": float, "none": bytes if declared else str}.get(
        affinity(declared), str
    )


def affinity(declared: str) -> str:
    """Return what SQLite makes of a declared type: integer, text, none, real or numeric."""
    upper = declared.upper()
    for words, found in (
        (("INT",), "integer"),
        (("CHAR", "CLOB", "TEXT"), "text"),
        (("BLOB",), "none"),
        (("REAL", "FLOA", "DOUB"), "real"),
    ):
        if any(word in upper for word in words):
            return found
    return "numeric" if upper else "none"


_WHOLE = r"^-?(?:0|[1-9]\d{0,17})(?:\.0+)?$"
_NUMBER = r"^-?(?:0|[1-9]\d*)(?:\.\d+)?$"
_LIKE_A_NUMBER = r"^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*$"
_DIGITS = 15  # that a float keeps of any decimal


def misfit(column: pa.ChunkedArray, declared: str) -> Any:
    """Return the first value that a column of a declared type would not keep exactly, None if all fit."""
    kind, into = column.type, affinity(declared)
    column = column.drop_null()
    if not len(column) or into == "none":
        return None
    if pa.types.is_floating(kind):
        fits = _float_fits(column, into)
    elif pa.types.is_string(kind):
        fits = _text_fits(column, into)
    elif pa.types.is_binary(kind):
        fits = None if into == "numeric" else pa.chunked_array([pa.repeat(False, len(column))])
    else:
        fits = _whole_fits(column.cast(pa.int64()), into)
    if fits is None or pc.all(fits).as_py():
        return None
    return column.filter(pc.invert(fits))[0].as_py()


def _whole_fits(column: pa.ChunkedArray, into: str) -> Any:
    if into != "real":
        return None
    return pc.and_(pc.less_equal(column, 2**53), pc.greater_equal(column, -(2**53)))


def _float_fits(column: pa.ChunkedArray, into: str) -> Any:
    if into == "text":  # SQLite writes 15 digits
        return pa.chunked_array([[float(f"{value:.15g}") == value for value in column.to_pylist()]], pa.bool_())
    if into != "integer":
        return None
    return pc.and_(pc.equal(pc.floor(column), column), pc.less(pc.abs(column), 2.0**63))


def _text_fits(column: pa.ChunkedArray, into: str) -> Any:
    if into == "text":
        return None
    is_whole = pc.match_substring_regex(column, _WHOLE)
    if into == "integer":
        return is_whole
    digits = pc.utf8_ltrim(pc.replace_substring_regex(column, r"\D", ""), "0")
    is_exact = pc.less_equal(pc.utf8_length(digits), _DIGITS)
    is_number = pc.and_(pc.match_substring_regex(column, _NUMBER), is_exact)
    if into == "real":
        return is_number
    is_text = pc.invert(pc.match_substring_regex(column, _LIKE_A_NUMBER))
    return pc.or_(is_text, pc.or_(is_whole, is_number))


def check_floats(table: pa.Table) -> None:
    """Raise NodeError for a NaN: SQLite has none, and makes a null of it."""
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not pa.types.is_floating(column.type):
            continue
        if count := pc.sum(pc.is_nan(column)).as_py():
            rows = "1 row" if count == 1 else f"{count:,} rows"
            raise NodeError(
                f"SQLite has no NaN: the column '{name}' has it in {rows}", "make nulls of them in the node before"
            )
