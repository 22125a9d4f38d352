"""Checksums of the files that nodes read and write, which lie outside of any run. Does not know what they are for."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from nfrun.core.pipeline import NodeSpec
from nfrun.nodes.sql_files import sql_files
from nfrun.system.checksums import file_checksum
from nfrun.tables.formats import FormatError
from nfrun.tables.local_files import resolve_files


class ExternalInputs:
    """Checksums of the files that nodes read by their text, taken once and before: no content counts that came later.

    Those of other kinds than `read` and `sql` read none. `base` is the folder that their names are relative to.
    """

    def __init__(self, base: Path) -> None:
        self._base = base
        self._snapshots: dict[str, Mapping[str, str] | None] = {}

    def snapshot(self, spec: NodeSpec) -> Mapping[str, str] | None:
        """Checksums by the names of the files; None where they are not on this machine."""
        if spec.id not in self._snapshots:
            self._snapshots[spec.id] = self._look(spec)
        return self._snapshots[spec.id]

    def recheck(self, spec: NodeSpec) -> Mapping[str, str] | None:
        """The same, and None too if it may be that something else was read meanwhile.

        All is read once more: what the system says of a file shows neither that it is the same nor that it is not.
        """
        before = self.snapshot(spec)
        return before if self._look(spec) == before else None

    def _look(self, spec: NodeSpec) -> Mapping[str, str] | None:
        if spec.kind == "sql":
            files: Mapping[str, Path] | None = sql_files(spec.body, spec.with_, self._base)
        elif spec.kind == "read":
            try:
                files = resolve_files(spec.body, self._base)
            except (FormatError, OSError):
                return {spec.body: ""}  # it will fail, and tell
        else:
            files = {}
        return None if files is None else {name: _checksum(path) for name, path in files.items()}


def external_outputs(spec: NodeSpec, base: Path) -> Mapping[str, str]:
    """The checksum of the file that a write node writes, by its name."""
    return {spec.body: _checksum(base / spec.body)}


def _checksum(path: Path) -> str:
    with suppress(OSError):
        if path.is_file():  # to read a pipe would be to wait for ever
            return file_checksum(path)
    return ""
