"""Names the folder in which `multiprocessing` keeps its sockets, so that the supervisor can remove it after a kill.

Python removes that folder only in a process that comes to its end by itself.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

_RESERVED: list[str] = []  # the folder of this process; empty if nobody removes it after a kill

_SHORT = "/tmp"
LONGEST = 70  # bytes of the path of a folder, in which sockets are two levels below: they have at most 107


def reserve_temp_folder() -> None:
    """Choose the path of the folder that `use_temp_folder` makes, here or in a child. Makes nothing yet."""
    # Named as Python names it, since `nfrun.code.watch` knows it by that. Without `tempfile`, which imports much.
    parent = os.environ.get("TMPDIR") or _SHORT
    _RESERVED[:] = [f"{_SHORT if is_too_long(parent) else parent}/pymp-{os.urandom(4).hex()}"]


def use_temp_folder() -> None:
    """Make the reserved folder that of `multiprocessing`. Does nothing if none is reserved, or it has one.

    Without a reserved one, it has one of its own where that of temporary files has a path too long for sockets.
    """
    from multiprocessing import process, util
    from shutil import rmtree

    config: dict[str, Any] = process.current_process()._config  # type: ignore[attr-defined]
    if "tempdir" in config:
        return
    if not _RESERVED and not is_too_long(os.environ.get("TMPDIR", "")):
        return
    folder = _RESERVED[0] if _RESERVED else f"{_SHORT}/pymp-{os.urandom(4).hex()}"
    with suppress(OSError):  # then it makes its own
        os.mkdir(folder, 0o700)  # noqa: PTH102
        config["tempdir"] = folder
        util.Finalize(None, rmtree, (folder, True), exitpriority=-100)  # after all that uses it


def remove_reserved_folder() -> None:
    """Remove the reserved folder, after the processes that use it have ended."""
    for path in _RESERVED:
        _remove(path)


def remove_temp_folder() -> None:
    """Remove the folder that `multiprocessing` has in this process. Call it where exit hooks do not run."""
    if module := sys.modules.get("multiprocessing.process"):
        _remove(module.current_process()._config.get("tempdir") or "")


def is_too_long(folder: str) -> bool:
    return len(os.fsencode(folder)) > LONGEST


def _remove(path: str) -> None:
    if path and os.path.lexists(path):
        from shutil import rmtree

        rmtree(path, ignore_errors=True)
