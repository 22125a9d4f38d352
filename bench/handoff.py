"""Measures how tables pass between nodes: the waits by size and readers, the cost of publishing, and the memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from bench.measure import (
    Line,
    Sample,
    clocked,
    holds,
    interleaved,
    median,
    micro,
    run_here,
    spread,
    touch_pages,
    versus,
)
from nfrun.core.pipeline import OutputId
from nfrun.system.checksums import bytes_checksum
from nfrun.tables.digest import table_digest
from nfrun.tables.ipc import write_file
from nfrun.tables.json_store import JsonStore
from nfrun.tables.store import TableStore

MB = 1_000_000
SIZES = {"1 MB": MB, "10 MB": 10 * MB, "100 MB": 100 * MB, "1 GB": 1000 * MB}
READERS = (1, 8)
_A = OutputId("a")
CHAIN = 12  # nodes that pass on a table
PASSED = 20 * MB  # bytes of such a table
FREE = 1.10  # limit of auto / memory if one core is free for writing

# Nodes don't convert Python values to arrays. For that pyarrow imports pandas where it is installed, and the 40 MB
# that this takes would count as nfrun's.
STEPS = """
import os, zlib
import pyarrow as pa

def integers(data):
    return pa.Array.from_buffers(pa.int64(), len(data) // 8, [None, pa.py_buffer(data)])

def make(rows):
    return pa.table({"x": integers(os.urandom(8 * rows)), "y": integers(os.urandom(8 * rows))})

def read(table):
    checks = [zlib.crc32(chunk.buffers()[1]) for column in table.columns for chunk in column.chunks]
    return pa.table({"check": integers(sum(checks).to_bytes(8, "little"))})

def change(table, columns=6):
    x = table["x"].cast(pa.float64(), safe=False)
    for _ in range(columns):
        x = x.cast(pa.int64(), safe=False).cast(pa.float64(), safe=False)
    return pa.table({"x": x, "y": table["y"].cast(pa.float64(), safe=False)})
"""

# Runs nfrun and prints its peak memory, without an import of this package, which would take memory. `getrusage` is used
# only without /proc: it counts what the parent, this process with its large tables, held when it started the child.
_PEAK = """
import resource, runpy, sys
try:
    runpy.run_module("nfrun", run_name="__main__", alter_sys=True) if sys.argv[1:] else __import__("pyarrow")
finally:
    try:
        lines = open("/proc/self/status").read().splitlines()
        peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(peak, file=sys.stderr)
"""


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Measure memory in fresh processes, all else in this one. With 1 GB tables there are fewer rounds."""
    (folder / "tables.py").write_text(STEPS, encoding="utf-8")
    yield from _memory(folder, repeat)
    yield from _makespans(folder, repeat)
    yield from _files(folder / "files", "20 MB", make_table(PASSED), repeat)
    for what, size in SIZES.items():
        table = make_table(size)
        yield from _handoffs(folder / "handoffs", what, table, min(repeat, 3) if size > 100 * MB else repeat)
        if size >= 100 * MB:
            yield from _files(folder / "files", what, table, repeat)


def make_table(size: int) -> pa.Table:
    """Make a table of two columns of random integers, with `size` bytes in all."""
    rows = size // 16
    columns = [pa.Array.from_buffers(pa.int64(), rows, [None, pa.py_buffer(os.urandom(8 * rows))]) for _ in range(2)]
    return pa.table(columns, names=["x", "y"])


# -- waiting -----------------------------------------------------------------------------------------------------------


def _handoffs(folder: Path, what: str, table: pa.Table, repeat: int) -> Iterator[Line]:
    for readers in READERS:
        stores = {
            "auto": TableStore(folder),
            "written": TableStore(folder, retained=frozenset({_A})),
            "mmap": TableStore(folder, mode="mmap"),
        }
        if table.nbytes <= MB:
            stores["json"] = JsonStore(folder, retained=frozenset(), on_published=lambda ref: None)
        ways = {name: partial(_hand_on, store, table, readers) for name, store in stores.items()}
        found = interleaved(ways, repeat + 1)
        for store in stores.values():
            store.close()
        found = {name: values[1:] for name, values in found.items()}  # the first round starts threads and imports
        auto = [publish + sum(waits) for publish, waits in found["auto"]]
        for name in stores:
            if name in ("mmap", "json"):
                other = [publish + sum(waits) for publish, waits in found[name]]
                row = f"{what} to {_readers(readers)}: {name} / auto"
                yield Line(row, spread(other), micro(auto), median(other) / median(auto))
        if table.nbytes >= 100 * MB:
            longest = [max(waits) for name in ("auto", "written") for _, waits in found[name]]
            ratio = median(longest) / 1e-4
            row = f"{what} to {_readers(readers)}, auto: longest wait / 0.1 ms"
            yield Line(row, micro(longest), "0.1 ms", ratio, "<= 1", ratio <= 1)


def _hand_on(store: TableStore, table: pa.Table, readers: int) -> tuple[float, list[float]]:
    """Publish a table and open it. Returns the seconds that the producer waits and that each reader waits, in turn."""
    began = time.perf_counter()
    ref = store.publish(_A, 1, table)
    times = [time.perf_counter()]
    for _ in range(readers):
        store.open(ref)
        times.append(time.perf_counter())
    store.release(ref)
    store.flushed()
    return times[0] - began, [after - before for before, after in pairwise(times)]


def _readers(count: int) -> str:
    return f"{count} reader{'s' * (count > 1)}"


# -- files -------------------------------------------------------------------------------------------------------------


def _files(folder: Path, what: str, table: pa.Table, repeat: int) -> Iterator[Line]:
    """Compare publishing, and its parts, to the cheapest way to write as many bytes to a file, and to Arrow's writer.

    Of a published file are shown the digest of the table, the checksum of the file, and its system calls, `reserve and
    write`; beside them is a copy in memory.
    """
    folder.mkdir(exist_ok=True)
    path = folder / "a.arrow"
    write_file(table, path)
    data = path.read_bytes()
    copy = bytearray(len(data))

    def writing(write: Callable[[], object]) -> Sample:
        path.unlink(missing_ok=True)
        return clocked(write)

    ways: dict[str, Callable[[], object]] = {
        "raw": partial(_raw, data, path),
        "published": partial(write_file, table, path),
        "arrow": partial(_arrow, table, path),
        "digest": partial(table_digest, table),
        "checksum": partial(bytes_checksum, data),
        "copy": lambda: copy.__setitem__(slice(None), data),
    }
    turns = interleaved({name: partial(writing, way) for name, way in ways.items()}, repeat + 1)
    found = {name: samples[1:] for name, samples in turns.items()}  # the first round allocates the pages
    shutil.rmtree(folder)
    parts = zip(found["published"], found["digest"], found["checksum"], strict=True)
    unhashed = [Sample(all_.cpu - a.cpu - b.cpu, all_.wall - a.wall - b.wall) for all_, a, b in parts]
    raw = found["raw"]
    bar = "<= 1.2" if table.nbytes <= 100 * MB else ""  # with 1 GB a round, the disk decides who waits
    yield versus(f"{what} published, without hashes / reserve and write", unhashed, raw, bar, by="wall")
    yield versus(f"{what} published, without hashes / pa.OSFile", unhashed, found["arrow"], by="wall")
    for part in ("digest", "checksum", "copy"):
        yield versus(f"{what}: {part} / reserve and write", found[part], raw, by="wall")


def _raw(data: bytes, path: Path) -> None:
    left = memoryview(data)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file, 0, len(left))
        while left:
            left = left[os.write(file, left) :]
    finally:
        os.close(file)


