"""A 100 MB table from one producer to three readers: what the readers wait, and what memory it takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from bench.measure import Line, interleaved, median, run_fresh, spread

_STEPS = """
import pyarrow as pa
import pyarrow.compute as pc

ROWS = 100_000_000 // 16

def make():
    column = pa.array(range(1000), pa.int64())
    column = pa.concat_arrays([column] * (ROWS // 1000))
    return pa.table({"x": column, "y": column.cast(pa.float64())})

def read(table):
    return {"sum": pc.sum(table["x"]).as_py(), "mean": pc.mean(table["y"]).as_py()}
"""


def write(folder: Path, readers: int) -> Path:
    """Write the pipeline with that many readers; returns its file."""
    (folder / "hundred.py").write_text(_STEPS, encoding="utf-8")
    lines = ["nodes:", "  make: {python: 'hundred:make'}"]
    lines += [f"  read{i}: {{python: 'hundred:read', inputs: {{table: make}}}}" for i in range(readers)]
    path = folder / f"readers-{readers}.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Each variant in fresh processes, in turns."""
    three, one = write(folder, 3), write(folder, 1)
    peaks: dict[str, list[float]] = {}

    def run(name: str, path: Path, handoff: str) -> float:
        _, out = run_fresh("run", str(path), "--json", "-q", "--handoff", handoff)
        document = json.loads(out)
        peaks.setdefault(name, []).append(document["peak_rss_bytes"])
        return float(document["nodes"]["make"]["handoff_s"])

    found = interleaved(
        {
            "auto, 3 readers": lambda: run("auto, 3 readers", three, "auto"),
            "mmap, 3 readers": lambda: run("mmap, 3 readers", three, "mmap"),
            "mmap, 1 reader": lambda: run("mmap, 1 reader", one, "mmap"),
            "memory, 3 readers": lambda: run("memory, 3 readers", three, "memory"),
        },
        repeat,
    )
    auto, mmap = found["auto, 3 readers"], found["mmap, 3 readers"]
    most = 3e-3  # 1 ms for each reader
    yield Line(
        "100 MB, auto: producer and three readers wait in all",
        spread(auto),
        "1 ms a reader",
        median(auto) / most,
        "<= 1",
        median(auto) <= most,
    )
    yield Line("100 MB: mmap waits / auto waits", spread(mmap), spread(auto), median(mmap) / median(auto))
    peak = {name: median(values) for name, values in peaks.items()}
    three_peak, one_peak = peak["mmap, 3 readers"], peak["mmap, 1 reader"]
    yield Line(
        "100 MB, mmap: peak memory of three readers / of one",
        megabytes(three_peak),
        megabytes(one_peak),
        three_peak / one_peak,
        "<= 1.1",
        three_peak <= 1.1 * one_peak,
    )
    for name in ("auto, 3 readers", "memory, 3 readers"):
        what = f"100 MB, {name}: peak memory / of mmap"
        yield Line(what, megabytes(peak[name]), megabytes(three_peak), peak[name] / three_peak)


def megabytes(value: float) -> str:
    """A number of bytes in MB."""
    return f"{value / 1e6:.0f} MB"
