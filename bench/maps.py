"""Measures mapped nodes: calls of a function of a millisecond against loops, and results that are found again.

The function hashes, in C code without Python's lock. joblib and dask make the same calls on as many threads, where they
are installed. Rows by wall time mean little while other programs run.
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa

from bench.measure import Line, Sample, clocked, holds, interleaved, median, run_here, spread, versus
from bench.nodes.map_steps import hashed, numbers, rounds_of
from bench.startup import fresh, without_numpy
from bench.whole_processes import usage_of
from nfrun.core.map_spec import KeptRows, MapSpec
from nfrun.rows.work import MapWork

_ROWS = 10_000
_SECONDS = 0.001  # that the function takes for a row
_WORKERS = 2
_NEW = 10
_BATCHES = {64: "<= 0.526", 1: "<= 0.588"}  # the loop takes 1.9 and 1.7 times as long
_BEYOND_IMPORTS = 0.3  # seconds that a run with a few new rows may take beyond its imports
_IMPORTS = (
    "pyarrow.compute, asyncio, nfrun.cli.run_command, nfrun.session.run, nfrun.code.facts.fact_reader, "
    "nfrun.rows.work, nfrun.session.run, nfrun.tables.store, nfrun.pipeline_file.loader, nfrun.reports.summary"
)
_MANY = 1_000_000
_MOST_SECONDS = 1.5  # to open and join a million rows
_MOST_MEMORY = 2.0  # times the table

_PIPELINE = """
nodes:
  rows: {{python: "bench.nodes.map_steps:numbers", with: {{rows: {rows}, new: {new}}}}}
  digests:
    python: "bench.nodes.map_steps:digests"
    inputs: rows
    with: {{rounds: {rounds}}}
    map: {{over: rows, batch: {batch}}}
outputs: {{digests: digests}}
"""


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Yield the rows of the results."""
    yield from _against_loops(folder, min(repeat, 3))
    yield from _new_rows(folder / "new", repeat)
    yield from _many_rows(folder / "many", repeat)


def _write(folder: Path, rounds: int, **values: int) -> Path:
    folder.mkdir(exist_ok=True)
    pipeline = folder / "maps.yaml"
    values = {"rows": _ROWS, "new": 0, "batch": 64, **values}
    pipeline.write_text(_PIPELINE.format(rounds=rounds, **values), encoding="utf-8")
    return pipeline


def _against_loops(folder: Path, repeat: int) -> Iterator[Line]:
    """Measure all calls of a node on two threads, by wall time, against a loop and against other libraries."""
    rounds = rounds_of(_SECONDS)
    ways: dict[str, Callable[[], object]] = {"loop": partial(_loop, rounds)}
    for batch in _BATCHES:
        pipeline = _write(folder / f"batch-{batch}", rounds, batch=batch)
        ways[f"batch {batch}"] = partial(run_here, pipeline, slots=_WORKERS)
    if importlib.util.find_spec("joblib"):
        ways["joblib"] = partial(_joblib, rounds)
    if importlib.util.find_spec("dask"):
        ways["dask"] = partial(_dask, rounds)
    found = interleaved({name: partial(clocked, way) for name, way in ways.items()}, repeat)
    for batch, bar in _BATCHES.items():
        what = f"{_ROWS:,} rows of a millisecond, batch {batch}, {_WORKERS} threads"
        for other in ways:
            if not other.startswith("batch"):
                limit = bar if other == "loop" else ""
                yield versus(f"{what} / {other}", found[f"batch {batch}"], found[other], limit, by="wall")


def _loop(rounds: int) -> list[str]:
    return [hashed(number, rounds) for number in range(_ROWS)]


def _joblib(rounds: int) -> object:
    from joblib import Parallel, delayed

    return Parallel(n_jobs=_WORKERS, prefer="threads")(delayed(hashed)(number, rounds) for number in range(_ROWS))


