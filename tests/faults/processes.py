"""Reads processes from /proc: which have a variable in their environment, and their state. Linux only."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_STUBBORN = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def carrying(name: str, value: str) -> list[int]:
    """Return the processes whose variable `name` is `value` or a path below it, without zombies."""
    return [pid for pid, environ in environs() if f"{environ.get(name)}/".startswith(f"{value}/")]


def environs() -> Iterator[tuple[int, dict[str, str]]]:
    """Yield all other readable processes with the environment that each was started with."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with suppress(OSError):
                items = (folder / "environ").read_bytes().split(b"\0")
                pairs = (os.fsdecode(item).partition("=") for item in items if item)
                yield int(folder.name), {name: value for name, _, value in pairs}


def status(pid: int) -> dict[str, str]:
    """Return the fields of /proc/<pid>/status; empty if there is no such process."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return {}


def command(pid: int) -> str:
    """Return the command line of a process; "" if it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


def is_stubborn(pid: int) -> bool:
    """Whether the process ignores TERM, INT and HUP."""
    ignored = int(status(pid).get("SigIgn", "0"), 16)
    return all(ignored >> (number - 1) & 1 for number in _STUBBORN)


def most_memory(pid: int) -> int:
    """Return the peak memory of the process in bytes; 0 if it is gone."""
    return int(status(pid).get("VmHWM", "0 kB").split()[0]) << 10


def kill(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
