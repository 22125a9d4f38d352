"""Arrow IPC files: written whole and read-only, mapped in place. Knows no outputs and no runs."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nfrun.errors import HandoffError

if TYPE_CHECKING:
    import pyarrow as pa

MIN_ROWS = 65_536  # in a batch of a file; smaller ones cost readers more than they save


def write_file(value: pa.Table | pa.RecordBatchReader, path: Path) -> tuple[tuple[int, int], str]:
    """Write an Arrow IPC file, all of it or nothing, read-only; returns ((rows, bytes in memory), digest of content).

    Batches of fewer than 65,536 rows are joined; nothing is compressed, so that the file can be mapped and used in
    place; nothing is synced. Raises OSError.
    """
    import pyarrow as pa

    from nfrun.digest import Digest

    rows = total = 0
    partial = path.with_name(f"{path.name}.{threading.get_ident():x}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    content = Digest(value.schema)
    # Chunks may have different dictionaries, which an IPC file cannot hold.
    table = value.unify_dictionaries() if isinstance(value, pa.Table) else value
    try:
        with pa.OSFile(os.fsencode(partial), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            for batch in _batches(table):
                content.add(batch)
                writer.write_batch(batch)
                rows += batch.num_rows
                total += batch.nbytes
        partial.chmod(0o444)
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
    return (rows, total), content.hexdigest()


def open_file(path: Path) -> pa.Table:
    """The table in an Arrow IPC file that nfrun wrote in this run, memory-mapped: no bytes are copied or even read.

    Raises HandoffError.
    """
    import pyarrow as pa

    try:
        return pa.ipc.open_file(pa.memory_map(os.fsencode(path), "r")).read_all()
    except (OSError, pa.ArrowException) as error:
        raise HandoffError(f"cannot open {path.name}: {error}") from error


def schema_line(schema: pa.Schema) -> str:
    """The schema on one line: `name: type, …`."""
    return ", ".join(f"{column.name}: {column.type}" for column in schema)


def _batches(value: pa.Table | pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """The batches of a table or reader, small neighbours joined to at least MIN_ROWS."""
    import pyarrow as pa

    small: list[pa.RecordBatch] = []
    count = 0
    for batch in value.to_batches() if isinstance(value, pa.Table) else value:
        small.append(batch)
        count += batch.num_rows
        if count >= MIN_ROWS:
            yield small[0] if len(small) == 1 else pa.concat_batches(small)
            small, count = [], 0
    if small:
        yield small[0] if len(small) == 1 else pa.concat_batches(small)


def has_dictionary(kind: pa.DataType) -> bool:
    """Whether there is a dictionary anywhere in the type: its batches may differ in it, which a file cannot hold."""
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    parts = [kind.field(i).type for i in range(kind.num_fields)]
    return isinstance(kind, pa.DictionaryType) or any(has_dictionary(part) for part in parts)
