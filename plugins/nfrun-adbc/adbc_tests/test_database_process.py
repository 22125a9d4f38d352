"""SQLite and DuckDB run in a process of their own. SQLite waits for other processes that write."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from nfrun_adbc import database_process, query, write

from adbc_tests.trials import Trial, TrialJob
from nfrun import NodeError

ROWS = pa.table({"id": [1, 2], "name": ["a", None]})
UPSERT = {"upsert": ["id"]}
MODES = ["append", "replace", UPSERT]


@pytest.fixture
def there(sqlite: Trial) -> Path:
    """The file of a database with a table `t` of one row."""
    path = sqlite.folder / "test.db"
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("create table t (id integer primary key, name text)")
        connection.execute("insert into t values (9, 'before')")
    connection.close()
    return path


def rows(path: Path) -> list[Any]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("select * from t order by id").fetchall()
    finally:
        connection.close()


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_writer_waits_for_a_connection_of_the_same_process(sqlite: Trial, there: Path, mode: Any) -> None:
    other = sqlite3.connect(there, isolation_level=None, check_same_thread=False)
    other.execute("begin immediate")
    other.execute("insert into t values (8, 'other')")
    assert sqlite.rows("select * from t") == [(9, "before")]  # and its end leaves the lock of `other`
    done: list[Any] = []
    thread = threading.Thread(target=lambda: done.append(sqlite.write(ROWS, mode)))
    thread.start()
    thread.join(0.5)  # enough for a writer that does not wait to end
    assert not done
    other.execute("commit")
    other.close()
    thread.join()
    assert done == [[{"table": "t", "mode": "upsert" if mode == UPSERT else mode, "rows": 2}]]
    before = [] if mode == "replace" else [(8, "other"), (9, "before")]
    assert rows(there) == [(1, "a"), (2, None), *before]


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_writer_waits_for_another_process(sqlite: Trial, there: Path, mode: Any) -> None:
    program = (
        "import sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('begin immediate')\n"
        "c.execute(\"insert into t values (8, 'other')\")\n"
        "print(flush=True)\n"
        "sys.stdin.read()\n"
        "c.execute('commit')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, there], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdout.readline()
        timer = threading.Timer(0.5, other.communicate)
        timer.start()
        write.write_rows(TrialJob(sqlite.folder, sqlite.uri, {"table": "t", "mode": mode}, ROWS))
        timer.join()
    before = [] if mode == "replace" else [(8, "other"), (9, "before")]
    assert rows(there) == [(1, "a"), (2, None), *before]


def test_errors_come_as_those_of_this_process(sqlite: Trial, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NodeError) as error:
        sqlite.query("select nope from t")
    assert "no such column: nope" in f"{error.value} {error.value.details}"
    with pytest.raises(NodeError, match=r"^there is no folder .*/no for the database$"):
        Trial("sqlite", "sqlite:no/a.db", sqlite.folder).write(ROWS)
    with pytest.raises(NodeError, match=r"""^"t" has no column 'more'; it has 'id', 'name'$"""):
        sqlite.write(pa.table({"more": [1]}))
    with pytest.raises(NodeError, match=r"^ZeroDivisionError: division by zero$") as error:
        _run_program(
            monkeypatch, sqlite, "from nfrun_adbc import database_child as c; c._run = lambda r: 1 / 0; c.main()"
        )
    assert "Traceback" in error.value.details


def test_a_full_disk_is_an_error_of_the_system(sqlite: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    program = "def full(r): raise OSError(28, 'x', '/a.db')\nfrom nfrun_adbc import database_child as c\nc._run = full"
    with pytest.raises(OSError) as error:
        _run_program(monkeypatch, sqlite, f"{program}\nc.main()")
    assert (error.value.errno, error.value.filename) == (errno.ENOSPC, "/a.db")


@pytest.mark.parametrize(
    ("program", "told", "details"),
    [
        ("import os; os.kill(os.getpid(), 9)", "the process for the database was killed by SIGKILL", ""),
        ("import sys; sys.exit('broken')", "the process for the database ended with the exit code 1", "broken"),
    ],
)
def test_a_process_that_dies_is_an_error(
    sqlite: Trial, monkeypatch: pytest.MonkeyPatch, program: str, told: str, details: str
) -> None:
    with pytest.raises(NodeError) as error:
        _run_program(monkeypatch, sqlite, program)
    assert (str(error.value), error.value.details) == (told, details)


def _run_program(monkeypatch: pytest.MonkeyPatch, trial: Trial, program: str) -> None:
    """Write with another program in place of the child; whatever it does, it ends with an error."""
    path = trial.folder / "program.py"
    begin = f"import sys; sys.path[:] = {sys.path!r}\n"
    path.write_text(f"{begin}{program}\nimport os; os._exit(1)\n")
    monkeypatch.setattr(database_process, "_CHILD", path)
    trial.write(ROWS)


def test_rows_that_are_cut_off_are_an_error(
    sqlite: Trial, there: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    numbers = "with recursive n(a) as (select 1 union all select a + 1 from n limit 200000) select a from n"
    reader: Any = query.run(TrialJob(sqlite.folder, sqlite.uri, {"sql": numbers}))["rows"]
    assert reader.read_all().column("a").to_pylist() == list(range(1, 200_001))
    program = (
        "import os, pyarrow as pa\n"
        "s = pa.BufferOutputStream(); b = pa.record_batch({'a': [1]})\n"
        "w = pa.ipc.new_stream(s, b.schema); w.write_batch(b)\n"
        "os.write(1, s.getvalue())"
    )
    monkeypatch.setattr(database_process, "_CHILD", tmp_path / "program.py")
    (tmp_path / "program.py").write_text(f"import sys; sys.path[:] = {sys.path!r}\n{program}\nos._exit(3)\n")
    reader = query.run(TrialJob(sqlite.folder, sqlite.uri, {"sql": numbers}))["rows"]
    with pytest.raises(NodeError, match="ended with the exit code 3"):
        reader.read_all()


def test_a_job_that_is_told_to_stop_ends_its_process(sqlite: Trial, there: Path) -> None:
    other = sqlite3.connect(there, isolation_level=None)
    other.execute("begin immediate")
    job = TrialJob(sqlite.folder, sqlite.uri, {"table": "t", "mode": "append"}, ROWS)
    failed: list[str] = []

    def run() -> None:
        with pytest.raises(NodeError) as error:
            write.run(job)
        failed.append(str(error.value))

    thread = threading.Thread(target=run)
    thread.start()
    while not hasattr(job.stop, "callback"):
        thread.join(0.01)
    job.stop.requested = True
    job.stop.callback()
    thread.join()
    other.execute("commit")
    other.close()
    assert failed == ["stopped"]
    assert rows(there) == [(9, "before")]


def test_the_process_ends_when_its_parent_does(sqlite: Trial, there: Path) -> None:
    other = sqlite3.connect(there, isolation_level=None)
    other.execute("begin immediate")
    path = sqlite.folder / "rows.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, ROWS.schema) as writer:
        writer.write_table(ROWS)
    request = {
        **{"kind": "write", "path": sys.path, "folder": str(sqlite.folder), "uri": sqlite.uri},
        **{"values": {"table": "t", "mode": "append"}, "table": str(path)},
    }
    with subprocess.Popen(
        [sys.executable, "-P", database_process._CHILD], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as child:
        child.communicate(os.fsencode(json.dumps(request)) + b"\n")  # closes its stdin, as a parent that dies does
    other.execute("commit")
    other.close()
    assert child.returncode == 1
    assert rows(there) == [(9, "before")]


def test_duckdb_does_not_open_a_file_that_this_process_has_open(duckdb: Trial) -> None:
    from duckdb import connect

    duckdb.write(ROWS)
    with connect(duckdb.folder / "test.db") as other:
        other.execute("insert into t values (9, 'other')")
        with pytest.raises(NodeError, match="Could not set lock on file"):
            duckdb.write(ROWS)
        with pytest.raises(NodeError, match="Could not set lock on file"):
            duckdb.query("select * from t")
    duckdb.write(ROWS)
    assert duckdb.rows("select count(*) from t") == [(5,)]
