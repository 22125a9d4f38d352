"""Connects to the database that the variable ADBC_URI names.

    sqlite:shop.db, sqlite:/data/shop.db     a file, relative to the folder of the pipeline
    duckdb:shop.duckdb
    postgresql://user:password@host/name     as libpq has it

An URI is never shown: it may have a password.
"""

from __future__ import annotations

import errno
import importlib
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from nfrun import Job, NodeError

VARIABLE = "ADBC_URI"
_ALIASES = {"postgres": "postgresql", "sqlite3": "sqlite"}
_DRIVERS = {
    "sqlite": ("nfrun_adbc.sqlite_file", "SQLiteFile", "a Python with sqlite3"),
    "duckdb": ("nfrun_adbc.duckdb_file", "DuckDBFile", "duckdb"),
    "postgresql": ("nfrun_adbc.postgresql_server", "PostgreSQLServer", "adbc-driver-postgresql"),
}
_FORMS = "sqlite:FILE, duckdb:FILE or postgresql://user@host/name"
_FULL = re.compile("disk is full|disk full|no space left", re.IGNORECASE)
_CONSTRAINT = re.compile("constraint", re.IGNORECASE)
_NAMES = {"sqlite": "SQLite", "duckdb": "DuckDB", "postgresql": "PostgreSQL"}
# One node writes into a file at a time.
_file_locks: dict[str, threading.Lock] = {}
_locks = threading.Lock()


def uri_of(job: Job) -> str:
    """Return the URI of the job's database. Raises NodeError if there is none."""
    uri = job.environ.get(VARIABLE, "")
    if not uri.strip():
        raise NodeError(f"the variable {VARIABLE} is not set", f"set it under 'env': {_FORMS}")
    return uri


def scheme_of(uri: str) -> str:
    """Return `sqlite`, `duckdb` or `postgresql`. Raises NodeError for another URI."""
    scheme, colon, _ = uri.partition(":")
    scheme = scheme.lower() if colon else ""
    found = _ALIASES.get(scheme, scheme)
    if found in _DRIVERS:
        return found
    base = scheme.partition("+")[0]
    if _ALIASES.get(base, base) in _DRIVERS:
        raise NodeError(f"{VARIABLE} begins with '{scheme}:', which is for SQLAlchemy", f"begin it with '{base}:'")
    if not scheme or "/" in scheme or "." in scheme:
        raise NodeError(f"{VARIABLE} is no URI of a database", f"write {_FORMS}")
    raise NodeError(f"{VARIABLE} begins with '{scheme[:20]}:', and there is no driver for that", f"write {_FORMS}")


def file_of(uri: str, folder: Path) -> Path:
    """Return the file that the URI of a SQLite or DuckDB database names. Raises NodeError."""
    scheme, _, rest = uri.partition(":")
    if rest.startswith("//") and not rest.startswith("///"):
        what = f"{VARIABLE} names a host, and the database of '{scheme}:' is a file"
        raise NodeError(what, f"write {scheme}:shop.db, or {scheme}:/data/shop.db")
    path = rest.removeprefix("//")
    if not path or path.startswith(":"):
        what = f"{VARIABLE} names no file: a database in memory would be gone after the node"
        raise NodeError(what, f"write {scheme}:shop.db")
    if "?" in path:
        raise NodeError(f"{VARIABLE} has options behind a '?', which '{scheme}:' does not take", "remove them")
    found = folder / path
    if not found.parent.is_dir():
        raise NodeError(f"there is no folder {found.parent} for the database", "make it first")
    return found


class Database(Protocol):
    """A connection in a transaction, which is rolled back when it is closed. All methods raise `errors`."""

    scheme: str
    errors: tuple[type[Exception], ...]

    def execute(self, sql: str) -> None:
        """Run a statement."""

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""

    def ingest(self, name: str, table: pa.Table) -> None:
        """Make a temporary table of the rows of a table."""

    def query(self, sql: str, parameters: Sequence[Any]) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        """Run one statement of the user that only reads. Raises NodeError for another."""

    def commit(self) -> None:
        """Commit the transaction."""

    def interrupt(self) -> None:
        """Stop what is under way. Called on another thread."""

    def close(self) -> None:
        """Roll back what is not committed, and close the connection."""


@contextmanager
def connected(job: Job, *, reads: bool) -> Iterator[Database]:
    """Provide the job's database, in a transaction that is rolled back at the end and stopped when the job is told to.

    `reads`: the job only reads, so that a file must be there. Errors of the driver become NodeErrors, and those of a
    full disk OSErrors.
    """
    uri = uri_of(job)
    scheme = scheme_of(uri)
    module, name, package = _DRIVERS[scheme]
    try:
        connect = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        missing = "adbc-driver-manager" if "manager" in str(error) else package
        raise NodeError(
            f"the driver for '{scheme}:' is not installed", f"install it with: pip install {missing}"
        ) from None
    file = file_of(uri, job.folder) if scheme != "postgresql" else None
    if reads and file is not None and not file.is_file():
        raise NodeError(f"there is no database {file}")
    try:
        with locked(job, file if not reads else None):
            stopped = (lambda: job.stop.requested,) if scheme == "sqlite" else ()
            database: Database = connect(uri if file is None else file, *stopped, reads=reads)
            try:
                with job.stop.calls(lambda: _interrupt(database)):
                    yield database
            finally:
                with suppress(*database.errors):
                    database.close()
    except connect.errors as error:
        if file is not None and _FULL.search(str(error)):  # nfrun tries no node again that met a full disk
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file)) from None
        raise NodeError(*_told(error, _NAMES[scheme] + (f" {file.name}" if file is not None else ""))) from None


def _interrupt(database: Database) -> None:
    with suppress(Exception):  # drivers that cannot do it say so
        database.interrupt()


@contextmanager
def locked(job: Job, file: Path | None) -> Iterator[None]:
    """Hold the lock of a file in this process while inside. Raises NodeError if the job is told to stop before."""
    if file is None:
        yield
        return
    with _locks:
        lock = _file_locks.setdefault(os.path.realpath(file), threading.Lock())
    while not lock.acquire(timeout=0.1):
        if job.stop.requested:
            raise NodeError("stopped")
    try:
        yield
    finally:
        lock.release()


def _told(error: Exception, database: str) -> tuple[str, str]:
    """Return the message of a driver's error: the database and the first line, and the rest."""
    text = str(error)
    text = text.rpartition("ERROR:  ")[2] if "[libpq]" in text else text
    first, _, rest = text.strip().partition("\n")
    hint = "nothing is written: leave such rows out, or change them, in the node before"
    rest = rest.strip() or (hint if _CONSTRAINT.search(first) else "")
    return f"{database}: {first.strip() or type(error).__name__}", rest
