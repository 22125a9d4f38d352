"""Text for people: the closest match to a word, control characters made visible, and shortening."""

from __future__ import annotations

import re
from collections.abc import Iterable

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")


def closest_match(word: str, known: Iterable[str]) -> str | None:
    """The one of `known` that `word` was probably meant to be, or None."""
    import difflib

    found = difflib.get_close_matches(word.lower(), by_lower := {k.lower(): k for k in known}, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def escape_controls(text: str) -> str:
    r"""`text` with every control and direction-changing character made visible (`\x1b`), newline and tab kept.

    So are lone surrogates, which stand for bytes of a file name that are not text and cannot be printed. Whatever
    comes from a file, a node or a table passes through here before it reaches a terminal.
    """
    return _CONTROL.sub(lambda m: f"\\x{ord(m[0]):02x}" if ord(m[0]) < 256 else f"\\u{ord(m[0]):04x}", text)


def ellipsize(text: str, limit: int = 60) -> str:
    """`text` on one line, escaped, with its middle left out where it is longer than `limit` characters."""
    text = escape_controls(text).replace("\n", "\\n").replace("\t", "\\t")
    return text if len(text) <= limit else f"{text[: limit - limit // 3 - 1]}…{text[len(text) - limit // 3 :]}"
