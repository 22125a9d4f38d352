"""Writes JSON objects as lines with a checksum, and reads those lines that are whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from nfrun.system.checksums import line_checksum

_CHECK = ', "check": "'
_CHECK_LENGTH = len(_CHECK) + 16 + len('"}')


def with_checksum(text: str) -> bytes:
    """Turn a JSON object into a line of a journal, with its checksum."""
    return f'{text[:-1]}{_CHECK}{line_checksum(text.encode())}"}}\n'.encode()


def journal_lines(data: bytes) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Yield the lines of a journal that are whole: where each begins, its length in bytes, and its object."""
    start = 0
    for line in data.split(b"\n"):
        if found := verified_object(line):
            yield start, len(line), found
        start += len(line) + 1


def verified_object(line: bytes) -> dict[str, Any]:
    """Return the object in a line; empty where the checksum does not match."""
    text, check = line[:-_CHECK_LENGTH] + b"}", line[-_CHECK_LENGTH:]
    if check != f'{_CHECK}{line_checksum(text)}"}}'.encode():
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
