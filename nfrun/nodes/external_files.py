"""Takes checksums of the files outside of a run that nodes read and write."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from nfrun.core.pipeline import NodeSpec
from nfrun.nodes.declared_files import declared_files
from nfrun.nodes.registry import KINDS
from nfrun.system.checksums import FileChecksums, text_checksum

_MANY = 1_000  # files of one entry: of more, the journal has one checksum for all


class ExternalInputs:
    """Checksums of the files that nodes read, taken before the node runs: `Kind.external_inputs` and `NodeSpec.files`.

    A file that several nodes read is read once for its checksum. File names are relative to the folder `base`. Files in
    the folder `work` are left out of folders and patterns.
    """

    def __init__(self, base: Path, work: Path | None = None) -> None:
        self._base = base
        self._skipped = () if work is None else (os.path.realpath(work),)
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

    def missing(self, spec: NodeSpec) -> str:
        """Return the first entry of `files` of which there was no file when the snapshot was taken, "" if none."""
        before = (self.snapshot(spec) or {}) if spec.files else {}
        return next((entry for entry in spec.files if before.get(entry) == ""), "")

    def _look(self, spec: NodeSpec, *, recheck: bool = False) -> Mapping[str, str] | None:
        files, checksum = KINDS[spec.kind].external_inputs(spec, self._base), self._checksums.of
        if files is None:
            return None
        found = {name: checksum(path, recheck=recheck) for name, path in files.items()}
        return {**found, **dict(self._declared(spec, recheck))} if spec.files else found

    def _declared(self, spec: NodeSpec, recheck: bool) -> Iterator[tuple[str, str]]:
        for entry, files in declared_files(spec, self._base, self._skipped).items():
            found = {name: self._checksums.of(path, recheck=recheck) for name, path in files.items()}
            if not found or len(found) > _MANY:
                found = {entry: text_checksum(json.dumps(found)) if found else ""}
            yield from found.items()


def external_outputs(spec: NodeSpec, base: Path) -> Mapping[str, str]:
    """Return the checksums of the files that a node writes, by name; "" for a missing file."""
    checksum = FileChecksums().of
    return {name: checksum(path) for name, path in KINDS[spec.kind].external_outputs(spec, base).items()}
