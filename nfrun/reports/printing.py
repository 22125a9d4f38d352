"""Prints lines and tables on a stream: with rich where it has colours or wraps, and elsewhere without importing it.

Most runs print to a pipe and are short: importing rich takes a fifth of their CPU time.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from nfrun.core.text import cell_width, fit_cells
from nfrun.reports.format_units import PIPE_WIDTH

if TYPE_CHECKING:
    from nfrun.reports.console import RichConsole

GAP = 3  # characters between two columns of a table


Printer: TypeAlias = "PlainConsole | RichConsole"  # what prints on a stream


def printer_on(stream: IO[str], color: str) -> Printer:
    """Return what prints on a stream. The first that is not plain imports rich, which takes a while."""
    if is_plain(stream, color):
        return PlainConsole(stream)
    from nfrun.reports.console import console

    return console(stream, colored=is_colored(stream, color))


def is_plain(stream: IO[str], color: str) -> bool:
    """Whether lines and tables are printed to the stream without rich: it is no terminal, and gets no colours."""
    encoding = getattr(stream, "encoding", "") or "utf-8"  # rich has lines of ASCII for others
    return not stream.isatty() and color != "always" and encoding.lower().startswith("utf")


def is_colored(stream: IO[str], color: str) -> bool:
    """Whether to use colours on a stream. FORCE_COLOR does not turn them on for a pipe."""
    supports_color = stream.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")
    return color == "always" or (color == "auto" and supports_color)


class PlainConsole:
    """Prints without colours to a file or pipe, and no blanks at ends of lines. It has the methods of `RichConsole`."""

    def __init__(self, stream: IO[str]) -> None:
        self.width = PIPE_WIDTH
        self._stream = stream

    def print(self, *parts: Any) -> None:
        """Print texts and tables on one line."""
        self._stream.write(" ".join(map(str, parts)) + "\n")
        self._stream.flush()

    def print_line(self, text: str, style: str = "", *, also: str = "") -> None:
        """Print a line without wrapping it, however wide: a wrapped line cannot be searched or copied."""
        self.print(*([text, also] if also else [text]))

    def new_table(self) -> PlainTable:
        """Return a table."""
        return PlainTable()

    def shrinking_cell(self, text: str) -> str:
        """Return a cell: there is room for all of it."""
        return text


class PlainTable:
    """A table with a line under its headings and an empty line around it. Its texts have no control characters."""

    def __init__(self) -> None:
        self._columns: list[list[str]] = []  # each with its heading
        self._widths: list[int | None] = []
        self._right: list[bool] = []

    def add_column(self, heading: str, *, justify: str = "left", max_width: int | None = None, **_: Any) -> None:
        """Add a column, `left` or `right`. Cells that are wider than `max_width` are cut at their ends."""
        self._columns.append([heading])
        self._widths.append(max_width)
        self._right.append(justify == "right")

    def add_row(self, *cells: Any) -> None:
        """Add a row with a text for each column."""
        for column, cell, most in zip(self._columns, cells, self._widths, strict=True):
            column.append(cell if most is None else fit_cells(cell, most, middle=False))

    def __str__(self) -> str:
        """Return the lines, without blanks at their ends."""
        gap = " " * GAP
        columns = [_justified(*column) for column in zip(self._columns, self._right, strict=True)]
        heading, *rows = [f" {gap.join(row)}" for row in zip(*columns, strict=True)]
        lines = ["", heading, f" {'─' * (cell_width(heading) - 1)}", *rows, ""]
        return "\n".join([line.rstrip(" ") for line in lines])


def _justified(cells: Sequence[str], right: bool) -> list[str]:
    width = max(map(cell_width, cells))
    gaps = (" " * (width - cell_width(cell)) for cell in cells)
    return [f"{gap}{cell}" if right else f"{cell}{gap}" for cell, gap in zip(cells, gaps, strict=True)]
