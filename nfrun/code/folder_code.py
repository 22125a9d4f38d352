"""Reads the code of a pipeline whose nodes stand in files of several folders: modules of one name do not meet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nfrun.code.fingerprint import Fingerprints
from nfrun.system.file_search import inner_folder


class FolderCode:
    """The fingerprints of the code in each folder, by its path relative to `base`, the folder of the pipeline."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._known = {"": Fingerprints(base)}

    def of(self, folder: str) -> Fingerprints:
        """Return the fingerprints of the code that nodes in `folder` reach, "" for the folder of the pipeline."""
        if folder not in self._known:
            self._known[folder] = Fingerprints(inner_folder(self._base, folder), self._base)
        return self._known[folder]

    @property
    def known(self) -> Mapping[str, Fingerprints]:
        """Those that were asked for, by folder."""
        return self._known

    def refresh(self) -> None:
        """Make the next `is_current` calls read the files again."""
        for code in self._known.values():
            code.refresh()
