"""Says what is wrong with the name of a file that is not there."""

from __future__ import annotations

import os
from contextlib import suppress
from glob import has_magic
from pathlib import Path

from nfrun.core.text import closest_match


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
