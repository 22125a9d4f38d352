"""A database of PostgreSQL, through its ADBC driver."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import adbc_driver_manager
import pyarrow as pa
from adbc_driver_postgresql import dbapi

from nfrun import NodeError


class PostgreSQLServer:
    """A connection to a server, in a transaction."""

    scheme = "postgresql"
    errors = (adbc_driver_manager.Error,)

    def __init__(self, uri: str, *, reads: bool) -> None:
        self._connection = dbapi.connect(uri)
        self._cursor = self._connection.cursor()
        if reads:
            self.execute("set transaction read only")

    def execute(self, sql: str) -> None:
        self._cursor.execute(sql)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self._cursor.execute(sql, parameters or None)
        return list(self._cursor.fetchall())

    def ingest(self, name: str, table: pa.Table) -> None:
        """Make a temporary table of the rows."""
        self._cursor.adbc_ingest(name, table, mode="create", temporary=True)

    def query(self, sql: str, parameters: Sequence[Any]) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        """Run one statement that reads: the server takes no more in one, and nothing else in such a transaction."""
        self._cursor.execute(sql, parameters or None)
        if self._cursor.description is None:
            raise NodeError("the query gives no table", "adbc.query is for queries that read")
        reader = self._cursor.fetch_record_batch()
        return reader.schema, iter(reader)

    def commit(self) -> None:
        self._connection.commit()

    def interrupt(self) -> None:
        self._cursor.adbc_cancel()

    def close(self) -> None:
        """Roll back what is not committed, and close the connection."""
        try:
            self._cursor.close()
            self._connection.rollback()
        finally:
            self._connection.close()
