"""What digits.yaml does, as a loop, for comparison: one after the other, and all again after each change."""

import json
from pathlib import Path

import export
import pyarrow as pa
import steps
import yaml


def run(file: Path, folds: int = 5) -> dict[str, object]:
    """Return the `accuracy` of each model, the `best` one, and the `correct` readings of the ONNX file in the test."""
    images = steps.digits()
    parts = [steps.split(images["train"], fold, folds) for fold in range(folds)]
    means = []
    for model in yaml.safe_load(file.read_text())["matrix"]["model"]:
        scores = [steps.score(**part, model=model) for part in parts]
        means.append({"model": model["id"], **steps.mean(pa.Table.from_pylist(scores), model)})
    best = max(means, key=lambda row: row["accuracy"])
    found = export.refit(images["train"], images["test"], pa.Table.from_pylist([best]))
    read = export.read(found["model"], images["test"])["digit"].to_pylist()
    correct = sum(a == b for a, b in zip(read, images["test"]["digit"].to_pylist(), strict=True))
    accuracy = {row["model"]: row["accuracy"] for row in means}
    return {"accuracy": accuracy, "best": best["model"], "correct": correct}


if __name__ == "__main__":
    print(json.dumps(run(Path(__file__).with_name("digits.yaml")), indent=2))
