"""Kills runs of mapped nodes at any moment, also several times in a row, and starts them again.

Promised: the results are those of an undisturbed run. Only those rows are computed again whose call was under way when
the run was killed, or had ended less than 50 ms before.

Some functions read files whose names nfrun learns only from the calls. One of these files changes between runs, and
back: results count again as soon as the file is what it was when their calls read it, and no sooner.

The functions record the start and the end of each call. A call has ended for nfrun somewhat later than the function
that records it, so on a busy machine `--slack` milliseconds more are allowed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults import rig
from tests.faults.processes import command
from tests.faults.rig import LOG, MARK, Setting, Trial

ABOUT = (__doc__ or "").split("\n")[0]
FILE = "p.yaml"
ROWS = 240
NODES = ("thread", "process", "short", "process_short", "loop", "groups")
READERS = ("files", "process_files")  # nodes whose functions read files
FILES = 3
CONTENTS = (" first", " other")  # of the file that changes
_SAVED_MS = 50.0  # after its call a result is on the disk
PIPELINE = f"""
name: p
defaults: {{cache: true}}
nodes:
  rows: {{sql: "select range as id, 'text ' || range % 200 as text from range({ROWS})"}}
  thread:
    python: steps:batch
    inputs: {{rows: rows}}
    map: {{over: rows, batch: 4}}
    executor: thread
  process:
    python: steps:batch
    inputs: {{rows: rows}}
    with: {{name: process}}
    map: {{over: rows, batch: 8}}
    executor: process
  short:
    python: steps:short
    inputs: {{rows: rows}}
    map: {{over: rows, batch: 1}}
    executor: thread
  process_short:
    python: steps:short
    inputs: {{rows: rows}}
    with: {{name: process_short}}
    map: {{over: rows, batch: 1}}
    executor: process
  loop:
    python: steps:one
    inputs: {{rows: rows}}
    map: rows
    resources: {{cpu: 0.1}}
  groups:
    python: steps:group
    inputs: {{rows: rows}}
    map: {{over: rows, by: text, parts: 30}}
    executor: thread
  files:
    python: readers:files
    inputs: {{rows: rows}}
    map: {{over: rows, batch: 8}}
    executor: thread
  process_files:
    python: readers:files
    inputs: {{rows: rows}}
    with: {{name: process_files}}
    map: {{over: rows, batch: 8}}
    executor: process
outputs: {{{", ".join(f"{node}: {node}" for node in (*NODES, *READERS))}}}
"""
STEPS = """
import asyncio, os, time
NOW = vars(time)["time"]  # unseen: a node that asks for the time is not reused


