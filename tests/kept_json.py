"""Keeps JSON values in a file, for code that gets what reads and what writes them: nfrun keeps them in its history."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

Kept = tuple[Callable[[], dict[str, Any]], Callable[[Any], object]]


def kept_in(path: Path) -> Kept:
    """Return what reads the values in a file, and what replaces them."""

    def read() -> dict[str, Any]:
        with suppress(FileNotFoundError):
            found: dict[str, Any] = json.loads(path.read_text())
            return found
        return {}

    return read, lambda found: path.write_text(json.dumps(found))
