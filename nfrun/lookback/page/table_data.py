"""Shows what a page has of the content of a table: its first rows, and the nulls of its columns."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from nfrun.core.errors import HandoffError
from nfrun.tables.ipc import open_file
from nfrun.tables.json_values import json_form, json_values
from nfrun.tables.python_values import values_of

_FAILING_COLUMNS = 12
_LONGEST_TEXT = 80  # characters of a value
_EXACT = 10**15  # whole numbers with as many digits are shown as they are in browsers
_LEVELS = ((10, 60), (10, 24), (5, 16), (3, 8))  # rows and columns, from the most to the least


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
