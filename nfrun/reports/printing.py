"""Prints on a plain console or on a rich console, and imports rich only for the latter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nfrun.reports.plain_console import GAP, PlainConsole, PlainTable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def new_table(console: Console | PlainConsole) -> Table | PlainTable:
    """Return a table to print on the console."""
    if isinstance(console, PlainConsole):
        return PlainTable()
    from nfrun.reports.console import new_table

    return new_table()


def shrinking_cell(console: Console | PlainConsole, text: str) -> Any:
    """Return a cell that is cut with an ellipsis, so that its column narrows before any `no_wrap` column does."""
    if isinstance(console, PlainConsole):
        return text
    from nfrun.reports.console import shrinking_cell

    return shrinking_cell(text)


def print_line(console: Console | PlainConsole, text: str, style: str = "", *, also: str = "") -> None:
    """Print a line without wrapping it, however wide: a wrapped line cannot be searched or copied.

    It ends with the text `also`, which is dim.
    """
    if not also:
        console.print(text, style=style, soft_wrap=True)
    elif isinstance(console, PlainConsole):
        console.print(text, also)
    else:
        from rich.text import Text

        console.print(Text(text, style=style), Text(also, style="dim"), soft_wrap=True)


def fitting_columns(columns: Sequence[Sequence[str]], width: int, names: int) -> int:
    """Return how many of `columns`, from the first, fit in `width` beside a column of `names` characters; at least 1.

    A column is its heading and its cells. Columns are left out rather than cut, because half a number is a wrong one.
    """
    left = width - names - GAP
    for i, column in enumerate(columns):
        left -= max(map(len, column)) + GAP
        if left < 0:
            return max(1, i)
    return len(columns)
