"""A `Job` for tests, and the databases that they use: files, and a PostgreSQL server of their own."""

from __future__ import annotations

import logging
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from nfrun import Job, NodeView

SCHEMES = ("sqlite", "duckdb", "postgresql")
_DRIVERS = {"sqlite": "sqlite3", "duckdb": "duckdb", "postgresql": "adbc_driver_postgresql"}


class Stop:
    requested = False

    @contextmanager
    def calls(self, callback: Callable[[], object]) -> Iterator[None]:
        self.callback = callback
        yield


class TrialJob(Job):
    """A `Job` with a table as its only input."""

    def __init__(self, folder: Path, uri: str | None, values: Mapping[str, Any], table: pa.Table | None = None) -> None:
        inputs = [] if table is None else ["rows"]
        self.node = NodeView("node", "adbc.write", dict(values), inputs, {})
        self.run, self.attempt, self.folder, self.durable = "1", 1, folder, False
        self.environ = {} if uri is None else {"ADBC_URI": uri}
        self.log = logging.getLogger("trial")
        self.stop: Any = Stop()
        self._table = table
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def has(self, name: str) -> bool:
        return name in self.node.inputs

    def table(self, name: str) -> Any:
        assert name == "rows"
        return self._table

    def file(self, name: str) -> Path:
        path = self.scratch() / f"{name}.arrow"
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, self.table(name).schema) as writer:
            writer.write_table(self.table(name))
        return path

    def scratch(self) -> Path:
        self._scratch = self._scratch or tempfile.TemporaryDirectory()
        return Path(self._scratch.name)

    def progress(self, done: float, total: float | None = None) -> None: ...

    def wait(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        raise AssertionError


def server_programs() -> Path | None:
    """The folder of PostgreSQL's programs; None if it is not installed."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    needed = ("initdb", "postgres", "pg_isready")
    return next((place for place in places if all((place / name).exists() for name in needed)), None)


@contextmanager
def postgresql_server() -> Iterator[str]:
    """Provide the URI of a server of its own, in a temporary folder, on a socket in it. Skips where there is none."""
    programs = server_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    # The path of a socket is short. The server refuses to run as root.
    folder = Path(tempfile.mkdtemp(prefix="nfrun-pg-", dir="/tmp"))
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        other = next((name for name in ("postgres", "nobody") if _has_user(name)), None)
        if other is None:
            pytest.skip("PostgreSQL does not run as root, and there is no other user")
        os.chown(folder, pwd.getpwnam(other).pw_uid, -1)
        user = {"user": other, "group": pwd.getpwnam(other).pw_gid, "extra_groups": []}
    environ = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"}
    options: dict[str, Any] = {"cwd": folder, "env": environ, **user}
    init = [programs / "initdb", "-D", folder / "data", "-A", "trust", "-U", "tester", "-E", "UTF8", "--no-sync"]
    subprocess.run(init, check=True, stdout=subprocess.DEVNULL, **options)
    settings = ["listen_addresses=", f"unix_socket_directories={folder}", "fsync=off"]
    command = [programs / "postgres", "-D", folder / "data", *(part for each in settings for part in ("-c", each))]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, **options)
    try:
        ready = [programs / "pg_isready", "-q", "-h", folder]
        while subprocess.run(ready, check=False, **options).returncode != 0:
            assert server.poll() is None, (folder / "log").read_text()
        yield f"postgresql:///postgres?host={folder}&user=tester"
    finally:
        server.send_signal(signal.SIGINT)  # ends sessions
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


class Trial:
    """Writes into a fresh database and reads from it."""

    def __init__(self, scheme: str, uri: str, folder: Path) -> None:
        self.scheme, self.uri, self.folder = scheme, uri, folder

    def write(self, table: pa.Table, mode: Any = "append", name: str = "t", **values: Any) -> list[dict[str, Any]]:
        from nfrun_adbc.write import run

        given = {"table": name, "mode": mode, **values}
        written: Any = run(TrialJob(self.folder, self.uri, given, table))["written"]
        return list(written)

    def query(self, sql: str, parameters: list[Any] | None = None) -> pa.Table:
        from nfrun_adbc.query import run

        values = {"sql": sql} if parameters is None else {"sql": sql, "parameters": parameters}
        reader: Any = run(TrialJob(self.folder, self.uri, values))["rows"]
        return reader.read_all()

    def rows(self, sql: str = "select * from t order by 1") -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self.query(sql).to_pylist()]

    def do(self, *statements: str) -> None:
        """Run statements as another program would."""
        from nfrun_adbc.databases import connected

        job = TrialJob(self.folder, self.uri, {})
        with connected(job, reads=False) as database:
            for statement in statements:
                database.execute(statement)
            database.commit()


def make_trial(scheme: str, folder: Path, server: Callable[[], str]) -> Trial:
    """Return a fresh database: a file, or a schema of the `server`."""
    pytest.importorskip(_DRIVERS[scheme], reason=f"the driver of {scheme} is not installed")
    if scheme != "postgresql":
        return Trial(scheme, f"{scheme}:test.db", folder)
    uri, name = server(), f"t{os.urandom(8).hex()}"
    Trial(scheme, uri, folder).do(f"create schema {name}")
    return Trial(scheme, f"{uri}&options=-csearch_path%3D{name}", folder)
