"""Finds the folder of a node, which is that of its pipeline file, and says why a path in it is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from glob import has_magic
from pathlib import Path

from nfrun.core.pipeline import NodeSpec
from nfrun.core.text import closest_match
from nfrun.system.file_search import inner_folder


def folder_of(spec: NodeSpec, base: Path) -> Path:
    """Return the folder that the paths of a node are relative to. `base` is that of the pipeline."""
    return inner_folder(base, spec.folder)


def relative_folder(folder: str, base: str) -> str:
    """Return the folder of another pipeline as `NodeSpec.folder` has it in the pipeline whose folder is `base`."""
    found = os.path.relpath(folder, base)
    if os.path.realpath(os.path.join(base, found)) != os.path.realpath(folder):  # noqa: PTH118  (a link on the way)
        found = os.path.relpath(os.path.realpath(folder), os.path.realpath(base))
    return "" if found == "." else found


def from_base(spec: NodeSpec) -> Callable[[str], str]:
    """Return the function from the name of a file, as the node has it, to the name from the pipeline's folder."""

    def renamed(name: str) -> str:
        if not spec.folder or "://" in name or name.startswith("~"):
            return name
        return os.path.normpath(os.path.join(spec.folder, name))  # noqa: PTH118  (the name may be a pattern)

    return renamed


def folders_of(nodes: Iterable[NodeSpec]) -> tuple[str, ...]:
    """Return the folders of nodes other than that of the pipeline, each once."""
    return tuple(dict.fromkeys(spec.folder for spec in nodes if spec.folder))


def is_above(entry: str, base: Path) -> bool:
    """Return whether an entry stands for all that is below a folder around that of the pipeline, such as `/`."""
    path = os.path.join(base, os.path.expanduser(entry))  # noqa: PTH118, PTH111
    fixed, stars, _ = path.partition("**")
    return bool(stars or not has_magic(path)) and Path(os.path.normpath(fixed)) in base.absolute().parents


def may_exist(entry: str, base: Path) -> bool:
    """Return whether there may be a file for an entry of `files` on another day."""
    return "://" not in entry and not is_above(entry, base)


def describe_missing(entry: str, base: Path) -> tuple[str, str]:
    """Describe an entry of `files` for which there is no file. Returns a message and a hint."""
    path = base / entry
    if is_above(entry, base):
        return f"'{entry}' contains the pipeline's folder", "name only what the node reads"
    if "://" in entry:
        return f"'{entry}' is a URI, and 'files' takes paths", "read it with a 'read' node"
    with suppress(OSError):
        if path.is_dir():
            return f"there is no file in the folder '{entry}'", "hidden folders in it do not count"
        if path.is_symlink() and not path.exists():
            return f"'{entry}' is a link to a file that does not exist", "mend the link, or name the file itself"
        if path.exists():
            return f"'{entry}' is not an ordinary file", "name a file, a folder or a pattern"
        if has_magic(entry):
            return (
                f"no file matches '{entry}'",
                "a pattern is relative to the pipeline file; **/ stands for any folders",
            )
        if guess := closest_match(path.name, os.listdir(path.parent)):  # noqa: PTH208
            return f"there is no file '{entry}'", f"did you mean '{Path(entry).with_name(guess)}'?"
    return f"there is no file '{entry}'", "a path is relative to the pipeline file"
