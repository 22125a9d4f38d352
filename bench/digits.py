"""Measures a first run of `pipelines/digits` against its loop in Python, which has one native thread as nfrun has.

Both are whole processes. Needs what the extra `digits` has.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from bench.measure import Line, Sample, interleaved, versus
from bench.startup import fresh

PIPELINE = Path(__file__).parents[1] / "pipelines" / "digits"
_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_MOST = "<= 1.05"  # wall seconds of the loop, with two slots and two idle cores


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Yield a row for one slot and one for two against the loop. Nothing if a package is not installed."""
    if any(importlib.util.find_spec(name) is None for name in ("onnxruntime", "skl2onnx", "sklearn")):
        return
    copy = folder / "digits"
    shutil.copytree(PIPELINE, copy, ignore=shutil.ignore_patterns(".nfrun", "out", "__pycache__"))
    pipeline = str(copy / "digits.yaml")
    loop = partial(fresh, (sys.executable, str(copy / "loop.py")), {**os.environ, **_THREADS})

    def nfrun(slots: str) -> Callable[[], Sample]:
        # Without knowledge of earlier runs, so that each is a first one.
        command = (sys.executable, "-m", "nfrun", "run", pipeline, "-q", "-j", slots)

        def run() -> Sample:
            shutil.rmtree(copy / ".nfrun", ignore_errors=True)
            return fresh(command, os.environ)

        return run

    ways: Mapping[str, Callable[[], Sample]] = {"loop": loop, "1": nfrun("1"), "2": nfrun("2")}
    interleaved(ways, 1)  # a warm-up round, which compiles the bytecode
    found = interleaved(ways, min(repeat, 5))
    what = "digits, 20 fits and a model"
    yield versus(f"{what}, -j 1: nfrun / loop", found["1"], found["loop"])
    yield versus(f"{what}, -j 2: nfrun / loop", found["2"], found["loop"], _MOST, by="wall")
