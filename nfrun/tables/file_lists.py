"""Reads files that are no tables: the lines of a text, or a row with what is known of the file and its content."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from nfrun.system.checksums import bytes_checksum, stream_checksum
from nfrun.tables.formats import FormatError

_ROW = [("path", pa.string()), ("name", pa.string()), ("size", pa.int64()), ("digest", pa.string())]
SCHEMAS = {
    "text": pa.schema([("line", pa.string())]),
    "files": pa.schema(_ROW),
    "bytes": pa.schema([*_ROW, ("content", pa.large_binary())]),
}


def read_lines(name: str, open_file: Callable[[], Any]) -> pa.Table:
    """Return a table with the column `line`: the lines of a text in UTF-8, without their ends.

    `open_file()` returns the text as a stream. Raises FormatError.
    """
    with open_file() as stream:
        data = stream.read()
    try:
        lines = data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        what = f"{name} is no text in UTF-8: see its line {number:,}"
        raise FormatError(f"{what} ('format: bytes' reads any file)") from error
    if not lines[-1]:
        lines.pop()  # what is behind the last end of a line
    return pa.table({"line": [line.removesuffix("\r") for line in lines]}, schema=SCHEMAS["text"])


def read_row(name: str, open_file: Callable[[], Any], *, with_content: bool) -> pa.Table:
    """Return one row with `path`, `name`, `size` and `digest` of a file, and its bytes as `content` if asked for."""
    with open_file() as stream:
        data = stream.read() if with_content else None
        size, digest = (len(data), bytes_checksum(data)) if data is not None else stream_checksum(stream)
    row = {"path": [name], "name": [name.rpartition("/")[2]], "size": [size], "digest": [digest], "content": [data]}
    schema = SCHEMAS["bytes" if with_content else "files"]
    return pa.table({column: row[column] for column in schema.names}, schema=schema)
