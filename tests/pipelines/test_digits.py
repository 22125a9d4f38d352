"""pipelines/digits: its answers are those of a plain loop, and of scikit-learn's own cross-validation."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

DIGITS = Path(__file__).parents[2] / "pipelines" / "digits"
PACKAGES = ("duckdb", "onnxruntime", "skl2onnx", "sklearn")
missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(
    bool(missing), reason=f"not installed: {', '.join(missing)} (the extra digits has them)"
)


def python(*arguments: str, cwd: Path, **variables: str) -> str:
    # A process of its own, not a fork: that is without numpy.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # As in nfrun: with more threads, sums are taken in another order, and logistic regression reads other digits.
    environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    environ |= variables
    command = [sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environ, cwd=cwd, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run(folder: Path, *options: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(python("-m", "nfrun", "run", "digits.yaml", "--json", *options, cwd=folder))
    return document


def rows(document: dict[str, Any], output: str) -> list[dict[str, Any]]:
    with pa.memory_map(document["outputs"][output]["path"]) as file:
        found: list[dict[str, Any]] = pa.ipc.open_file(file).read_all().to_pylist()
    return found


def ran(document: dict[str, Any]) -> set[str]:
    return {node for node, told in document["nodes"].items() if told["status"] == "ok"}


# Cross-validation as scikit-learn has it, and the model that it finds, tried on the images that are left.
_SCIKIT_LEARN = """
import json
import numpy as np
import yaml
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold, cross_val_score, train_test_split
import steps
pixels, digit = load_digits(return_X_y=True)
pixels = (pixels / 16).astype(np.float32)
train, test = map(np.sort, train_test_split(np.arange(len(digit)), test_size=0.2, stratify=digit, random_state=0))
folds = StratifiedKFold(5, shuffle=True, random_state=0)
models = {model["id"]: steps.make(model) for model in yaml.safe_load(open("digits.yaml"))["matrix"]["model"]}
scores = {id: cross_val_score(model, pixels[train], digit[train], cv=folds).tolist() for id, model in models.items()}
best = max(scores, key=lambda id: np.mean(scores[id]))
read = models[best].fit(pixels[train], digit[train]).predict(pixels[test])
wrong = [[int(test[i]), int(digit[test[i]]), int(read[i])] for i in np.flatnonzero(read != digit[test])]
print(json.dumps({"scores": scores, "best": best, "wrong": wrong}))
"""


def test_digits_finds_what_a_loop_and_scikit_learn_find(tmp_path: Path) -> None:
    folder = tmp_path / "digits"
    shutil.copytree(DIGITS, folder, ignore=shutil.ignore_patterns(".nfrun", "out", "__pycache__"))
    first = run(folder)
    ranking, (quality,), mistakes = (rows(first, name) for name in ("ranking", "quality", "mistakes"))
    loop = json.loads(python("loop.py", cwd=folder))
    assert {row["model"]: row["accuracy"] for row in ranking} == loop["accuracy"]
    assert ranking[0]["model"] == loop["best"]
    assert quality == {"images": 360, "accuracy": loop["correct"] / 360, "same_as_scikit_learn": 1}

    expected = json.loads(python("-c", _SCIKIT_LEARN, cwd=folder))
    for row in ranking:
        scores = expected["scores"][row["model"]]
        assert (row["accuracy"], row["worst"]) == (pytest.approx(sum(scores) / 5, abs=1e-12), min(scores))
    assert ranking[0]["model"] == expected["best"]
    assert [list(row.values()) for row in mistakes] == expected["wrong"]
    assert (folder / "out" / "model.onnx").read_bytes() == Path(first["outputs"]["model"]["path"]).read_bytes()

    assert ran(run(folder)) == set()

    # One more model is five fits, and another setting of one is five. A model that is not the best trains no other.
    file = folder / "digits.yaml"
    text = file.read_text()
    file.write_text(text.replace("n_neighbors: 3", "n_neighbors: 5"))
    again = run(folder)
    cells = {f"score@neighbours@{fold}" for fold in range(5)}
    assert ran(again) == cells | {"mean@neighbours", "ranking", "best", "publish"}
    assert rows(again, "ranking")[0]["model"] == "vectors"
    assert again["outputs"]["model"]["digest"] == first["outputs"]["model"]["digest"]


_DIGEST = """
import hashlib
import export, steps
train = steps.digits()["train"]
pixels = steps.pixels_of(train)
model = steps.make({"kind": "forest", "settings": {"n_estimators": 3, "random_state": 0}}).fit(pixels, train["digit"])
print(hashlib.sha256(export.onnx_bytes(model, pixels[:1])).hexdigest())
"""


def test_the_onnx_file_does_not_depend_on_the_order_of_sets() -> None:
    digests = {python("-c", _DIGEST, cwd=DIGITS, PYTHONHASHSEED=seed, PYTHONDONTWRITEBYTECODE="1") for seed in "01"}
    assert len(digests) == 1
