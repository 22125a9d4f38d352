"""Kills a run right after it has told that a node finished, and looks for the node in its history.

Promised: a node whose end has been reported is in the journal, whatever is still being written. So no later run makes
it again.
"""

from __future__ import annotations

import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

from tests.faults import rig
from tests.faults.processes import status
from tests.faults.rig import MARK, ROOT, Trial

ABOUT = (__doc__ or "").split("\n")[0]
_FILE = "p.yaml"
_TOLD = re.compile(r"^ *[\d.]+ s  (\w+) finished in")
_STEPS = """
import pyarrow as pa


def make(rows, **tables):
    return pa.table({"n": pa.Array.from_buffers(pa.int64(), rows, [None, pa.py_buffer(bytes(8 * rows))])})


def split(rows, **tables):
    return {"low": make(rows), "high": make(rows // 2 + 1)}


def nothing(**tables):
    return None
"""


def pipeline(chance: random.Random) -> str:
    """Write a pipeline of tables of all sizes, scripts with and without output, and nodes that only need others."""
    lines, outputs, names = [], list[str](), list[str]()
    for i in range(chance.randrange(5, 14)):
        name = f"n{i}"
        reads = chance.sample(outputs, min(len(outputs), chance.randrange(3)))
        before = [other for other in names if all(other != output.partition(".")[0] for output in reads)]
        needs = chance.sample(before, min(len(before), chance.choice((0, 0, 1, 2))))
        inputs = ", ".join(f"t{j}: {output}" for j, output in enumerate(reads))
        common = f"inputs: {{{inputs}}}, needs: [{', '.join(needs)}]"
        rows = int(10 ** chance.uniform(0, 6.5))
        executor = chance.choice(("thread", "thread", "thread", "process"))
        kind = chance.random()
        if kind < 0.5:
            lines.append(f"{{python: 'steps:make', with: {{rows: {rows}}}, {common}, executor: {executor}}}")
        elif kind < 0.65:
            lines.append(f"{{python: 'steps:split', with: {{rows: {rows}}}, {common}, outputs: [low, high]}}")
        elif kind < 0.75:
            lines.append(f"{{python: 'steps:nothing', {common}}}")
        elif kind < 0.9:
            script = f"echo n; seq {min(rows, 100_000)}"
            lines.append(f"{{run: '({script}) > $NFRUN_OUTPUT', format: csv, {common}}}")
        else:
            lines.append(f"{{run: 'true', {common}}}")
        lines[-1] = f"  {name}: {lines[-1]}"
        names.append(name)
        if "split" in lines[-1]:
            outputs += [f"{name}.low", f"{name}.high"]
        elif "make" in lines[-1] or "OUTPUT" in lines[-1]:
            outputs.append(name)
    return "nodes:\n" + "\n".join(lines) + "\n"


def one(trial: Trial) -> None:
    folder = trial.folder / "p"
    folder.mkdir()
    (folder / "steps.py").write_text(_STEPS)
    (folder / _FILE).write_text(pipeline(trial.random))
    durable = trial.random.choice(((), (), ("--durable",)))
    wanted = trial.random.randrange(1, 10)
    process = subprocess.Popen(
        [sys.executable, "-m", "nfrun", "run", _FILE, "-v", "-j", "4", *durable],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), MARK: str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    told: list[str] = []
    runner = None
    with process.stderr as lines:
        for line in lines:
            runner = runner or runner_of(process.pid)
            if (found := _TOLD.match(line)) is not None:
                told.append(found[1])
                if len(told) == wanted and runner is not None:
                    # Not the process that was started: the runner would go on until the reaper has noticed.
                    with suppress(ProcessLookupError):
                        os.kill(runner, signal.SIGKILL)
    code = process.wait(rig.HANG_SECONDS)
    trial.count("runs that were killed" if code else "runs that ended before")
    trial.check(code in (0, 137), f"exit {code}")
    recorded = journal(folder)
    trial.count("nodes told", len(told))
    trial.count("nodes recorded and not told", len(recorded - set(told)))
    missing = sorted(set(told) - recorded)
    trial.check(not missing, f"told {wanted} {' '.join(durable)}: not in the journal: {', '.join(missing)}")


def runner_of(started: int) -> int | None:
    """Return the process that does the work: the child of the child of the one that was started."""
    pids = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    parents = {pid: int(status(pid).get("PPid", 0)) for pid in pids}
    reapers = [pid for pid, parent in parents.items() if parent == started]
    return min((pid for pid, parent in parents.items() if parent in reapers), default=None)


def journal(folder: Path) -> set[str]:
    """Return the nodes in the journal of the only run."""
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(folder / ".nfrun/history.db")) as db:
        return {name for (name,) in db.execute("select node from lines where event = 'finished'")}
    return set()  # it was killed before it had one


if __name__ == "__main__":
    rig.main(one, about=ABOUT, trials=300)
