"""Remembers across runs what reading the code of a pipeline has shown: digests and facts of the functions, and checks.

Reading all code takes most of the time of a run that reuses everything. What is remembered counts while no file of the
code has changed, and is computed anew otherwise.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import nfrun
from nfrun.code.fingerprint import FolderCode
from nfrun.pipeline_file.known_checks import KnownChecks
from nfrun.system.checksums import bytes_checksum, read_checked, text_checksum, write_checked

_WHAT = "code"
# The packages of nfrun that read code, and the modules that they import of others.
_READERS = (
    *("code/*.py", "code/facts/*.py", "core/pipeline.py", "core/text.py", "core/values.py"),
    *("system/checksums.py", "system/file_search.py"),
)


def restore_code(code: FolderCode, path: Path, folders: Iterable[str] = ()) -> None:
    """Let `code` know what an earlier run has saved at `path`, of the pipeline's folder and of other `folders`.

    A missing, damaged or old file counts as empty.
    """
    with suppress(OSError, ValueError, RecursionError):
        saved = _read(path).get("folders", {})
        for folder in saved.keys() & {"", *folders}:
            code.of(folder).known.restore(saved[folder])


def save_code(code: FolderCode, path: Path) -> None:
    """Save what `code` has read, if the file does not have it. Raises OSError."""
    if any(one.known.is_new for one in code.known.values()):
        found = {folder: one.known.as_json() for folder, one in code.known.items()}
        if folders := {folder: known for folder, known in found.items() if known}:
            _write(path, folders=folders)


def restore_checks(path: Path) -> KnownChecks:
    """Return the checks that an earlier run has saved at `path`. A missing, damaged or old file counts as empty."""
    known = KnownChecks()
    with suppress(OSError, ValueError, RecursionError):
        if saved := _read(path).get("checks"):
            known.restore(saved)
    return known


def save_checks(known: KnownChecks, path: Path) -> None:
    """Save the checks, if the file does not have them. Raises OSError."""
    if known.is_new or known.modules.is_new:
        _write(path, checks=known.as_json())


def _read(path: Path) -> dict[str, Any]:
    """Return what `_write` has written with the same code of nfrun, {} if it is damaged or of another one."""
    saved = read_checked(path, _WHAT)
    return saved if saved.get("reader") == _reader() else {}


def _write(path: Path, **found: Any) -> None:
    write_checked(path, _WHAT, {"reader": _reader(), **found})


@cache
def _reader() -> str:
    """Return a digest of Python's version and of nfrun's own code that reads code: another one may find more."""
    folder = Path(nfrun.__file__).parent
    files = sorted(file for pattern in _READERS for file in folder.glob(pattern))
    return text_checksum(" ".join([sys.version, nfrun.__version__, *(bytes_checksum(f.read_bytes()) for f in files)]))
