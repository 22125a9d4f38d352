"""Adds to the nodes of a page what they printed, what their outputs hold, and the rows that failed checks.

A page has a size, so this goes as far as there is room, beginning with what matters most. Of an output it shows, as far
as it is still kept, rows of a table, a picture or a text.
"""

from __future__ import annotations

import base64
import json
import math
from codecs import getincrementaldecoder
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from nfrun.core.errors import HandoffError, NotRecorded
from nfrun.core.pipeline import TABLE
from nfrun.history.journal import FinishedOutput, RecordedNode
from nfrun.lookback.log_files import LogFiles, last_lines, last_logs
from nfrun.lookback.page.recorded import NOT_ENDED, Recorded
from nfrun.lookback.reopen.first_rows import find_output, intact_output, open_table
from nfrun.lookback.run_reference import ListedRun
from nfrun.reports.format_units import format_size
from nfrun.system.logs.node_logs import logs_in
from nfrun.system.logs.redaction import CUT
from nfrun.tables.ipc import open_file
from nfrun.tables.json_values import json_form, json_values
from nfrun.tables.python_values import values_of

MANY = 2_000  # nodes, from which on little is said of each
_FAILING_COLUMNS = 12
_LONGEST_TEXT = 80  # characters of a value
_EXACT = 10**15  # whole numbers with as many digits are shown as they are in browsers
_LEVELS = ((10, 60), (10, 24), (5, 16), (3, 8))  # rows and columns, from the most to the least
_ROOM, _ROOM_PER_NODE, _MOST_ROOM = 100_000, 1_200, 1_500_000  # bytes of JSON
_LEAST_EACH = 4_000  # of one output
_MOST_TABLES, _MOST_TABLES_OF_MANY = 150, 30
_FAILING_ROWS = 10


