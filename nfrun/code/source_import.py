"""Makes Python import a project's modules from their sources, so that the code that runs is the code that was read.

Python uses cached bytecode if the size of the source and the second of its last change are the same. After a copy that
keeps times, or two edits in one second, it would run old code.
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
    """Loads a source file without cached bytecode."""

    def path_stats(self, path: str) -> dict[str, float]:
        """Raise OSError, which makes the base class neither read nor write bytecode."""
        raise OSError(f"the modification time of {path} is not used")


class _Hook:
    """A path hook for folders of the project: all that exist and are not installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, place: str) -> FileFinder:
        """Return a finder for `place`. Raises ImportError for other places, so that Python tries its next hook."""
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
    """Import modules that are not installed from their sources from now on. `folder` is the project's.

    Changes `sys.path_hooks` of this process. A second call with the same folder does nothing.
    """
    if any(isinstance(hook, _Hook) and hook.folder == folder for hook in sys.path_hooks):
        return
    sys.path_hooks.insert(0, _Hook(folder))
    sys.path_importer_cache.clear()
