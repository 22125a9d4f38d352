"""Prints the first rows of a table, as the summary of a run and the commands that look back show them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from nfrun.core.output_types import form_of
from nfrun.core.text import ellipsize, escape_controls
from nfrun.reports.format_units import format_count, format_size
from nfrun.reports.printing import new_table, print_line
from nfrun.tables.python_values import values_of

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.console import Console

    from nfrun.reports.plain_console import PlainConsole

_MAX_COLUMNS = 12
_MIN_CELL, _OMITTED_CELL = 8, 12  # characters of a column, and of the one that counts the omitted columns
_WIDEST_CELL = 80
_EXACT = 2**53  # whole numbers below it are exact as floats, so they are shown in full: they may be keys
_MAX_ROWS, _FIRST_ROWS = 25, 10  # a table with more rows than the first is cut to the second


def print_table(
    out: Console | PlainConsole,
    name: str,
    data: pa.Table,
    path: str | None,
    redact: Callable[[str], str] = str,
    *,
    rows: int | None = None,
    wide: bool = False,
) -> None:
    """Print the name of a table, its size, its path and its first rows.

    `rows` is how many; if it is None, all of up to 25 rows, and otherwise 10. With `wide`, all columns are shown,
    however wide the terminal is. Texts go through `redact(text)`.
    """
    head = (
        f"\n{escape_controls(name)}: {format_count(data.num_rows, 'row')}, {format_count(data.num_columns, 'column')}"
    )
    print_line(out, head, "bold", also=escape_controls(path) if path else "")
    if not data.num_columns:
        return
    table = new_table(out)
    if wide:
        column_count = data.num_columns
        out.width = max(out.width, (_WIDEST_CELL + _MIN_CELL) * column_count)
    else:
        column_count = _fitting(data.num_columns, out.width)
    columns = data.schema.names[:column_count]
    for column, kind in zip(columns, map(str, data.schema.types), strict=False):
        numeric = kind.startswith(("int", "uint", "float", "double", "decimal", "half"))
        table.add_column(ellipsize(redact(column), 40), justify="right" if numeric else "left", overflow="fold")
    if len(columns) < data.num_columns:
        table.add_column(f"… {data.num_columns - len(columns)} more")
    if rows is None:
        rows = data.num_rows if data.num_rows <= _MAX_ROWS else _FIRST_ROWS
    head_rows = data.slice(0, rows)
    for row in _cells(head_rows, len(columns), redact):
        table.add_row(*row)
    out.print(table)
    if head_rows.num_rows < data.num_rows:
        print_line(out, f"… and {format_count(data.num_rows - head_rows.num_rows, 'more row')}", "dim")


def print_file(out: Console | PlainConsole, name: str, type: str, size: int, path: str | None) -> None:
    """Print the name of an output that is a file or folder, its size, and its path."""
    head = f"\n{escape_controls(name)}: {form_of(type)}, {format_size(size)}"
    print_line(out, head, "bold", also=escape_controls(path) if path else "")


def cell_text(value: object, redact: Callable[[str], str] = str) -> str:
    """Return a value as the text of a cell; null is empty."""
    if value is None:
        return ""
    if not isinstance(value, float):
        return ellipsize(redact(str(value)), _WIDEST_CELL)
    shown = f"{value:.0f}" if value.is_integer() and abs(value) < _EXACT else f"{value:.10g}"
    # A secret value may have more digits than are shown, so the full text is checked too.
    return next((masked for text in (shown, str(value)) if (masked := redact(text)) != text), shown)


def _fitting(columns: int, width: int) -> int:
    """Return how many columns are shown. If some are left out, a column that counts them takes its place."""
    most = min(_MAX_COLUMNS, max(1, width // _MIN_CELL))
    return most if columns <= most else min(_MAX_COLUMNS, max(1, (width - _OMITTED_CELL) // _MIN_CELL))


def _cells(data: pa.Table, columns: int, redact: Callable[[str], str]) -> list[list[str]]:
    cells = [[cell_text(value, redact) for value in values_of(data.column(i))] for i in range(columns)]
    more = [[""] * data.num_rows] if columns < data.num_columns else []
    return [list(row) for row in zip(*cells, *more, strict=True)]
