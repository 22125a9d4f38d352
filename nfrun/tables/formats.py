"""Lists the supported file formats by name and by file ending. `tables/file_io.py` reads and writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from nfrun.tables.csv_options import CSV_OPTIONS

FORMATS: tuple[str, ...] = ("arrow", "csv", "jsonl", "parquet")
TEXT_FORMATS = ("csv", "jsonl")  # whose values have the types that a reader gives them
ARROW = "arrow"
# Files that are no tables: the lines of texts, and a row for each file, with its content or without.
FILE_FORMATS: tuple[str, ...] = ("text", "bytes", "files")
# Those that have the same columns always, or whose files name them at the beginning or the end.
FORMATS_WITH_COLUMNS = ("arrow", "csv", "parquet", *FILE_FORMATS)
# The options of a reader, and the formats that accept each.
READ_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "format": (*FORMATS, *FILE_FORMATS),
    "columns": FORMATS,
    **dict.fromkeys(CSV_OPTIONS, ("csv",)),
    "filename": (*FORMATS, "text"),
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
    """A table cannot be read or written as asked. The message is one line: it names the file and says what to do."""


def format_of(path: str) -> str | None:
    """Return the format for the ending of a path or URI, in upper or lower case, or None if it is not supported.

    A compressed ending after arrow or parquet is not supported.
    """
    ending, compression = endings(path)
    found = ENDINGS.get(ending)
    return None if compression and found in ("arrow", "parquet") else found


def delimiter_of(path: str) -> str:
    """Return what separates the values in a csv file of this name."""
    return "\t" if endings(path)[0] == ".tsv" else ","


def endings(path: str) -> tuple[str, str]:
    """Return the format ending and the compression ending of a path or URI in lower case, each "" if missing."""
    name = (path.partition("?")[0] if URI.match(path) else path).rpartition("/")[2].lower()
    stem, dot, last = name.rpartition(".")
    if dot + last in COMPRESSIONS:
        return "." + stem.rpartition(".")[2] if "." in stem else "", dot + last
    return dot + last, ""
