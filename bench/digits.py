"""Measures 20 small scikit-learn fits: nfrun against a Python loop with one native thread, both as whole processes."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.measure import Line, holds, interleaved, median, run_fresh, spread

MODELS, SEEDS = ("logistic", "forest", "vectors", "clusters"), 5
# By slots. With one, starting nfrun counts too, a third of a second of five.
_BARS = {1: "", 2: "<= 1.05"}
# Each function draws by a seed of its own, so that nfrun may call them on threads.
_STEPS = """
import numpy as np
import pyarrow as pa
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC


def digits():
    pixels, target = load_digits(return_X_y=True)
    return pa.table({**{f"p{i}": column for i, column in enumerate(pixels.T)}, "digit": target})


def fit(digits, model, seed):
    pixels = np.column_stack([digits[f"p{i}"].to_numpy() for i in range(64)])
    train, test, known, expected = train_test_split(pixels, digits["digit"].to_numpy(), random_state=seed)
    if model == "logistic":
        found = LogisticRegression(max_iter=200, random_state=seed).fit(train / 16, known)
        return {"model": model, "seed": seed, "score": found.score(test / 16, expected)}
    if model == "clusters":
        found = KMeans(10, n_init=10, random_state=seed).fit(train)
        return {"model": model, "seed": seed, "score": found.score(test)}
    if model == "forest":
        found = RandomForestClassifier(200, random_state=seed).fit(train, known)
    else:
        found = SVC(kernel="linear", random_state=seed).fit(train, known)
    return {"model": model, "seed": seed, "score": found.score(test, expected)}


def best(**scores):
    return max(pa.concat_tables(scores.values()).to_pylist(), key=lambda row: row["score"])
"""
_LOOP = """
import pyarrow as pa
import steps
table = steps.digits()
fits = {f"{m}_{s}": steps.fit(table, m, s) for m in %r for s in range(%d)}
steps.best(**{name: pa.Table.from_pylist([row]) for name, row in fits.items()})
"""


def write(folder: Path) -> Path:
    """Write the pipeline, its functions, and a program that calls them in a loop. Returns the pipeline's file."""
    (folder / "steps.py").write_text(_STEPS, encoding="utf-8")
    (folder / "loop.py").write_text(_LOOP % (MODELS, SEEDS), encoding="utf-8")
    fits = {f"{model}_{seed}": (model, seed) for model in MODELS for seed in range(SEEDS)}
    lines = ["  digits: {python: 'steps:digits'}"]
    lines += [
        f"  {name}: {{python: 'steps:fit', inputs: digits, with: {{model: {model}, seed: {seed}}}}}"
        for name, (model, seed) in fits.items()
    ]
    lines.append(f"  best: {{python: 'steps:best', inputs: [{', '.join(fits)}]}}")
    path = folder / "digits.yaml"
    path.write_text("nodes:\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Measure, where scikit-learn is installed, with one slot and with two."""
    if importlib.util.find_spec("sklearn") is None:
        return
    path = write(folder)

    def loop() -> float:
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        began = time.perf_counter()
        subprocess.run([sys.executable, "loop.py"], cwd=folder, env={**os.environ, **threads}, check=True)
        return time.perf_counter() - began

    def nfrun(slots: int) -> Callable[[], float]:
        def run() -> float:
            with tempfile.TemporaryDirectory(dir=folder) as work:  # each is a first run
                return run_fresh("run", str(path), "--fresh", "-q", "-j", str(slots), "--work", work)[0]

        return run

    found = interleaved({0: loop, 1: nfrun(1), 2: nfrun(2)}, min(repeat, 5))
    for slots, bar in _BARS.items():
        ratio = median(found[slots]) / median(found[0])
        turns = [ours / theirs for ours, theirs in zip(found[slots], found[0], strict=True)]
        what = f"{len(MODELS) * SEEDS} scikit-learn fits, -j {slots}: nfrun / loop with one thread"
        yield Line(what, spread(found[slots]), spread(found[0]), ratio, bar, holds(ratio, bar), min(turns), max(turns))
