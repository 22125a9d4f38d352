"""Writes the file of a pipeline that a program has built, and no other file."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from nfrun.core.errors import UsageError
from nfrun.system.atomic_files import atomic_write

_ENDINGS = (".yaml", ".yml")
_FIRST_LINE = "# Written by to_yaml of nfrun, which replaces this file: edit the program, or remove this line.\n"


def write_built(path: Path, text: str) -> None:
    """Write the text of a pipeline, below a line that says where it is from.

    Raises UsageError if the path is no name of a pipeline file, or has a file without this line; and OSError.
    """
    if path.suffix.lower() not in _ENDINGS:
        raise UsageError(f"path: '{path}' is no name of a pipeline file: end it in .yaml", "path")
    if not path.parent.is_dir():
        raise UsageError(f"path: there is no folder '{path.parent}'", "path")
    found = None
    with suppress(FileNotFoundError):
        found = path.read_bytes()
    if found is not None and not found.startswith(_FIRST_LINE.encode()):
        what = f"path: '{path}' is there, and to_yaml has not written it"
        raise UsageError(f"{what}: remove it, or name another file", "path")
    with atomic_write(path) as partial:
        Path(partial).write_text(_FIRST_LINE + text, encoding="utf-8")
