"""Arrow IPC files: written whole and read-only, mapped in place. Knows no outputs and no runs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfrun.core.errors import HandoffError
from nfrun.system.atomic_files import sync
from nfrun.system.checksums import bytes_checksum
from nfrun.system.os_errors import reason

if TYPE_CHECKING:
    import pyarrow as pa

    from nfrun.tables.digest import Digest

MIN_ROWS = 65_536  # in a batch of a file; smaller ones cost readers more than they save
LITTLE = 1 << 12  # bytes, a page
_AT_ONCE = 1 << 16  # bytes
RESERVE_BYTES = 1 << 20  # from here on setting room aside takes less than it saves


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """What was written: `bytes` are those in memory, `size` those of the file; `digest` is that of the content.

    `checksum` is that of the file, None where it was too large to be had at once; `traits` are those of `Digest`;
    `whole` is all that is in the file, None where that is more than a page.
    """

    rows: int
    bytes: int
    size: int
    digest: str
    checksum: str | None = None
    schema_digest: str | None = None
    whole: pa.Buffer | None = None


def write_file(
    value: pa.Table | pa.RecordBatchReader,
    path: Path | str,
    before_batch: Callable[[], None] = lambda: None,
    *,
    fsync: bool = False,
) -> WrittenFile:
    """Write an Arrow IPC file, all of it or nothing, read-only.

    Batches of fewer than 65,536 rows are joined; nothing is compressed, so that the file can be mapped and used in
    place; nothing is synced unless `durable`. Raises OSError, and whatever `before_batch` raises to give the file up.
    """
    import pyarrow as pa

    from nfrun.tables.digest import Digest

    reserved = 0
    final = os.fspath(path)  # paths as text: for a small table pathlib takes as long as the file
    partial = f"{final}.{threading.get_ident():x}.partial"
    content = Digest(value.schema)
    # Chunks may have different dictionaries, which an IPC file cannot hold.
    table = value.unify_dictionaries() if isinstance(value, pa.Table) else value
    known = min(size_of(table), table.get_total_buffer_size()) if isinstance(table, pa.Table) else RESERVE_BYTES
    checksum = whole = None
    try:
        # Not a Python file, which is as fast: it takes the interpreter lock for every buffer and every few bytes of
        # padding, and beside nodes that compute in Python it waits 5 ms for it each time.
        with _created(partial) as file:
            if known >= RESERVE_BYTES and isinstance(table, pa.Table):
                reserved = _reserve(partial, known)
            if known < _AT_ONCE:  # all its parts in one write
                sink = pa.BufferOutputStream()
                rows, total = _write(table, sink, content, before_batch)
                whole = sink.getvalue()
                checksum = bytes_checksum(whole)
                file.write(whole)
            else:
                rows, total = _write(table, file, content, before_batch)
            size = file.tell()
        if size < reserved:
            os.truncate(partial, size)
        os.chmod(partial, 0o444)  # noqa: PTH101
        if fsync:
            sync(partial)
        os.replace(partial, final)  # noqa: PTH105
        if fsync:
            sync(os.path.dirname(final))  # noqa: PTH120
    except BaseException:
        with suppress(OSError):
            os.unlink(partial)  # noqa: PTH108
        raise
    if whole is not None and whole.size > LITTLE:
        whole = None
    return WrittenFile(rows, total, size, content.hexdigest(), checksum, content.schema_digest(table), whole)


def _created(path: str) -> pa.OSFile:
    """A new file, in a folder that is made where there is none."""
    import pyarrow as pa

    name = os.fsencode(path)
    try:
        return pa.OSFile(name, "wb")
    except FileNotFoundError:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return pa.OSFile(name, "wb")


def _write(
    table: pa.Table | pa.RecordBatchReader, sink: Any, content: Digest, before_batch: Callable[[], None]
) -> tuple[int, int]:
    """Write the table; returns its rows and its bytes in memory."""
    import pyarrow as pa

    rows = total = 0
    with pa.ipc.new_file(sink, table.schema) as writer:
        for batch in _batches(table):
            before_batch()
            content.add(batch)
            writer.write_batch(batch)
            rows += batch.num_rows
            total += size_of(batch)
    return rows, total


def _reserve(path: str, size: int) -> int:
    """Have the disk set this many bytes aside for the file, which makes writing them cheaper; returns how many it did.

    It is a favour and not a promise: whatever refuses it, a full disk too, is left for the writes to find out.
    """
    if not hasattr(os, "posix_fallocate"):
        return 0
    with suppress(OSError):
        # For appending, because then the C library fails where the file system cannot do it. Otherwise it would write
        # into every block instead, which takes longer than the writes that this is to make cheaper.
        file = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            os.posix_fallocate(file, 0, size)
        finally:
            os.close(file)
        return size
    return 0


def open_file(path: Path, size: int | None = None) -> pa.Table:
    """The table in an Arrow IPC file that nfrun wrote in this run, memory-mapped: no bytes are copied or even read.

    Raises HandoffError, also if the file has not the `size` in bytes with which it was written.
    """
    import pyarrow as pa

    try:
        if size is not None and (found := path.stat().st_size) != size:
            raise HandoffError(f"cannot open {path.name}: it has {found:,} bytes, and was written with {size:,}")
        return pa.ipc.open_file(pa.memory_map(os.fsencode(path), "r")).read_all()
    except (OSError, pa.ArrowException) as error:
        raise HandoffError(f"cannot open {path.name}: {reason(error)}") from error


def open_bytes(whole: pa.Buffer) -> pa.Table:
    """The table in the bytes of an Arrow IPC file, which stay where they are."""
    import pyarrow as pa

    return pa.ipc.open_file(whole).read_all()


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


def size_of(data: pa.Table | pa.RecordBatch) -> int:
    """Bytes of memory: of what it refers to, or, where that is little, of all of the buffers that it is in.

    What is behind a buffer that is only a view, such as of an array of numpy's, nobody can know. Arrow lets go of the
    interpreter's lock to find out the former. Another node takes it then, and to get it back takes longer than all else
    that is done for a small table.
    """
    held: int = data.get_total_buffer_size()
    return held if held < LITTLE else int(data.nbytes)


def has_dictionary(kind: pa.DataType) -> bool:
    """Whether there is a dictionary anywhere in the type: its batches may differ in it, which a file cannot hold."""
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    parts = [kind.field(i).type for i in range(kind.num_fields)]
    return isinstance(kind, pa.DictionaryType) or any(has_dictionary(part) for part in parts)