def _dask(rounds: int) -> object:
    bags: Any = importlib.import_module("dask.bag")
    bag = bags.from_sequence(range(_ROWS), partition_size=64)
    return bag.map_partitions(lambda part: [hashed(each, rounds) for each in part]).compute(
        scheduler="threads", num_workers=_WORKERS
    )


def _new_rows(folder: Path, repeat: int) -> Iterator[Line]:
    """Measure a whole process that computes a few new rows, by wall time, beyond the imports that it needs.

    Without numpy and pandas, which Arrow imports where they are installed.
    """
    numbers_of_new, rounds = count(1), rounds_of(_SECONDS)
    run = [sys.executable, "-m", "nfrun", "run", str(_write(folder, rounds)), "-q", "-j", str(_WORKERS)]
    environ = without_numpy(folder)
    fresh(run, environ)

    def with_new_rows() -> Sample:
        _write(folder, rounds, new=_NEW * next(numbers_of_new))
        return fresh(run, environ)

    imports = [sys.executable, "-c", f"import {_IMPORTS}"]
    ways: Mapping[str, Callable[[], Sample]] = {"new": with_new_rows, "imports": partial(fresh, imports, environ)}
    interleaved(ways, 1)
    found = interleaved(ways, repeat)
    beyond = [ours.wall - theirs.wall for ours, theirs in zip(found["new"], found["imports"], strict=True)]
    ratio = median(beyond) / _BEYOND_IMPORTS
    what = f"{_ROWS:,} rows of a millisecond, {_NEW} of them new: beyond imports"
    against = f"{_BEYOND_IMPORTS * 1e3:.0f} ms wall"
    yield Line(what, f"{spread(beyond)} wall", against, ratio, "<= 1.0", holds(ratio, "<= 1.0"))


def _many_rows(folder: Path, repeat: int) -> Iterator[Line]:
    """Measure how a million results are found and joined, by wall time, and the memory of that."""
    keep_many(folder)
    found = [clocked(partial(join_many, folder)) for _ in range(repeat)]
    seconds = [sample.wall for sample in found]
    ratio = median(seconds) / _MOST_SECONDS
    what = f"{_MANY:,} rows found and joined"
    yield Line(what, f"{spread(seconds)} wall", f"{_MOST_SECONDS} s wall", ratio, "<= 1.0", holds(ratio, "<= 1.0"))
    if sys.platform.startswith("linux"):
        code = "from pathlib import Path; from bench import maps; maps.{}(Path({!r}))"
        root = Path(__file__).parents[1]
        with_results, without = (
            usage_of("-c", code.format(function, str(folder)), folder=root).memory
            for function in ("join_many", "make_many")
        )
        size = join_many(folder)
        ratio = (with_results - without) / size
        measured, against = f"{(with_results - without) / 1e6:.0f} MB", f"{size / 1e6:.0f} MB"
        bar = f"<= {_MOST_MEMORY}"
        yield Line(f"{what}: memory / the table", measured, against, ratio, bar, holds(ratio, bar))
    shutil.rmtree(folder)


def make_many(folder: Path) -> pa.Table:
    """Return a table of a million texts."""
    import pyarrow.compute as pc

    del folder
    texts = pc.binary_join_element_wise("the text of document", pc.cast(numbers(_MANY)["number"], pa.string()), " ")
    return pa.table({"text": texts})


def keep_many(folder: Path) -> None:
    """Keep a result of a few hundred bytes for each of a million texts."""
    work = _open_many(folder)
    for i in range(work.count):
        piece = work.piece((i,))
        work.record(piece, {"more": [f"{text:>200}" for text in work.table(piece)["text"].to_pylist()]})
    work.close()


def join_many(folder: Path) -> int:
    """Find the results again and join them. Returns the bytes of the whole table."""
    work = _open_many(folder)
    assert work.reused == _MANY
    return sum(batch.nbytes for batch in work.joined())


def _open_many(folder: Path) -> MapWork:
    return MapWork(make_many(folder), MapSpec("x"), ("text",), KeptRows(str(folder), "1"), name="more")