def told(what, name, texts):
    line = f"{what} {NOW()} {name} {','.join(texts)}\\n"
    file = os.open(os.environ["FAULTS_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)

def batch(text: list[str], name="thread"):
    told("start", name, text)
    time.sleep(0.012)
    told("end", name, text)
    return {"size": [len(each) for each in text], "double": [each * 2 for each in text]}

def short(text: list[str], name="short"):  # several of these calls are ordered at once
    told("start", name, text)
    time.sleep(0.001)
    told("end", name, text)
    return {"title": [each.title() for each in text]}

async def one(text: str):
    told("start", "loop", [text])
    await asyncio.sleep(0.05)
    told("end", "loop", [text])
    return {"upper": text.upper()}

def group(rows):
    texts = sorted(set(rows["text"].to_pylist()))
    told("start", "groups", texts)
    time.sleep(0.02)
    told("end", "groups", texts)
    return rows.append_column("texts", [[len(texts)] * len(rows)])
"""
# In a module of their own: files that a module names count for all functions of it.
READING = f"""
import os, time
from steps import told
FILES = {FILES}
"""
READING += """
def files(text: list[str], name="files"):
    told("start", name, text)
    found = []
    for each in text:
        path = os.path.join(os.path.dirname(__file__), f"data-{int(each.split()[1]) % FILES}")
        with open(path) as file:
            found.append(each + file.read())
    time.sleep(0.012)
    told("end", name, text)
    return {"found": found}
"""


@dataclass(frozen=True, slots=True)
class Known:
    """The digests of the outputs by the content of the file that changes, and how long a run takes."""

    outputs: Mapping[str, Mapping[str, str]]
    seconds: float
    slack: float


@dataclass(frozen=True, slots=True)
class Line:
    what: str
    at: float
    node: str
    texts: tuple[str, ...]


def make(folder: Path) -> rig.Place:
    folder.mkdir(parents=True)
    (folder / FILE).write_text(PIPELINE)
    (folder / "steps.py").write_text(STEPS)
    (folder / "readers.py").write_text(READING)
    for number in range(FILES):
        write_data(folder, number, CONTENTS[0])
    return rig.Place(folder)


def write_data(folder: Path, number: int, content: str) -> None:
    (folder / f"data-{number}").write_text(content)


def prepare(setting: Setting) -> Known:
    outputs, seconds = {}, 0.0
    for number, content in enumerate(CONTENTS):
        place = make(setting.folder / str(number))
        write_data(place.folder, 0, content)
        began = time.monotonic()
        log = setting.folder.parent / f"known-{number}.log"
        ended = place.run("run", FILE, "--json", **{LOG: str(log), MARK: "known"})
        assert ended.code == 0, ended
        seconds = time.monotonic() - began
        outputs[content] = rig.digests(ended.document)
    return Known(outputs, seconds, setting.options["slack"])


def lines_of(log: Path, content: str) -> Iterator[Line]:
    """Yield what the functions have recorded. Nodes that read files have a name for each content of the file."""
    if not log.exists():
        return
    for text in log.read_text().split("\n")[:-1]:
        what, at, node, texts = text.split(" ", 3)
        yield Line(what, float(at), node + content if node in READERS else node, tuple(texts.split(",")))


def one(trial: Trial) -> None:
    known: Known = trial.prepared
    place = make(trial.folder / "p")
    kills = 1 if trial.random.random() < 0.7 else trial.random.randrange(2, 5)
    ended: dict[tuple[str, str], float] = {}  # when the call for a text ended, by node and text
    recent: dict[tuple[str, str], float] = {}  # how many milliseconds before the kill, of those that may be made again
    killed_at, calls = 0.0, 0
    content = CONTENTS[0]
    for number in range(kills + 1):
        log, mark = trial.logs / f"log.{number}", str(trial.folder / f"mark.{number}")
        if number and trial.random.random() < 0.4:
            content = next(other for other in CONTENTS if other != content)
            write_data(place.folder, 0, content)
            trial.count("changes of a file that calls have read")
        started = place.start("run", FILE, "--json", **{LOG: str(log), MARK: mark})
        if number < kills:
            until = time.monotonic() + trial.random.uniform(0.2, known.seconds)
            while started.process.poll() is None and time.monotonic() < until:
                time.sleep(0.002)
            killed_at = time.time()
            started.kill()
            started.end()
            trial.count("kills")
            left, _ = rig.await_gone(mark)
            trial.check(not left, f"kill {number}: still there: {[command(pid) for pid in left]}")
        else:
            last = started.end()
            rig.clean_words(trial, last, f"start {number}")
            rig.right_outputs(trial, last, known.outputs[content], f"start {number}")
        lines = [*lines_of(log, content)]
        judge_calls(trial, lines, ended, f"start {number}")
        calls += sum(line.what == "start" for line in lines)
        again = {(line.node, text) for line in lines if line.what == "start" for text in line.texts}
        for key in again & recent.keys():
            trial.measure("ms between the end of a call and a kill that took it back", recent[key])
        ended.update({(line.node, text): line.at for line in lines if line.what == "end" for text in line.texts})
        if number < kills:
            # What ended just before the kill may be made again.
            late = known.slack + _SAVED_MS
            recent = {key: ms for key, at in ended.items() if (ms := (killed_at - at) * 1e3) <= late}
            trial.count("texts that ended just before a kill", len(recent))
            for key in recent:
                del ended[key]
    trial.count("calls", calls)


def judge_calls(trial: Trial, lines: Sequence[Line], ended: Mapping[tuple[str, str], float], told: str) -> None:
    """Check that nothing is computed whose call had ended before, and that no text is computed twice in one run."""
    started = Counter((line.node, text) for line in lines if line.what == "start" for text in line.texts)
    again = sorted(key for key in started if key in ended)
    trial.check(not again, f"{told}: computed again: {again[:10]} of {len(again)}")
    twice = sorted(key for key, times in started.items() if times > 1)
    trial.check(not twice, f"{told}: computed twice in one run: {twice[:10]} of {len(twice)}")


if __name__ == "__main__":
    options = {"slack": (150.0, "milliseconds more than 50 for the result of a call to be kept, on a busy machine")}
    rig.main(one, about=ABOUT, prepare=prepare, trials=300, options=options)