def add_details(found: Recorded, shown: Mapping[str, dict[str, Any]], *, has_contents: bool = True) -> None:
    """Add these details to `shown`, the nodes of the page by their ids.

    Nodes that failed or have not ended come first, then those with outputs of the pipeline, then the longest ones.
    Without `has_contents`, nothing of what outputs hold is added.
    """
    count = len(found.nodes)
    room = min(_MOST_ROOM, _ROOM + _ROOM_PER_NODE * count)
    left = _MOST_TABLES if count <= MANY else _MOST_TABLES_OF_MANY
    each = max(_LEAST_EACH, room // max(1, count))
    contents = OutputContents(found.run)
    listed = cache(logs_in)  # a folder has the logs of all nodes
    for node in sorted(found.nodes.values(), key=_rank):
        details = shown[node.node]
        has_room = left > 0 and room > 0
        if has_room and (log := _log_of(found.run, node, listed)):
            details["log"] = log
            room -= len(json.dumps(log))
        if has_room and has_contents and node.checks:
            _add_failing_rows(node, details["checks"])
        for output, of_output in zip(node.outputs, details.get("outputs", ()), strict=True):
            if has_contents and left > 0 and room > 0:
                of_output.update(contents.of(output, min(room, each)))
                room -= len(json.dumps(of_output))
            elif count <= MANY:
                of_output["kept"] = contents.is_kept(output)
            left -= 1


def _rank(node: RecordedNode) -> tuple[bool, bool, float]:
    """Return what sorts the nodes of which most is to be said first."""
    return node.status not in ("failed", NOT_ENDED), not any(output.shown for output in node.outputs), -node.duration


def _add_failing_rows(node: RecordedNode, shown: list[dict[str, Any]]) -> None:
    """Add the first rows that fail a check, from the file that has them; its line in the journal has fewer."""
    for check, of_check in zip(node.checks, shown, strict=True):
        if check.path is None or not Path(check.path).is_file():
            continue
        try:
            of_check["failing_rows"] = failing_rows(Path(check.path), _FAILING_ROWS)
        except HandoffError:
            continue


_LINES, _LONGEST_LINE = 20, 500


def _log_of(run: ListedRun, node: RecordedNode, listed: Callable[[Path], LogFiles]) -> dict[str, Any]:
    """Return the last lines of a node and where its logs are; empty where it has none."""
    files = last_logs(run, node, listed)
    lines: list[str] = []
    with suppress(OSError):
        for path in files.values():
            lines += last_lines(path, _LINES + 1)  # one more tells that there are more
    if not lines:
        return {}
    shown = [line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…" for line in lines[-_LINES:]]
    return {"tail": shown, "path": str(next(iter(files.values()))), "more": len(lines) > _LINES}


_MOST_PICTURE, _MOST_TEXT = 400_000, 20_000  # bytes of a file
_MOST_FILES = 20  # of a folder
_LARGEST_CHECKED, _MOST_CHECKED = 64_000_000, 256_000_000  # bytes of one file, and of all, that are read to check them
_JPEG = ("image/jpeg", b"\xff\xd8\xff")
_PICTURES = {  # by ending: the type, and what is in the beginning of such a file
    ".png": ("image/png", b"\x89PNG\r\n"),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".gif": ("image/gif", b"GIF8"),
    ".webp": ("image/webp", b"WEBP"),
    ".svg": ("image/svg+xml", b"<svg"),
}
_BEGINNING = 1_000  # bytes in which these are
_TEXTS = {".html": "text/html", ".htm": "text/html", ".md": "text/markdown", ".json": "application/json"}


class OutputContents:
    """Shows what the outputs of a run hold, as far as files of them are kept."""

    def __init__(self, run: ListedRun) -> None:
        self._run = run
        self._unchecked = _MOST_CHECKED

    def of(self, output: FinishedOutput, room: int) -> dict[str, Any]:
        """Return what is shown of the content of an output in about `room` bytes of JSON, or why it is `gone`."""
        try:
            is_checked = bool(output.stored)  # what is fetched was checked
            if not is_checked and output.checksum and output.size <= min(_LARGEST_CHECKED, self._unchecked):
                self._unchecked -= output.size
                intact_output(self._run, output)
                is_checked = True
            unchecked = {} if is_checked else {"unchecked": True}
            if output.type != TABLE:
                return {"kept": True, **unchecked, **_of_path(find_output(self._run, output), room)}
            return {"kept": True, **unchecked, **table_data(open_table(self._run, output), room)}
        except (NotRecorded, HandoffError) as error:
            return {"kept": False, "gone": str(error)}
        except OSError as error:
            return {"kept": False, "gone": f"it cannot be read: {error.strerror or error}"}

    def is_kept(self, output: FinishedOutput) -> bool:
        """Return whether there is a file of an output, without opening it."""
        try:
            return not output.stored and find_output(self._run, output).exists()
        except (NotRecorded, HandoffError, OSError):
            return False


def _of_path(path: Path, room: int) -> dict[str, Any]:
    """Return the picture or the text in a file, the files in a folder; of other files why they are not shown."""
    if path.is_dir():
        names = sorted(str(each.relative_to(path)) for each in path.rglob("*") if each.is_file())
        return {"files": names[:_MOST_FILES], "more_files": max(0, len(names) - _MOST_FILES)}
    ending = path.suffix.lower()
    if ending in _PICTURES:
        data = path.read_bytes()
        if len(data) > _MOST_PICTURE:
            return {"not_shown": f"It is not shown: it has {format_size(len(data))}."}
        type, begin = _PICTURES[ending]
        if begin not in data[:_BEGINNING]:
            return {"not_shown": f"It is not shown: it is no {ending[1:].upper()} picture."}
        return {"media": {"type": type, "data": base64.b64encode(data).decode(), "cut": False}}
    most = max(1_000, min(_MOST_TEXT, room))
    with path.open("rb") as file:
        data = file.read(most + 1)
    text = _text(data[:most], is_cut=len(data) > most)
    if text is None:
        return {"not_shown": "It is not shown: it is no text in UTF-8."}
    is_cut = len(data) > most  # the mark lets a redactor mask the part of a secret before it
    return {"media": {"type": _TEXTS.get(ending, "text/plain"), "data": text + CUT * is_cut, "cut": is_cut}}


def _text(data: bytes, *, is_cut: bool) -> str | None:
    """Return bytes as text, without a part of a character where it is cut; None if they are no text in UTF-8."""
    with suppress(UnicodeDecodeError):
        return None if b"\0" in data else getincrementaldecoder("utf-8")().decode(data, final=not is_cut)
    return None


def table_data(table: pa.Table, room: int) -> dict[str, Any]:
    """Return the first rows of a table and the nulls of its columns, in about `room` bytes of JSON or less.

    Raises HandoffError if what is read of it is damaged.
    """
    rows, columns = _LEVELS[0]
    table = table.select(range(min(columns, table.num_columns)))
    nulls = [column.null_count for column in table.columns]
    shown = [shown_values(column) for column in _validated(table.slice(0, rows)).columns]
    for rows, columns in _LEVELS:
        first = [list(row) for row in zip(*(values[:rows] for values in shown[:columns]), strict=True)]
        found = {"first_rows": first, "nulls": nulls[:columns]}
        if len(json.dumps(found)) <= room:
            return found
    return {}


def failing_rows(path: Path, most: int) -> list[dict[str, str]]:
    """Return the first rows in the file with rows that failed a check, as texts by column. Raises HandoffError."""
    table = _validated(open_file(path).slice(0, most))
    names = table.column_names[:_FAILING_COLUMNS]
    columns = [
        ["null" if value is None else str(value) for value in shown_values(table.column(n))] for n in range(len(names))
    ]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def shown_values(column: pa.ChunkedArray) -> list[Any]:
    """Return the values of a column as JSON values that are short: numbers, texts, true, false and null."""
    if pt.is_floating(column.type):
        return [None if value is None else _number(value) for value in column.to_pylist()]
    try:
        form = json_form(column.type)
        found = [value for chunk in column.chunks for value in json_values(chunk, form)]
    except (pa.ArrowException, ValueError, OverflowError):
        found = [None if value is None else str(value) for value in values_of(column)]
    return [_short(value) for value in found]


def _short(value: Any) -> Any:
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < _EXACT):
        return value
    text = str(value)
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"


def _number(value: float) -> float | str:
    """Return a float with the digits that are shown. One that JSON does not have is a text."""
    if math.isfinite(value):
        return float(f"{value:.10g}")
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _validated(table: pa.Table) -> pa.Table:
    try:
        table.validate(full=True)
    except pa.ArrowException as error:
        raise HandoffError(f"its file is damaged: {error}") from error
    return table
