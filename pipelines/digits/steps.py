"""The steps of digits.yaml that compare models. Each is a plain function of tables.

A table of images has the columns `image` (its number), `pixels` (64 numbers from 0 to 1, row by row) and `digit`.
"""

import json
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
