"""The fixtures of the tests: a database of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from nfrun_adbc import query, write

from adbc_tests.trials import SCHEMES, Trial, make_trial, postgresql_server


def in_this_process(kind: str, job: Any, table: str = "") -> pa.RecordBatchReader:
    """Does what `reader_apart` does, without its process."""
    if kind == "query":
        return query.read_rows(job)
    write.write_rows(job)
    return pa.table({}).to_reader()


@pytest.fixture(autouse=True)
def files_in_this_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saves half a second each time, but where the process is what is tested: test_database_process.py."""
    if request.path.stem != "test_database_process":
        for module in (query, write):
            monkeypatch.setattr(module, "reader_apart", in_this_process)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URI of a server that all tests of this process share."""
    with postgresql_server() as uri:
        yield uri


@pytest.fixture(params=SCHEMES)
def trial(request: pytest.FixtureRequest, tmp_path: Path) -> Trial:
    """A fresh database of each kind."""
    return make_trial(request.param, tmp_path, lambda: request.getfixturevalue("server"))


@pytest.fixture
def sqlite(tmp_path: Path) -> Trial:
    return make_trial("sqlite", tmp_path, str)


@pytest.fixture
def duckdb(tmp_path: Path) -> Trial:
    return make_trial("duckdb", tmp_path, str)


@pytest.fixture
def postgresql(request: pytest.FixtureRequest, tmp_path: Path) -> Trial:
    return make_trial("postgresql", tmp_path, lambda: request.getfixturevalue("server"))
