"""Texts that name columns as `{name}`: the values of a node whose plug-in is called for each row.

`{{name}}` stands for `{name}`. All other braces are text, so that JSON can stand in a prompt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from nfrun.core.pipeline import has_expression

_NAME = re.compile(r"\{\{([A-Za-z_]\w*)\}\}|\{([A-Za-z_]\w*)\}")

Place = tuple[tuple[str | int, ...], int]  # the path of a text, and the index of `{name}` in it


def named_columns(value: Any) -> dict[str, Place]:
    """Return the columns that the texts of a value name, each with its first place.

    Texts with expressions count once these are evaluated.
    """
    found: dict[str, Place] = {}
    for path, text in _texts(value, ()):
        for match in _NAME.finditer(text) if not has_expression(text) else ():
            if match[2]:
                found.setdefault(match[2], (path, match.start()))
    return found


def filled_in(value: Any, row: Mapping[str, Any]) -> Any:
    """Return a copy of a value with the columns of a row in its texts: texts as they are, all else as JSON.

    Raises ValueError for a column that is null, and KeyError for one that is not there.
    """
    if isinstance(value, str):
        return _NAME.sub(lambda match: f"{{{match[1]}}}" if match[1] else _as_text(match[2], row[match[2]]), value)
    if isinstance(value, dict):
        return {key: filled_in(item, row) for key, item in value.items()}
    return [filled_in(item, row) for item in value] if isinstance(value, list) else value


def _as_text(name: str, value: Any) -> str:
    if value is None:
        raise ValueError(f"the column '{name}' is null")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _texts(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in items:
        yield from _texts(item, (*path, step))
