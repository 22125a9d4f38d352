"""Writes and reads streams: files with results of calls, which only grow while one run writes them.

A stream is an Arrow IPC stream. Each row of it is a record: the keys and rows of some results, the latter as an Arrow
IPC stream too, since calls give different columns. A reader stops where the stream is not complete. Rows are used only
if their checksum is right. So a stream never gives wrong results, whatever happened to it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
from xxhash import xxh3_64

from nfrun.core.errors import HandoffError
from nfrun.core.values import frozen
from nfrun.rows.piece import int64_array
from nfrun.rows.returned import Computed
from nfrun.rows.row_keys import key_array
from nfrun.rows.stream_files import STREAM
from nfrun.system.atomic_files import make_private
from nfrun.system.os_errors import reason
from nfrun.tables.stored_form import has_dictionary

_RECORD = pa.struct(
    [
        ("keys", pa.binary()),  # of the units, one behind the other
        ("counts", pa.binary()),  # 64-bit numbers, or null
        ("seconds", pa.float64()),
        ("checksum", pa.uint64()),
        ("rows", pa.large_binary()),
    ]
)
# Raise the number with every change of the format: streams of others are ignored.
_SCHEMA = pa.schema(list(_RECORD), {"nfrun map": "2"})
START = _SCHEMA.serialize().to_pybytes()


@frozen
class Result:
    """The result of calls: the keys of their units, their rows, and how many seconds they took."""

    keys: bytes
    computed: Computed
    seconds: float


@frozen
class Record:
    """Results of calls. `keys` has one key for each unit (a row or a piece).

    `counts` has how many of the rows belong to each key, as 64-bit numbers; None: one each. `seconds` is how long the
    calls took. `body` is the Arrow IPC stream with the rows, and `checksum` what the checksum of all must be.
    """

    keys: pa.FixedSizeBinaryArray
    counts: pa.Array | None
    seconds: float
    body: pa.Buffer
    checksum: int

    def is_intact(self) -> bool:
        """Return whether the record is as it was written. Reads all rows."""
        counts = b"" if self.counts is None else self.counts.buffers()[1]
        return checksum_of(self.keys.buffers()[1], counts, self.body) == self.checksum

    def table(self) -> pa.Table:
        """Return the rows, as a view of the file."""
        return pa.ipc.open_stream(self.body).read_all()


def checksum_of(keys: bytes | pa.Buffer, counts: bytes | pa.Buffer, body: pa.Buffer) -> int:
    """Return the checksum of a record."""
    checksum = xxh3_64(keys)
    checksum.update(counts)
    checksum.update(body)
    return checksum.intdigest()


def encoded(results: Iterable[Result]) -> pa.Buffer:
    """Return some results as records. They are the next part of a stream that begins with `START`."""
    return pa.RecordBatch.from_struct_array(pa.array([_values(result) for result in results], _RECORD)).serialize()


def _values(result: Result) -> tuple[object, ...]:
    sink, table, counts = pa.BufferOutputStream(), result.computed.table, result.computed.counts
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body = sink.getvalue()
    packed = None if counts is None else struct.pack(f"<{len(counts)}q", *counts)
    checksum = checksum_of(result.keys, packed or b"", body)
    return result.keys, packed, result.seconds, checksum, memoryview(body)


def join_results(results: Sequence[Result]) -> list[Result]:
    """Join the results whose tables have the same columns."""
    groups: list[list[Result]] = []
    for result in results:
        group = next((group for group in groups if fits(group[0].computed, result.computed)), None)
        if group is None:
            groups.append([result])
        else:
            group.append(result)
    return [_together(group) if len(group) > 1 else group[0] for group in groups]


def fits(one: Computed, other: Computed) -> bool:
    """Return whether the tables of two results can be joined."""
    if (one.counts is None) != (other.counts is None) or not one.table.schema.equals(other.table.schema, True):
        return False
    return not has_dictionary(pa.struct(one.table.schema))


def _together(results: Sequence[Result]) -> Result:
    counts = [result.computed.counts for result in results]
    whole = pa.concat_tables([result.computed.table for result in results])
    with suppress(pa.ArrowNotImplementedError, pa.ArrowInvalid):  # unions, or more than 2 GB of text
        whole = whole.combine_chunks()
    every = None if counts[0] is None else tuple(count for found in counts for count in found or ())
    keys, seconds = b"".join(result.keys for result in results), sum(result.seconds for result in results)
    return Result(keys, Computed(whole, every), seconds)


def is_stream(path: Path) -> bool:
    """Return whether the file is a stream of this format. Those of another version of nfrun are not."""
    with suppress(pa.ArrowException, OSError, EOFError), pa.OSFile(os.fsencode(path)) as file:
        found: bool = pa.ipc.open_stream(file).schema.equals(_SCHEMA, check_metadata=True)
        return found
    return False


def records_in(stream: pa.Buffer) -> Iterator[Record]:
    """Yield the records of a stream, one behind the other. Stops where it is not complete."""
    with suppress(pa.ArrowException, OSError, EOFError):
        reader = pa.ipc.open_stream(stream)
        while reader.schema.equals(_SCHEMA, check_metadata=True):
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                return
            batch.validate(full=True)
            keys, counts, seconds, checksums, bodies = map(batch.column, range(5))
            for i in range(batch.num_rows):
                packed = counts[i].as_buffer()
                yield Record(
                    key_array(keys[i].as_buffer()),
                    None if packed is None else int64_array(packed),
                    seconds[i].as_py(),
                    bodies[i].as_buffer(),
                    checksums[i].as_py(),
                )


class StreamFile:
    """A stream that is written. The file is made with the first record.

    After an error it is left as it is, with a last record that nobody reads, and the next record begins another file.
    Not thread-safe.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._file = -1

    def append(self, records: bytes | pa.Buffer) -> None:
        """Write records at the end. Raises HandoffError."""
        path = self._folder
        try:
            if self._file < 0:
                path, self._file = self._created()
                self._write(START)
            self._write(records)
        except OSError as error:
            self.close()
            raise HandoffError(f"cannot write to {path}: {reason(error)}", error) from error

    def close(self) -> None:
        """Close the file. A later record begins another."""
        if self._file >= 0:
            with suppress(OSError):
                os.close(self._file)
            self._file = -1

    def _write(self, data: bytes | pa.Buffer) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self._file, left) :]

    def _created(self) -> tuple[Path, int]:
        make_private(self._folder)
        path = self._folder / f"{self._name}-{os.urandom(6).hex()}{STREAM}"
        return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
