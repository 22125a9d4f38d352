"""Prints with rich: lines with styles, and tables as wide as the terminal.

Import this module late, and only to print something: importing rich takes a fifth of the CPU time of a short run.
"""

from __future__ import annotations

from typing import IO, NoReturn

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nfrun.reports.format_units import PIPE_WIDTH


class RichConsole(Console):
    """A console of rich with the methods of a `PlainConsole`."""

    def on_broken_pipe(self) -> NoReturn:
        """Raise BrokenPipeError. By default rich ends the thread, and with it all other reporters."""
        raise BrokenPipeError

    def print_line(self, text: str, style: str = "", *, also: str = "") -> None:
        """Print a line without wrapping it. It ends with the text `also`, which is dim."""
        self.print(*[Text(text, style=style), Text(also, style="dim")][: 2 if also else 1], soft_wrap=True)

    def new_table(self) -> Table:
        """Return a table with a line under its headings and an empty line around it."""
        return Table(box=box.SIMPLE_HEAD, pad_edge=False)

    def shrinking_cell(self, text: str) -> Text:
        """Return a cell that is cut with an ellipsis, so that its column narrows before any `no_wrap` column does."""
        return Text(text, no_wrap=True, overflow="ellipsis")


def console(stream: IO[str], *, colored: bool) -> RichConsole:
    """Return a console that prints text as it is, without markup, and ignores FORCE_COLOR on a pipe."""
    terminal = stream.isatty()
    return RichConsole(
        file=stream,
        force_terminal=terminal or colored,
        no_color=not colored,
        color_system=None if not colored else "auto" if terminal else "standard",
        width=None if terminal else PIPE_WIDTH,
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
    )
