"""Reads what the control groups of Linux, as of a container, let this process use."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path

_MOUNTED = "sys/fs/cgroup"
_OF_PROCESS = "proc/self/cgroup"
_UNLIMITED = 1 << 60  # bytes; version 1 says the largest number of pages for no limit


def cpu_quota(root: str = "") -> float | None:
    """Return how many cores' worth of time this process and those beside it may use; None without a limit."""
    found = []
    for folder in _folders("cpu", root):
        with suppress(OSError, ValueError):  # the file says "max" if there is no limit
            quota, period = map(int, _read(folder, "cpu.max").split())
            found.append(quota / period)
        with suppress(OSError, ValueError):
            quota, period = (int(_read(folder, f"cpu.cfs_{name}_us")) for name in ("quota", "period"))
            found += [quota / period] if quota > 0 else []
    return min(found, default=None)


def memory_limit(root: str = "") -> int | None:
    """Return how many bytes this process and those beside it may use; None without a limit."""
    found = []
    for folder in _folders("memory", root):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with suppress(OSError, ValueError):
                found.append(int(_read(folder, name)))
    return min([limit for limit in found if limit < _UNLIMITED], default=None)


def memory_left(root: str = "") -> int | None:
    """Return how many bytes of the limit are not used; None without a limit. Cached files do not count as used."""
    left = []
    for folder in _folders("memory", root):
        for most, used, cached in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            with suppress(OSError, ValueError, KeyError):
                limit = int(_read(folder, most))
                files = int(dict(line.split() for line in _read(folder, "memory.stat").splitlines())[cached])
                left += [limit - int(_read(folder, used)) + files] if limit < _UNLIMITED else []
    return min(left, default=None)


def memory_kills(root: str = "") -> int:
    """Return how many processes of this group the system has ended because its memory ran out."""

    def kills(text: str) -> int:
        return int(dict(line.split() for line in text.splitlines())["oom_kill"])

    own = next(iter(_folders("memory", root)), None)
    for name in ("memory.events", "memory.oom_control"):
        with suppress(OSError, ValueError, KeyError):
            if own is not None:
                return kills(_read(own, name))
    return 0


def processes_left(root: str = "") -> int | None:
    """Return how many more processes and threads may be started here; None without a limit."""
    left = []
    for folder in _folders("pids", root):
        with suppress(OSError, ValueError):
            left.append(int(_read(folder, "pids.max")) - int(_read(folder, "pids.current")))
    return min(left, default=None)


@cache
def _folders(controller: str, root: str) -> tuple[str, ...]:
    """Return the folders of the groups with this process, the innermost first. All limits on the way count.

    In a container the path may be one of the machine outside: then only the outermost folder is there. Runs ask a few
    times, so it is found once.
    """
    found: dict[str, None] = {}
    with suppress(OSError, ValueError):
        for line in Path(f"{root}/{_OF_PROCESS}").read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            for mounted in (controller, controllers) if controllers else ("unified", ""):
                top = f"{root}/{_MOUNTED}/{mounted}".rstrip("/")
                inner = path.strip("/")
                while inner:
                    found[f"{top}/{inner}"] = None
                    inner = inner.rpartition("/")[0]
                found[top] = None
    return tuple([folder for folder in found if Path(folder).is_dir()])


def _read(folder: str, name: str) -> str:
    """Return the content of a file of a group. Raises OSError."""
    return Path(folder, name).read_text(encoding="utf-8")
