"""Masks secrets in the document of a page."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from nfrun.core.text import shortened
from nfrun.system.logs.redaction import Redactor

# Names of nodes and of outputs stay as they are, as in all that nfrun prints: links in the page go by them.
_IDS = frozenset({"id", "of", "node", "group", "output", "home", "status", "kind", "digest"})
_LISTS_OF_IDS = {"edges": list, "nodes": str}  # of the graph, of the critical path
# What is in these is the user's: its names are no ids, and its numbers are no times, sizes or counts. Some of the keys
# stand for something else where they have another type.
_VALUES = {"params": dict, "inputs": dict, "cell": dict, "rows": list, "first_rows": list}
_MAX_LISTED = 4
_PICTURE, _DRAWING = "image/", "image/svg+xml"


def masked(document: Any, redactor: Redactor) -> Any:
    """Return JSON values with the values of secrets masked in all texts, and in the numbers of users' data."""
    return _masked(document, cache(redactor), is_of_user=False)  # most texts are there more than once


def hidden_text(secrets: Sequence[str]) -> str:
    """Return why a page shows nothing of what outputs hold: these secrets have no values here."""
    names, one = shortened([*secrets], _MAX_LISTED), len(secrets) == 1
    what = f"the secret{'' if one else 's'} {names} {'is' if one else 'are'} not set here and cannot be masked"
    return f"{what}: the page shows nothing of what outputs hold (set {'it' if one else 'them'} to have that)"


def _masked(value: Any, redact: Callable[[str], str], *, is_of_user: bool) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list):
        return [_masked(item, redact, is_of_user=is_of_user) for item in value]
    if isinstance(value, dict):
        if str(value.get("type", "")).startswith(_PICTURE) and "data" in value:
            return value if value["type"] != _DRAWING else {**value, "data": _masked_drawing(value["data"], redact)}
        found = {}
        for key, item in value.items():
            is_value = is_of_user or (key in _VALUES and isinstance(item, _VALUES[key]))
            is_id = not is_of_user and _is_id(key, item)
            found[redact(key)] = item if is_id else _masked(item, redact, is_of_user=is_value)
        return found
    if not is_of_user or value is None or isinstance(value, bool):
        return value
    text = redact(str(value))
    return value if text == str(value) else text


def _masked_drawing(data: str, redact: Callable[[str], str]) -> str:
    """Return a drawing with its text masked. Other pictures are no text."""
    text = base64.b64decode(data).decode(errors="replace")
    return base64.b64encode(redact(text).encode()).decode()


def _is_id(key: str, item: Any) -> bool:
    if key in _LISTS_OF_IDS:
        return isinstance(item, list) and bool(item) and isinstance(item[0], _LISTS_OF_IDS[key])
    return key in _IDS and isinstance(item, str)
