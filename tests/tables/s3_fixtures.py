"""The S3 server of the tests: one for all tests of a process, with a bucket for each test.

Not a `conftest.py`: other tests import names from `conftest`, and must find that of the folder `tests`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tables.s3_server import KEYS, S3Server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    pytest.importorskip("moto", reason="the extra `test` has a server of object storage")
    server = S3Server()
    yield server
    server.close()


@pytest.fixture
def s3(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[S3Server, str]]:
    """A server, and the address of a folder in a bucket of this test."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    bucket = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[-60:].strip("-")
    s3_server.make_bucket(bucket)
    s3_server.requests.clear()
    yield s3_server, s3_server.uri(f"{bucket}/store")
