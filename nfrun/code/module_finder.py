"""Finds the file that `import module` would load, without importing anything."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from functools import cache
from importlib.machinery import BuiltinImporter, ModuleSpec, PathFinder
from pathlib import Path

# What nfrun imports itself: a project file of such a name is not imported.
OURS = frozenset(
    {"nfrun", "typer", "rich", "yaml", "jsonschema", "jsonschema_rs", "jinja2", "pyarrow", "numpy", "xxhash", "duckdb"}
)

_PACKAGES = re.compile(rf"{os.sep}(?:site|dist)-packages(?={os.sep}.)")  # a folder of packages above a file


def find_module(module: str, folder: Path | None) -> ModuleSpec | None:
    """Return the spec that `import module` would use with `folder`, if there is one, first on `sys.path`, or None.

    As in a run, the standard library and what nfrun imports come before the files in `folder`. Imports no parent
    packages: `importlib.util.find_spec` imports the parents of a dotted name, so this function asks the path finder for
    one part of the name after the other.
    """
    places = [*([] if folder is None else [str(folder)]), *sys.path]
    spec: ModuleSpec | None = None
    for i, name in enumerate(module.split(".")):
        try:
            # Only the last part of the name: for a dotted name the finder looks for the parent in `sys.modules`.
            spec = None if i else find_reserved(name, folder)
            spec = spec or PathFinder.find_spec(name, places) or (None if i else _find_elsewhere(name))
        except (ImportError, ValueError, OSError):
            return None
        if spec is None:
            return None
        places = list(spec.submodule_search_locations or ())
    return spec


def find_reserved(name: str, folder: Path | None) -> ModuleSpec | None:
    """Return the spec of a top-level module that comes before the files in `folder`; None for any other.

    These are the standard library, without modules of other systems such as `winreg`, and what nfrun imports itself.
    """
    if name in OURS:
        return PathFinder.find_spec(name, [place for place in sys.path if place not in ("", str(folder))])
    if name not in sys.stdlib_module_names:
        return None
    places = [_installation()[which] for which in ("stdlib", "platstdlib")]
    places += [f"{place}{os.sep}lib-dynload" for place in places]
    return PathFinder.find_spec(name, places) or BuiltinImporter.find_spec(name)


def hidden_files(folder: Path, module: str = "") -> list[str]:
    """Return the names of files and packages in `folder` that no import finds, because the module is reserved.

    With `module`, only those of this name.
    """
    return sorted(
        name
        for name in os.listdir(folder)  # noqa: PTH208  (there may be many)
        if (stem := name.removesuffix(".py")) in sys.stdlib_module_names | OURS
        and (stem != name or (folder / name / "__init__.py").is_file())
        and module in ("", stem)
        and find_reserved(stem, folder)
    )


def _find_elsewhere(name: str) -> ModuleSpec | None:
    """Return the spec from the first finder that has one, e.g. for built-in modules and editable installs."""
    return next(filter(None, (finder.find_spec(name, None) for finder in sys.meta_path)), None)


@cache  # asking takes 0.1 ms each time
def _installation() -> dict[str, str]:
    return sysconfig.get_paths()


@cache
def _installed_places() -> list[str]:
    return [prefix_of(_installation()[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib")]


def prefix_of(folder: Path | str) -> str:
    """Return what the paths below a folder begin with: its path and a separator."""
    return os.path.join(folder, "")  # noqa: PTH118


def is_installed(origin: Path, folder: Path) -> bool:
    """Return whether `origin` lies where packages or the standard library are installed.

    A place that contains `folder` itself does not make the project's own files installed.
    """
    # Compared as texts: that takes a tenth of the time, and each module that code may import is asked for.
    file, project = prefix_of(origin), prefix_of(folder)
    is_ours = file.startswith(project)
    packages = (file[: found.end() + 1] for found in _PACKAGES.finditer(file))
    return any(
        file.startswith(place) and not (is_ours and project.startswith(place))
        for place in [*_installed_places(), *packages]
    )
