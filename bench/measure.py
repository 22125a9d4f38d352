"""How the benchmarks measure: in turns, in one run, with the machine named beside the figures."""

from __future__ import annotations

import contextlib
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nfrun.launch import Options, launch


@dataclass(frozen=True)
class Line:
    """One row of the results: what was measured, the ratio of `measured` to `against`, and the bar it is held to."""

    what: str
    measured: str
    against: str
    ratio: float
    bar: str = ""
    holds: bool | None = None


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    import pyarrow

    return {
        "python": platform.python_version(),
        "pyarrow": pyarrow.__version__,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "when": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def interleaved(variants: Mapping[str, Callable[[], float]], repeat: int) -> dict[str, list[float]]:
    """Measure all variants `repeat` times in turns (A B C A B C), so that a slow moment falls on all of them."""
    found: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(repeat):
        for name, variant in variants.items():
            found[name].append(variant())
    return found


def median(values: list[float]) -> float:
    """The median; half of what was measured is better than this, half worse."""
    return statistics.median(values)


def spread(values: list[float]) -> str:
    """`median (min to max)` in milliseconds."""
    return f"{median(values) * 1e3:.1f} ms ({min(values) * 1e3:.1f} to {max(values) * 1e3:.1f})"


def run_here(pipeline: Path, **options: Any) -> dict[str, Any]:
    """Run a pipeline in this process and return the document of `nfrun run --json`. Raises RuntimeError if it fails."""
    settings: dict[str, Any] = {
        "pipeline": pipeline,
        "given": {},
        "params_file": None,
        "slots": 8,
        "schedule": "eager",
        "handoff": "auto",
        "keep_going": False,
        "work": None,
        "json": True,
        "events": None,
        "color": "never",
        "quiet": True,
        "verbose": False,
    }
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code, _ = launch(Options(**{**settings, **options}))
    if code:
        raise RuntimeError(f"{pipeline.name} ended with {code}")
    document: dict[str, Any] = json.loads(out.getvalue())
    return document


def run_fresh(*arguments: str) -> tuple[float, str]:
    """Run nfrun in a fresh process; wall seconds and its stdout. Raises CalledProcessError."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "nfrun", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return time.perf_counter() - began, done.stdout
