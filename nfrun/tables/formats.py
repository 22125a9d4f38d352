"""Lists the file formats by name and by ending, and resolves a source (a path, a glob or a `file:` URI) to local files.

Reads no file: `tables/file_io.py` reads and writes them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from glob import glob, has_magic
from pathlib import Path
from urllib.parse import unquote

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


# ------------------------------------------------------------------ which local files a source names


def local_source(source: str) -> str | None:
    """Return the path or pattern that `source` names, None for a URI that is not a file."""
    uri = URI.match(source)
    if uri and uri[1].lower() != "file":
        return None
    return unquote(source[uri.end() :]) if uri else source


def resolve_files(source: str, base: Path) -> dict[str, Path] | None:
    """Return the local files that `source` names, keyed by display name; None for a URI that is not a file.

    Paths are relative to `base`; the files of a glob are sorted, and so are those in a folder, which ends in `/`.
    Raises FormatError if there is no such file or the path is a folder without a `/`, and OSError.
    """
    named = local_source(source)
    if named is None:
        return None
    source = named
    path = base / source
    if path.is_dir():
        if not source.endswith("/"):
            raise FormatError(f"{source} is a folder: {folder_hint(source)}")
        inside = _files_in(path)
        if not inside:
            raise FormatError(f"there is no file in the folder {source}")
        return {source + name: path / name for name in inside}
    if path.exists() and not source.endswith("/"):
        return {source: path}
    if has_magic(source):
        # Don't use Path.glob: it finds hidden files. root_dir keeps brackets in the base folder's name from matching.
        found = sorted(n for n in glob(source, root_dir=base, recursive=True) if (base / n).is_file())  # noqa: PTH207
        if not found:
            raise FormatError(f"no file matches {source}")
        return {name: base / name for name in found}
    if source.endswith("/"):
        raise FormatError(f"no such folder: {source}")
    raise FormatError(f"no such file: {source}")


def folder_hint(folder: str) -> str:
    """Return how to read the files in a folder. Its path has no `/` at its end."""
    return f"read: {folder}/ reads all of its files"


def is_hidden(name: str) -> bool:
    """Whether files and folders of this name are left out of a folder: `.git`, `_SUCCESS`, but not `_day=1`."""
    return name.startswith((".", "_")) and "=" not in name


def _files_in(folder: Path) -> list[str]:
    """Return the paths of the files in a folder, relative to it and sorted. Follows links but those that lead above."""
    found = []
    for above, inner, files in os.walk(folder, followlinks=True):
        here = os.path.realpath(above)
        inner[:] = [name for name in inner if not is_hidden(name) and not _leads_above(above, name, here)]
        found += [os.path.relpath(os.path.join(above, name), folder) for name in files if not is_hidden(name)]  # noqa: PTH118
    return sorted(found)


def _leads_above(folder: str, name: str, real: str) -> bool:
    path = os.path.join(folder, name)  # noqa: PTH118
    return os.path.islink(path) and f"{real}{os.sep}".startswith(f"{os.path.realpath(path)}{os.sep}")  # noqa: PTH114
