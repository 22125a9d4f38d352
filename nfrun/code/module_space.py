"""Imports the modules of a folder for one run only, so that several runs and several folders can share a process.

Each module is in `sys.modules` under a name of its own, such as `nfrun_run_1.steps`, until the run ends. `import`
statements of the project find it by its short name, because its modules have an `__import__` of their own. Whatever
looks up a class or a function by its `__module__` works, too: dataclasses, type hints, pickle within the process.

Limits, for what works in the command: a module's `__name__` and `__package__` have the prefix, and so have loggers
that are named by them. What imports the project by its short names from outside of it fails, such as a library,
`importlib.util.find_spec`, `importlib.resources`, `pkgutil.get_data`, `unittest.mock.patch` and `multiprocessing` with
a new Python. An object of a class of the project that is pickled can be loaded only in this process and until the run
ends: not in a node in another process, and not from an output that a later run reuses. Code that runs on after the end
of the run, such as that of a detached node, imports no more modules of the project.
"""

from __future__ import annotations

import builtins
import importlib
import itertools
import re
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType
from typing import Any

from nfrun.code.module_finder import find_reserved, is_installed, prefix_of
from nfrun.code.source_import import SourceLoader, notice_new_files, source_finder, sources_by_path
from nfrun.system.file_search import inner_folder

_PREFIX = "nfrun_run_"
_FOLDER_PREFIX = "nfrun_in_"


