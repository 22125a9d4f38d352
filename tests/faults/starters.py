"""Starts several runs of two pipelines at once in one folder, and kills the one that has the lock.

Promised: a pipeline never runs twice at once in one folder; a run that finds its pipeline locked exits with 75 and
names the holder of the lock; runs of different pipelines do not exclude each other, and no two runs have one number;
after a SIGKILL of the holder the next run starts at once, without a cleanup.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

from tests.faults import rig
from tests.faults.rig import LOG, MARK, Ended, Place, Started, Trial

ABOUT = (__doc__ or "").split("\n")[0]
STARTERS = 4
BESIDE = 2  # starters of another pipeline
HELD = 75
FILE = "alone.yaml"
OTHER = "beside.yaml"

STEPS = """
import os
import time
from pathlib import Path

HERE = Path(__file__).parent

def note(text):
    file = os.open(os.environ["FAULTS_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, f"{text}\\n".encode())
    os.close(file)

def enter(mark):
    try:
        os.close(os.open(HERE / mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        note("two at once")
    note(f"entered {os.getpid()}")
    return {"entered": True}

def work(table):
    time.sleep(0.05)
    while (HERE / "wait").exists():
        time.sleep(0.01)
    return table

def leave(table, mark):
    (HERE / mark).unlink(missing_ok=True)
    return table
"""

PIPELINE = """\
nodes:
  enter: {python: "steps:enter", with: {mark: MARK}}
  work: {python: "steps:work", inputs: {table: enter}}
  leave: {python: "steps:leave", inputs: {table: work}, with: {mark: MARK}}
"""


def make(folder: Path) -> Place:
    folder.mkdir()
    (folder / FILE).write_text(PIPELINE.replace("MARK", "active"))
    (folder / OTHER).write_text(PIPELINE.replace("MARK", "beside"))
    (folder / "steps.py").write_text(STEPS)
    return Place(folder, {MARK: str(folder), LOG: str(folder / "log")})


def one(trial: Trial) -> None:
    place = make(trial.folder / "p")
    all_at_once(trial, place)
    holder_killed(trial, place)
    log = place.folder / "log"
    trial.check("two at once" not in log.read_text(), "two runs were at work in one folder at the same time")


def all_at_once(trial: Trial, place: Place) -> None:
    # In some rounds up to 300 ms apart, so that one run may start while another ends.
    apart = trial.random.choice((0.0, 0.0, 0.02, 0.1, 0.3))
    files = trial.random.sample([FILE] * STARTERS + [OTHER] * BESIDE, STARTERS + BESIDE)
    started = []
    for file in files:
        started.append(place.start("run", file, "--json"))
        time.sleep(trial.random.uniform(0, apart))
    ends = [one.end() for one in started]
    for file in (FILE, OTHER):
        won = [ended for ended, name in zip(ends, files, strict=True) if ended.code == 0 and name == file]
        trial.check(won, f"nobody of the starters of {file} ran: {' '.join(map(str, ends))}")
        trial.count(f"runs of {file}", len(won))
    for ended, name in zip(ends, files, strict=True):
        if ended.code != 0:
            found = zip(started, ends, files, strict=True)
            others = [one.process.pid for one, end, file in found if end is not ended and file == name]
            judge_loser(trial, place, ended, others, "one of several starters")
    numbers = [str(ended.document.get("run")).partition("-")[0] for ended in ends if ended.code == 0]
    trial.check(len({*numbers}) == len(numbers), f"two runs have one number: {numbers}")


def holder_killed(trial: Trial, place: Place) -> None:
    (place.folder / "wait").touch()
    (place.folder / "log").unlink(missing_ok=True)
    holder = place.start("run", FILE, "--json")
    try:
        if not trial.check(entered(place, holder), "the holder never got to work"):
            return
        loser = place.run("run", FILE, "--json")
        judge_loser(trial, place, loser, [holder.process.pid], "beside a holder at work")
        if trial.random.random() < 0.5:
            other = place.run("run", FILE, "--json", "--fresh")
            judge_loser(trial, place, other, [holder.process.pid], "a fresh run beside a holder at work")
    finally:
        (place.folder / "active").unlink(missing_ok=True)  # made by the nodes; the killed run cannot remove it
        (place.folder / "wait").unlink()
        holder.kill()
    fresh = () if trial.random.random() < 0.7 else ("--fresh",)
    following = place.run("run", FILE, "--json", *fresh)
    holder.end()
    trial.check(following.code == 0, f"right after the holder was killed: {following}")
    rig.clean_words(trial, following, "right after the holder was killed")


def entered(place: Place, holder: Started) -> bool:
    deadline = time.monotonic() + rig.HANG_SECONDS
    while time.monotonic() < deadline and holder.process.poll() is None:
        if (place.folder / "log").exists():
            return True
        time.sleep(0.005)
    return False


def judge_loser(trial: Trial, place: Place, ended: Ended, holders: list[int], when: str) -> None:
    """Check that a run exited with 75, and named a run that may have had the lock."""
    rig.clean_words(trial, ended, when)
    if not trial.check(ended.code == HELD, f"{when}: not exit {HELD}: {ended}"):
        return
    trial.count(f"left with {HELD}")
    runs = [path.name for path in place.folder.glob(".nfrun/runs/*")]
    numbers = re.findall(r"\d+", ended.err)
    named = any(run in ended.err for run in runs) or any(str(pid) in numbers for pid in holders)
    trial.check(named, f"{when}: does not name the holder (process {holders}, runs {runs}): {ended}")


if __name__ == "__main__":
    rig.main(one, about=ABOUT, trials=100)
