"""In which folder a query finds its files: that of the pipeline comes before the working directory."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from conftest import in_thread

from nfrun.nodes import sql
from nfrun.session.options import RunOptions
from nfrun.system.runtime import thread_directory
from tests.program_runs import RunResult, run_pipeline

duckdb = pytest.importorskip("duckdb")


def run(folder: Path, query: str, **options: Any) -> RunResult:
    (folder / "p.yaml").write_text(f'nodes:\n  q: {{sql: "{query}"}}\n')
    return run_pipeline(RunOptions(folder / "p.yaml", **{"fresh": True, **options}))


def rows(folder: Path, query: str, **options: Any) -> list[Any]:
    result = run(folder, query, **options)
    assert result.end.status == "ok", result.record.nodes["q"].failure
    return list(result.tables["q"]["n"].to_pylist())


@pytest.fixture(params=["folder", "with, commas ['and'] *"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder of a pipeline, beside the working directory: each has an `x.csv` of its own."""
    (tmp_path / "cwd").mkdir()
    (tmp_path / "cwd/x.csv").write_text("n\n1\n")
    (tmp_path / "cwd/elsewhere.csv").write_text("n\n3\n")
    monkeypatch.chdir(tmp_path / "cwd")
    folder = tmp_path / str(request.param)
    folder.mkdir()
    (folder / "x.csv").write_text("n\n2\n")
    return folder


@pytest.fixture
def movable() -> None:
    def can_move() -> bool:
        with thread_directory(Path("/")) as moved:
            return moved

    if not in_thread(can_move):
        pytest.skip("the working directory of a thread cannot be changed here")


@pytest.mark.usefixtures("movable")
@pytest.mark.parametrize(
    "query", ["from 'x.csv'", "from read_csv('./x.csv')", "from '*.csv'", "from read_csv('[x].csv')"]
)
def test_a_relative_name_is_that_of_a_file_beside_the_pipeline(folder: Path, query: str) -> None:
    before = Path.cwd()
    assert rows(folder, query) == [2]
    assert Path.cwd() == before


@pytest.mark.usefixtures("movable")
def test_databases_and_copies_are_relative_to_the_pipeline_too(folder: Path) -> None:
    with duckdb.connect(str(folder / "x.db")) as connection:
        connection.execute("create table t as select 5 as n")
    assert rows(folder, "attach 'x.db' as x (read_only); from x.t") == [5]
    assert rows(folder, "copy (select 6 as n) to 'out.csv'; from 'out.csv'") == [6]
    assert (folder / "out.csv").exists()
    assert not Path("out.csv").exists()


def test_a_query_may_read_a_file_of_the_working_directory_alone(folder: Path) -> None:
    if "," not in folder.name:
        assert rows(folder, "from 'elsewhere.csv'") == [3]


@pytest.mark.usefixtures("movable")
def test_a_query_is_reused_by_the_file_that_it_reads(folder: Path) -> None:
    assert rows(folder, "from 'x.csv'") == [2]
    Path("x.csv").write_text("n\n9\n")
    result = run(folder, "from 'x.csv'", fresh=False)
    assert result.record.nodes["q"].status == "reused"
    (folder / "x.csv").write_text("n\n4\n")
    assert rows(folder, "from 'x.csv'", fresh=False) == [4]


def test_where_the_directory_cannot_be_changed_a_wrong_file_is_not_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nfrun.system.runtime._has_own_directory", lambda: False)
    failure = run(folder, "from 'x.csv'").record.nodes["q"].failure
    assert failure is not None
    message = "DuckDB would read x.csv in the working directory, not the one in the pipeline's folder"
    assert (failure.message, failure.details) == (message, f"{sql.START_THERE}, or give the query the whole path")
    Path("x.csv").unlink()
    if "," not in folder.name:
        assert rows(folder, "from 'x.csv'") == [2]
    else:
        failure = run(folder, "from 'x.csv'").record.nodes["q"].failure
        assert failure is not None
        message = "DuckDB finds no files relative to a folder that has a comma in its name"
        assert (failure.message, failure.details) == (message, f"{sql.START_THERE}, or rename it")
    os.chdir(folder)
    assert rows(folder, "from 'x.csv'") == rows(folder, "from '*.csv'") == [2]


@pytest.mark.usefixtures("movable")
def test_the_directory_of_one_thread_alone_is_changed(tmp_path: Path) -> None:
    before, inside, go_on, found = Path.cwd(), threading.Event(), threading.Event(), list[Path]()

    def work() -> None:
        with thread_directory(tmp_path):
            inside.set()
            assert go_on.wait(10)
            found.append(Path.cwd())
        found.append(Path.cwd())

    thread = threading.Thread(target=work)
    thread.start()
    assert inside.wait(10)
    assert Path.cwd() == before
    go_on.set()
    thread.join(10)
    assert found == [tmp_path, before]
