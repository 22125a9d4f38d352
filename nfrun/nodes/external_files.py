"""Takes checksums of the files outside of a run that nodes read and write."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nfrun.core.pipeline import NodeSpec
from nfrun.nodes.registry import KINDS
from nfrun.system.checksums import FileChecksums


class ExternalInputs:
    """Checksums of the files that nodes read (`Kind.external_inputs`), taken before the node runs.

    A file that several nodes read is read once for its checksum. File names are relative to the folder `base`.
    """

    def __init__(self, base: Path) -> None:
        self._base = base
        self._checksums = FileChecksums()
        self._snapshots: dict[str, Mapping[str, str] | None] = {}

    def snapshot(self, spec: NodeSpec) -> Mapping[str, str] | None:
        """Return checksums by file name, "" for a missing file; None if the source is not on this machine."""
        if spec.id not in self._snapshots:
            self._snapshots[spec.id] = self._look(spec)
        return self._snapshots[spec.id]

    def recheck(self, spec: NodeSpec) -> Mapping[str, str] | None:
        """Return the snapshot, or None if a file has changed since. Reads files again that may have changed."""
        before = self.snapshot(spec)
        return before if self._look(spec, recheck=True) == before else None

    def _look(self, spec: NodeSpec, *, recheck: bool = False) -> Mapping[str, str] | None:
        files, checksum = KINDS[spec.kind].external_inputs(spec, self._base), self._checksums.of
        return None if files is None else {name: checksum(path, recheck=recheck) for name, path in files.items()}


def external_outputs(spec: NodeSpec, base: Path) -> Mapping[str, str]:
    """Return the checksums of the files that a node writes, by name; "" for a missing file."""
    checksum = FileChecksums().of
    return {name: checksum(path) for name, path in KINDS[spec.kind].external_outputs(spec, base).items()}
