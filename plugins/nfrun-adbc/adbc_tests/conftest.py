"""The fixtures of the tests: a database of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from adbc_tests.trials import SCHEMES, Trial, make_trial, postgresql_server

pytest.importorskip("adbc_driver_manager", reason="ADBC is not installed: pip install adbc-driver-manager")


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
