"""The steps of digits.yaml that make the ONNX file of the best model, and read images with it."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa
from skl2onnx import to_onnx
from sklearn.base import ClassifierMixin
from steps import make, pixels_of

# Attributes that skl2onnx reads of a support vector machine, although scikit-learn will drop them.
warnings.filterwarnings("ignore", message="Attribute `prob[AB]_`", category=FutureWarning)


def refit(train: pa.Table, test: pa.Table, best: pa.Table) -> dict[str, Any]:
    """Return the best model as an ONNX file, learnt from all images, and the digits that it reads in the test."""
    (row,) = best.to_pylist()
    model = make({"kind": row["kind"], "settings": json.loads(row["settings"])})
    model.fit(pixels_of(train), train["digit"].to_numpy())
    labels = pa.table({"image": test["image"], "digit": model.predict(pixels_of(test))})
    return {"model": onnx_bytes(model, pixels_of(train)[:1]), "labels": labels}


def onnx_bytes(model: ClassifierMixin, example: np.ndarray) -> bytes:
    """Return a fitted model as an ONNX file: the same bytes every time. It takes rows such as `example`."""
    found = to_onnx(model, example)
    opsets = sorted(found.opset_import, key=lambda each: each.domain)  # skl2onnx has them in the order of a set
    del found.opset_import[:]
    found.opset_import.extend(opsets)
    return found.SerializeToString()


def read(model: Path, test: pa.Table) -> pa.Table:
    """Return the `digit` that the ONNX file reads in each image."""
    one_thread = onnxruntime.SessionOptions()
    one_thread.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, one_thread)
    (name,) = (each.name for each in session.get_inputs())
    label = session.get_outputs()[0].name
    (found,) = session.run([label], {name: pixels_of(test)})
    return pa.table({"image": test["image"], "digit": found})
