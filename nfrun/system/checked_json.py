"""Reads and writes small JSON files of the work folder, each with a checksum in its first line.

They hold what can be computed again, so a missing or damaged file is no error. The checksum also covers what is in the
file, a word such as "checksums": a file that has taken the place of another one counts as damaged.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from xxhash import xxh3_64_hexdigest

from nfrun.system.atomic_files import atomic_write, read_regular_file


def read_checked(path: Path, what: str) -> dict[str, Any]:
    """Return what `write_checked` has written; {} if the file is missing, damaged or cannot be read."""
    with suppress(OSError, ValueError, RecursionError):
        check, _, text = read_regular_file(path).decode().rstrip("\n").partition("\n")
        if check == _checksum(what, text):
            found: dict[str, Any] = json.loads(text)
            return found
    return {}


def write_checked(path: Path, what: str, found: dict[str, Any]) -> None:
    """Write a file that only its owner can read, and make its folder if only that is missing. Raises OSError."""
    path.parent.mkdir(exist_ok=True, mode=0o700)
    text = json.dumps(found)
    with atomic_write(path, mode=0o600) as partial:
        Path(partial).write_text(f"{_checksum(what, text)}\n{text}\n", encoding="utf-8")


def _checksum(what: str, text: str) -> str:
    return xxh3_64_hexdigest(f"{what}\n{text}".encode())
