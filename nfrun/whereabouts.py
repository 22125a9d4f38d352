"""Finds the modules of a project, and tells later whether they still lie there as they did. Does not read code.

What was not there counts as much as what was: a module may come while nodes run, be imported, and go again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path

from nfrun.callables import find_module, is_installed
from nfrun.checksum import file_checksum


class Whereabouts:
    """Remembers what lay wherever a module that was asked for may lie. `folder` is the pipeline's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # By package, the folders of the project that its modules may lie in; what is in none lies in those of "".
        self._places: dict[str, Sequence[str]] = {}
        self._seen: dict[str, dict[str, str]] = {}  # by module, how all paths that may be it looked
        self._held: dict[str, bool] = {}  # by module, whether that was still so at the last look

    def find(self, module: str) -> ModuleSpec | None:
        """Where the module is; None where it is nowhere or installed. Ask for the packages that it is in before."""
        if not all(module.split(".")):
            return None
        if not self._places:
            self._places[""] = self._ours([str(self._folder), *sys.path])
        package, _, name = module.rpartition(".")
        # Before it is found and read: if it changes meanwhile, that is seen later.
        paths = [f"{place}{os.sep}{name}" for place in self._places.get(package, ())]
        seen = self._seen[module] = {path: _look(path) for path in paths}
        spec = find_module(module, self._folder)
        if spec is None or (spec.has_location and spec.origin and is_installed(Path(spec.origin), self._folder)):
            return None
        self._places[module] = self._ours(spec.submodule_search_locations or ())
        if spec.has_location and spec.origin and _without_ending(spec.origin) not in seen:
            seen[spec.origin] = _look(spec.origin)  # compiled, or of a package that is installed for editing
        return spec

    def hold(self, modules: Iterable[str]) -> bool:
        """Whether these modules, if they were asked for, still are what and where they were; see `look_again`."""
        return all(self._holds(module) for module in modules)

    def look_again(self) -> None:
        """What held may hold no more."""
        self._held.clear()

    def _holds(self, module: str) -> bool:
        if module not in self._held:
            seen = self._seen.get(module, {})
            self._held[module] = all(_look(path) == look for path, look in seen.items())
        return self._held[module]

    def _ours(self, places: Iterable[str]) -> list[str]:
        folders = (place for place in dict.fromkeys(map(os.path.abspath, places)) if Path(place).is_dir())
        return [place for place in folders if not is_installed(Path(place), self._folder)]


def _without_ending(origin: str) -> str:
    return origin.removesuffix(".py").removesuffix(f"{os.sep}__init__")


def _look(path: str) -> str:
    """What a path looks like, as a file or, without an ending, as all that Python could import under it."""
    if os.path.splitext(path)[1]:  # noqa: PTH122
        return _look_at_file(path)
    folder = f"{path}{os.sep}"
    inside = f"folder {_look_at_file(f'{folder}__init__.py')}" if os.access(folder, os.F_OK) else ""
    return f"{_look_at_file(f'{path}.py')} {inside}"


def _look_at_file(path: str) -> str:
    """The checksum of a file, empty where there is none."""
    # Asked before, as this is most often of what is not there: an exception takes three times as long.
    if not os.access(path, os.F_OK):
        return ""
    try:
        return file_checksum(path) if Path(path).is_file() else ""
    except OSError:
        return ""
