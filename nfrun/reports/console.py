"""How rich prints for us: the console for a stream, and what tables look like. Knows no runs and no words.

Import this late, and only where something is printed: to import rich takes a fifth of the CPU time of a short run.
"""

from __future__ import annotations

from typing import IO, NoReturn

from rich import box
from rich.console import Console
from rich.table import Table

# Of what is no terminal: wide enough for any table, so that a line of a file or a pipe is a row of it.
_PIPE_WIDTH = 2_000


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


def print_line(console: Console, text: str, style: str = "") -> None:
    """Print it as it is, however wide: wrapped, it could be neither searched for nor copied."""
    console.print(text, style=style, soft_wrap=True)
