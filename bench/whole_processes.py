"""Measures whole processes: wall and CPU seconds, and the peak memory of a process and all that it has started."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Line, holds, median, spread

_PAUSE = 0.02  # seconds between two looks at the memory


@dataclass(frozen=True)
class Usage:
    """What a command took: CPU and wall seconds, and the peak of the bytes of memory of its processes.

    Memory that processes share counts once (`Pss` of Linux), and so do the pages of files that they map. `anonymous` is
    the peak without the pages of files.
    """

    cpu: float
    wall: float
    memory: int
    anonymous: int


def usage_of(*arguments: str, folder: Path | None = None) -> Usage:
    """Run Python with these arguments and return what it took. Linux only. Raises CalledProcessError."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, *arguments]
    before, began, peak, anonymous = os.times(), time.perf_counter(), 0, 0
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environ, cwd=folder, **pipes) as process:  # type: ignore[call-overload]
        while process.poll() is None:
            found = [_memory(child) for child in _with_children(process.pid)]
            peak = max(peak, sum(each.get("Pss", 0) for each in found))
            anonymous = max(anonymous, sum(each.get("Pss_Anon", 0) for each in found))
            time.sleep(_PAUSE)
        wall, after = time.perf_counter() - began, os.times()
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command, stderr=process.stderr.read())
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return Usage(cpu, wall, peak, anonymous)


def _with_children(process: int) -> Iterator[int]:
    """Yield the ids of a process and of all that it and its children have started."""
    yield process
    with suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            with suppress(OSError):
                for child in (task / "children").read_text().split():
                    yield from _with_children(int(child))


def _memory(process: int) -> dict[str, int]:
    """Return the kinds of memory that a process has, in bytes: `Pss`, `Pss_Anon`, … Nothing of one that has ended."""
    with suppress(OSError):
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
        return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    return {}


def usage_lines(what: str, ours: Sequence[Usage], theirs: Sequence[Usage], most: float | None) -> Iterator[Line]:
    """Yield the rows that compare wall and CPU time and peak memory.

    The limits are `most` for the first and 2 for the last; none without `most`.
    """
    for clock, bar in (("wall", f"<= {most}" if most else ""), ("cpu", "")):
        times = [[getattr(usage, clock) for usage in usages] for usages in (ours, theirs)]
        ratio = median(times[0]) / median(times[1])
        yield Line(f"{what}, {clock}", spread(times[0]), spread(times[1]), ratio, bar, holds(ratio, bar))
    peaks = [[usage.memory / 1e6 for usage in usages] for usages in (ours, theirs)]
    ratio = median(peaks[0]) / median(peaks[1])
    measured, against = (f"{median(values):.0f} MB ({min(values):.0f} to {max(values):.0f})" for values in peaks)
    bar = "<= 2" if most else ""
    yield Line(f"{what}, peak memory", measured, against, ratio, bar, holds(ratio, bar))
