"""Reads the segments of nfrun 0.1, so that no row is computed again. The next run that computes rows replaces them.

A segment begins with 64 bytes, `_MAGIC` padded with zeros. Then come records, each at a multiple of 64 bytes: a header
of 64 bytes, the keys and counts, and an Arrow IPC stream, the last two padded. The header has the numbers of keys and
rows, the sizes of the parts, how long the calls took, and two checksums (xxh3_64): of the stream, and of the header
with keys and counts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pyarrow as pa
from xxhash import xxh3_64, xxh3_64_intdigest

from nfrun.rows.piece import int64_array
from nfrun.rows.row_keys import KEY_BYTES, key_array
from nfrun.rows.streams import Record, checksum_of

_START = b"nfrun map segment 1\n".ljust(64, b"\0")
_HEADER = struct.Struct("<4sIQQQQdQQ")  # mark, flags, keys, rows, sizes of head and body, seconds, checksums
_HAS_COUNTS = 1


def old_records_in(whole: pa.Buffer) -> Iterator[Record]:
    """Yield the records of a segment whose rows are as they were written. Stops at the first that is not complete."""
    place = len(_START) if memoryview(whole)[: len(_START)] == _START else whole.size
    while place + _HEADER.size <= whole.size:
        header = whole.slice(place, _HEADER.size).to_pybytes()
        _, flags, count, _, head_size, body_size, seconds, checksum, head_checksum = _HEADER.unpack(header)
        body_at = place + _HEADER.size + head_size
        if body_at + body_size > whole.size:
            return
        head, body = whole.slice(place + _HEADER.size, head_size), whole.slice(body_at, body_size)
        found = xxh3_64(header[:-8])  # the header's own checksum is its end
        found.update(head)
        size = KEY_BYTES * count
        if found.intdigest() != head_checksum or size + 8 * count * (flags & _HAS_COUNTS) > head_size:
            return
        keys, counts = head.slice(0, size), head.slice(size, 8 * count) if flags & _HAS_COUNTS else None
        if xxh3_64_intdigest(body) == checksum:
            numbers = None if counts is None else int64_array(counts)
            yield Record(key_array(keys), numbers, seconds, body, checksum_of(keys, counts or b"", body))
        place = body_at + body_size
