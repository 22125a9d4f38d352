"""Ends a run while its nodes have children of all sorts, and checks that none of them survives.

Promised: 500 ms after the process that the user started has ended, however it ended, no child of its nodes is alive.

A child is recognized by a variable in its environment that no other process has. It must be seen alive and of the
right sort before the end; otherwise the trial is wrong.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.faults import rig
from tests.faults.processes import carrying, command, is_stubborn, kill, status
from tests.faults.rig import MARK, Place, Setting, Started, Trial

ABOUT = (__doc__ or "").split("\n")[0]
CHILD = "FAULTS_CHILD"
FILE = "orphans.yaml"
GONE_SECONDS = 0.5
TIMEOUT_SECONDS = 2.0  # the timeout of the node; its child must start within it

STEPS = """
import os
import subprocess
import time
from pathlib import Path

def start(token, session):
    script = "trap '' TERM INT HUP; exec sleep 1000"
    subprocess.Popen(["sh", "-c", script], env={**os.environ, "FAULTS_CHILD": token}, start_new_session=session)
    while not Path(__file__).with_name("end").exists():
        time.sleep(0.02)
    return {"started": True}
"""

# `$NFRUN_WITH_token` marks the child; no other process may have it as the value of CHILD.
SCRIPTS = {
    "plain": 'FAULTS_CHILD="$NFRUN_WITH_token" sleep 1000; true',
    "background": 'FAULTS_CHILD="$NFRUN_WITH_token" sleep 1000 & WAIT',
    "setsid": 'FAULTS_CHILD="$NFRUN_WITH_token" setsid sleep 1000 & WAIT',
    "daemon": """setsid sh -c 'FAULTS_CHILD="$NFRUN_WITH_token" sleep 1000 < /dev/null > /dev/null 2>&1 &'; WAIT""",
}
PYTHON = {"stubborn": "thread", "stubborn in a worker": "process"}
SHAPES = (*SCRIPTS, *PYTHON)
ENDINGS = {"kill": -signal.SIGKILL, "Ctrl-C": 130, "timeout": 1, "failure": 1}  # and their exit codes
CASES = [(shape, ending) for ending in ENDINGS for shape in SHAPES]
_WAIT = "while [ ! -e end ]; do sleep 0.02; done"


@dataclass(frozen=True, slots=True)
class Child:
    """The properties of a child that are visible from outside."""

    pid: int
    parent: int
    group: int
    session: int
    stubborn: bool


# Whether a child is of the expected sort; `script` is the process id of the script.
SORTS: dict[str, Callable[[Child, int], bool]] = {
    "plain": lambda child, script: child.parent == script and child.group == os.getpgid(script),
    "background": lambda child, script: child.parent == script and child.group == os.getpgid(script),
    "setsid": lambda child, script: child.session == child.pid,
    "daemon": lambda child, script: child.session not in (child.pid, os.getsid(script)) and child.parent != script,
    "stubborn": lambda child, script: child.stubborn,
    "stubborn in a worker": lambda child, script: child.stubborn,
}


def prepare(setting: Setting) -> tuple[str, ...]:
    """Return the arguments for a short grace, if there is such an option."""
    helped = Place(setting.folder.parent).run("run", "--help")
    return ("--grace", "1") if "--grace" in helped.out else ()


def make(trial: Trial, shape: str, ending: str, token: str, kills: bool) -> Place:
    folder = trial.folder / "p"
    folder.mkdir()
    (folder / "steps.py").write_text(STEPS)
    if shape in PYTHON:
        session = "true" if trial.random.random() < 0.5 else "false"
        kind, more = 'python: "steps:start"', f", session: {session}}}, executor: {PYTHON[shape]}"
    else:
        script = SCRIPTS[shape].replace("WAIT", _WAIT)
        (folder / "script.sh").write_text(f"echo $$ > script; {script}\n")
        kind, more = "run: . ./script.sh", "}"
    timeout = f", timeout: {TIMEOUT_SECONDS}" if ending == "timeout" else ""
    lines = ["nodes:", f"  parent: {{{kind}, with: {{token: {token}{more}{timeout}}}"]
    if ending == "failure":
        last = 'kill -9 "$(cat script)"' if kills else "touch end"
        lines += [f"  fails: {{run: 'while [ ! -e go ]; do sleep 0.02; done; {last}; exit 3'}}"]
    (folder / FILE).write_text("\n".join([*lines, ""]))
    return Place(folder, {MARK: str(folder)})


def one(trial: Trial) -> None:
    shape, ending = CASES[trial.number % len(CASES)]
    token = f"child-{trial.random.getrandbits(64):x}"
    # A script with a plain child waits for it, so the script is killed to make it fail. Others may also end well.
    kills = shape in SCRIPTS and (shape == "plain" or trial.random.random() < 0.5)
    place = make(trial, shape, ending, token, kills)
    told = f"{shape}, {ending}{' of another node that kills the script' if kills and ending == 'failure' else ''}"
    started = place.start("run", FILE, "--json", *trial.prepared)
    try:
        seen = await_child(started, place, shape, token)
        if not seen:
            started.kill()
            trial.check(False, f"{told}: no child of this sort was ever seen alive: {started.end()}")
            return
        end(trial, started, ending, place.folder)
        with suppress(subprocess.TimeoutExpired):
            started.process.wait(rig.HANG_SECONDS)
        left, seconds = await_none(token)
        ended = started.end(0)
        if not left:
            trial.measure(f"ms until no child was left, {ending}", seconds * 1e3)
        trial.count("children seen alive before the end")
        complaint = f"{told}: alive {GONE_SECONDS} s after the end: {[command(pid) for pid in left]}"
        trial.check(not left, complaint)
        if ending != "kill":
            rig.clean_words(trial, ended, told)
        trial.check(ended.code == ENDINGS[ending], f"{told}: not exit {ENDINGS[ending]}: {ended}")
    finally:
        kill(carrying(CHILD, token))


def end(trial: Trial, started: Started, ending: str, folder: Path) -> None:
    """End the run some time after its child was seen, since the supervisor may notice children later."""
    time.sleep(trial.random.choice((0.0, 0.05, 0.3)) if ending != "timeout" else 0.0)
    if ending == "kill":
        started.process.kill()
    elif ending == "Ctrl-C":
        started.interrupt(whole_group=trial.random.random() < 0.5)
    elif ending == "failure":
        (folder / "go").touch()


def await_child(started: Started, place: Place, shape: str, token: str) -> bool:
    """Wait for a child of this sort; returns False if the run ends first."""
    deadline = time.monotonic() + rig.HANG_SECONDS
    while started.process.poll() is None and time.monotonic() < deadline:
        try:
            script = int((place.folder / "script").read_text()) if shape in SCRIPTS else 0
            for child in map(look_at, carrying(CHILD, token)):
                if SORTS[shape](child, script):
                    return started.process.poll() is None
        except (OSError, ValueError, KeyError):  # the child is not there yet, or still starting
            pass
        time.sleep(0.005)
    return False


def look_at(pid: int) -> Child:
    """Return the properties of a process. Raises OSError or KeyError if it is gone."""
    return Child(pid, int(status(pid)["PPid"]), os.getpgid(pid), os.getsid(pid), is_stubborn(pid))


def await_none(token: str) -> tuple[list[int], float]:
    """Wait until no child is alive; returns those left after GONE_SECONDS, and how long it took."""
    began = time.monotonic()
    while True:
        # Read the clock before the check: a late check on a busy machine does not mean that the child ended late.
        seconds = time.monotonic() - began
        left = carrying(CHILD, token)
        if not left or seconds > GONE_SECONDS:
            return left, seconds
        time.sleep(0.005)


if __name__ == "__main__":
    rig.main(one, about=ABOUT, prepare=prepare, trials=20 * len(CASES))
