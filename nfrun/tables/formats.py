"""The formats of files that other tools know, by name and by ending. `file_io` reads and writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping

FORMATS: tuple[str, ...] = ("arrow", "csv", "jsonl", "parquet")
# What a reader may be told, and the formats that it means something to.
READ_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "format": FORMATS,
    "columns": FORMATS,
    "delimiter": ("csv",),
    "null_values": ("csv",),
}
ENDINGS: Mapping[str, str] = {
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
URI = re.compile("([A-Za-z][A-Za-z0-9+.-]+)://")
COMPRESSIONS: Mapping[str, str] = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}  # of csv and jsonl


class FormatError(ValueError):
    """A table cannot be read or written as asked. One line that names the file and says what to do."""


def format_of(path: str) -> str | None:
    """The format of a file by the ending of its path or URI, upper or lower case; None where the ending is unknown."""
    ending, compression = endings(path)
    found = ENDINGS.get(ending)
    return None if compression and found in ("arrow", "parquet") else found


def endings(path: str) -> tuple[str, str]:
    """The ending that tells the format, and that of the compression ("" if none), in lower case."""
    name = (path.partition("?")[0] if URI.match(path) else path).rpartition("/")[2].lower()
    stem, dot, last = name.rpartition(".")
    if dot + last in COMPRESSIONS:
        return "." + stem.rpartition(".")[2] if "." in stem else "", dot + last
    return dot + last, ""
