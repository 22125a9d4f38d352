"""Writes and reads segments: files with results of calls, which only grow while one run writes them.

The format is in `segment_files.py`. A reader stops at the first header that does not fit: the rest was not written
completely, or is damaged. So a segment never gives wrong results, whatever happened to it.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
from xxhash import xxh3_64, xxh3_64_intdigest

from nfrun.core.errors import HandoffError
from nfrun.core.values import frozen
from nfrun.rows.row_keys import KEY_BYTES, key_array
from nfrun.rows.segment_files import ALIGNED, ENDING, HAS_COUNTS, HEADER, RECORD, START, UNCHECKED
from nfrun.system.atomic_files import make_private
from nfrun.system.os_errors import reason


@frozen
class Record:
    """Results of calls. `keys` has one key for each unit (a row or a piece).

    `counts` has how many of the `rows` belong to each key, as 64-bit numbers; None: one each. `seconds` is how long the
    calls took. `body` is the Arrow IPC stream with the rows, and `checksum` what its checksum must be. `size` is the
    number of bytes of the whole record.
    """

    keys: pa.FixedSizeBinaryArray
    counts: pa.Array | None
    rows: int
    seconds: float
    body: pa.Buffer
    checksum: int
    size: int

    def is_intact(self) -> bool:
        """Return whether the rows are as they were written. Reads all of them."""
        return xxh3_64_intdigest(self.body) == self.checksum

    def table(self) -> pa.Table:
        """Return the rows, as a view of the file."""
        return pa.ipc.open_stream(self.body).read_all()


def encoded(keys: bytes, counts: Sequence[int] | None, table: pa.Table, seconds: float) -> bytes:
    """Return the bytes of a record. `keys` are those of the units, one behind the other."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    rows = sink.getvalue()  # may be large, so it is copied once, at the end
    padding = bytes(-rows.size % ALIGNED)
    checksum = xxh3_64(rows)
    checksum.update(padding)
    head = keys if counts is None else keys + struct.pack(f"<{len(counts)}q", *counts)
    flags, padded = 0 if counts is None else HAS_COUNTS, head + bytes(-len(head) % ALIGNED)
    sizes = len(keys) // KEY_BYTES, table.num_rows, len(padded), rows.size + len(padding)
    header = HEADER.pack(RECORD, flags, *sizes, seconds, checksum.intdigest(), 0)
    own_checksum = _head_checksum(header, padded).to_bytes(8, "little")
    return b"".join([header[:UNCHECKED], own_checksum, padded, rows, padding])


def read_segment(path: Path) -> Iterator[Record]:
    """Yield the records of a segment, as views of the mapped file. Nothing if the file is not a segment of this format.

    Rows are not checked, see `Record.is_intact`. Raises FileNotFoundError, and HandoffError if it cannot be read.
    """
    try:
        if path.stat().st_size < ALIGNED:
            return
        whole = pa.memory_map(os.fsencode(path), "r").read_buffer()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise HandoffError(f"cannot read {path}: {reason(error)}", error) from error
    if whole.slice(0, ALIGNED).to_pybytes() == START:
        yield from records_in(whole.slice(ALIGNED))


def records_in(whole: pa.Buffer) -> Iterator[Record]:
    """Yield the records that `encoded` gave, one behind the other. Stops at the first that is not complete."""
    place = 0
    while place + HEADER.size <= whole.size:
        header = whole.slice(place, HEADER.size).to_pybytes()
        mark, flags, keys, rows, head_size, body_size, seconds, checksum, head_checksum = HEADER.unpack(header)
        body_at, end = place + HEADER.size + head_size, place + HEADER.size + head_size + body_size
        if mark != RECORD or end > whole.size:
            return
        head = whole.slice(place + HEADER.size, head_size)
        counted = keys * (KEY_BYTES + 8 * (flags & HAS_COUNTS)) <= head_size
        if not counted or _head_checksum(header, head) != head_checksum:
            return
        counts = head.slice(KEY_BYTES * keys, 8 * keys) if flags & HAS_COUNTS else None
        yield Record(
            key_array(head.slice(0, KEY_BYTES * keys)),
            None if counts is None else pa.Array.from_buffers(pa.int64(), keys, [None, counts]),
            rows,
            seconds,
            whole.slice(body_at, body_size),
            checksum,
            end - place,
        )
        place = end


class SegmentFile:
    """A segment that is written. The file is made with the first record, and locked (`flock`) until it is closed.

    After an error it is left as it is, with a last record that nobody reads, and the next record begins another file.
    Not thread-safe.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._file = -1

    def append(self, records: bytes) -> None:
        """Write records at the end. Raises HandoffError."""
        path = self._folder
        try:
            if self._file < 0:
                path, self._file = self._created()
                records = START + records
            left = memoryview(records)
            while left:
                left = left[os.write(self._file, left) :]
        except OSError as error:
            self.close()
            raise HandoffError(f"cannot write to {path}: {reason(error)}", error) from error

    def close(self) -> None:
        """Close the file. A later record begins another."""
        if self._file >= 0:
            with suppress(OSError):
                os.close(self._file)
            self._file = -1

    def _created(self) -> tuple[Path, int]:
        make_private(self._folder)
        path = self._folder / f"{self._name}-{os.urandom(6).hex()}{ENDING}"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return path, file


def _head_checksum(header: bytes, head: bytes | pa.Buffer) -> int:
    checksum = xxh3_64(header[:UNCHECKED])
    checksum.update(head)
    return checksum.intdigest()
