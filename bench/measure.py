"""Provides what all benchmarks share: clocks, interleaved measurement, rows of results and runs of nfrun."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import operator
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from nfrun.cli.run_command import run_command
from nfrun.session.options import RunOptions
from nfrun.system.runtime import cores
from nfrun.system.std_streams import Messages

_K = TypeVar("_K")
_T = TypeVar("_T")
_SIGNS = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt}


@dataclass(frozen=True)
class Line:
    """One row of the results: its name, the ratio of `measured` to `against`, and the limit of the ratio.

    `bar` is the limit, such as `<= 1.0`, empty if there is none. `holds` says whether the ratio meets it. `low` and
    `high` are the smallest and the largest ratio of a single round. Where both clocks were read, `cpu` and `wall` are
    the ratios by each; `ratio` is one of them.
    """

    what: str
    measured: str
    against: str
    ratio: float
    bar: str = ""
    holds: bool | None = None
    low: float | None = None
    high: float | None = None
    cpu: float | None = None
    wall: float | None = None


@dataclass(frozen=True)
class Sample:
    """One measurement: CPU seconds of the whole process, and wall seconds."""

    cpu: float
    wall: float


def clocked(run: Callable[[], object]) -> Sample:
    """Call `run` once and return the time it took.

    The garbage collector runs as usual but skips all earlier objects. Otherwise each engine would pay for the libraries
    that the others have imported. What the caller has frozen stays so.
    """
    is_frozen = gc.get_freeze_count() > 0
    gc.collect()
    gc.freeze()
    try:
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        return Sample(time.process_time() - cpu, time.perf_counter() - wall)
    finally:
        if not is_frozen:
            gc.unfreeze()


def holds(ratio: float, bar: str) -> bool | None:
    """Whether a ratio meets a limit such as `<= 1.0` or `> 1`; None if `bar` is empty. Raises ValueError if invalid."""
    if not bar:
        return None
    sign, _, most = bar.partition(" ")
    if sign not in _SIGNS:
        raise ValueError(f"no such bar: {bar!r}")
    return bool(_SIGNS[sign](ratio, float(most)))


def versus(
    what: str, ours: list[Sample], theirs: list[Sample], bar: str = "", *, each: int = 1, by: str = "cpu"
) -> Line:
    """Make the row that compares two interleaved engines: `ours` divided by `theirs`.

    `by` names the clock of the ratio and its limit, `cpu` or `wall`. `each` is the number of nodes per sample, by which
    the times that are shown are divided.
    """
    ratios = {
        clock: median([getattr(s, clock) for s in ours]) / median([getattr(s, clock) for s in theirs])
        for clock in ("cpu", "wall")
    }
    turns = [getattr(a, by) / getattr(b, by) for a, b in zip(ours, theirs, strict=True)]
    return Line(
        what,
        f"{_format_times(ours, 'cpu', each)} CPU, {_format_times(ours, 'wall', each)} wall",
        f"{_format_times(theirs, 'cpu', each)} CPU, {_format_times(theirs, 'wall', each)} wall",
        ratios[by],
        bar,
        holds(ratios[by], bar),
        min(turns),
        max(turns),
        ratios["cpu"],
        ratios["wall"],
    )


def _format_times(samples: list[Sample], clock: str, each: int) -> str:
    values = [getattr(sample, clock) / each for sample in samples]
    return spread(values) if median(values) >= 1e-3 else micro(values)


def machine() -> dict[str, Any]:
    """Describe the machine: versions, system, cores and the date."""
    import pyarrow

    return {
        "python": platform.python_version(),
        "pyarrow": pyarrow.__version__,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": cores(),
        "when": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def interleaved(variants: Mapping[_K, Callable[[], _T]], repeat: int) -> dict[_K, list[_T]]:
    """Measure all variants `repeat` times in turns (A B C A B C), so that a slow moment affects all of them."""
    found: dict[_K, list[_T]] = {name: [] for name in variants}
    for _ in range(repeat):
        for name, variant in variants.items():
            found[name].append(variant())
    return found


def median(values: list[float]) -> float:
    """Return the median. Raises StatisticsError if there are no values."""
    return statistics.median(values)


def spread(values: list[float]) -> str:
    """Format seconds as `median (min to max)` in milliseconds."""
    return f"{median(values) * 1e3:.1f} ms ({min(values) * 1e3:.1f} to {max(values) * 1e3:.1f})"


def micro(values: list[float]) -> str:
    """Format seconds as `median (min to max)` in microseconds."""
    return f"{median(values) * 1e6:.1f} us ({min(values) * 1e6:.1f} to {max(values) * 1e6:.1f})"


def run_here(pipeline: Path, **options: Any) -> dict[str, Any]:
    """Run all nodes of a pipeline in this process and return the document of `nfrun run --json`.

    Raises RuntimeError if it fails.
    """
    settings: dict[str, Any] = {"slots": 8, "json": True, "quiet": True, "fresh": True, **options}
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code, _ = run_command(RunOptions(pipeline, **settings), Messages())
    if code:
        raise RuntimeError(f"{pipeline.name} ended with {code}")
    document: dict[str, Any] = json.loads(out.getvalue())
    return document


def run_fresh(*arguments: str) -> tuple[float, str]:
    """Run nfrun in a fresh process. Returns the wall seconds and its stdout. Raises CalledProcessError."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "nfrun", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return time.perf_counter() - began, done.stdout


def print_line(line: Line) -> None:
    """Print a row of the results."""
    verdict = {True: "holds", False: "MISSED", None: ""}[line.holds]
    figures = f"{line.measured}  against {line.against}"
    print(f"{line.what:<64} {line.ratio:>8.3f} {line.bar:>8} {verdict:<7} {figures}", flush=True)


def touch_pages(folder: Path, size: int) -> None:
    """Write and remove a file of `size` bytes, so that the kernel has free pages for the next measurement.

    A virtual machine may give free memory back to its host. To get it again took six times as long as to write the
    file, and whichever variant came first paid for it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scrap = folder / "scrap"
    block = bytes(1 << 20)
    with scrap.open("wb") as file:
        for _ in range(size // len(block) + 1):
            file.write(block)
    scrap.unlink()
