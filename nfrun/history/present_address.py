"""Finds a place that lies in the work folder, after that was moved: journals have the address of before."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

STORE = "store"  # the folder for places in a work folder


def present_address(address: str, run: Path) -> str:
    """Return the address of a place, or of what is in it, that a run with this folder has written to its journal."""
    head, mark, rest = address.rpartition(f"/{STORE}/")
    if not mark or not head.startswith("file:"):
        return address
    id, _, name = rest.partition("/")
    place = _present(f"{head}{mark}{id}", id, run.parent.parent)
    return f"{place}/{name}" if name else place


@cache
def _present(address: str, id: str, work: Path) -> str:
    from urllib.parse import unquote, urlsplit

    here = work / STORE / id
    is_moved = not os.path.isdir(unquote(urlsplit(address).path)) and here.is_dir()  # noqa: PTH112
    return here.absolute().as_uri() if is_moved else address
