"""Stops stuck nodes by one Ctrl-C, by a second one, and by their timeout, and measures how long it takes.

Promised: the run ends after Ctrl-C within the grace plus 1 s (3 s if a node holds the GIL), after a second Ctrl-C
within 200 ms, and after a timeout within the grace plus 1 s. The exit codes are 130 and 1.

`--slack` is added to all limits, since a busy machine is late by itself. The measurements are printed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults import rig
from tests.faults.rig import MARK, Ended, Place, Setting, Started, Trial

ABOUT = (__doc__ or "").split("\n")[0]
FILE = "stops.yaml"
TIMEOUT_SECONDS = 2.0
USUAL_GRACE = 5.0  # if it cannot be set
LIMIT, LIMIT_HELD, LIMIT_SECOND = 1.0, 3.0, 0.2
# The grace must be long: a second Ctrl-C at its end would prove nothing.
LONG_GRACE = 30

STEPS = r"""
import ctypes
import re
import threading
import time
from pathlib import Path

def begin():
    Path(__file__).with_name("stuck").touch()

def sleep():
    begin()
    time.sleep(1000)

def lock():
    lock = threading.Lock()
    lock.acquire()
    begin()
    lock.acquire()

def c_call():
    sleep = ctypes.PyDLL(None).sleep  # holds the lock of the interpreter all the time
    begin()
    sleep(1000)

def regex():
    begin()
    re.match(r"(a+)+$", "a" * 60 + "b")  # so does this

def logs(context):
    begin()
    while True:
        context.log.info("a line")

def prints():
    begin()
    while True:
        print("a line")
"""

SCRIPTS = {
    "script": "trap '' TERM; touch stuck; while true; do sleep 1000; done",
    "script and child": "trap '' TERM; touch stuck; sleep 1000 & wait; wait",
}
FUNCTIONS = ("sleep", "lock", "c_call", "regex", "logs", "prints")
HELD = ("c_call", "regex")
ENDINGS = ("Ctrl-C", "Ctrl-C twice", "timeout")


@dataclass(frozen=True, slots=True)
class Case:
    stuck: str
    where: str
    ending: str

    @property
    def held(self) -> bool:
        """Whether the node holds the GIL of the run itself."""
        return self.where == "thread" and self.stuck in HELD


_PLACES = [(s, w) for w in ("thread", "process") for s in FUNCTIONS] + [(s, "run") for s in SCRIPTS]
# A timeout is not promised for a run whose GIL is held.
CASES = [case for e in ENDINGS for s, w in _PLACES if not ((case := Case(s, w, e)).held and e == "timeout")]


@dataclass(frozen=True, slots=True)
class Prepared:
    """Whether the grace can be set, and the slack in seconds."""

    settable: bool
    slack: float


def prepare(setting: Setting) -> Prepared:
    helped = Place(setting.folder.parent).run("run", "--help")
    settable = "--grace" in helped.out
    if not settable:
        print(f"there is no --grace: all wait for {USUAL_GRACE:g} s")
    return Prepared(settable, setting.options["slack"])


def make(folder: Path, case: Case) -> Place:
    folder.mkdir()
    (folder / "steps.py").write_text(STEPS)
    (folder / "script.sh").write_text(f"{SCRIPTS.get(case.stuck, '')}\n")
    body = 'run: ". ./script.sh"' if case.where == "run" else f'python: "steps:{case.stuck}", executor: {case.where}'
    timeout = f", timeout: {TIMEOUT_SECONDS}" if case.ending == "timeout" else ""
    (folder / FILE).write_text(f"nodes:\n  stuck: {{{body}{timeout}}}\n")
    return Place(folder, {MARK: str(folder)})


def one(trial: Trial) -> None:
    prepared: Prepared = trial.prepared
    case = CASES[trial.number % len(CASES)]
    told = f"{case.stuck}, {case.where}, {case.ending}"
    place = make(trial.folder / "p", case)
    wanted = LONG_GRACE if case.ending == "Ctrl-C twice" else 1
    grace = float(wanted) if prepared.settable else USUAL_GRACE
    started = place.start("run", FILE, "--json", *(("--grace", str(wanted)) if prepared.settable else ()))
    if not await_(started, (place.folder / "stuck").exists):
        started.kill()
        trial.check(False, f"{told}: it never got stuck: {started.end()}")
        return
    whole_group = trial.random.random() < 0.5
    time.sleep(0.0 if case.ending == "timeout" else trial.random.uniform(0.0, 0.5))
    trial.check(started.process.poll() is None, f"{told}: ended before anybody stopped it")
    began = time.monotonic()
    if case.ending == "timeout":
        ended, seconds = ended_after(started, began + TIMEOUT_SECONDS)
        judge(trial, told, ended, seconds, grace + LIMIT, 1)
        trial.check("its timeout of" in ended.err, f"{told}: nobody says that it took too long: {ended}")
    elif case.ending == "Ctrl-C":
        started.interrupt(whole_group)
        ended, seconds = ended_after(started, began)
        judge(trial, told, ended, seconds, LIMIT_HELD if case.held else grace + LIMIT, 130)
    else:
        started.interrupt(whole_group)
        if await_(started, lambda: time.monotonic() - began > 0.5):
            began = time.monotonic()
            started.interrupt(whole_group)
            ended, seconds = ended_after(started, began)
            trial.count("second Ctrl-Cs")
            judge(trial, told, ended, seconds, LIMIT_SECOND, 130)
        else:
            ended, _ = ended_after(started, began)
            trial.count("ended by the first Ctrl-C, before the second")
            judge(trial, told, ended, 0.0, LIMIT, 130)
    left, _ = rig.await_gone(str(place.folder), 0.5 + prepared.slack)
    trial.check(not left, f"{told}: {len(left)} processes are left")


def await_(started: Started, come: Callable[[], bool]) -> bool:
    """Wait until `come` returns true; returns False if the run ends before or hangs."""
    deadline = time.monotonic() + rig.HANG_SECONDS
    while not come():
        if started.process.poll() is not None or time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def ended_after(started: Started, began: float) -> tuple[Ended, float]:
    """Wait for the end of the run; returns it, and the seconds from `began` to it."""
    ended = started.end(rig.HANG_SECONDS / 2)
    return ended, time.monotonic() - began


def judge(trial: Trial, told: str, ended: Ended, seconds: float, limit: float, code: int) -> None:
    rig.clean_words(trial, ended, told)
    trial.check(ended.code == code, f"{told}: not exit {code}: {ended}")
    if ended.code is None:
        return
    late = seconds - limit
    trial.check(late <= trial.prepared.slack, f"{told}: took {seconds * 1e3:.0f} ms, not {limit * 1e3:.0f}")
    kind = told.rsplit(", ", 1)[1] + (", interpreter held" if limit == LIMIT_HELD else "")
    if seconds:
        trial.measure(f"ms to the end after {kind} (limit {limit * 1e3:.0f})", seconds * 1e3)
        trial.count(f"later than promised after {kind}, by less than the slack", 0 < late <= trial.prepared.slack)


if __name__ == "__main__":
    slack = (0.1, "seconds added to all limits, for a machine that is busy with other things too")
    rig.main(one, about=ABOUT, prepare=prepare, trials=10 * len(CASES), options={"slack": slack})
