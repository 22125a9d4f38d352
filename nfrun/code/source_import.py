"""Makes Python import a project's modules from their sources, so that the code that runs is the code that was read.

Python uses cached bytecode if the size of the source and the second of its last change are the same. After a copy that
keeps times, or two edits in one second, it would run old code.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    PathFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from pathlib import Path
from types import ModuleType
from typing import Any

import nfrun
from nfrun.code.module_finder import find_reserved, is_installed
from nfrun.system.checksums import bytes_checksum

_PACKAGE = Path(nfrun.__file__).parent

# By path, the checksum of the source that this process has imported last.
imported_sources: dict[str, str] = {}
_loaded: set[str] = set()  # the names of the modules that `SourceLoader` has loaded, some of them into `sys.modules`


class SourceLoader(SourceFileLoader):
    """Loads a source file without cached bytecode. If `builtins` is set, its code has those instead of Python's."""

    builtins: dict[str, Any] | None = None

    def path_stats(self, path: str) -> dict[str, float]:
        """Raise OSError, which makes the base class neither read nor write bytecode."""
        raise OSError(f"the modification time of {path} is not used")

    def get_data(self, path: str) -> bytes:
        """Return the source, and record its checksum in `imported_sources`."""
        data = super().get_data(path)
        imported_sources[path] = bytes_checksum(data)
        return data

    def exec_module(self, module: ModuleType) -> None:
        """Run the code of the module."""
        _loaded.add(module.__name__)
        if self.builtins is not None:
            vars(module)["__builtins__"] = self.builtins
        super().exec_module(module)


_path_stats = SourceFileLoader.path_stats
_CHANGING = threading.Lock()
_folders: list[Path] = []  # of those that are inside of `sources_by_path`


@contextmanager
def sources_by_path(folder: Path) -> Iterator[None]:
    """While inside, load source files without cached bytecode by any loader, as by `spec_from_file_location`.

    Installed ones keep their bytecode: they do not change, and there are many.
    """
    with _CHANGING:
        _folders.append(folder)
        setattr(SourceFileLoader, "path_stats", _stats_of_installed)  # noqa: B010
    try:
        yield
    finally:
        with _CHANGING:
            _folders.remove(folder)
            if not _folders:
                setattr(SourceFileLoader, "path_stats", _path_stats)  # noqa: B010


def _stats_of_installed(loader: SourceFileLoader, path: str) -> Any:
    folders = list(_folders)  # other threads may leave
    if not folders or all(is_installed(Path(path), folder) for folder in folders):
        return _path_stats(loader, path)
    raise OSError(f"the modification time of {path} is not used")


def source_finder(place: str) -> FileFinder:
    """Return a finder for the modules in the folder `place`."""
    return FileFinder(
        place,
        (ExtensionFileLoader, EXTENSION_SUFFIXES),
        (SourceLoader, SOURCE_SUFFIXES),
        (SourcelessFileLoader, BYTECODE_SUFFIXES),
    )


class _Hook:
    """A path hook for folders of the project: all that exist and are not installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # The first call asks `sysconfig`, which imports a module: from `__call__`, that would be while it is asked.
        is_installed(folder, folder)

    def __call__(self, place: str) -> FileFinder:
        """Return a finder for `place`. Raises ImportError for other places, so that Python tries its next hook."""
        path = Path(place)
        if not path.is_dir() or path.is_relative_to(_PACKAGE) or is_installed(path, self.folder):
            raise ImportError(place)
        return source_finder(place)


class _Reserved:
    """Finds the standard library and nfrun's packages before a project's files of these names.

    nfrun and the libraries that it uses import some modules late, when the project's folder is on `sys.path`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find_spec(self, name: str, places: object, target: object = None) -> ModuleSpec | None:
        """Find such a top-level module; None for all others."""
        return find_reserved(name, self.folder) if places is None else None


def notice_new_files() -> None:
    """Let the next imports find files that are new.

    From Python 3.13 on, `importlib.invalidate_caches` imports `importlib.metadata`. That takes 20 ms, for empty caches.
    """
    if sys.version_info < (3, 13) or "importlib.metadata" in sys.modules:
        importlib.invalidate_caches()
        return
    for finder in list(sys.path_importer_cache.values()):
        if (forget := getattr(finder, "invalidate_caches", None)) is not None:
            forget()


def import_for_process(module: str, folder: Path) -> ModuleType:
    """Import a module as in a process with one run: `folder`, the project's, is first on `sys.path`, as for a script.

    Unlike for a script, the standard library and nfrun's packages come before it. Modules that are not installed are
    imported from their sources from now on. Changes `sys.path`, `sys.path_hooks` and `sys.meta_path` of this process;
    several runs in a process need a `ModuleSpace` each.
    """
    if not any(isinstance(hook, _Hook) and hook.folder == folder for hook in sys.path_hooks):
        sys.path_hooks.insert(0, _Hook(folder))
        at = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else 0
        sys.meta_path.insert(at, _Reserved(folder))
        sys.path_importer_cache.clear()
    if sys.path[0] != str(folder):
        sys.path.insert(0, str(folder))
        notice_new_files()
    return importlib.import_module(module)


def forget_imported() -> None:
    """Forget the modules that were imported from sources of a project, so that the next import reads them again."""
    while _loaded:
        name = _loaded.pop()
        if isinstance(getattr(getattr(sys.modules.get(name), "__spec__", None), "loader", None), SourceLoader):
            del sys.modules[name]
    notice_new_files()
