"""The kind `adbc.query`: hands on the rows of a query as they come, without a copy of the table in between."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pyarrow as pa

from nfrun import NodeError
from nfrun.plugins.job import Job
from nfrun_adbc.database_process import reader_apart
from nfrun_adbc.databases import connected, scheme_of, stopping, uri_of


def run(job: Job) -> dict[str, object]:
    """Run the query. The rows are read when the table is written, batch by batch; then the connection is closed.

    What the query changes in the database is rolled back.
    """
    apart = scheme_of(uri_of(job)) != "postgresql"
    return {"rows": reader_apart("query", job) if apart else read_rows(job)}


def read_rows(job: Job) -> pa.RecordBatchReader:
    """Return the rows of the query, from a connection of this process."""
    values = job.node.values
    with ExitStack() as opened:
        _, connection = opened.enter_context(connected(job, reads=True))
        cursor = opened.enter_context(connection.cursor())
        opened.enter_context(stopping(job, cursor))
        cursor.execute(values["sql"], values.get("parameters") or None)
        if cursor.description is None:
            raise NodeError("the query gives no table", "adbc.query is for queries that read")
        reader = cursor.fetch_record_batch()
        schema = pa.schema([field.with_type(_plain(field.type)) for field in reader.schema])
        batches = _batches(job, reader, schema, opened.pop_all())
        next(batches)  # so that closing the generator closes the connection, too
        return pa.RecordBatchReader.from_batches(schema, batches)


def _batches(job: Job, reader: Any, schema: pa.Schema, opened: ExitStack) -> Iterator[Any]:
    """Yield None, and then the batches of the reader. Closes what is `opened` at the end."""
    with opened:
        yield None
        for batch in reader:
            if job.stop.requested:
                raise NodeError("stopped")
            columns = [_storage(column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
            yield pa.record_batch(columns, schema=schema)


def _plain(kind: pa.DataType) -> pa.DataType:
    """Return the type without its extension: a driver has some for types that Arrow lacks, such as numeric."""
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def _storage(column: pa.Array, kind: pa.DataType) -> pa.Array:
    return column.storage if isinstance(column, pa.ExtensionArray) else column
