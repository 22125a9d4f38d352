"""Defines the format of segments, and finds them in a folder. Needs no Arrow, for commands that only list and remove.

A segment begins with 64 bytes, `MAGIC` padded with zeros. Then come records, each at a multiple of 64 bytes: a header
of 64 bytes, the keys and counts, and an Arrow IPC stream, the last two padded. The header has the numbers of keys and
rows, the sizes of the parts, how long the calls took, and two checksums (xxh3_64): of the stream, and of the header
with keys and counts.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path

from nfrun.core.errors import HandoffError
from nfrun.system.os_errors import reason

MAGIC = b"nfrun map segment 1\n"  # raise the number with every change of the format: segments of others are ignored
ENDING = ".segment"
ALIGNED = 64
START = MAGIC.ljust(ALIGNED, b"\0")
RECORD = b"rows"
HEADER = struct.Struct("<4sIQQQQdQQ")  # record mark, flags, keys, rows, sizes of head and body, seconds, checksums
UNCHECKED = HEADER.size - 8  # the header's own checksum is its end
HAS_COUNTS = 1


def segments_in(folder: Path, prefix: str = "") -> list[Path]:
    """Return the segments in a folder whose names begin with `prefix`, by name. Raises HandoffError."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208  (quick, however many there are)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise HandoffError(f"cannot read {folder}: {reason(error)}", error) from error
    return [folder / name for name in names if name.startswith(prefix) and name.endswith(ENDING)]


def is_segment(path: Path) -> bool:
    """Return whether the file is a segment of this format. Raises OSError."""
    with path.open("rb", buffering=0) as file:
        return file.read(ALIGNED) == START


def segment_totals(path: Path) -> tuple[int, float]:
    """Return the number of records in a segment, and how many seconds their calls took. Reads headers only.

    Both are 0 if it cannot be read.
    """
    records, seconds, place = 0, 0.0, ALIGNED
    with suppress(OSError), path.open("rb", buffering=0) as file:
        if file.read(ALIGNED) != START:
            return 0, 0.0
        while len(header := os.pread(file.fileno(), HEADER.size, place)) == HEADER.size:
            mark, _, _, _, head_size, body_size, took, _, _ = HEADER.unpack(header)
            if mark != RECORD:
                break
            records, seconds = records + 1, seconds + max(0.0, took)
            place += HEADER.size + head_size + body_size
    return records, seconds
