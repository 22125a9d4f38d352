"""Finds the modules of a project, and checks later whether their files are unchanged. Does not parse code.

Missing files count as well: a module may be created while nodes run, be imported, and be removed again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec
from pathlib import Path

from nfrun.code.module_finder import find_module, is_installed
from nfrun.code.source_import import imported_sources
from nfrun.system.checksums import file_checksum, text_checksum
from nfrun.system.file_search import is_foreign

_MANY = 1_000  # modules below a package; to read more takes seconds
_ENTRIES = 20_000  # files and folders that are searched for these modules


def listing_name(package: str) -> str:
    """Return the name of the list of all modules below a package, as `ModuleIndex.are_unchanged` takes it."""
    return f"{package}**"


class ModuleIndex:
    """Records the state of every path where a requested module may lie. `folder` is the pipeline's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._imported = dict(imported_sources)  # those of earlier runs of this process
        # By package, the folders of the project that its modules may lie in; "" has those of top-level modules.
        self._places: dict[str, Sequence[str]] = {}
        self._seen: dict[str, dict[str, str]] = {}  # by module, the states of its possible paths
        self.installed: dict[str, str] = {}  # the files of the installed modules that `find` was asked for
        self._listed: dict[str, str] = {}  # by `listing_name(package)`, the digest of the list
        self._unchanged: dict[str, bool] = {}  # by either, the cached result of the last check

    def find(self, module: str) -> ModuleSpec | None:
        """Return the spec of the module; None if it does not exist or is installed.

        Call this for the packages around the module first.
        """
        if not all(module.split(".")):
            return None
        if not self._places:
            self._places[""] = self._ours([str(self._folder), *sys.path])
        package, _, name = module.rpartition(".")
        # Recorded before the module is found and read, so that a later check sees a change in between. If it is found
        # twice, the first states count: what is known about its code may be of that time.
        paths = [f"{place}{os.sep}{name}" for place in self._places.get(package, ())]
        if module not in self._seen:
            self._seen[module] = {path: _path_state(path) for path in paths}
        seen = self._seen[module]
        spec = find_module(module, self._folder)
        if spec is None:
            return None
        is_nfrun = module.partition(".")[0] == "nfrun"  # which counts as installed, also where its source is
        if spec.has_location and spec.origin and (is_nfrun or is_installed(Path(spec.origin), self._folder)):
            self.installed[module] = spec.origin
            return None
        self._places[module] = self._ours(spec.submodule_search_locations or ())
        if spec.has_location and spec.origin and _without_ending(spec.origin) not in seen:
            seen.setdefault(spec.origin, _path_state(spec.origin))  # compiled, or of an editable install
        return spec

    def modules_below(self, package: str) -> tuple[list[str], str]:
        """Return the modules below a package, and a digest of their names, "" if there are none.

        The package was found by `find`; "" stands for the pipeline's folder and those in PYTHONPATH. Skips hidden
        folders, installed packages and virtual environments. Files whose names cannot be imported are in the digest
        with their content. With more than 1,000 modules, or 20,000 files and folders, the list is empty and each call
        returns another digest.
        """
        files = self._files_below(package)
        if len(files) > _MANY:
            return [], text_checksum(os.urandom(16).hex())
        digest = text_checksum("\n".join(files)) if files else ""
        self._listed.setdefault(listing_name(package), digest)
        return [file for file in files if " " not in file], digest

    def states(self) -> dict[str, object]:
        """Return the states of all modules and lists found so far, as JSON values. Equal states mean equal code."""
        modules = {module: [seen, self.installed.get(module)] for module, seen in self._seen.items()}
        return {**modules, **self._listed}

    def find_all(self, states: Mapping[str, object]) -> bool:
        """Find the modules and lists of another index, in its order. Returns whether their states are the same."""
        for name in states:
            if name.endswith(listing_name("")):
                self.modules_below(name.removesuffix(listing_name("")))
            else:
                self.find(name)
        if self.states() == states:
            return True
        for found in (self._places, self._seen, self.installed, self._listed):
            found.clear()  # what the other index was asked for may be of no interest now
        return False

    def are_unchanged(self, modules: Iterable[str]) -> bool:
        """Return whether these modules, and lists named by `listing_name`, are unchanged since they were found.

        Those that were never requested count as unchanged. Each is checked once after each `refresh`.
        """
        return all(self._is_unchanged(module) for module in modules)

    def refresh(self) -> None:
        """Make the next `are_unchanged` calls read the files again."""
        self._unchanged.clear()

    def _is_unchanged(self, module: str) -> bool:
        if module not in self._unchanged:
            seen = self._seen.get(module, {}).items()
            unchanged = all(_path_state(path) == look and self._was_imported_as(path, look) for path, look in seen)
            if module in self._listed:
                files = self._files_below(module.removesuffix(listing_name("")))
                unchanged = (text_checksum("\n".join(files)) if files else "") == self._listed[module]
            self._unchanged[module] = unchanged
        return self._unchanged[module]

    def _was_imported_as(self, path: str, look: str) -> bool:
        """Return whether what this process has imported from `path` is in its state `look`.

        It is not if the file was edited before it was imported, and the edit was taken back since.
        """
        files = (path, f"{path}.py", f"{path}{os.sep}__init__.py")
        now = [(file, imported_sources[file]) for file in files if file in imported_sources]
        return all(checksum in look or self._imported.get(file) == checksum for file, checksum in now)

    def _files_below(self, package: str) -> list[str]:
        """Return the sorted names of modules; for files that cannot be imported, the name, a space and the checksum.

        With too many files, returns more than `_MANY` empty names.
        """
        found: dict[str, None] = {}
        entries = 0
        top = [str(self._folder), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        for place in self._places.get(package, ()) if package else self._ours(top):
            for folder, inner, files in os.walk(place):
                inner[:] = [name for name in inner if not is_foreign(f"{folder}{os.sep}{name}")]
                above = Path(folder).relative_to(place).parts
                for name in (name for name in files if name.endswith(".py")):
                    parts = (*above, name) if name != "__init__.py" else above
                    module = ".".join(filter(None, (package, *parts))).removesuffix(".py")
                    odd = any(" " in part or "." in part.removesuffix(".py") for part in parts)
                    found[f"{module} {_checksum_if_any(f'{folder}{os.sep}{name}')}" if odd else module] = None
                entries += len(inner) + len(files)
                if len(found) > _MANY or entries > _ENTRIES:
                    return [""] * (_MANY + 1)
        found.pop("", None)  # the __init__.py of the folder itself
        return sorted(found)

    def _ours(self, places: Iterable[str]) -> list[str]:
        folders = (place for place in dict.fromkeys(map(os.path.abspath, places)) if Path(place).is_dir())
        return [place for place in folders if not is_installed(Path(place), self._folder)]


def _without_ending(origin: str) -> str:
    return origin.removesuffix(".py").removesuffix(f"{os.sep}__init__")


def _path_state(path: str) -> str:
    """Return the state of a path: that of a file or, without a suffix, of all that Python could import there."""
    if os.path.splitext(path)[1]:  # noqa: PTH122
        return _file_state(path)
    folder = f"{path}{os.sep}"
    inside = f"folder {_file_state(f'{folder}__init__.py')}" if os.access(folder, os.F_OK) else ""
    return f"{_file_state(f'{path}.py')} {inside}"


def _file_state(path: str) -> str:
    """Return the checksum of a file and the time of its last change; "" if it cannot be read.

    The time shows that it was edited and edited back: a worker process may have imported it in between.
    """
    if checksum := _checksum_if_any(path):
        with suppress(OSError):
            return f"{checksum} {os.stat(path).st_ctime_ns}"  # noqa: PTH116
    return checksum


def _checksum_if_any(path: str) -> str:
    """Return the checksum of a file; "" if there is none or it cannot be read."""
    # Checked first, as most of these paths do not exist: an exception takes three times as long.
    if os.access(path, os.F_OK):
        with suppress(OSError):
            return file_checksum(path) if Path(path).is_file() else ""
    return ""
