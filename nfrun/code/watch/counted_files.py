"""Decides which files count as inputs and outputs of a node, by where they lie."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import nfrun
from nfrun.core.pipeline import WORK_IGNORED, WORK_PARTS
from nfrun.system.file_search import PYTHON_FOLDERS

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/etc", "/proc", "/sys", "/dev")
_NAMES = PYTHON_FOLDERS | {".git"}  # of folders that never count


class CountedFiles:
    """Decides for the pipeline in `folder`, with files in `others`, whether a file counts.

    These folders do not count: Python and its packages, folders of the system, temporary folders, hidden folders of the
    home, and those in `excluded`, such as the work folder; one of these that is a name only, wherever it is. If one
    contains a folder of the pipeline, its subfolder with that folder counts. `.git`, bytecode and virtual environments
    never count, also inside the pipeline's folder.
    """

    def __init__(self, folder: Path, excluded: Iterable[Path] = (), others: Iterable[Path] = ()) -> None:
        self._folders = [os.path.abspath(own) for own in (folder, *others)]
        excluded = [*excluded]
        self._excluded = [str(other) for other in excluded if other.is_absolute()]
        self._names = _NAMES | {str(other) for other in excluded if not other.is_absolute()}
        temporary = ("/tmp", "/var/tmp", *filter(None, map(os.environ.get, ("TMPDIR", "TEMP", "TMP"))))
        python = (sys.prefix, sys.base_prefix, sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
        own = os.path.dirname(nfrun.__file__)
        # Both the name and what it leads to: a temporary folder is often a link.
        named = dict.fromkeys((*_SYSTEM, *temporary, *python, own))
        self._outside = [other for other in dict.fromkeys((*named, *map(os.path.realpath, named))) if other != "/"]
        self._home = os.path.expanduser("~")
        self._known: dict[str, bool] = {}  # by folder

    def counts(self, path: str) -> bool:
        """Return whether a file counts. `path` is absolute and has no `..`."""
        folder, name = os.path.split(path)
        known = self._known.get(folder)
        if known is None:
            known = self._known[folder] = self._counts_below(folder)
        return known and name not in self._names and path not in self._excluded

    def _counts_below(self, folder: str) -> bool:
        if any(_is_below(folder, other) for other in self._excluded):
            return False
        hidden = self._hidden(folder) if _is_below(folder, self._home) else ""
        if hidden and not self._is_kept(folder, hidden):
            return False
        if not any(_is_below(folder, own) for own in self._folders):
            for other in self._outside:
                if _is_below(folder, other) and not self._is_kept(folder, other):
                    return False
        return not any(self._is_left_out(above) for above in _with_parents(folder))

    def _hidden(self, folder: str) -> str:
        """Return the hidden folder of the home in which `folder` lies; "" if it lies in none."""
        first = folder[len(self._home) :].lstrip("/").partition("/")[0]
        return os.path.join(self._home, first) if first.startswith(".") else ""

    def _is_kept(self, folder: str, outside: str) -> bool:
        """Whether a folder lies in that subfolder of `outside` which contains a folder of the pipeline."""
        for own in self._folders:
            if _is_below(own, outside):
                first = own[len(outside) :].lstrip("/").partition("/")[0]
                if _is_below(folder, os.path.join(outside, first) if first else outside):
                    return True
        return False

    def _is_left_out(self, folder: str) -> bool:
        """Whether a folder never counts, unless the pipeline itself lies below it."""
        if any(_is_below(own, folder) for own in self._folders):
            return False
        return os.path.basename(folder) in self._names or os.path.exists(os.path.join(folder, "pyvenv.cfg"))


def parts_of_work(work: Path) -> list[Path]:
    """Return what does not count as a file of a node in a work folder: all of it, if nfrun has made it.

    A folder of the user (`--work .`, `--work /data`) may have files that nodes read. There it is what nfrun has in it.
    """
    ignored = work / ".gitignore"
    with suppress(OSError):
        if not (work / "locks").is_dir() or (ignored.is_file() and ignored.read_bytes() == WORK_IGNORED):
            return [work]
    return [work / part for part in WORK_PARTS]


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder if folder.endswith("/") else f"{folder}/")


def _with_parents(folder: str) -> Iterable[str]:
    while folder != "/":
        yield folder
        folder = os.path.dirname(folder)
