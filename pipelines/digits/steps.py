"""The steps of digits.yaml that are no queries. Each is a plain function of tables.

A table of images has the columns `image` (its number), `pixels` (64 numbers from 0 to 1, row by row) and `digit`.
"""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.base import ClassifierMixin
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

# Attributes that skl2onnx reads of a support vector machine, although scikit-learn will drop them.
warnings.filterwarnings("ignore", message="Attribute `prob[AB]_`", category=FutureWarning)

KINDS = {
    "logistic": LogisticRegression,
    "forest": RandomForestClassifier,
    "neighbours": KNeighborsClassifier,
    "vectors": SVC,
}


def make(model: dict[str, Any]) -> ClassifierMixin:
    """Make a model of scikit-learn from its `kind` and its `settings`."""
    return KINDS[model["kind"]](**model["settings"])


def pixels_of(table: pa.Table) -> np.ndarray:
    """Return an array of float32 with a row of 64 pixels for each image."""
    return table["pixels"].combine_chunks().flatten().to_numpy().reshape(-1, 64)


def digits() -> dict[str, pa.Table]:
    """Return four fifths of the images to learn from, and the others as a test."""
    pixels, digit = load_digits(return_X_y=True)
    pixels = (pixels / 16).astype(np.float32)
    images = pa.table(
        {
            "image": np.arange(len(digit)),
            "pixels": pa.FixedSizeListArray.from_arrays(pa.array(pixels.reshape(-1)), 64),
            "digit": digit,
        }
    )
    train, test = train_test_split(np.arange(len(digit)), test_size=0.2, stratify=digit, random_state=0)
    return {"train": images.take(np.sort(train)), "test": images.take(np.sort(test))}


def split(table: pa.Table, fold: int, folds: int) -> dict[str, pa.Table]:
    """Return the images that are not in a fold, to learn from, and those in it. Each digit is spread over all folds."""
    parts = StratifiedKFold(folds, shuffle=True, random_state=0).split(np.zeros(len(table)), table["digit"].to_numpy())
    learn, check = list(parts)[fold]
    return {"learn": table.take(learn), "check": table.take(check)}


def score(learn: pa.Table, check: pa.Table, model: dict[str, Any]) -> dict[str, float]:
    """Return the `accuracy` of a model: the share (0 to 1) of images that it reads as what they are."""
    fitted = make(model).fit(pixels_of(learn), learn["digit"].to_numpy())
    return {"accuracy": fitted.score(pixels_of(check), check["digit"].to_numpy())}


def mean(scores: pa.Table, model: dict[str, Any]) -> dict[str, Any]:
    """Return the mean `accuracy` of a model over the folds, the `worst` one, its `kind`, and its `settings` as JSON."""
    accuracy = scores["accuracy"].to_numpy()
    settings = json.dumps(model["settings"], sort_keys=True)
    return {"accuracy": accuracy.mean(), "worst": accuracy.min(), "kind": model["kind"], "settings": settings}


def refit(train: pa.Table, test: pa.Table, best: pa.Table) -> dict[str, Any]:
    """Return the best model as an ONNX file, learnt from all images, and the digits that it reads in the test."""
    from skl2onnx import to_onnx

    (row,) = best.to_pylist()
    model = make({"kind": row["kind"], "settings": json.loads(row["settings"])})
    model.fit(pixels_of(train), train["digit"].to_numpy())
    labels = pa.table({"image": test["image"], "digit": model.predict(pixels_of(test))})
    return {"model": to_onnx(model, pixels_of(train)[:1]).SerializeToString(), "labels": labels}


def read(model: Path, test: pa.Table) -> pa.Table:
    """Return the `digit` that the ONNX file reads in each image."""
    import onnxruntime

    one_thread = onnxruntime.SessionOptions()
    one_thread.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, one_thread)
    (name,) = (each.name for each in session.get_inputs())
    label = session.get_outputs()[0].name
    (found,) = session.run([label], {name: pixels_of(test)})
    return pa.table({"image": test["image"], "digit": found})
