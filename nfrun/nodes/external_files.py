"""Takes checksums of the files outside of a run that nodes read and write."""

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
    """Checksums of the files that `read` and `sql` nodes read, taken once per node, before it runs.

    Other kinds read no files that are known from their text. File names are relative to the folder `base`.
    """

    def __init__(self, base: Path) -> None:
        self._base = base
        self._snapshots: dict[str, Mapping[str, str] | None] = {}

    def snapshot(self, spec: NodeSpec) -> Mapping[str, str] | None:
        """Return checksums by file name, "" for a missing file; None if the source is not on this machine."""
        if spec.id not in self._snapshots:
            self._snapshots[spec.id] = self._look(spec)
        return self._snapshots[spec.id]

    def recheck(self, spec: NodeSpec) -> Mapping[str, str] | None:
        """Return the snapshot, or None if a file has changed since.

        Reads all files once more: neither times nor sizes prove that a file is unchanged.
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
                return {spec.body: ""}  # the node will fail with a message
        else:
            files = {}
        return None if files is None else {name: _checksum(path) for name, path in files.items()}


def external_outputs(spec: NodeSpec, base: Path) -> Mapping[str, str]:
    """Return the checksum of the file that a `write` node writes, by its name; "" if it is missing."""
    return {spec.body: _checksum(base / spec.body)}


def _checksum(path: Path) -> str:
    with suppress(OSError):
        if path.is_file():  # reading a pipe would block
            return file_checksum(path)
    return ""
