"""A database of DuckDB, through its Python module."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from nfrun import NodeError

_BATCH = 16_384  # rows
_READS = (duckdb.StatementType.SELECT, duckdb.StatementType.MULTI)  # a pivot makes a type of its own first


class DuckDBFile:
    """A connection to a file of DuckDB, in a transaction."""

    scheme = "duckdb"
    errors = (duckdb.Error,)

    def __init__(self, file: Path, *, reads: bool) -> None:
        # Without the setting, a name that is no table could be a variable of this program.
        self._connection = duckdb.connect(str(file), config={"python_enable_replacements": "false"})
        self.execute("set timezone = 'UTC'")  # as in SQL nodes: not that of the machine
        self.execute("begin transaction read only" if reads else "begin transaction")

    def execute(self, sql: str) -> None:
        self._connection.execute(sql)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, list(parameters)).fetchall()

    def ingest(self, name: str, table: pa.Table) -> None:
        """Make a temporary table of the rows."""
        self._connection.register(f"{name}_rows", table)
        self.execute(f'create temp table "{name}" as select * from "{name}_rows"')
        self._connection.unregister(f"{name}_rows")

    def query(self, sql: str, parameters: Sequence[Any]) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        """Run one statement that reads."""
        statements = self._connection.extract_statements(sql)
        if not statements:
            raise NodeError("the query gives no table", "adbc.query is for queries that read")
        if len(statements) > 1 or statements[0].type not in _READS:
            raise NodeError("adbc.query takes one statement, and one that only reads", "write a select")
        result = self._connection.sql(sql, params=list(parameters) or None)
        if result is None:
            raise NodeError("the query gives no table", "adbc.query is for queries that read")
        to_reader = getattr(result, "to_arrow_reader", None) or result.fetch_record_batch
        reader = to_reader(_BATCH)
        return reader.schema, iter(reader)

    def commit(self) -> None:
        self._connection.commit()

    def interrupt(self) -> None:
        self._connection.interrupt()

    def close(self) -> None:
        """Close the connection, which rolls back what is not committed."""
        self._connection.close()
