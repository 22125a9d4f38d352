"""Finding keys among others gives what a dict would, in one part and in many."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest

from nfrun.rows import results
from nfrun.rows.results import are_distinct, positions_in
from nfrun.rows.row_keys import key_array


def positions(keys: list[bytes], known: list[bytes]) -> list[int | None]:
    first: dict[bytes, int] = {}
    for i, key in enumerate(known):
        first.setdefault(key, i)
    return [first.get(key) for key in keys]


@pytest.fixture(params=["in one part", "in many parts"])
def chance(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> random.Random:
    if request.param == "in many parts":
        monkeypatch.setattr(results, "_PART_KEYS", 4)
    return random.Random(7)


@pytest.mark.parametrize(("size", "known_size"), [(0, 0), (0, 5), (5, 0), (1, 1), (50, 70), (300, 300)])
def test_the_first_equal_key_is_found(chance: random.Random, size: int, known_size: int) -> None:
    some = [chance.randbytes(16) for _ in range(40)]
    keys = [chance.choice(some) for _ in range(size)]
    known = [chance.choice(some[:30]) for _ in range(known_size)]
    given, others = (key_array(b"".join(found)) for found in (keys, known))
    chunks = pa.chunked_array([others.slice(i, 7) for i in range(0, known_size, 7)], others.type)
    assert positions_in(given, others).to_pylist() == positions(keys, known)
    assert positions_in(given, chunks).to_pylist() == positions(keys, known)
    assert positions_in(given.slice(size // 3), chunks).to_pylist() == positions(keys[size // 3 :], known)


def test_keys_with_one_equal_half_are_not_the_same(chance: random.Random) -> None:
    halves = [chance.randbytes(8) for _ in range(20)]
    keys = [half + bytes(8) for half in halves]
    others = [half + bytes(7) + b"\1" for half in halves]
    assert positions_in(key_array(b"".join(keys)), key_array(b"".join(others))).null_count == 20


@pytest.mark.parametrize("size", [0, 1, 2, 100])
def test_whether_keys_are_distinct(chance: random.Random, size: int) -> None:
    keys = [chance.randbytes(16) for _ in range(size)]
    assert are_distinct(key_array(b"".join(keys)))
    assert not size or not are_distinct(key_array(b"".join([*keys, keys[size // 2]])))
