"""Measures how a model of 1 GB is handed on as a file: the wait of its first reader, and the memory of four readers."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.measure import Line, holds, median, run_fresh, spread

SIZE = 1_000_000_000  # bytes
READERS = 4
MOST_SECONDS = 0.005  # from the end of the node to the first reader, beside the digest
MOST_BYTES = 50_000_000  # of memory, beyond what one reader takes

STEPS = """
import json, mmap, os, time
from pathlib import Path

from xxhash import xxh3_128


def note(path, **values):
    Path(os.environ["NOTES"]).joinpath(path).write_text(json.dumps(values))


def train(context, size):
    path = context.output("model.bin")
    block = os.urandom(1 << 20)
    with path.open("wb") as file:
        for _ in range(size // len(block)):
            file.write(block)
    began = time.perf_counter()
    hasher = xxh3_128()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(1 << 20):
            hasher.update(chunk)
    digest = time.perf_counter() - began
    note("train", inode=path.stat().st_ino, digest=digest, at=time.time())
    return path


def read(model, context, partner):
    at = time.time()
    with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        total = sum(mapped[:: mmap.PAGESIZE])
        meet(context.node, partner, "mapped")
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        pss = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
        meet(context.node, partner, "measured")
    note(context.node, inode=model.stat().st_ino, at=at, pss=pss)
    return [{"total": total}]


def meet(node, partner, what):
    folder = Path(os.environ["NOTES"]) / what
    folder.mkdir(exist_ok=True)
    (folder / node).touch()
    while partner and not (folder / partner).exists():
        time.sleep(0.01)
"""


def pipeline_of(readers: int, notes: Path) -> str:
    """Return the file of a pipeline with a model and its readers, of which two map it at once."""
    nodes = [f"  train: {{python: 'steps:train', with: {{size: {SIZE}}}, outputs: {{model: .bin}}}}"]
    for i in range(readers):
        partner = f"read_{i ^ 1}" if i ^ 1 < readers else ""
        nodes.append(f"  read_{i}: {{python: 'steps:read', inputs: {{model: train}}, with: {{partner: '{partner}'}}}}")
    head = ["defaults: {executor: process}", f"env: {{NOTES: {json.dumps(str(notes))}}}", "nodes:"]
    return "\n".join([*head, *nodes, ""])


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Yield the rows of the results."""
    if not sys.platform.startswith("linux"):
        return
    (folder / "steps.py").write_text(STEPS)
    memory: dict[int, list[float]] = {1: [], READERS: []}
    waits: list[float] = []
    digests: list[float] = []
    inodes: set[int] = set()
    for _ in range(repeat):
        for readers, found in memory.items():
            train, read = _run(folder, readers)
            found.append(sum(note["pss"] for note in read[:2]))
            inodes = {int(note["inode"]) for note in (train, *read)}
            waits.append(min(note["at"] for note in read) - train["at"])
            digests.append(train["digest"])
    beside = median([wait - digest for wait, digest in zip(waits, digests, strict=True)])
    bar = "<= 1.0"
    ratio = beside / MOST_SECONDS
    what = "a model of 1 GB: from its node's end to its first reader, beside the digest"
    measured = f"{beside * 1e3:.1f} ms (whole {spread(waits)}, digest {spread(digests)})"
    yield Line(what, measured, f"{MOST_SECONDS * 1e3:.0f} ms", ratio, bar, holds(ratio, bar))
    more = median(memory[READERS]) - median(memory[1])
    ratio = more / MOST_BYTES
    what = f"a model of 1 GB: memory of two processes with {READERS} readers beyond that of one"
    yield Line(what, f"{more / 1e6:.0f} MB", f"{MOST_BYTES / 1e6:.0f} MB", ratio, bar, holds(ratio, bar))
    files = len(inodes)
    yield Line("a model of 1 GB: files that were written", str(files), "1", files, bar, holds(files, bar))


def _run(folder: Path, readers: int) -> tuple[dict[str, float], list[dict[str, float]]]:
    """Run the pipeline. Returns the notes of the model, with the seconds that a digest takes, and of its readers."""
    notes = folder / "notes"
    shutil.rmtree(notes, ignore_errors=True)
    notes.mkdir()
    file = folder / f"model_{readers}.yaml"
    file.write_text(pipeline_of(readers, notes))
    run_fresh("run", str(file), "--fresh", "-j", "2")
    read = [json.loads((notes / f"read_{i}").read_text()) for i in range(readers)]
    shutil.rmtree(folder / ".nfrun")
    return json.loads((notes / "train").read_text()), read
