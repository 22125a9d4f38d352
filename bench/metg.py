"""Measures METG(50 %): the smallest task size at which half of the time of two cores still goes into tasks.

The stencil pattern and the measure are those of Task Bench (Slaughter et al., 2020). The size here is that of the task
alone, without the engine's overhead, which is half of what the paper calls granularity. Tasks compute without holding
the GIL, as Arrow and DuckDB do.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from bench import noop, peers
from bench.measure import Line, clocked, holds, median
from bench.nodes import steps
from bench.peers import Engine, Shape

WORKERS = 2
WIDTHS = (2, 4)
TASKS = 1_000
LEVEL = 0.5
_FIRST, _LAST = 4e-6, 5e-3  # seconds
_STEP = 2**0.5


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Compare nfrun to the loops, and to dask where it is installed."""
    seconds = seconds_per_round()
    among: dict[str, Engine] = {
        "nfrun": partial(noop.nfrun, work=folder / "runs"),
        "loop": peers.loop,
        "loop with wait()": peers.naive_loop,
        **{name: engine for name, engine in peers.libraries().items() if name == "dask"},
    }
    for width in WIDTHS:
        sizes, found = _sweep(stencil(width, TASKS // width), among, seconds, repeat)
        metg, turns = {}, {}
        for name, rows in found.items():
            metg[name] = crossing(sizes, [median(row) for row in rows])
            turns[name] = [crossing(sizes, [row[turn] for row in rows]) for turn in range(repeat)]
        for name in list(among)[1:]:
            ratio = metg["nfrun"] / metg[name]
            ratios = [a / b for a, b in zip(turns["nfrun"], turns[name], strict=True)]
            bar = "<= 1.0" if name == "loop" else ""
            yield Line(
                f"METG(50 %), stencil of {width}: nfrun / {name}",
                _figures(metg["nfrun"], turns["nfrun"]),
                _figures(metg[name], turns[name]),
                ratio,
                bar,
                holds(ratio, bar),
                min(ratios),
                max(ratios),
                wall=ratio,
            )


def stencil(width: int, length: int) -> dict[str, tuple[str, ...]]:
    """Return the needs of a stencil: each point of a step needs itself and its neighbours in the step before."""
    return {
        f"t{step}_{i}": tuple(f"t{step - 1}_{j}" for j in range(max(0, i - 1), min(width, i + 2))) if step else ()
        for step in range(length)
        for i in range(width)
    }


def seconds_per_round() -> float:
    """Return the least seconds that one round of `steps.burn` takes a single thread."""
    rounds = 10_000
    best = math.inf
    for _ in range(10):
        began = time.perf_counter()
        steps.burn(rounds)
        best = min(best, time.perf_counter() - began)
    return best / rounds


def _sweep(
    needs: Mapping[str, tuple[str, ...]], among: Mapping[str, Engine], seconds: float, repeat: int
) -> tuple[list[float], dict[str, list[list[float]]]]:
    """Measure growing task sizes. Returns the sizes in seconds, and the efficiencies by engine, size and round.

    Stops when the median of every engine has been at least LEVEL at three sizes in a row. Raises RuntimeError if that
    does not happen up to 5 ms.
    """
    sizes: list[float] = []
    found: dict[str, list[list[float]]] = {name: [] for name in among}
    while not all(_is_above_level(rows) for rows in found.values()):
        size = sizes[-1] * _STEP if sizes else _FIRST
        if size > _LAST:
            raise RuntimeError(f"an engine stays below {LEVEL:.0%} up to {_LAST * 1e3:g} ms: is the machine busy?")
        rounds = max(1, round(size / seconds))
        shape = Shape(needs, "burn", {name: {"rounds": rounds} for name in needs})
        sizes.append(rounds * seconds)
        for rows in found.values():
            rows.append([])
        for _ in range(repeat):
            best = _without_engine(rounds, len(needs))
            for name, engine in among.items():
                found[name][-1].append(best / clocked(engine(shape, WORKERS)).wall)
    return sizes, found


def _is_above_level(rows: Sequence[list[float]]) -> bool:
    return len(rows) >= 3 and all(median(row) >= LEVEL for row in rows[-3:])


def _without_engine(rounds: int, tasks: int) -> float:
    """Return the seconds that WORKERS threads take for all tasks without an engine, each its share in sequence."""

    def share() -> None:
        for _ in range(tasks // WORKERS):
            steps.burn(rounds)

    threads = [threading.Thread(target=share) for _ in range(WORKERS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


def crossing(sizes: Sequence[float], efficiencies: Sequence[float], level: float = LEVEL) -> float:
    """Return the size from which on the efficiency is at least `level`.

    `sizes` must be ascending. Interpolates in the logarithm of the size. Returns the smallest size if the efficiency
    was never below the level, and the largest if it still is.
    """
    below = [i for i, efficiency in enumerate(efficiencies) if efficiency < level]
    if not below:
        return sizes[0]
    i = below[-1]
    if i == len(sizes) - 1:
        return sizes[i]
    share = (level - efficiencies[i]) / (efficiencies[i + 1] - efficiencies[i])
    return sizes[i] * math.exp(share * math.log(sizes[i + 1] / sizes[i]))


def _figures(metg: float, turns: list[float]) -> str:
    return f"{metg * 1e6:.1f} us ({min(turns) * 1e6:.1f} to {max(turns) * 1e6:.1f})"
