"""Reads what the control groups of Linux, as of a container, let this process use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_MOUNTED = "sys/fs/cgroup"
_OF_PROCESS = "proc/self/cgroup"
_UNLIMITED = 1 << 60  # bytes; version 1 says the largest number of pages for no limit
_ROOT = Path("/")


def cpu_quota(root: Path = _ROOT) -> float | None:
    """Return how many cores' worth of time this process and those beside it may use; None without a limit."""
    found = []
    for folder in _folders("cpu", root):
        with suppress(OSError, ValueError):  # the file says "max" if there is no limit
            quota, period = map(int, (folder / "cpu.max").read_text().split())
            found.append(quota / period)
        with suppress(OSError, ValueError):
            quota, period = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
            found += [quota / period] if quota > 0 else []
    return min(found, default=None)


def memory_limit(root: Path = _ROOT) -> int | None:
    """Return how many bytes this process and those beside it may use; None without a limit."""
    found = []
    for folder in _folders("memory", root):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with suppress(OSError, ValueError):
                found.append(int((folder / name).read_text()))
    return min([limit for limit in found if limit < _UNLIMITED], default=None)


def memory_left(root: Path = _ROOT) -> int | None:
    """Return how many bytes of the limit are not used; None without a limit. Cached files do not count as used."""
    left = []
    for folder in _folders("memory", root):
        for most, used, cached in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            with suppress(OSError, ValueError, KeyError):
                limit = int((folder / most).read_text())
                files = int(dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())[cached])
                left += [limit - int((folder / used).read_text()) + files] if limit < _UNLIMITED else []
    return min(left, default=None)


def memory_kills(root: Path = _ROOT) -> int:
    """Return how many processes of this group the system has ended because its memory ran out."""

    def kills(text: str) -> int:
        return int(dict(line.split() for line in text.splitlines())["oom_kill"])

    own = next(_folders("memory", root), None)
    for name in ("memory.events", "memory.oom_control"):
        with suppress(OSError, ValueError, KeyError):
            if own is not None:
                return kills((own / name).read_text())
    return 0


def processes_left(root: Path = _ROOT) -> int | None:
    """Return how many more processes and threads may be started here; None without a limit."""
    left = []
    for folder in _folders("pids", root):
        with suppress(OSError, ValueError):
            left.append(int((folder / "pids.max").read_text()) - int((folder / "pids.current").read_text()))
    return min(left, default=None)


def _folders(controller: str, root: Path) -> Iterator[Path]:
    """Yield the folders of the groups with this process, the innermost first. All limits on the way count.

    In a container the path may be one of the machine outside: then only the outermost folder is there.
    """
    with suppress(OSError, ValueError):
        for line in (root / _OF_PROCESS).read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            for mounted in (controller, controllers, "unified", "") if controllers else ("unified", ""):
                top = root / _MOUNTED / mounted
                inner = top / path.lstrip("/")
                for folder in (inner, *inner.parents):
                    if folder.is_relative_to(top) and folder.is_dir():
                        yield folder
