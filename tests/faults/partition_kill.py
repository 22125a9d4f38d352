"""Kills runs that write partitions, most of them while partitions are replaced, and starts them again.

Promised: each partition is that of the run before or that of the killed one, with all of its rows, and so is a folder
that is written as a whole. In `moved` the second column of all partitions is another one in each run, so that the
folders of the first are replaced as a whole: no row is there twice. The same command then completes all, and leaves no
hidden folder.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet as pq

from tests.faults import rig
from tests.faults.processes import command
from tests.faults.rig import MARK, Setting, Started, Trial

ABOUT = (__doc__ or "").split("\n")[0]
FILE = "p.yaml"
PARTS = 150
FOLDERS = ("parts", "moved", "whole")
PIPELINE = f"""
name: p
params: {{run: 0}}
nodes:
  rows:
    sql: select range // 3 as part, 'v' || range % 3 as value, $run::bigint as run from range({PARTS * 3})
    with: {{run: "${{{{ params.run }}}}"}}
  parts: {{write: out/parts/, inputs: rows, with: {{partition: [part], mode: partitions}}}}
  moved: {{write: out/moved/, inputs: rows, with: {{partition: [part, run], mode: partitions, replace: [part]}}}}
  whole: {{write: out/whole/, inputs: rows, with: {{partition: [part]}}}}
"""


def prepare(setting: Setting) -> float:
    """Return the seconds that a run takes."""
    place = make(setting.folder)
    began = time.monotonic()
    ended = place.run("run", FILE, "-p", "run=0", "-q", **{MARK: "known"})
    assert ended.code == 0, ended
    return time.monotonic() - began


def make(folder: Path) -> rig.Place:
    folder.mkdir(parents=True)
    (folder / FILE).write_text(PIPELINE)
    return rig.Place(folder)


def one(trial: Trial) -> None:
    place = make(trial.folder / "p")
    out = place.folder / "out"
    ended = place.run("run", FILE, "-p", "run=0", "-q")
    trial.check(ended.code == 0, f"the first run: {ended}")
    before = 0
    for run in range(1, trial.random.randrange(2, 4)):
        arguments = ("run", FILE, "-p", f"run={run}", "-q")
        mark = str(trial.folder / f"mark.{run}")
        started = place.start(*arguments, **{MARK: mark})
        wait(trial, started, out)
        started.kill()
        started.end()
        left, _ = rig.await_gone(mark)
        trial.check(not left, f"run {run}: still there: {[command(pid) for pid in left]}")
        judge(trial, out, {before, run}, f"run {run}, killed")
        ended = place.run(*arguments)
        trial.check(ended.code == 0, f"run {run}, again: {ended}")
        judge(trial, out, {run}, f"run {run}, again")
        hidden = [path.name for path in out.iterdir() if path.name not in FOLDERS]
        trial.check(not hidden, f"run {run}, again: left beside the folders: {hidden}")
        before = run


def wait(trial: Trial, started: Started, out: Path) -> None:
    """Wait until some partitions are replaced, or, in some trials, for some time."""
    if trial.random.random() < 0.2:
        time.sleep(trial.random.uniform(0, trial.prepared))
        return
    watched = trial.random.randrange(PARTS)
    first = (out / "parts" / f"part={watched}").stat().st_ino
    until = time.monotonic() + rig.HANG_SECONDS
    while started.process.poll() is None and time.monotonic() < until:
        with suppress(OSError):  # it is being replaced
            if (out / "parts" / f"part={watched}").stat().st_ino != first:
                return


def judge(trial: Trial, out: Path, allowed: set[int], told: str) -> None:
    """Check that all folders have all partitions, each of one of the runs that are `allowed`."""
    found = {name: dict(parts_of(trial, out / name, told)) for name in FOLDERS}
    for name, runs in found.items():
        wrong = sorted(set(runs.values()) - allowed)
        trial.check(not wrong, f"{told}: {name} has partitions of the runs {wrong}")
    trial.check(len(set(found["whole"].values())) == 1, f"{told}: the whole folder is of several runs")
    both = len(set(found["parts"].values())) > 1
    trial.count("kills between partitions" if both else "kills before or after all partitions", len(allowed) - 1)


def parts_of(trial: Trial, folder: Path, told: str) -> Iterator[tuple[int, int]]:
    """Yield each partition with the number of the run that wrote it. Check that it has all rows, of one run."""
    for part in range(PARTS):
        path = folder / f"part={part}"
        if folder.name == "moved":
            runs = [each.name for each in path.iterdir()] if path.is_dir() else []
            if not trial.check(len(runs) == 1, f"{told}: {folder.name} has {runs} in part {part}"):
                continue
            path /= runs[0]
        names = [each.name for each in path.iterdir()] if path.is_dir() else []
        if not trial.check(names == ["part-0.parquet"], f"{told}: {folder.name} has {names} in part {part}"):
            continue
        with pq.ParquetFile(path / names[0]) as file:
            rows = file.read().to_pydict()
        if folder.name == "moved":
            rows["run"] = [int(path.name.removeprefix("run="))] * 3
        whole = rows["value"] == ["v0", "v1", "v2"] and len(set(rows["run"])) == 1
        if trial.check(whole, f"{told}: part {part} of {folder.name} is {rows}"):
            yield part, rows["run"][0]


if __name__ == "__main__":
    rig.main(one, about=ABOUT, prepare=prepare, trials=100)
