"""Tests of ml.yaml. The fixture `pipeline` comes with nfrun; its runs stay apart."""

import joblib
import numpy as np
import pyarrow as pa

from steps import features_and_labels, rank, wines

MODELS = [
    {"id": "near", "estimator": "neighbors", "n_neighbors": 3},
    {"id": "far", "estimator": "neighbors", "n_neighbors": 99},
]


def test_the_best_model_comes_first():
    scores = {"model": ["a", "b", "a", "b"], "accuracy": [0.5, 0.75, 0.5, 1.0]}
    best, second = rank(pa.table(scores)).to_pylist()
    assert best == {"model": "b", "accuracy": 0.875}
    assert second == {"model": "a", "accuracy": 0.5}


def test_a_fold_is_scored_by_a_model_of_the_others(pipeline):
    given = {"model": MODELS[0], "fold": 0, "folds": 4}
    scored = pipeline("ml.yaml").node("score@nearest@0", wines=wines(), with_=given)
    assert 0.9 < scored["accuracy"][0].as_py() <= 1.0


def test_the_saved_model_is_the_best_one(pipeline):
    given = {"wines": wines(), "ranking": [{"model": "near", "accuracy": 1.0}]}
    path = pipeline("ml.yaml").node("best", **given, with_={"models": MODELS})
    model = joblib.load(path)
    assert model[-1].n_neighbors == 3
    x, y = features_and_labels(wines())
    assert np.mean(model.predict(x) == y) > 0.9


def test_a_bad_best_model_fails_the_run(pipeline):
    result = pipeline("ml.yaml").run(params={"least": 1.0, "folds": 2}, until="ranking")
    assert [failure.node for failure in result.failures] == ["ranking"]
    assert "below 1.0" in result.failures[0].message
