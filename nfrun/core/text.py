"""Formats text for display: closest match to a word, escaped control characters, text cut to a width."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")

_MAX_GUESS = 200  # characters: as many as ids of nodes have
GO_ON_HINT = "'nfrun run' goes on from what had finished"


def closest_match(word: str, known: Iterable[str]) -> str | None:
    """Return the most similar word of `known`, ignoring case, or None if none is similar enough."""
    import difflib

    found = difflib.get_close_matches(word.lower(), by_lower := {k.lower(): k for k in known}, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return the hint for a word that there is not: the most similar one that there is, or else another hint."""
    guess = closest_match(word, known)
    return f"did you mean '{ellipsize(guess, _MAX_GUESS)}'?" if guess else otherwise


def escape_controls(text: str) -> str:
    r"""Replace control characters and those that change the text direction by escapes (`\x1b`).

    Newline and tab stay. Lone surrogates are escaped too: they stand for undecodable bytes of a file name and cannot be
    printed. All text from files, nodes and tables must pass through here before it is printed on a terminal.
    """
    return _CONTROL.sub(lambda m: f"\\x{ord(m[0]):02x}" if ord(m[0]) < 256 else f"\\u{ord(m[0]):04x}", text)


def on_one_line(text: str) -> str:
    """Put text on one line, escaped."""
    return escape_controls(text).replace("\n", "\\n").replace("\t", "\\t")


def ellipsize(text: str, limit: int = 60) -> str:
    """Put text on one line, escaped, and replace its middle by an ellipsis if it is longer than `limit` characters."""
    text = on_one_line(text)
    return text if len(text) <= limit else f"{text[: limit - limit // 3 - 1]}…{text[len(text) - limit // 3 :]}"


def cell_width(text: str) -> int:
    """Return the width of the escaped text, in columns of a terminal."""
    if text.isascii() and text.isprintable():
        return len(text)
    return sum(map(_cells, escape_controls(text)))


def _cells(character: str) -> int:
    import unicodedata  # few texts need it

    if unicodedata.category(character) in ("Mn", "Me"):  # it joins the character before it
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fit_cells(text: str, width: int, *, middle: bool = True) -> str:
    """Put text on one line, escaped, and cut its middle, or its end, if it is wider than `width` columns."""
    text = on_one_line(text)
    if cell_width(text) <= width:
        return text
    left = width - 1
    if left <= 0:
        return "…"[: max(0, width)]
    end = _prefix(text[::-1], left // 3)[::-1] if middle else ""
    return f"{_prefix(text, left - cell_width(end))}…{end}"


def _prefix(text: str, width: int) -> str:
    """Return the longest part of the text, from its start, that is no wider than `width` columns."""
    for i, character in enumerate(text):
        width -= _cells(character)
        if width < 0:
            return text[:i]
    return text


def shortened(words: Sequence[str], most: int) -> str:
    """Return "a, b and 3 more" for a list of words, of which at most `most` are shown."""
    more = f" and {len(words) - most:,} more" if len(words) > most else ""
    return f"{', '.join(words[:most])}{more}"


def file_stem(id: str) -> str:
    """Return the id of a node or an output as a part of the name of a file: with `+`, which no id has, for `/`."""
    return id.replace("/", "+")


def format_seconds(value: float) -> str:
    """Format seconds with about three significant digits: `85 us`, `3.4 ms`, `1.25 s`, `4 m 10 s`."""
    if value < 0.000_95:
        return f"{value * 1e6:.0f} us"
    if value < 0.095:
        return f"{value * 1e3:.1f} ms"
    if value < 0.999_5:
        return f"{value * 1e3:.0f} ms"
    if value < 99.5:
        return f"{value:.2f} s" if value < 9.995 else f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} m" if hours else f"{minutes} m {rest} s"


def format_size(value: float) -> str:
    """Format a number of bytes in decimal units: `812 B`, `3.1 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 99.5 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def format_count(number: int, thing: str) -> str:
    """Format a count with its noun: `1 node`, `2 nodes`, `27,004 rows`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