def _arrow(table: pa.Table, path: Path) -> None:
    with pa.OSFile(os.fsencode(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


# -- a whole run -------------------------------------------------------------------------------------------------------


def _makespans(folder: Path, repeat: int) -> Iterator[Line]:
    """Measure runs with one node at a time, so that on two cores one is free for writing."""
    for name, kept in (("between nodes", False), ("all of them kept", True)):
        path = write_chain(folder, CHAIN, PASSED, kept)

        def makespan(handoff: str, path: Path = path) -> float:
            work = folder / "work"
            touch_pages(folder, (CHAIN + 1) * PASSED)
            try:
                return float(run_here(path, slots=1, handoff=handoff, work=work)["wall_s"])
            finally:
                shutil.rmtree(work, ignore_errors=True)  # otherwise the disk is busy with it for a long time

        makespan("auto")
        found = interleaved({handoff: partial(makespan, handoff) for handoff in ("memory", "auto", "mmap")}, repeat)
        memory, auto, mmap = found["memory"], found["auto"], found["mmap"]
        ratio, bar = median(auto) / median(memory), f"<= {FREE}"
        turns = [a / b for a, b in zip(auto, memory, strict=True)]
        row = f"makespan, 20 MB tables {name}: auto / memory"
        yield Line(row, spread(auto), spread(memory), ratio, bar, holds(ratio, bar), min(turns), max(turns))
        row = f"makespan, 20 MB tables {name}: mmap / memory"
        yield Line(row, spread(mmap), spread(memory), median(mmap) / median(memory))


def write_chain(folder: Path, nodes: int, size: int, kept: bool) -> Path:
    """Write a pipeline of nodes that each read a table of `size` bytes and make another. Returns its file.

    With `kept`, all tables are outputs of the pipeline.
    """
    lines = ["nodes:", f"  n0: {{python: 'tables:make', with: {{rows: {size // 16}}}}}"]
    lines += [f"  n{i}: {{python: 'tables:change', inputs: {{table: n{i - 1}}}}}" for i in range(1, nodes)]
    lines += [f"  end: {{python: 'tables:read', inputs: {{table: n{nodes - 1}}}}}"]
    if kept:
        lines += ["outputs:", *(f"  n{i}: n{i}" for i in range(nodes))]
    path = folder / f"chain-{'kept' if kept else 'plain'}.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


# -- memory ------------------------------------------------------------------------------------------------------------


def write_readers(folder: Path, readers: int) -> Path:
    """Write a pipeline with a number of readers of a 100 MB table. Returns its file."""
    lines = ["nodes:", f"  make: {{python: 'tables:make', with: {{rows: {100 * MB // 16}}}}}"]
    lines += [f"  read{i}: {{python: 'tables:read', inputs: {{table: make}}}}" for i in range(readers)]
    path = folder / f"readers-{readers}.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _memory(folder: Path, repeat: int) -> Iterator[Line]:
    three, one = write_readers(folder, 3), write_readers(folder, 1)

    def run(path: Path, handoff: str) -> float:
        return peak_of("run", str(path), "--fresh", "-q", "--handoff", handoff)

    variants: dict[str, Callable[[], float]] = {
        "import": peak_of,
        "auto": partial(run, three, "auto"),
        "memory": partial(run, three, "memory"),
        "mmap": partial(run, three, "mmap"),
        "mmap, one": partial(run, one, "mmap"),
    }
    peaks = {name: median(found) for name, found in interleaved(variants, min(repeat, 3)).items()}
    rows: tuple[tuple[str, Any, str, str], ...] = (
        (
            "100 MB, 3 readers, auto: peak beyond the table / import pyarrow",
            peaks["auto"] - 100 * MB,
            "import",
            "<= 1.5",
        ),
        ("100 MB, 3 readers: peak of auto / of memory", peaks["auto"], "memory", ""),
        ("100 MB, mmap: peak of three readers / of one", peaks["mmap"], "mmap, one", "<= 1.1"),
    )
    for what, peak, against, bar in rows:
        ratio = peak / peaks[against]
        yield Line(what, megabytes(peak), megabytes(peaks[against]), ratio, bar, holds(ratio, bar))


def peak_of(*arguments: str) -> float:
    """Return the peak memory in bytes of nfrun with these arguments, or of `import pyarrow` without arguments.

    Raises CalledProcessError.
    """
    command = [sys.executable, "-c", _PEAK, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return float(done.stderr.split()[-1])


def megabytes(value: float) -> str:
    """Format a number of bytes in MB."""
    return f"{value / MB:.0f} MB"
