"""Checksums of what lies on disk, to see whether it is still what was written. For that of tables see `digest`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from xxhash import xxh3_64_hexdigest, xxh3_128

_CHUNK = 1 << 20


def file_checksum(path: Path | str) -> str:
    """32 hex digits for the bytes of a file, read in pieces. Raises OSError.

    Not through a memory map: somebody who truncates the file meanwhile would kill this process with SIGBUS.
    """
    whole = xxh3_128()
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while chunk := os.read(file, _CHUNK):
            whole.update(chunk)
    finally:
        os.close(file)
    return whole.hexdigest()


def bytes_checksum(data: Any) -> str:
    """The checksum of a file that holds these bytes, of any object that has a buffer."""
    return xxh3_128(data).hexdigest()


def text_checksum(text: str) -> str:
    """32 hex digits for a text."""
    return xxh3_128(text.encode(errors="surrogatepass")).hexdigest()


def line_checksum(line: bytes) -> str:
    """16 hex digits for a line."""
    return xxh3_64_hexdigest(line)
