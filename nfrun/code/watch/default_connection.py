"""Opens DuckDB's default connection in a worker process, and sees whether the node's code has used it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any


class DefaultConnection:
    """The connection behind `duckdb.sql` and the like. With several `threads`, the order of rows would change."""

    def __init__(self, threads: int) -> None:
        import duckdb

        self._connection = duckdb.connect(config={"threads": threads})
        self._threads = threads
        self._used = False
        self._transaction = self._begin_transaction()
        duckdb.set_default_connection(self._connection)

    def begin(self, seed: float, threads: int) -> None:
        """Seed what queries draw, by a number from 0 to 1, and set the number of threads."""
        import duckdb

        was_used = self.used
        with suppress(duckdb.Error):
            self._connection.execute("select setseed(?)", [seed]).fetchall()
            if threads != self._threads:
                self._connection.execute(f"set threads = {threads}")
                self._threads = threads
            if not was_used:
                self._transaction = self._begin_transaction()

    @property
    def used(self) -> bool:
        """Whether anything but this object has used the connection, or has replaced it."""
        import duckdb

        if not self._used:
            last = self._transaction
            try:
                self._transaction = self._begin_transaction()
                self._used = self._transaction != last + 1 or duckdb.default_connection() is not self._connection
            except duckdb.Error:  # it is closed, or has a result that was not read to its end
                self._used = True
        return self._used

    def _begin_transaction(self) -> int:
        """Return the number of a new transaction: every use of the instance takes one."""
        rows: list[Any] = self._connection.execute("select txid_current()").fetchall()
        return int(rows[0][0])
