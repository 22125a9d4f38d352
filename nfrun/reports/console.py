"""How rich prints for us: the console for a stream, and what tables look like. Knows no runs and no words.

Import this late, and only where something is printed: to import rich takes a fifth of the CPU time of a short run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, NoReturn

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

# Of what is no terminal: wide enough for any table, so that a line of a file or a pipe is a row of it.
_PIPE_WIDTH = 2_000
_GAP = 3  # characters between two columns of a table, and as many around it


class _Console(Console):
    def on_broken_pipe(self) -> NoReturn:
        """Whoever read it has gone: rich would end the thread, with all that the other reports have to write."""
        raise BrokenPipeError


def console(stream: IO[str], *, colored: bool) -> Console:
    """A console that takes no pipe for a terminal, whatever FORCE_COLOR says, and no text for markup."""
    terminal = stream.isatty()
    return _Console(
        file=stream,
        force_terminal=terminal or colored,
        no_color=not colored,
        color_system=None if not colored else "auto" if terminal else "standard",
        width=None if terminal else _PIPE_WIDTH,
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
    )


def new_table() -> Table:
    """A table with a line under its headings and an empty line around it."""
    return Table(box=box.SIMPLE_HEAD, pad_edge=False)


def fitting(columns: Sequence[Sequence[str]], width: int, names: int) -> int:
    """How many of the columns, from the first, fit in `width` beside one of `names` characters; at least one.

    A column is its heading and cells. Figures are left out rather than cut: half a figure is a wrong one.
    """
    left = width - names - _GAP
    for i, column in enumerate(columns):
        left -= max(map(len, column)) + _GAP
        if left < 0:
            return max(1, i)
    return len(columns)


def giving_way(text: str) -> Text:
    """A cell of a column that becomes narrower, with an ellipsis, before any `no_wrap` column does."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def print_line(console: Console, text: str, style: str = "") -> None:
    """Print it as it is, however wide: wrapped, it could be neither searched for nor copied."""
    console.print(text, style=style, soft_wrap=True)
