"""The functions of the mapped nodes that `bench/maps.py` measures."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence

import pyarrow as pa


def numbers(rows: int, new: int = 0) -> pa.Table:
    """Return a table with a number in each row. The last `new` numbers stand in the middle."""
    found = [*range(rows)]
    found[rows // 2 : rows // 2] = range(rows, rows + new)
    return pa.table({"number": pa.array(found, pa.int64())})


def rounds_of(seconds: float) -> int:
    """Return the rounds of `hashed` that take so many seconds of CPU on this machine."""

    def cpu(rounds: int) -> float:
        began = time.thread_time()
        hashed(0, rounds)
        return time.thread_time() - began

    some = 10_000
    return round(some * seconds / min(cpu(some) for _ in range(20)))


def hashed(number: int, rounds: int) -> str:
    """Hash a number many times, in C code that lets go of Python's lock."""
    return hashlib.pbkdf2_hmac("sha256", str(number).encode(), b"", rounds).hex()


def digests(number: Sequence[int], rounds: int) -> dict[str, list[str]]:
    """Return the digests of some numbers, in a column."""
    return {"digest": [hashed(each, rounds) for each in number]}


def wide(number: pa.Array) -> dict[str, pa.Array]:
    """Return a text of a kilobyte for each number, in a column."""
    import pyarrow.compute as pc

    return {"text": pc.utf8_lpad(pc.cast(number, pa.string()), width=1024, padding=".")}
