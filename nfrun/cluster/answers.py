"""Answers whether this machine can make the attempts of a run: its versions, modules, variables, and the store."""

from __future__ import annotations

import os
import platform
import socket
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import nfrun
from nfrun.cluster.wire import Answer, Question
from nfrun.system.runtime import available_memory, cores
from nfrun.tables.places.folder import open_place

_PACKAGES = ("pyarrow", "pandas", "polars")  # that give other digests in other versions


def answer(question: Question, folder: Path) -> Answer:
    """Return the answer of this machine. `folder` is one for files of this process."""
    read, written, error = _store_seen(question, folder)
    return Answer(
        socket.gethostname(),
        {"nfrun": nfrun.__version__, "python": platform.python_version(), **_versions()},
        tuple(name for name in question.modules if not _is_there(name)),
        tuple(name for name in question.variables if name in os.environ),
        read,
        written,
        error,
        cores(),
        available_memory(),
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _is_there(module: str) -> bool:
    """Return whether there is a module. Imports only the packages that contain it."""
    try:
        return find_spec(module) is not None
    except Exception:  # such as a package around it that is not there, or cannot be imported
        return False


def _store_seen(question: Question, folder: Path) -> tuple[str, str, str]:
    """Read the nonce from the store and write it under another name. Return its text, that name, and the error."""
    if not question.nonce:
        return "", "", ""
    read = written = ""
    try:
        place = open_place(question.config.store)
        read = place.get(question.nonce).read_text(encoding="utf-8")
        place.release(question.nonce)
        own = f"{question.nonce}-{os.urandom(6).hex()}"
        path = folder / Path(own).name
        path.write_text(read, encoding="utf-8")
        place.put(path, own)
        written = own
    except (OSError, UnicodeDecodeError) as error:
        return read, written, str(error)
    return read, written, ""
