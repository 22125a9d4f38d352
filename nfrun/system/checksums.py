"""Computes checksums of files, texts and lines (xxh3). `tables/digest.py` computes digests of tables."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from xxhash import xxh3_64_hexdigest, xxh3_128

_CHUNK = 1 << 20


def file_checksum(path: Path | str) -> str:
    """Return the checksum of a file, 32 hex digits. Reads it in chunks. Raises OSError.

    Does not map the file: if it were truncated meanwhile, SIGBUS would kill this process.
    """
    hasher = xxh3_128()
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while chunk := os.read(file, _CHUNK):
            hasher.update(chunk)
    finally:
        os.close(file)
    return hasher.hexdigest()


def bytes_checksum(data: Any) -> str:
    """Return the checksum of a file with these bytes, 32 hex digits. `data` is any object with a buffer."""
    return xxh3_128(data).hexdigest()


def text_checksum(text: str) -> str:
    """Return the checksum of a text, 32 hex digits. Lone surrogates are allowed."""
    return xxh3_128(text.encode(errors="surrogatepass")).hexdigest()


def line_checksum(line: bytes) -> str:
    """Return the checksum of a line, 16 hex digits."""
    return xxh3_64_hexdigest(line)
