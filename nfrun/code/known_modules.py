"""Keeps what the top of a module binds, and takes over what earlier runs have found while its file is the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class KnownModules:
    """What modules bind, as JSON, by their files. `is_new`: there is some that was not taken over."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[str, Any]] = {}  # the checksum of the file, and what it binds
        self.is_new = False

    def get(self, file: str, checksum: str) -> Any:
        """Return what the module in a file with this checksum binds, None if it is not known."""
        known, binds = self._found.get(file, ("", None))
        return binds if known == checksum else None

    def add(self, file: str, checksum: str, binds: Any) -> None:
        """Keep what the module in a file binds."""
        self._found[file] = checksum, binds
        self.is_new = True

    def as_json(self) -> Mapping[str, Any]:
        """Return all as JSON, for `restore` in a later run of the same nfrun and Python."""
        return self._found

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take over what `as_json` has returned."""
        self._found.update({file: (checksum, binds) for file, (checksum, binds) in saved.items()})
