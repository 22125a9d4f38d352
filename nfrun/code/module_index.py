"""Finds the modules of a project, and tells later whether they still lie there as they did. Does not read code.

What was not there counts as much as what was: a module may come while nodes run, be imported, and go again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path

from nfrun.code.module_finder import find_module, is_installed
from nfrun.system.checksums import file_checksum, text_checksum

_MANY = 1_000  # modules that somebody may load in one place; to read them takes seconds
_ENTRIES = 20_000  # of folders that are looked through for them


def modules_prefix(package: str) -> str:
    """What the list of all modules below a package is called."""
    return f"{package}**"


class ModuleIndex:
    """Remembers what lay wherever a module that was asked for may lie. `folder` is the pipeline's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # By package, the folders of the project that its modules may lie in; what is in none lies in those of "".
        self._places: dict[str, Sequence[str]] = {}
        self._seen: dict[str, dict[str, str]] = {}  # by module, how all paths that may be it looked
        self._listed: dict[str, str] = {}  # by `below(package)`, what was there
        self._held: dict[str, bool] = {}  # by either, whether that was still so at the last look

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

    def modules_below(self, package: str) -> tuple[list[str], str]:
        """The modules below a package that was found, or below the folder where it is ""; and a digest of the list.

        Not what hidden folders, installed packages and virtual environments have. Files whose names are no module's are
        in the digest with their content. Where there are more than 1,000, or 20,000 files of any kind, no digest
        will ever be the same.
        """
        files = self._files_below(package)
        if len(files) > _MANY:
            return [], text_checksum(os.urandom(16).hex())
        self._listed[modules_prefix(package)] = digest = text_checksum("\n".join(files)) if files else ""
        return [file for file in files if " " not in file], digest

    def hold(self, modules: Iterable[str]) -> bool:
        """Whether these modules still are what and where they were at first, and lists, by `below`, have the same.

        What was not asked for holds. See `look_again`.
        """
        return all(self._holds(module) for module in modules)

    def refresh(self) -> None:
        """What held may hold no more."""
        self._held.clear()

    def _holds(self, module: str) -> bool:
        if module not in self._held:
            seen = self._seen.get(module, {})
            held = all(_look(path) == look for path, look in seen.items())
            if module in self._listed:
                files = self._files_below(module.removesuffix(modules_prefix("")))
                held = (text_checksum("\n".join(files)) if files else "") == self._listed[module]
            self._held[module] = held
        return self._held[module]

    def _files_below(self, package: str) -> list[str]:
        """By name those that are modules, and with a space and their checksums those that are not."""
        found: dict[str, None] = {}
        entries = 0
        for place in self._places.get(package, ()) if package else [str(self._folder)]:
            for folder, inner, files in os.walk(place):
                inner[:] = [name for name in inner if not _is_foreign(f"{folder}{os.sep}{name}")]
                above = Path(folder).relative_to(place).parts
                for name in (name for name in files if name.endswith(".py")):
                    parts = (*above, name) if name != "__init__.py" else above
                    module = ".".join(filter(None, (package, *parts))).removesuffix(".py")
                    odd = any(" " in part or "." in part.removesuffix(".py") for part in parts)
                    found[f"{module} {_look_at_file(f'{folder}{os.sep}{name}')}" if odd else module] = None
                entries += len(inner) + len(files)
                if len(found) > _MANY or entries > _ENTRIES:
                    return [""] * (_MANY + 1)
        found.pop("", None)  # the __init__.py of the folder itself
        return sorted(found)

    def _ours(self, places: Iterable[str]) -> list[str]:
        folders = (place for place in dict.fromkeys(map(os.path.abspath, places)) if Path(place).is_dir())
        return [place for place in folders if not is_installed(Path(place), self._folder)]


def _is_foreign(folder: str) -> bool:
    name = folder.rpartition(os.sep)[2]
    if name.startswith(".") or name in ("__pycache__", "node_modules", "site-packages", "dist-packages"):
        return True
    return os.access(f"{folder}{os.sep}pyvenv.cfg", os.F_OK)


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
