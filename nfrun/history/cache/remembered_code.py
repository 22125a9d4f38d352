"""Remembers across runs what reading the code of a pipeline has shown: digests and facts of the functions, and checks.

Reading all code takes most of the time of a run that reuses everything. What is remembered counts while no file of the
code has changed, and is computed anew otherwise.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import nfrun
from nfrun.code.fingerprint import FolderCode
from nfrun.pipeline_file.known_checks import KnownChecks
from nfrun.system.checksums import bytes_checksum, text_checksum

Read = Callable[[], dict[str, Any]]  # as `Database.kept` returns it, and so is the other
Write = Callable[[Any], object]
# The packages of nfrun that read code, and the modules that they import of others.
_READERS = (
    *("code/*.py", "code/facts/*.py", "core/pipeline.py", "core/text.py", "core/values.py"),
    *("system/checksums.py", "system/file_search.py"),
)


def restore_code(code: FolderCode, read: Read, folders: Iterable[str] = ()) -> None:
    """Load into `code` the saved digests and facts of the pipeline's folder and of other `folders`."""
    saved = _saved(read).get("folders", {})
    for folder in saved.keys() & {"", *folders}:
        code.of(folder).known.restore(saved[folder])


def save_code(code: FolderCode, write: Write) -> None:
    """Save the digests and facts of `code`, if there are new ones."""
    if any(one.known.is_new for one in code.known.values()):
        found = {folder: one.known.as_json() for folder, one in code.known.items()}
        if folders := {folder: known for folder, known in found.items() if known}:
            write({"reader": _reader(), "folders": folders})


def restore_checks(read: Read) -> KnownChecks:
    """Return the checks that an earlier run has saved."""
    known = KnownChecks()
    if saved := _saved(read).get("checks"):
        known.restore(saved)
    return known


def save_checks(known: KnownChecks, write: Write) -> None:
    """Save the checks, if they are not saved yet."""
    if known.is_new:
        write({"reader": _reader(), "checks": known.as_json()})


def _saved(read: Read) -> dict[str, Any]:
    """Return the saved mapping if the same version of nfrun saved it, else {}."""
    saved = read()
    return saved if saved.get("reader") == _reader() else {}


@cache
def _reader() -> str:
    """Return a digest of Python's version and of nfrun's own code that reads code: another one may find more."""
    folder = Path(nfrun.__file__).parent
    files = sorted(file for pattern in _READERS for file in folder.glob(pattern))
    return text_checksum(" ".join([sys.version, nfrun.__version__, *(bytes_checksum(f.read_bytes()) for f in files)]))
