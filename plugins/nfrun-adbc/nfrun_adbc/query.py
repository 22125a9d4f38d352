"""The kind `adbc.query`: hands on the rows of a query as they come, without a copy of the table in between."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pyarrow as pa

from nfrun import Job, NodeError
from nfrun_adbc.database_process import reader_apart
from nfrun_adbc.databases import connected, scheme_of, uri_of


def run(job: Job) -> dict[str, object]:
    """Run the query. The rows are read when the table is written, batch by batch; then the connection is closed.

    It is one statement that only reads.
    """
    apart = scheme_of(uri_of(job)) != "postgresql"
    return {"rows": reader_apart("query", job) if apart else read_rows(job)}


def read_rows(job: Job) -> pa.RecordBatchReader:
    """Return the rows of the query, from a connection of this process."""
    values = job.node.values
    with ExitStack() as opened:
        database = opened.enter_context(connected(job, reads=True))
        found, rows = database.query(values["sql"], values.get("parameters") or [])
        schema = pa.schema([field.with_type(_plain(field.type)) for field in found])
        batches = _batches(job, rows, schema, opened.pop_all())
        next(batches)  # so that closing the generator closes the connection, too
        return pa.RecordBatchReader.from_batches(schema, batches)


def _batches(job: Job, rows: Iterator[Any], schema: pa.Schema, opened: ExitStack) -> Iterator[Any]:
    """Yield None, and then the batches of rows. Closes what is `opened` at the end."""
    with opened:
        yield None
        while (batch := _next(rows)) is not None:
            if job.stop.requested:
                raise NodeError("stopped")
            columns = [_storage(column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
            yield pa.record_batch(columns, schema=schema)


def _next(rows: Iterator[Any]) -> Any:
    """Return the next batch, None at the end. What a driver says through Arrow becomes a NodeError."""
    try:
        return next(rows, None)
    except (OSError, pa.ArrowException) as error:
        first, _, rest = str(error).partition("\n")
        raise NodeError(first, rest.strip()) from None


def _plain(kind: pa.DataType) -> pa.DataType:
    """Return the type without its extension: a driver has some for types that Arrow lacks, such as numeric."""
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def _storage(column: pa.Array, kind: pa.DataType) -> pa.Array:
    return column.storage if isinstance(column, pa.ExtensionArray) else column
