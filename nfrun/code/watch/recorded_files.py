"""Names the files that an attempt opened as the journal has them, and takes their checksums.

The name of a file is relative to the folder of the pipeline, or absolute outside of it. That of a folder whose content
was listed ends in a slash. That of a pattern ends in two, and in `//**` where `**` stood for folders: its checksum is
that of the files that it finds. That of a folder that was written as a whole ends in `/./`: its checksum is
`layout_checksum`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from nfrun.system.checksums import LAYOUT, FileChecksums, layout_checksum, text_checksum
from nfrun.system.file_search import name_below

WORKING_DIRECTORY = "/."  # no path of a file has this form


class RecordedFiles:
    """Takes checksums of files by their recorded names. Thread-safe.

    Names are relative to `folder`. Of the content of folders, the paths count for which `counts(path)` is true. The
    checksum of `WORKING_DIRECTORY` is the path of the working directory when this object was made.
    """

    def __init__(self, folder: Path, counts: Callable[[str], bool], checksums: FileChecksums) -> None:
        self._folder = os.path.abspath(folder)
        self._counts = counts
        self._checksums = checksums
        self._working_directory = ""
        with suppress(OSError):  # it may be gone
            self._working_directory = os.path.relpath(os.path.realpath("."), os.path.realpath(folder))

    def name(self, path: str) -> str:
        """Return the name under which an absolute path is recorded."""
        return "." if path == self._folder else name_below(self._folder, path)

    def checksum(self, name: str, *, recheck: bool = False) -> str:
        """Return the checksum of what the name stands for now, "" if it is not there."""
        if name == WORKING_DIRECTORY:
            return self._working_directory
        path = os.path.join(self._folder, name)
        if name.endswith(LAYOUT):
            return layout_checksum(path)
        if name.endswith(("//", "//**")):
            return self._matches(path.removesuffix("**").rstrip("/"), recursive=name.endswith("**"))
        if name.endswith("/"):
            return self._listing(path)
        found = self._checksums.of(path, recheck=recheck)
        # What a link to a folder stands for is the name of the folder.
        return text_checksum(os.readlink(path)) if not found and os.path.islink(path) else found

    def now(self, names: Iterable[str], *, recheck: bool = False) -> dict[str, str]:
        """Return the checksums of these names now. `recheck` as for `FileChecksums.of`."""
        return {name: self.checksum(name, recheck=recheck) for name in names}

    def _listing(self, folder: str) -> str:
        with suppress(OSError):
            names = sorted(name for name in os.listdir(folder) if self._counts(os.path.join(folder, name)))
            return text_checksum("\n".join(names))
        return ""

    def _matches(self, pattern: str, *, recursive: bool) -> str:
        import glob

        paths = glob.glob(pattern, recursive=recursive)
        return text_checksum("\n".join(sorted(self.name(path) for path in paths if self._counts(path.rstrip("/")))))
