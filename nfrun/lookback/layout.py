"""Lays out text for a terminal or a pipe: columns, fields with labels, times and colours."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from nfrun.core.text import ellipsize, escape_controls
from nfrun.core.values import frozen

NOT_RECORDED = "-"
_GAP = "  "
_LEAST = 10  # characters of a column that is cut
_WIDEST = 1_000  # characters of a cell
STYLES: Mapping[str, str] = {
    "ok": "32",
    "failed": "31",
    "killed": "31",
    "cancelled": "33",
    "skipped": "33",
    "running": "36",
    "new": "32",
    "gone": "31",
    "changed": "33",
    "bold": "1",
    "dim": "2",
}


@frozen
class Look:
    """The width and the colours of printed text. `width` is that of the terminal, None for a pipe: nothing is cut."""

    width: int | None = None
    colored: bool = False

    def paint(self, text: str, style: str) -> str:
        """Return the text in a style of `STYLES`; as it is without colours, or if there is no such style."""
        code = STYLES.get(style) if self.colored else None
        return f"\x1b[{code}m{text}\x1b[0m" if code and text else text

    def columns(
        self, headings: Sequence[str], rows: Iterable[Sequence[str]], *, right: Collection[str]
    ) -> Iterator[str]:
        """Yield a line of headings and one for each row. The columns in `right` are aligned right, for numbers.

        On a terminal the first column takes half of the width at most, and what is not within the width is cut. The
        cells of the column 'status' have the style of their text.
        """
        cells = [[ellipsize(cell, _WIDEST) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
        if self.width is not None:
            widths[0] = min(widths[0], self.width // 2)
        for row in (headings, *cells):
            texts = [
                text.rjust(width) if heading in right else ellipsize(text, width).ljust(width)
                for heading, text, width in zip(headings, row, widths, strict=True)
            ]
            texts[-1] = texts[-1].rstrip()
            texts = texts if self.width is None else _within(texts, self.width)
            if row is headings:
                yield self.paint(_GAP.join(texts), "bold")
            else:
                styles = (text if heading == "status" else "" for heading, text in zip(headings, row, strict=True))
                yield _GAP.join(map(self.paint, texts, styles)).rstrip()

    def fields(self, fields: Iterable[tuple[str, str]]) -> Iterator[str]:
        """Yield a line for each label and value. A value of several lines is indented; an empty one is left out."""
        shown = [(label, value) for label, value in fields if value]
        width = max((len(label) for label, _ in shown), default=0)
        for label, value in shown:
            first, *more = escape_controls(value).split("\n")
            yield f"  {self.paint(label.ljust(width), 'dim')}{_GAP}{first}"
            yield from (f"  {' ' * width}{_GAP}{line}" for line in more)


def local_time(at: float | None, now: float | None = None, *, short: bool = False) -> str:
    """Return a time for people, in the local time zone: `today 20:15:03`, or with its date if it is another day.

    A `short` time of another day has no seconds.
    """
    if at is None:
        return NOT_RECORDED
    now = time.time() if now is None else now
    if time.localtime(now)[:3] == time.localtime(at)[:3]:
        return time.strftime("today %H:%M:%S", time.localtime(at))
    return time.strftime("%Y-%m-%d %H:%M" if short else "%Y-%m-%d %H:%M:%S", time.localtime(at))


def iso_time(at: float | None) -> str | None:
    """Return a time in UTC for JSON: `2026-11-26T20:15:03Z`."""
    return None if at is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def value_text(value: Any) -> str:
    """Return the value of a parameter on one line."""
    import json

    return ellipsize(value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False), 200)


def _within(texts: Sequence[str], width: int) -> list[str]:
    """Return the cells of a row that are within `width`, the last of them cut."""
    shown: list[str] = []
    for text in texts:
        left = width - sum(len(each) + len(_GAP) for each in shown)
        if left < min(len(text), _LEAST):
            break
        shown.append(ellipsize(text, left))
    return shown
