"""Prints lines and tables without colours to a file or pipe: as `console.py` does, without blanks at ends of lines.

Most runs print to a pipe and are short: importing rich takes a fifth of their CPU time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, Any

from nfrun.core.text import cell_width, fit_cells

PIPE_WIDTH = 2_000  # of a file or pipe: wide enough for any table, so that each row is one line
GAP = 3  # characters between two columns of a table


class PlainConsole:
    """Prints to a stream with the methods of a rich console that nfrun uses."""

    def __init__(self, stream: IO[str]) -> None:
        self.width = PIPE_WIDTH
        self._stream = stream

    def print(self, *parts: object, style: str = "", soft_wrap: bool = False) -> None:
        """Print texts and tables on one line. They have no style, and are not wrapped."""
        self._stream.write(" ".join(map(str, parts)) + "\n")
        self._stream.flush()


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

    def add_row(self, *cells: str) -> None:
        """Add a row with a cell for each column."""
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
