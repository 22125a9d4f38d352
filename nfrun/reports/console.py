"""Sets up rich: makes the console of a stream, and gives tables their look.

Import this module late, and only to print something: importing rich takes a fifth of the CPU time of a short run.
"""

from __future__ import annotations

from typing import IO, NoReturn

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nfrun.reports.plain_console import PIPE_WIDTH


class _Console(Console):
    def on_broken_pipe(self) -> NoReturn:
        """Raise BrokenPipeError. By default rich ends the thread, and with it all other reporters."""
        raise BrokenPipeError


def console(stream: IO[str], *, colored: bool) -> Console:
    """Return a console that prints text as it is, without markup, and ignores FORCE_COLOR on a pipe."""
    terminal = stream.isatty()
    return _Console(
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


def new_table() -> Table:
    """Return a table with a line under its headings and an empty line around it."""
    return Table(box=box.SIMPLE_HEAD, pad_edge=False)


def shrinking_cell(text: str) -> Text:
    """Return a cell that is cut with an ellipsis, so that its column narrows before any `no_wrap` column does."""
    return Text(text, no_wrap=True, overflow="ellipsis")
