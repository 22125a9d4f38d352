"""Computes sentence vectors by the model of `pipelines/minilm` as a plain script, and makes the texts.

`python bench/nodes/minilm.py TEXTS BATCH FILE` is the plain script.
"""

from __future__ import annotations

import random
import sys

import numpy as np
import pyarrow as pa

from pipelines.minilm.minilm import Embedder

_WORDS = """
    the order was late again and nobody answered my mails please refund it thank you for great help with this invoice
    password reset does not work since tuesday update shipping address customer service delivered damaged parcel quick
    unbelievable misconfiguration rechargeable battery-powered (2nd) warranty café naïve €40 e.g. support, again!
"""


def texts(rows: int) -> pa.Table:
    """Return texts of 4 to 30 words, the same ones each time."""
    chance = random.Random(1)
    words = _WORDS.split()
    found = [" ".join(chance.choices(words, k=chance.randrange(4, 31))) for _ in range(rows)]
    return pa.table({"text": found})


def main(rows: int, batch: int, file: str) -> None:
    """Write the texts with their vectors to an Arrow file: the plain script."""
    embedder, given = Embedder(), texts(rows)
    found = [embedder.vectors(given["text"].slice(at, batch).to_pylist()) for at in range(0, rows, batch)]
    whole = np.concatenate(found)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(whole.reshape(-1)), whole.shape[1])
    with pa.ipc.new_file(file, given.append_column("vector", vectors).schema) as writer:
        writer.write_table(given.append_column("vector", vectors))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
