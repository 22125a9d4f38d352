"""Makes the texts that stand for the values of axes in the ids of cells."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

MAX_ID = 200  # characters of the id of a node
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,39}")
_KEPT = 33  # characters of a text that is shortened, before "-" and the checksum
_DIGITS = 6


def key_of(value: Any) -> Any:
    """Return what stands for a value of an axis outside of expressions: the id of a mapping, otherwise the value."""
    return value.get("id") if isinstance(value, Mapping) else value


def text_of(key: Any) -> str:
    """Return a key as text: a string as it is, anything else as in JSON."""
    if type(key) is int:
        return str(key)  # json.dumps takes 20 times as long
    return key if isinstance(key, str) else json.dumps(key)


def id_of(key: Any) -> str:
    """Return the text for a value of an axis in the ids of cells: at most 40 letters, digits, `.`, `_` and `-`.

    A text that has other characters or is longer is cleaned and shortened, and ends with digits of its checksum.
    """
    text = text_of(key)
    if _PLAIN.fullmatch(text) and not text.endswith("."):
        return text
    clean = re.sub("[^A-Za-z0-9._-]+", "_", text).lstrip(".")[:_KEPT] or "_"
    import hashlib  # few pipelines have such cells

    return f"{clean}-{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:_DIGITS]}"
