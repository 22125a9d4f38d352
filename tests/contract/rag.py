"""The functions and the class that rag.yaml names: an index of the words of documents, with small vectors."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa

LOG = Path(os.environ.get("RAG_LOG", os.devnull))


def note(*words: object) -> None:
    """Write down what was called."""
    with LOG.open("a", encoding="utf-8") as log:
        print(*words, file=log)


def load(folder: Path) -> pa.Table:
    """Read the documents of a folder."""
    files = sorted(folder.glob("*.txt"))
    return pa.table({"doc_id": [file.stem for file in files], "text": [file.read_text() for file in files]})


def chunk(texts: pa.Table) -> pa.Table:
    """Cut documents into sentences."""
    note("chunk", *texts["doc_id"].to_pylist())
    rows = [
        {"chunk_id": f"{doc}.{i}", "doc_id": doc, "text": sentence.strip()}
        for doc, text in zip(texts["doc_id"].to_pylist(), texts["text"].to_pylist(), strict=True)
        for i, sentence in enumerate(filter(str.strip, text.split(".")))
    ]
    return pa.Table.from_pylist(rows, pa.schema([(name, pa.string()) for name in ("chunk_id", "doc_id", "text")]))


class Embedder:
    """Counts letters, as a model would find a vector."""

    def __init__(self, model: str) -> None:
        note("model", model)
        self.letters = "abcdefgh"

    def __call__(self, text: list[str]) -> dict[str, Any]:
        note("embed", len(text))
        counts = [Counter(each.lower()) for each in text]
        return {"vector": [[float(count[letter]) for letter in self.letters] for count in counts]}

    def close(self) -> None:
        note("close")


def build_index(vectors: pa.Table, context: Any) -> Path:
    """Write an index: the chunks by their largest letter."""
    index: dict[str, list[str]] = {}
    for chunk_id, vector in zip(vectors["chunk_id"].to_pylist(), vectors["vector"].to_pylist(), strict=True):
        index.setdefault("abcdefgh"[vector.index(max(vector))], []).append(chunk_id)
    folder: Path = context.output("index")
    folder.mkdir()
    (folder / "index.json").write_text(json.dumps(index, sort_keys=True))
    return folder
