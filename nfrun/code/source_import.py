"""Has Python import a project's modules from their sources alone, so that the code that runs is the code that is read.

Python believes compiled code if its source had the same size and the same second of change: a copy that keeps times, or
two edits in one second, and it runs what is no longer there.
"""

from __future__ import annotations

import sys
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from pathlib import Path

import nfrun
from nfrun.code.module_finder import is_installed

_OURS = Path(nfrun.__file__).parent


class _Loader(SourceFileLoader):
    def path_stats(self, path: str) -> dict[str, float]:
        """Raises OSError, whereupon compiled code is neither looked for nor written."""
        raise OSError(f"nobody is to believe when {path} was changed")


class _Hook:
    """What finds modules in the folders of a project, and in no others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, place: str) -> FileFinder:
        """Raises ImportError for all other places, as Python wants it."""
        path = Path(place)
        if not path.is_dir() or path.is_relative_to(_OURS) or is_installed(path, self.folder):
            raise ImportError(place)
        loaders = (
            (ExtensionFileLoader, EXTENSION_SUFFIXES),
            (_Loader, SOURCE_SUFFIXES),
            (SourcelessFileLoader, BYTECODE_SUFFIXES),
        )
        return FileFinder(place, *loaders)


def import_sources(folder: Path) -> None:
    """From now on modules that are not installed are imported from their sources; `folder` is the project's."""
    if any(isinstance(hook, _Hook) and hook.folder == folder for hook in sys.path_hooks):
        return
    sys.path_hooks.insert(0, _Hook(folder))
    sys.path_importer_cache.clear()