class ModuleSpace:
    """The modules of one run, imported from their sources in `folder` within the `with` block. Thread-safe.

    Inside, this object is in `sys.meta_path`, and the modules are in `sys.modules`. The exit removes them all. `name`
    is before the names of the modules, by default another for each space. The modules do not find those that lie in
    `apart_from`, a folder whose modules this process shares.
    """

    _numbers = itertools.count(1)
    _changing = threading.Lock()  # of `sys.meta_path`

    def __init__(self, folder: Path, name: str = "", apart_from: Path | None = None) -> None:
        self.name = name or f"{_PREFIX}{next(self._numbers)}"
        self._folder = folder
        self._apart_from = apart_from
        self._shared: set[str] = set()  # top-level modules that this process shares, known so far
        self._builtins = {**vars(builtins), "__import__": self._import}
        self._importlib = ModuleType("importlib")
        vars(self._importlib).update(import_module=self.import_module, __getattr__=partial(getattr, importlib))

    def __enter__(self) -> ModuleSpace:
        notice_new_files()
        self._root = sys.modules[self.name] = ModuleType(self.name)
        self._root.__path__ = [str(self._folder), *filter(self._is_in_project, sys.path)]
        with self._changing:  # a new list, because other threads may be importing and iterate over the old one
            sys.meta_path = [self, *sys.meta_path]
        return self

    def __exit__(self, *error: object) -> None:
        with self._changing:
            sys.meta_path = [finder for finder in sys.meta_path if finder is not self]
        for name in list(sys.modules):
            if name.partition(".")[0] == self.name:
                del sys.modules[name]
        for place in list(sys.path_importer_cache):  # from lookups of modules in the folder
            if place not in sys.path and self._is_in_project(place):
                sys.path_importer_cache.pop(place, None)

    def import_module(self, name: str, package: str | None = None) -> ModuleType:
        """Import a module as `importlib.import_module` does: one of the project from here, any other as usual."""
        if name.startswith("."):
            name = resolve_name(name, package)
        try:
            return importlib.import_module(f"{self.name}.{name}" if self._is_ours(name) else name)
        except ImportError as error:
            _shorten(error)
            raise

    def find_spec(self, name: str, places: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        """Find a module of this space. Python calls this, as the space is in `sys.meta_path`."""
        if not name.startswith(f"{self.name}."):
            return None
        specs = [source_finder(place).find_spec(name) for place in places or ()]
        # A folder without an `__init__.py` has no loader, and counts only if there is nothing else of that name.
        spec = max(filter(None, specs), key=lambda spec: spec.loader is not None, default=None)
        if spec is not None and isinstance(spec.loader, SourceLoader):
            spec.loader.builtins = self._builtins
        return spec

    def _import(
        self, name: str, globals: Any = None, locals: Any = None, fromlist: Sequence[str] | None = (), level: int = 0
    ) -> ModuleType:
        """Replace `__import__` for the modules of the project."""
        package = (globals or {}).get("__package__") or ""
        if level and f"{package}.".startswith(f"{self.name}.") and package.count(".") < level:
            where = "beyond top-level package" if "." in package else "with no known parent package"
            raise ImportError(f"attempted relative import {where}")  # as in a process that has only this run
        try:
            if level or not self._is_ours(name):
                found = builtins.__import__(name, globals, locals, fromlist or (), level)
                return self._importlib if found is importlib else found
            found = builtins.__import__(f"{self.name}.{name}", globals, locals, fromlist or (), 0)
            return found if fromlist else sys.modules[f"{self.name}.{name.partition('.')[0]}"]
        except ImportError as error:
            _shorten(error)
            raise

    def _is_ours(self, name: str) -> bool:
        """Whether the project has the top-level module of `name`. Raises ModuleNotFoundError if another folder has."""
        first = name.partition(".")[0]
        if f"{self.name}.{first}" in sys.modules:
            return True
        if not first or first in self._shared:
            return False
        # As in the command, the standard library and what nfrun imports hide the project's files.
        is_taken = find_reserved(first, self._folder)
        spec = None if is_taken else self.find_spec(f"{self.name}.{first}", self._root.__path__)
        # A library hides a folder without an `__init__.py`.
        if spec is not None and (spec.loader or not getattr(PathFinder.find_spec(first), "loader", None)):
            return True
        if not is_taken and self._apart_from is not None and _lies_in(PathFinder.find_spec(first), self._apart_from):
            raise ModuleNotFoundError(f"No module named {first!r}", name=first)
        if first in sys.modules:
            self._shared.add(first)
        return False

    def _is_in_project(self, place: str) -> bool:
        # Compared as texts: that takes a tenth of the time, and the importer has many places.
        is_inside = prefix_of(place).startswith(prefix_of(self._folder))
        return is_inside and not is_installed(Path(place), self._folder)


class FolderModules:
    """The modules of the folders of a pipeline, a space for each, within the `with` block.

    `folders` are relative to `base`, the folder of the pipeline. Its own modules have a space if the run shares the
    process with other runs. If not, they are imported as usual, and those of other folders have the same names in each
    process of each run: what one of them pickles, another can load. Files that code loads by path come from their
    sources, too.
    """

    def __init__(self, base: Path, folders: Iterable[str], *, shares_process: bool = False) -> None:
        main = ModuleSpace(base) if shares_process else None
        self._spaces = {"": main} if main is not None else {}
        for folder in folders:
            inside = re.sub(r"[^A-Za-z0-9]", lambda found: f"_{ord(found[0]):x}_", folder)
            name = f"{main.name}_in_{inside}" if main is not None else f"{_FOLDER_PREFIX}{inside}"
            self._spaces[folder] = ModuleSpace(inner_folder(base, folder), name, None if main is not None else base)
        self._base = base
        self._stack = ExitStack()

    def __enter__(self) -> FolderModules:
        self._stack.enter_context(sources_by_path(self._base))
        for space in self._spaces.values():
            self._stack.enter_context(space)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def importer(self, folder: str) -> Callable[[str], ModuleType] | None:
        """Return what imports a module for a node in `folder`; None if it is imported as usual."""
        space = self._spaces.get(folder)
        return None if space is None else space.import_module


def _lies_in(spec: ModuleSpec | None, folder: Path) -> bool:
    """Whether a top-level module or package lies in a folder, not below it."""
    if spec is None:
        return False
    inside = list(spec.submodule_search_locations or ())
    return folder in (Path(place).parent for place in inside or filter(None, [spec.origin]))


def _shorten(error: ImportError) -> None:
    """Give the error the names that modules have in their project."""
    if error.name and error.name.startswith((_PREFIX, _FOLDER_PREFIX)):
        error.name, error.msg = with_short_names(error.name), with_short_names(str(error.msg))


def with_short_names(text: str) -> str:
    """Return the text of an error with the names that modules have in their project."""
    return re.sub(rf"\b({_PREFIX}|{_FOLDER_PREFIX})\w+\.", "", text)
