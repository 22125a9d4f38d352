"""Reads the journals of nfrun 0.1, which are files in the folders of runs. A new database takes them over once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from xxhash import xxh3_64_hexdigest

from nfrun.core.values import frozen
from nfrun.system.atomic_files import read_regular_file

JOURNAL = "journal.jsonl"
_VERSION = 1
_CHECK = ', "check": "'
_CHECK_LENGTH = len(_CHECK) + 16 + len('"}')


@frozen
class OldJournal:
    """The lines of the journal of a run that are whole."""

    run: str
    lines: tuple[dict[str, Any], ...]


def old_journals(folders: Iterable[Path]) -> list[OldJournal]:
    """Return the journals in these folders of runs, in the order of their numbers. Raises PermissionError."""
    found: list[tuple[int, str, OldJournal]] = []
    for folder in folders:
        data = b""
        try:
            data = read_regular_file(folder / JOURNAL)
        except PermissionError:  # another user's journal exists: don't treat it as missing
            raise
        except OSError:
            pass
        lines = [line for text in data.split(b"\n") if (line := _verified(text))]
        if lines and lines[0].get("event") == "started" and lines[0].get("version") == _VERSION:
            number = lines[0].get("number")
            if isinstance(number, int):
                found.append((number, folder.name, OldJournal(folder.name, tuple(lines))))
    return [journal for *_, journal in sorted(found, key=lambda each: each[:2])]


def _verified(line: bytes) -> dict[str, Any]:
    """Return the object in a line, without its checksum; empty where that does not match."""
    text, check = line[:-_CHECK_LENGTH] + b"}", line[-_CHECK_LENGTH:]
    if check == f'{_CHECK}{xxh3_64_hexdigest(text)}"}}'.encode():
        with suppress(ValueError, RecursionError):
            found = json.loads(text)
            return found if isinstance(found, dict) else {}
    return {}
