"""Masks secrets in the document of a page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
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
    return _Masking(redactor).of(document, has_values=False)


def hidden_text(secrets: Sequence[str]) -> str:
    """Return why a page shows nothing of what outputs hold: these secrets have no values here."""
    names, one = shortened([*secrets], _MAX_LISTED), len(secrets) == 1
    what = f"the secret{'' if one else 's'} {names} {'is' if one else 'are'} not set here and cannot be masked"
    return f"{what}: the page shows nothing of what outputs hold (set {'it' if one else 'them'} to have that)"


class _Masking:
    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._known: dict[str, str] = {}  # most texts are there more than once

    def of(self, value: Any, *, has_values: bool) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            if str(value.get("type", "")).startswith(_PICTURE) and "data" in value:
                return self._picture(value)
            return {self._text(key): self._item(key, item, has_values=has_values) for key, item in value.items()}
        if isinstance(value, list):
            return [self.of(item, has_values=has_values) for item in value]
        if not has_values or value is None or isinstance(value, bool):
            return value
        text = self._text(str(value))
        return value if text == str(value) else text

    def _item(self, key: str, item: Any, *, has_values: bool) -> Any:
        if not has_values and _is_id(key, item):
            return item
        return self.of(item, has_values=has_values or (key in _VALUES and isinstance(item, _VALUES[key])))

    def _picture(self, media: dict[str, Any]) -> dict[str, Any]:
        """Mask the text of a drawing. Other pictures are no text."""
        if media["type"] != _DRAWING:
            return media
        text = base64.b64decode(media["data"]).decode(errors="replace")
        return {**media, "data": base64.b64encode(self._redactor(text).encode()).decode()}

    def _text(self, text: str) -> str:
        found = self._known.get(text)
        if found is None:
            found = self._known[text] = self._redactor(text)
        return found


def _is_id(key: str, item: Any) -> bool:
    if key in _LISTS_OF_IDS:
        return isinstance(item, list) and bool(item) and isinstance(item[0], _LISTS_OF_IDS[key])
    return key in _IDS and isinstance(item, str)
