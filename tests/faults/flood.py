"""Makes nodes print huge amounts, and measures the memory and disk space that the run uses.

Promised: whether a node prints lines, one endless line, or binary data, the processes of the run grow by at most 20 MB
compared with the same pipeline printing 1 kB, and the work folder has the beginning and the end of the output.

The growth is measured per process, the largest with the largest and so on, since the memory of a worker would not show
in the total. The processes of a script belong to the node and are not measured.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.faults import rig
from tests.faults.processes import environs, most_memory
from tests.faults.rig import MARK, Ended, Place, Setting, Trial

ABOUT = (__doc__ or "").split("\n")[0]
FILE = "flood.yaml"
WITH_ARROW = 50e6  # bytes of memory of a process
MOST_GROWN = 20 << 20
MOST_ON_DISK = 20 << 20
LITTLE = 1_000  # bytes printed by the run for comparison
LITTLE_RUNS = 5  # at most, until all processes have been seen
WORST_BYTES_A_SECOND = 2 << 20  # a slower run hangs

STEPS = r"""
import os
import sys

LINE = b"a line of a log that says nothing much, and says it again and again, as they do, \xc3\xa9\n"
CHUNKS = {"lines": LINE * 700, "no newline": b"x" * 65536, "binary": None}

def flood(kind, size):
    while size > 0:
        chunk = (CHUNKS[kind] or os.urandom(65536))[:size]
        size -= len(chunk)
        if kind == "binary":
            sys.stdout.buffer.write(chunk)
        else:
            sys.stdout.write(chunk.decode(errors="replace"))
    return {"left": size}
"""

# Not a pipeline: a reader that closes the pipe early would fail the script with `pipefail`.
_LINES = "a line of a log that says nothing much, and says it again and again, as they do"
SCRIPTS = {
    "lines": f"head -c SIZE < <(yes '{_LINES}')",
    "no newline": r"head -c SIZE < <(tr '\0' x < /dev/zero)",
    "binary": "head -c SIZE /dev/urandom",
}
CASES = [(kind, where) for where in ("run", "thread", "process") for kind in SCRIPTS]


@dataclass(frozen=True, slots=True)
class Flooded:
    """The result of a run: its end, the peak memory of its processes, largest first, and the size of its folder."""

    ended: Ended
    memory: list[int]
    disk: int


def prepare(setting: Setting) -> int:
    return int(setting.options["size"])


def make(folder: Path, kind: str, where: str, size: int) -> Place:
    folder.mkdir()
    (folder / "steps.py").write_text(STEPS)
    (folder / "script.sh").write_text(SCRIPTS[kind].replace("SIZE", str(size)) + "\n")
    python = f'python: "steps:flood", with: {{kind: {kind}, size: {size}}}, executor: {where}'
    (folder / FILE).write_text(f"nodes:\n  flood: {{{'run: . ./script.sh' if where == 'run' else python}}}\n")
    return Place(folder, {MARK: str(folder)})


def one(trial: Trial) -> None:
    kind, where = CASES[trial.number % len(CASES)]
    size: int = trial.prepared
    told = f"{size} bytes of {kind} on stdout, {where}"
    much = flooded(make(trial.folder / "much", kind, where, size), size)
    for i in range(LITTLE_RUNS):
        little = flooded(make(trial.folder / f"little{i}", kind, where, LITTLE), LITTLE)
        if len(little.memory) >= len(much.memory):  # a worker may have ended before it was seen
            break
    for run in (little, much):
        rig.clean_words(trial, run.ended, told)
        trial.check(run.ended.code == 0, f"{told}: {run.ended}")
    if not trial.check(little.memory and much.memory, f"{told}: no process of the run was ever seen"):
        return
    # Smaller processes have not imported Arrow and see no output. Some live so briefly that not each run shows them.
    pairs = [(a, b) for a, b in zip(little.memory, much.memory, strict=False) if a >= WITH_ARROW]
    if not trial.check(pairs, f"{told}: no process of the run was seen that has imported Arrow"):
        return
    grown = max(b - a for a, b in pairs)
    trial.measure(f"MB that a process of the run has grown, {where}", grown / 1e6)
    trial.measure(f"MB of the work folder at most, {where}", much.disk / 1e6)
    trial.check(
        grown <= MOST_GROWN,
        f"{told}: from {_megabytes(little.memory)} to {_megabytes(much.memory)} MB in processes of the run",
    )
    trial.check(much.disk <= MOST_ON_DISK, f"{told}: {much.disk} bytes in the work folder")


def _megabytes(sizes: list[int]) -> str:
    return ", ".join(f"{size / 1e6:.0f}" for size in sizes[:4])


def flooded(place: Place, size: int) -> Flooded:
    """Run the pipeline and sample the memory of its processes and the size of its folder."""
    memory: dict[int, int] = {}
    disk, turn = 0, 0
    started = place.start("run", FILE, "--json")
    deadline = time.monotonic() + rig.HANG_SECONDS + size / WORST_BYTES_A_SECOND
    mark = str(place.folder)
    while started.process.poll() is None and time.monotonic() < deadline:
        if turn % 10 == 0:
            # Only a script has the name of its node in its environment.
            ours = [p for p, env in environs() if env.get(MARK) == mark and "NFRUN_NODE" not in env]
            disk = max(disk, size_of(place.folder / ".nfrun"))
        for pid in ours:
            memory[pid] = max(memory.get(pid, 0), most_memory(pid))
        turn += 1
        time.sleep(0.005)
    ended = started.end(0.1)
    return Flooded(ended, sorted(memory.values(), reverse=True), max(disk, size_of(place.folder / ".nfrun")))


def size_of(folder: Path) -> int:
    """Return the disk space of all files below the folder in bytes."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += Path(path, name).lstat().st_blocks * 512
    return total


if __name__ == "__main__":
    size = (1e9, "how many bytes a node prints")
    rig.main(one, about=ABOUT, prepare=prepare, trials=len(CASES), options={"size": size})
