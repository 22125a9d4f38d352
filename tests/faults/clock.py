"""Makes the wall clock jump by days during and between runs, and changes the times of all files.

Promised: results are the same, no deadline is early or missed, and no node runs again. The clock and file times decide
nothing but whether a file is read once more.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.faults import mixed, rig
from tests.faults.rig import LOG, Ended, Place, Setting, Trial

ABOUT = (__doc__ or "").split("\n")[0]
DAY = 86_400
SHIFTS = (-DAY, DAY, -365 * DAY, 365 * DAY, -3_600, 1)


@dataclass(frozen=True, slots=True)
class Prepared:
    shim: Path
    known: mixed.Known


class Clock:
    """The number of seconds by which the wall clock of a trial is wrong, in a shared file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.set(0)

    def set(self, seconds: int) -> None:
        # Written in place: processes that have mapped the file see it at once.
        with self.path.open("r+b" if self.path.exists() else "wb") as file:
            file.write(struct.pack("=q", seconds))


def prepare(setting: Setting) -> Prepared:
    shim = rig.compiled("clock.c", setting.folder / "shim")
    clock = Clock(setting.folder / "clock")
    clock.set(100 * DAY)
    asked = [sys.executable, "-c", "import time, datetime; print(time.time(), datetime.datetime.now().timestamp())"]
    told = subprocess.run(asked, env={**os.environ, **wrong(shim, clock)}, capture_output=True, text=True, check=True)
    if not all(float(at) - time.time() > 99 * DAY for at in told.stdout.split()):
        raise RuntimeError(f"the clock cannot be made wrong: {told.stdout}")
    return Prepared(shim, mixed.know(setting.folder / "p"))


def wrong(shim: Path, clock: Clock) -> dict[str, str]:
    return {"LD_PRELOAD": str(shim), "FAULTS_CLOCK": str(clock.path)}


def one(trial: Trial) -> None:
    prepared: Prepared = trial.prepared
    place = mixed.make(trial.folder / "p")
    clock = Clock(trial.folder / "clock")
    env = wrong(prepared.shim, clock)
    jumps = jump_in_mid_run(trial, place, clock, env)
    taken_up(trial, place, clock, env, f"clock jumped in mid-run by {jumps}")


def jump_in_mid_run(trial: Trial, place: Place, clock: Clock, env: dict[str, str]) -> list[int]:
    """Make a run during which the clock jumps one or more times; it keeps all outputs."""
    log = trial.logs / "log.0"
    started = place.start("run", mixed.FILE, "--json", "--keep", **env, **{LOG: str(log)})
    jumps = [trial.random.choice(SHIFTS) for _ in range(trial.random.randrange(1, 4))]
    for shift in jumps:
        began = time.monotonic()
        wait = trial.random.uniform(0, trial.prepared.known.seconds / len(jumps))
        while started.process.poll() is None and time.monotonic() - began < wait:
            time.sleep(0.01)
        clock.set(shift)
    judge(trial, place, started.end(), f"clock jumped in mid-run by {jumps}")
    return jumps


def taken_up(trial: Trial, place: Place, clock: Clock, env: dict[str, str], told: str) -> None:
    """Run again a few times, each with another clock and other file times: no node may run."""
    for number in range(1, 3):
        shift = trial.random.choice((0, *SHIFTS))
        clock.set(shift)
        touched = trial.random.choice(("nothing", "all to old", "all to new", "each to another"))
        touch(trial, place.folder, touched)
        log = trial.logs / f"log.{number}"
        now = f"{told}, then taken up with the clock off by {shift} and {touched} touched"
        planned = place.run("plan", mixed.FILE, **env)
        trial.check(planned.code == 0, f"{now}, planned: {planned}")
        ended = place.run("run", mixed.FILE, "--json", "--keep", **env, **{LOG: str(log)})
        judge(trial, place, ended, now)
        again = [name for name in mixed.log_of(log).started if name not in mixed.EFFECTS]
        trial.check(not again, f"{now}: ran again: {', '.join(again)}")
        nodes = ended.document.get("nodes", {})
        ran = [name for name in nodes if nodes[name]["status"] != "reused" and name not in mixed.EFFECTS]
        trial.check(not ran, f"{now}: not reused: {', '.join(ran)}")
        trial.count("nodes reused", len(nodes) - len(ran))


def touch(trial: Trial, folder: Path, which: str) -> None:
    if which == "nothing":
        return
    old, new = 86_400.0, time.time() + 1_000 * DAY
    for path in [folder, *folder.rglob("*")]:
        at = {"all to old": old, "all to new": new}.get(which, trial.random.uniform(old, new))
        os.utime(path, (at, at), follow_symlinks=False)


def judge(trial: Trial, place: Place, ended: Ended, told: str) -> None:
    known: mixed.Known = trial.prepared.known
    rig.clean_words(trial, ended, told)
    rig.right_outputs(trial, ended, known.outputs, told)
    trial.check(mixed.written(place.folder) == known.written, f"{told}: the write nodes wrote something else")
    for name, node in ended.document.get("nodes", {}).items():
        for figure in ("started_s", "took_s", "queued_s", "handoff_s"):
            value = node[figure]
            trial.check(value is None or 0 <= value < rig.HANG_SECONDS, f"{told}: {figure} of {name} is {value}")


if __name__ == "__main__":
    rig.main(one, about=ABOUT, prepare=prepare, trials=100)
