"""Measures nodes that compute in Python: in worker processes on all cores, and in threads, against sequential."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from bench.measure import Line, interleaved, median, run_fresh, spread

NODES = 8
_STEPS = """
import pyarrow as pa

def burn(seed):
    value = seed
    for i in range(8_000_000):
        value = (value * 1103515245 + 12345 + i) % 2147483648
    # Not from a Python value: where pandas is installed, pyarrow imports it to look at that, in every process.
    column = pa.Array.from_buffers(pa.int64(), 1, [None, pa.py_buffer(value.to_bytes(8, "little"))])
    return pa.table({"value": column})
"""


def write(folder: Path) -> Path:
    """Write a pipeline of nodes that compute for about a second each. Returns its file."""
    (folder / "burning.py").write_text(_STEPS, encoding="utf-8")
    lines = [f"  n{i}: {{python: 'burning:burn', with: {{seed: {i}}}}}" for i in range(NODES)]
    path = folder / "burn.yaml"
    path.write_text("nodes:\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Measure by the run's own clock in fresh processes, with two slots. The start of the workers counts."""
    path = write(folder)
    variants = {
        "sequential": ("--schedule", "sequential", "--executor", "thread"),
        "threads": ("--executor", "thread"),
        "processes": ("--executor", "process"),
    }

    def wall(options: tuple[str, ...]) -> float:
        _, out = run_fresh("run", str(path), "--fresh", "--json", "-q", "-j", "2", *options)
        return float(json.loads(out)["wall_s"])

    runs = {name: lambda o=options: wall(o) for name, options in variants.items()}
    found = interleaved(runs, min(repeat, 3))
    one = found["sequential"]
    for name, bar in (("processes", 1.8), ("threads", None)):
        many = found[name]
        ratio = median(one) / median(many)
        yield Line(
            f"{NODES} nodes that compute in Python: sequential / {name}",
            spread(one),
            spread(many),
            ratio,
            f">= {bar}" if bar else "",
            ratio >= bar if bar else None,
        )
