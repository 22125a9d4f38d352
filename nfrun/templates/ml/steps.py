"""The Python functions of ml.yaml: they get its inputs as tables, and its values."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

ESTIMATORS = {
    "neighbors": KNeighborsClassifier,
    "logistic": LogisticRegression,
    "forest": RandomForestClassifier,
}


def wines() -> pa.Table:
    """Return a row for each wine: 13 measurements and its label, which is 0, 1 or 2."""
    data = load_wine()
    measured = dict(zip(data.feature_names, data.data.T, strict=True))
    return pa.table({**measured, "label": data.target})


def score(
    wines: pa.Table, model: dict[str, Any], fold: int, folds: int
) -> dict[str, float]:
    """Fit a model to all folds but one, and return its accuracy on that one."""
    x, y = features_and_labels(wines)
    is_test = np.arange(len(y)) % folds == fold
    fitted = new_model(model).fit(x[~is_test], y[~is_test])
    return {"accuracy": fitted.score(x[is_test], y[is_test])}


def rank(scores: pa.Table) -> pa.Table:
    """Return the mean accuracy of each model, the best one first."""
    means = scores.group_by("model").aggregate([("accuracy", "mean")])
    accuracy = pc.round(means["accuracy_mean"], 4)
    ranking = pa.table({"model": means["model"], "accuracy": accuracy})
    return ranking.sort_by([("accuracy", "descending"), ("model", "ascending")])


def is_good(ranking: pa.Table, least: float) -> str | None:
    """Return why the best model is not good enough, and None if it is."""
    best = ranking.to_pylist()[0]
    if best["accuracy"] < least:
        return f"{best['model']} has an accuracy of {best['accuracy']}, below {least}"
    return None


def fit_best(
    wines: pa.Table, ranking: pa.Table, models: list[dict[str, Any]], context: Any
) -> Path:
    """Fit the best model to all wines, and return the path of a file with it."""
    best = ranking["model"][0].as_py()
    model = next(model for model in models if model["id"] == best)
    path: Path = context.output("model.joblib")
    joblib.dump(new_model(model).fit(*features_and_labels(wines)), path)
    return path


def new_model(model: dict[str, Any]) -> Pipeline:
    """Return a model that is not fitted yet, after the line for it in ml.yaml."""
    settings = {
        name: value for name, value in model.items() if name not in ("id", "estimator")
    }
    return make_pipeline(StandardScaler(), ESTIMATORS[model["estimator"]](**settings))


def features_and_labels(wines: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Return an array with a row for each wine, and its label."""
    features = wines.drop_columns("label")
    return np.column_stack(features.columns), wines["label"].to_numpy()
