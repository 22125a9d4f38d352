"""Measures how soon the commands that look back answer: a run of 10,000 nodes, with 100 runs of as many before it.

The time is from the start of the process to the first byte of the answer. Beside it is a process that only imports what
the command imports.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.measure import Line, holds, interleaved, median, spread
from bench.scale import write
from bench.startup import fresh
from nfrun.history.database import Database, Journal
from nfrun.history.work_dir import WorkDir

_NODES, _EARLIER = 10_000, 100
_SECONDS = 0.5  # beyond the imports
_CLI = "import nfrun.cli.commands, nfrun.cli.fast_args, nfrun.history.database, nfrun.lookback.run_reference"
_COMMANDS: Mapping[str, tuple[Sequence[str], str]] = {
    "runs": (["runs"], "nfrun.lookback.run_view"),
    "show": (["show"], "nfrun.lookback.run_view, nfrun.lookback.recorded_run"),
    "show NODE": (["show", "n5000"], "nfrun.lookback.run_view, nfrun.lookback.recorded_run"),
    "logs NODE": (["logs", "n5000"], "nfrun.lookback.log_files, nfrun.lookback.run_reference"),
}


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Measure each command, interleaved with its imports."""
    work = _make_runs(folder)
    variants: dict[str, Callable[[], float]] = {}
    for name, (words, modules) in _COMMANDS.items():
        variants[name] = partial(_first_byte, [*words, "--work", str(work)])
        imports = [sys.executable, "-c", f"{_CLI}, {modules}"]
        variants[f"imports of {name}"] = partial(_wall, imports)
    interleaved(variants, 1)
    found = interleaved(variants, repeat)
    for name in _COMMANDS:
        ours, imports_only = found[name], found[f"imports of {name}"]
        ratio = (median(ours) - median(imports_only)) / _SECONDS
        turns = [(a - b) / _SECONDS for a, b in zip(ours, imports_only, strict=True)]
        what = f"{name}, {_NODES:,} nodes, {_EARLIER} runs before: first byte beyond the imports / {_SECONDS} s"
        against = f"imports {spread(imports_only)}"
        yield Line(what, spread(ours), against, ratio, "<= 1.0", holds(ratio, "<= 1.0"), min(turns), max(turns))


def _wall(command: Sequence[str]) -> float:
    return fresh(command, os.environ).wall


def _first_byte(words: Sequence[str]) -> float:
    """Return the seconds until nfrun has printed something. Raises CalledProcessError if it fails."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "nfrun", *words]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        first = time.perf_counter() - began
        process.stdout.read()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return first


def _make_runs(folder: Path) -> Path:
    """Run a pipeline once, and copy its lines for the runs before it. Returns the work folder."""
    work = folder / "work"
    pipeline = write(folder, _NODES)
    module = folder / "many.py"
    module.write_text(module.read_text(encoding="utf-8").replace("return", "print(n)\n    return"), encoding="utf-8")
    fresh([sys.executable, "-m", "nfrun", "run", str(pipeline), "--json", "--work", str(work)], os.environ)
    (last,) = (work / "runs").iterdir()
    with closing(Database(WorkDir(work), print)) as database:
        recorded = database.contents(last.name)
        header = recorded.started
        assert header is not None
        database.remove([last.name])
        for number in range(1, _EARLIER + 2):
            at = time.gmtime(header.at - 60 * (_EARLIER - number))
            run = work / "runs" / f"{number}-{time.strftime('%Y%m%d-%H%M%S', at)}"
            if number > _EARLIER:
                last.rename(run)
            else:
                run.mkdir()
            journal = Journal(run, database)
            journal.started(replace(header, run=run.name, number=number))
            journal.add(*recorded.finished)
            journal.ended("ok", at=header.at)
    return work
