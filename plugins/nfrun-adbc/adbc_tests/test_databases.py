"""What ADBC_URI may be, and what is said of the rest. No URI is ever shown."""

from __future__ import annotations

import errno
import sqlite3
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from nfrun_adbc import databases, query, write

from adbc_tests.trials import Trial, TrialJob
from nfrun import NodeError

FORMS = "write sqlite:FILE, duckdb:FILE or postgresql://user@host/name"
WRONG = {
    None: (
        "the variable ADBC_URI is not set",
        "set it under 'env': sqlite:FILE, duckdb:FILE or postgresql://user@host/name",
    ),
    " ": (
        "the variable ADBC_URI is not set",
        "set it under 'env': sqlite:FILE, duckdb:FILE or postgresql://user@host/name",
    ),
    "shop.db": ("ADBC_URI is no URI of a database", FORMS),
    "./a:b": ("ADBC_URI is no URI of a database", FORMS),
    "mysql://root:hunter2@host/x": ("ADBC_URI begins with 'mysql:', and there is no driver for that", FORMS),
    "postgresql+psycopg2://me:hunter2@host/x": (
        "ADBC_URI begins with 'postgresql+psycopg2:', which is for SQLAlchemy",
        "begin it with 'postgresql:'",
    ),
    "sqlite://host/hunter2": (
        "ADBC_URI names a host, and the database of 'sqlite:' is a file",
        "write sqlite:shop.db, or sqlite:/data/shop.db",
    ),
    "sqlite:": ("ADBC_URI names no file: a database in memory would be gone after the node", "write sqlite:shop.db"),
    "duckdb::memory:": (
        "ADBC_URI names no file: a database in memory would be gone after the node",
        "write duckdb:shop.db",
    ),
    "sqlite:a.db?mode=ro": ("ADBC_URI has options behind a '?', which 'sqlite:' does not take", "remove them"),
}


@pytest.mark.parametrize("uri", WRONG)
def test_what_is_wrong_is_said_without_the_uri(tmp_path: Path, uri: str | None) -> None:
    with pytest.raises(NodeError) as error:
        write.run(TrialJob(tmp_path, uri, {"table": "t", "mode": "append"}, pa.table({"a": [1]})))
    assert (str(error.value), error.value.details) == WRONG[uri]
    assert "hunter2" not in str(error.value) + error.value.details


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    pytest.importorskip("adbc_driver_postgresql")
    with pytest.raises(NodeError) as error:
        query.run(TrialJob(tmp_path, f"postgresql://me:hunter2@/x?host={tmp_path}", {"sql": "select 1"}))
    assert "hunter2" not in str(error.value) + error.value.details
    assert "No such file or directory" in str(error.value) + error.value.details


@pytest.mark.parametrize("scheme", ["sqlite", "duckdb"])
def test_a_file_is_relative_to_the_folder_or_absolute(tmp_path: Path, scheme: str) -> None:
    (tmp_path / "sub").mkdir()
    for uri in (
        f"{scheme}:sub/a.db",
        f"{scheme}:{tmp_path}/sub/a.db",
        f"{scheme}://{tmp_path}/sub/a.db",
        f"{scheme.upper()}:sub/a.db",
    ):
        Trial(scheme, uri, tmp_path).write(pa.table({"a": [1]}))
    assert Trial(scheme, f"{scheme}:sub/a.db", tmp_path).rows("select count(*) from t") == [(4,)]
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["a.db"]


def test_a_folder_or_a_database_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match=r"^there is no folder .*/no for the database$"):
        Trial("sqlite", "sqlite:no/a.db", tmp_path).write(pa.table({"a": [1]}))
    for scheme in ("sqlite", "duckdb"):
        with pytest.raises(NodeError, match=r"^there is no database .*/a.db$"):
            Trial(scheme, f"{scheme}:a.db", tmp_path).query("select 1")
    assert not list(tmp_path.iterdir())


def test_a_driver_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "nfrun_adbc.duckdb_file", raising=False)
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(NodeError) as error:
        Trial("duckdb", "duckdb:a.db", tmp_path).write(pa.table({"a": [1]}))
    told = ("the driver for 'duckdb:' is not installed", "install it with: pip install duckdb")
    assert (str(error.value), error.value.details) == told


def test_a_job_that_waits_for_a_file_stops_when_it_is_told(tmp_path: Path) -> None:
    job = TrialJob(tmp_path, "duckdb:a.db", {"table": "t", "mode": "append"}, pa.table({"a": [1]}))
    job.stop.requested = True
    with databases.locked(job, tmp_path / "a.db"), pytest.raises(NodeError, match="stopped"):
        write.run(job)


def test_a_full_disk_is_an_error_of_the_system(tmp_path: Path) -> None:
    trial = Trial("sqlite", "sqlite:a.db", tmp_path)
    trial.write(pa.table({"a": [1]}))
    job = TrialJob(tmp_path, trial.uri, {})
    with pytest.raises(OSError) as error, databases.connected(job, reads=False) as database:
        database.execute("pragma max_page_count = 2")
        numbers = "with recursive n(a) as (select 1 union all select a + 1 from n limit 9999) select a from n"
        database.execute(f"create table u as {numbers}")
    assert (error.value.errno, error.value.filename) == (errno.ENOSPC, str(tmp_path / "a.db"))


# ------------------------------------------------------------------ others that have the file open


def test_a_writer_that_waits_too_long_says_so(sqlite: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    from nfrun_adbc import sqlite_file

    monkeypatch.setattr(sqlite_file, "_BUSY_SECONDS", 0.0)
    sqlite.write(pa.table({"id": [1]}))
    other = sqlite3.connect(sqlite.folder / "test.db", isolation_level=None)
    other.execute("begin immediate")
    with pytest.raises(NodeError) as error:
        sqlite.write(pa.table({"id": [2]}))
    other.close()
    assert str(error.value) == f"another program has been writing into {sqlite.folder / 'test.db'} for 0 s"
