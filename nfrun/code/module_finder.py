"""Finds the file that `import module` would load, without importing anything."""

from __future__ import annotations

import sys
import sysconfig
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path


def find_module(module: str, folder: Path) -> ModuleSpec | None:
    """Where `import module` finds it when `folder` comes first, or None. Imports no parent package either.

    `importlib.util.find_spec` imports the parents of a dotted name; asking the path finder step by step does not.
    """
    places: list[str] | None = [str(folder), *sys.path]
    spec: ModuleSpec | None = None
    for i, name in enumerate(module.split(".")):
        if places is None:
            return None
        try:
            # Each under its last name: of a dotted one the finder looks for the parent among what is imported.
            spec = PathFinder.find_spec(name, places) or (None if i else _find_elsewhere(name))
        except (ImportError, ValueError, OSError):
            return None
        if spec is None:
            return None
        places = list(spec.submodule_search_locations) if spec.submodule_search_locations is not None else None
    return spec


def _find_elsewhere(name: str) -> ModuleSpec | None:
    """What the other finders know, built in ones and those of packages installed for editing."""
    found = (finder.find_spec(name, None) for finder in sys.meta_path)
    return next((spec for spec in found if spec is not None), None)


def is_installed(origin: Path, folder: Path) -> bool:
    """Whether that is where packages or the standard library are installed, and no code of the project in `folder`."""
    places = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    places += [place for place in origin.parents if place.name in ("site-packages", "dist-packages")]
    ours = origin.is_relative_to(folder)
    return any(origin.is_relative_to(place) and not (ours and folder.is_relative_to(place)) for place in places)
