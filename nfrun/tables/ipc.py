"""Writes Arrow IPC files atomically and read-only, and opens them memory-mapped."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from nfrun.core.errors import HandoffError
from nfrun.core.events import OutputRef
from nfrun.core.values import frozen, replace
from nfrun.system.atomic_files import atomic_write
from nfrun.system.checksums import HashedFile
from nfrun.system.os_errors import reason
from nfrun.tables.stored_form import LITTLE, is_plain, joined_batches, registered_reader, with_stored_types

if TYPE_CHECKING:
    from nfrun.tables.digest import Digest

_AT_ONCE = 1 << 16  # bytes; a smaller table is written with one system call
_BUFFERED = 1 << 17  # bytes; smaller parts of a table are put together before they are written
RESERVE_BYTES = 1 << 20  # from this size, reserving disk space takes less time than it saves


@frozen
class WrittenFile:
    """Describes a written file.

    `bytes` is the size in memory and `size` that of the file, both in bytes. `digest` and `schema_digest` are those of
    `Digest`. `checksum` covers the bytes of the file. `whole` holds them; None if they are more than a page (4 KiB).
    """

    rows: int
    bytes: int
    size: int
    digest: str
    checksum: str
    schema_digest: str
    whole: pa.Buffer | None = None

    def described(self, ref: OutputRef) -> OutputRef:
        """Return the reference of an output with the size, digests and checksum of its file."""
        return replace(
            ref, digest=self.digest, size=self.size, checksum=self.checksum, schema_digest=self.schema_digest
        )

    def opened(self, path: str) -> pa.Table:
        """Return the table in the file, memory-mapped. Raises HandoffError if it cannot be opened.

        A file of less than a page is not mapped: the map takes more memory than it frees, takes longer than writing the
        file, and uses one of the 65,530 maps that Linux allows a process. Its bytes take the place of the published
        table even so: that may be a view of a larger object, or of one that its node goes on to change.
        """
        return open_file(Path(path), self.size) if self.whole is None else pa.ipc.open_file(self.whole).read_all()


def write_file(
    value: pa.Table | pa.RecordBatchReader,
    path: Path | str,
    before_batch: Callable[[], None] = lambda: None,
    *,
    fsync: bool = False,
) -> WrittenFile:
    """Write an Arrow IPC file atomically and make it read-only.

    Batches of fewer than 65,536 rows are joined. Nothing is compressed, so that the file can be mapped and used in
    place. With `fsync`, the file and its name survive a power loss. Missing folders are created. `before_batch` is
    called before each batch and may raise to stop writing. Raises OSError, `ArrowException`, FormatError, and what
    `before_batch` or a reader raises; then no file is left.
    """
    from nfrun.tables.digest import Digest

    reserved = 0
    table = with_stored_types(value) if isinstance(value, pa.Table) else registered_reader(value)
    content = Digest(table.schema)
    known = min(size_of(table), table.get_total_buffer_size()) if isinstance(table, pa.Table) else RESERVE_BYTES
    whole = None
    with atomic_write(path, private=True, fsync=fsync) as partial:
        with _created(partial) as file:
            hashed = HashedFile(file)
            if known >= RESERVE_BYTES and isinstance(table, pa.Table):
                reserved = _reserve(partial, known)
            if known < _AT_ONCE:  # collect all parts, then write once
                sink = pa.BufferOutputStream()
                rows, total = _write(table, sink, content, before_batch)
                whole = sink.getvalue()
                size = hashed.write(whole)
            else:
                # A Python file takes the GIL for every write, and while other nodes compute in Python, each GIL wait
                # takes 5 ms. So Arrow puts small parts together, with the few bytes of padding behind each.
                with pa.BufferedOutputStream(pa.PythonFile(hashed, "w"), _BUFFERED) as sink:
                    rows, total = _write(table, sink, content, before_batch)
                    size = sink.tell()
        if size < reserved:
            os.truncate(partial, size)
    if whole is not None and whole.size > LITTLE:
        whole = None
    return WrittenFile(rows, total, size, content.hexdigest(), hashed.checksum(), content.schema_digest(table), whole)


def _created(path: str) -> FileIO:
    """Create a file, and its folder if only that is missing: the work folder may have been removed."""
    try:
        return open(path, "wb", buffering=0)  # noqa: PTH123  (a Path takes longer)
    except FileNotFoundError:
        Path(path).parent.mkdir(exist_ok=True, mode=0o700)
        return open(path, "wb", buffering=0)  # noqa: PTH123


def _write(
    table: pa.Table | pa.RecordBatchReader, sink: Any, content: Digest, before_batch: Callable[[], None]
) -> tuple[int, int]:
    """Write the table and return its number of rows and its bytes in memory."""
    rows = total = 0
    with pa.ipc.new_file(sink, table.schema) as writer:
        for batch in joined_batches(table):
            before_batch()
            content.add(batch)
            writer.write_batch(batch)
            rows += batch.num_rows
            total += size_of(batch)
    return rows, total


def _reserve(path: str, size: int) -> int:
    """Reserve disk space for `size` bytes, which makes writing them cheaper. Return the number of bytes reserved.

    Returns 0 if that fails. The error, even a full disk, is ignored here: the writes that follow report it.
    """
    if not hasattr(os, "posix_fallocate"):
        return 0
    with suppress(OSError):
        # With O_APPEND, the C library fails if the file system has no fallocate. Without it, the C library would write
        # into every block, which takes longer than the reservation saves.
        with Path(path).open("ab", buffering=0) as file:
            os.posix_fallocate(file.fileno(), 0, size)
        return size
    return 0


def open_file(path: Path, size: int | None = None) -> pa.Table:
    """Return the table in an Arrow IPC file that nfrun wrote, memory-mapped: no data is copied or read.

    The content is not validated. Raises HandoffError if the file cannot be opened or does not have `size` bytes.
    """
    try:
        if size is not None and (found := path.stat().st_size) != size:
            raise HandoffError(f"cannot open {path.name}: it has {found:,} bytes, and was written with {size:,}")
        return pa.ipc.open_file(pa.memory_map(os.fsencode(path), "r")).read_all()
    except (OSError, pa.ArrowException) as error:
        raise HandoffError(f"cannot open {path.name}: {reason(error)}", error) from error


def schema_line(schema: pa.Schema) -> str:
    """Return the schema on one line: `name: type, …`."""
    return described(schema)[0]


def described(schema: pa.Schema) -> tuple[str, bool]:
    """Return the schema on one line, and whether all its types are plain (see `is_plain`).

    Asked for every table of every node, so it takes each field from Arrow once: that takes longer than all else here.
    """
    columns, plain = [], True
    for field in schema:
        kind = field.type
        columns.append(f"{field.name}: {kind!s}")
        plain = plain and is_plain(kind, field)
    return ", ".join(columns), plain


def size_of(data: pa.Table | pa.RecordBatch) -> int:
    """Return the memory of the data in bytes: `nbytes`, or the size of its whole buffers if that is under a page.

    The memory behind a buffer that is only a view, such as of a numpy array, is unknown. For small tables `nbytes` is
    avoided: Arrow releases the GIL to compute it, another node takes the GIL, and the GIL wait takes longer than
    everything else done for a small table.
    """
    held: int = data.get_total_buffer_size()
    return held if held < LITTLE else int(data.nbytes)


def strict_line(schema: pa.Schema) -> str:
    """Return the schema on one line, with `not null`: it may be all that differs."""
    return ", ".join(f"{f.name}: {f.type}{'' if f.nullable else ' not null'}" for f in schema)
