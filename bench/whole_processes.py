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

    Memory that processes share counts once (`Pss` of Linux), and so do the pages of files that they map.
    """

    cpu: float
    wall: float
    memory: int


def usage_of(*arguments: str, folder: Path | None = None) -> Usage:
    """Run Python with these arguments and return what it took. Linux only. Raises CalledProcessError."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, *arguments]
    before, began, peak = os.times(), time.perf_counter(), 0
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environ, cwd=folder, **pipes) as process:  # type: ignore[call-overload]
        while process.poll() is None:
            peak = max(peak, sum(map(_pss, _with_children(process.pid))))
            time.sleep(_PAUSE)
        wall, after = time.perf_counter() - began, os.times()
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command, stderr=process.stderr.read())
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return Usage(cpu, wall, peak)


def _with_children(process: int) -> Iterator[int]:
    """Yield the ids of a process and of all that it and its children have started."""
    yield process
    with suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            with suppress(OSError):
                for child in (task / "children").read_text().split():
                    yield from _with_children(int(child))


def _pss(process: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def usage_lines(what: str, ours: Sequence[Usage], theirs: Sequence[Usage], most: float) -> Iterator[Line]:
    """Yield the rows that compare wall and CPU time and peak memory. The limits are `most` for the first, and 2."""
    for clock, bar in (("wall", f"<= {most}"), ("cpu", "")):
        times = [[getattr(usage, clock) for usage in usages] for usages in (ours, theirs)]
        ratio = median(times[0]) / median(times[1])
        yield Line(f"{what}, {clock}", spread(times[0]), spread(times[1]), ratio, bar, holds(ratio, bar))
    peaks = [[usage.memory / 1e6 for usage in usages] for usages in (ours, theirs)]
    ratio = median(peaks[0]) / median(peaks[1])
    measured, against = (f"{median(values):.0f} MB ({min(values):.0f} to {max(values):.0f})" for values in peaks)
    yield Line(f"{what}, peak memory", measured, against, ratio, "<= 2", holds(ratio, "<= 2"))
