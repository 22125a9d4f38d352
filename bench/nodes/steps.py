"""What the nodes of the benchmarks do, the same functions for every engine."""

from __future__ import annotations

import hashlib
import time

import pyarrow as pa

ROW = pa.table({"x": [1]})
TABLE = pa.table({"x": range(1000)})


def nothing() -> None:
    """Do nothing, hand nothing on."""


def row(**inputs: object) -> pa.Table:
    """Hand on one row."""
    return ROW


def wait(ms: float, **inputs: object) -> pa.Table:
    """Wait as for a model or a service, for so many milliseconds, then hand on a small table."""
    time.sleep(ms / 1000)
    return TABLE


def burn(rounds: int) -> None:
    """Keep a core busy without the interpreter lock and without memory: it is given back while OpenSSL counts."""
    hashlib.pbkdf2_hmac("sha256", b"stencil", b"task", rounds)
