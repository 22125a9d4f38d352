"""Kills a run at any moment, also several times in a row, and starts it again with the same command.

Before some starts, `clean` runs, and is sometimes killed itself. `eviction.py` kills runs that remove tables.

Promised: the results are those of an undisturbed run, no finished node runs again, no half-written output is ever
visible, and no process is left.

A node has finished when the events of its run said so before the kill: `node_finished`. A node that had ended but had
not finished in this sense may run again. The trials count these nodes and measure how long before the kill they had
ended.
"""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

from tests.faults import mixed, rig
from tests.faults.processes import command
from tests.faults.rig import LOG, MARK, Ended, Setting, Started, Trial

ABOUT = (__doc__ or "").split("\n")[0]
_EARLY_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Moment:
    """When to kill: some seconds after the start, or at a number of events."""

    seconds: float | None = None
    events: int | None = None

    def __str__(self) -> str:
        return f"after {self.seconds:.3f} s" if self.seconds is not None else f"at event {self.events}"

    def wait(self, started: Started, events: Path) -> bool:
        """Wait for the moment; returns False if the run ends before it."""
        began = time.monotonic()
        while started.process.poll() is None:
            if self.seconds is not None:
                left = began + self.seconds - time.monotonic()
                if left <= 0:
                    return True
                time.sleep(min(left, 0.01))
            else:
                come = events.read_bytes().count(b"\n") if events.exists() else 0
                if come >= (self.events or 0) or time.monotonic() - began > rig.HANG_SECONDS:
                    return True
                time.sleep(0.0005)
        return False


def prepare(setting: Setting) -> mixed.Known:
    return mixed.know(setting.folder)


def moment(chance: random.Random, seconds: float) -> Moment:
    kind = chance.random()
    if kind < 0.6:
        return Moment(seconds=chance.uniform(0, seconds))
    if kind < 0.75:
        return Moment(seconds=chance.uniform(0, _EARLY_SECONDS))
    return Moment(events=chance.randrange(1, 70))


def one(trial: Trial) -> None:
    known: mixed.Known = trial.prepared
    place = mixed.make(trial.folder / "p")
    kills = 1 if trial.random.random() < 0.7 else trial.random.randrange(2, 5)
    moments = [moment(trial.random, known.seconds) for _ in range(kills)]
    finished: set[str] = set()
    for number, when in enumerate([*moments, None]):
        events, mark = (trial.folder / f"{what}.{number}" for what in ("events", "mark"))
        if number and trial.random.random() < 0.3:
            clean(trial, place)
        log = trial.logs / f"log.{number}"
        started = place.start("run", mixed.FILE, "--json", "--events", str(events), **{LOG: str(log), MARK: str(mark)})
        if number:
            # Not earlier: the resumed run starts at once, while processes of the killed one may still be there.
            judge_killed(trial, number - 1)
        if when is None or not when.wait(started, events):
            ended = started.end()
            told = f"start {number} (kills {', '.join(map(str, moments[:number]))})"
            judge_end(trial, place, ended, told)
            judge_log(trial, log, events, finished, told)
            left, _ = rig.await_gone(str(mark))
            trial.check(not left, f"{told}: {len(left)} processes are left after the end")
            trial.count("runs that ended before they were to be killed" if when else "runs taken up")
            return
        started.kill()
        at = time.time()
        keep_visible(place.folder / mixed.WORK, trial.folder / f"seen.{number}")
        started.end()
        judge_log(trial, log, events, finished, f"start {number} (killed {when})")
        now = finished_in(events)
        unfinished = [name for name in mixed.log_of(log).ended if name not in now | finished]
        trial.count("kills")
        trial.count("nodes finished before a kill", len(now))
        trial.count("nodes that had told of their end and were not finished", len(unfinished))
        for name in unfinished:
            trial.measure("ms between an end and a kill that took it back", (at - mixed.log_of(log).ended[name]) * 1e3)
        finished |= now


def clean(trial: Trial, place: rig.Place) -> None:
    """Run `clean`, or kill it. It is refused while processes of a killed run are there."""
    started = place.start("clean", mixed.FILE, **{MARK: str(trial.folder / "cleaning")})
    if trial.random.random() < 0.5:
        time.sleep(trial.random.uniform(0.05, 0.4))
        started.kill()
    ended = started.end()
    trial.count(f"cleanings with exit {ended.code}")
    trial.check(ended.code in (0, 75, -9), f"clean: {ended}")
    rig.await_gone(str(trial.folder / "cleaning"))


def finished_in(events: Path) -> set[str]:
    """Return the nodes with `node_finished`."""
    return {event["node"] for event in rig.events_of(events) if event["event"] == "node_finished"}


def keep_visible(work: Path, seen: Path) -> None:
    """Link every visible output file into `seen`, since the next run may remove it."""
    seen.mkdir()
    for path in rig.visible(work):
        os.link(path, seen / f"{path.parent.name}.{path.name}")


def judge_killed(trial: Trial, number: int) -> None:
    """Check that a killed run left only whole files, and no processes."""
    known: mixed.Known = trial.prepared
    for path in sorted((trial.folder / f"seen.{number}").iterdir()):
        trial.count("files seen at the moment of a kill")
        if trial.check(not (wrong := rig.torn(path)), f"kill {number}: {wrong}"):
            trial.check(rig.digest_of(path) in known.all.values(), f"kill {number}: {path.name} is of no known content")
    left, seconds = rig.await_gone(str(trial.folder / f"mark.{number}"))
    trial.measure("ms until no process was left", seconds * 1e3)
    if left:
        commands = [command(pid) for pid in left]
        trial.check(False, f"kill {number}: still there after {rig.GONE_SECONDS} s: {commands}")


def judge_log(trial: Trial, log: Path, events: Path, finished: set[str], told: str) -> None:
    """Check in the log of the nodes and in the events that no node in `finished` ran again."""
    found = rig.events_of(events)
    ran = {e["node"] for e in found if e["event"] == "node_finished" and not e.get("reused")}
    twice = sorted((finished - mixed.EFFECTS - mixed.SOURCES) & (ran | set(mixed.log_of(log).started)))
    trial.check(not twice, f"{told}: had finished before and ran again: {', '.join(twice)}")


def judge_end(trial: Trial, place: rig.Place, ended: Ended, told: str) -> None:
    known: mixed.Known = trial.prepared
    rig.clean_words(trial, ended, told)
    rig.right_outputs(trial, ended, known.outputs, told)
    trial.check(mixed.written(place.folder) == known.written, f"{told}: the write nodes wrote something else")
    visible = set(rig.visible(place.folder / mixed.WORK))
    shown = {Path(output["path"]) for output in ended.document.get("outputs", {}).values()}
    trial.check(shown <= visible, f"{told}: outputs are not where they are looked for: {sorted(shown - visible)}")
    for path in visible:
        trial.check(not (wrong := rig.torn(path)), f"{told}: {wrong}")


if __name__ == "__main__":
    rig.main(one, about=ABOUT, prepare=prepare, trials=300)
