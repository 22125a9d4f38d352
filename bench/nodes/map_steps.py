"""The functions of the mapped nodes that `bench/maps.py` measures."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pyarrow as pa

_ROUNDS = 3_500  # of a hash that takes about a millisecond, in C code that lets go of Python's lock


def numbers(rows: int, new: int = 0) -> pa.Table:
    """Return a table with a number in each row. The last `new` numbers stand in the middle."""
    found = [*range(rows)]
    found[rows // 2 : rows // 2] = range(rows, rows + new)
    return pa.table({"number": pa.array(found, pa.int64())})


def hashed(number: int) -> str:
    """Take about a millisecond without Python's lock."""
    return hashlib.pbkdf2_hmac("sha256", str(number).encode(), b"", _ROUNDS).hex()


def digests(number: Sequence[int]) -> dict[str, list[str]]:
    """Return the digests of some numbers, in a column."""
    return {"digest": [hashed(each) for each in number]}


def wide(number: pa.Array) -> dict[str, pa.Array]:
    """Return a text of a kilobyte for each number, in a column."""
    import pyarrow.compute as pc

    return {"text": pc.utf8_lpad(pc.cast(number, pa.string()), width=1024, padding=".")}
