"""Tests of the DuckDB instances of a process: what nodes share, and what they never see of one another."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conftest import Trial

from nfrun.core.events import NodeStarted, Outcome
from nfrun.engine.attempt import AttemptRunner
from nfrun.nodes.base import NodeError
from nfrun.nodes.duckdb_instances import DuckDBInstances
from nfrun.system.runtime import available_memory

duckdb = pytest.importorskip("duckdb")

Query = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def runner(trial: Trial) -> AttemptRunner:
    return trial.work()


@pytest.fixture
def attempt(trial: Trial, runner: AttemptRunner) -> Callable[..., Outcome]:
    """Make one attempt at a query, in the process that all attempts of a test share."""

    def run(body: str, cpu: float = 1.0) -> Outcome:
        runner.pipeline.nodes["node"] = trial.spec("sql", body, cpu=cpu)  # type: ignore[index]
        return runner(NodeStarted(0.0, "node", next(numbers)), trial.stop, trial.wait)

    numbers = iter(range(1, 1000))
    return run


@pytest.fixture
def query(trial: Trial, attempt: Callable[..., Outcome]) -> Query:
    return lambda *arguments, **more: trial.table(attempt(*arguments, **more)).to_pylist()


@pytest.fixture
def instances(tmp_path: Path) -> Iterator[DuckDBInstances]:
    yield DuckDBInstances(tmp_path / "spill", 1.0)


def setting(connection: Any, name: str) -> Any:
    return connection.sql(f"select current_setting('{name}')").fetchall()[0][0]


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return the settings of each instance, in the order in which they are opened."""
    found: list[dict[str, Any]] = []
    connect = duckdb.connect

    def noting(database: str, config: dict[str, Any]) -> Any:
        found.append(config)
        return connect(database, config=config)

    monkeypatch.setattr(duckdb, "connect", noting)
    return found


def test_queries_share_one_instance(query: Query, connected: list[dict[str, Any]]) -> None:
    assert [query(f"select {n} as n") for n in range(5)] == [[{"n": n}] for n in range(5)]
    assert len(connected) == 1


@pytest.mark.parametrize(
    "body",
    [
        "create view other as select 1 as n; select n from other",
        "create table other as select 1 as n; select n from other",
        "create temp table other as select 1 as n; select n from other",
        "create macro other() as table select 1 as n; select n from other()",
        "attach ':memory:' as other; create table other.t as select 1 as n; select n from other.t",
        "create schema other; use other; create table t as select 1 as n; select n from t",
        "set variable other = 1; select getvariable('other')::int as n",
        "pivot (select 1 as n, 'a' as k) on k using sum(n); select 1 as n",
        "begin; create table other as select 1 as n; select n from other",
    ],
)
def test_a_node_does_not_see_what_another_has_created(query: Query, body: str) -> None:
    catalog = (
        "select (select count(*) from duckdb_tables()) + (select count(*) from duckdb_views() where not internal) "
        "+ (select count(*) from duckdb_databases() where database_name = 'other') "
        "+ (select count(*) from duckdb_functions() where function_name = 'other') "
        "+ (select count(*) from duckdb_schemas() where schema_name = 'other')"
        "+ (getvariable('other') is not null)::int as n"
    )
    assert query(catalog) == [{"n": 0}]
    assert query(body) == [{"n": 1}]
    assert query(body) == [{"n": 1}]
    assert query(catalog) == [{"n": 0}]


@pytest.mark.parametrize(
    "body",
    [
        "set default_null_order = 'nulls_first'; select 1 as n",
        "set global default_null_order = 'nulls_first'; select 1 as n",
        "pragma default_null_order = 'nulls_first'; select 1 as n",
    ],
)
def test_the_settings_of_a_node_are_its_own(query: Query, body: str) -> None:
    before = query("select n from (values (1), (null)) t(n) order by n")
    query(body)
    assert query("select n from (values (1), (null)) t(n) order by n") == before == [{"n": 1}, {"n": None}]


def test_nodes_that_run_together_have_inputs_of_their_own(trial: Trial) -> None:
    """Two nodes read tables of the same name at the same time."""
    runner, outcomes = trial.work(), {}
    for name in ("a", "b"):
        spec = trial.spec("sql", "select min(n) as n, count(*) as c from t", {"t": None})
        runner.pipeline.nodes[name] = replace(spec, id=name)  # type: ignore[index]

    def run(name: str, number: int) -> None:
        start = NodeStarted(0.0, name, 1, {"from_t": refs[name]})
        outcomes[name] = runner(start, trial.stop, trial.wait)

    refs = {
        name: trial.store.publish(f"from_{name}", 1, pa.table({"n": [number] * 100_000}))  # type: ignore[arg-type]
        for number, name in enumerate(("a", "b"))
    }
    threads = [threading.Thread(target=run, args=(name, number)) for number, name in enumerate(("a", "b"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [trial.table(outcomes[name]).to_pylist() for name in ("a", "b")] == [
        [{"n": 0, "c": 100_000}],
        [{"n": 1, "c": 100_000}],
    ]


def test_a_query_has_one_thread_or_what_the_node_asks_for(query: Query, connected: list[dict[str, Any]]) -> None:
    threads = "select current_setting('threads')::int as n"
    assert query(threads) == [{"n": 1}]
    assert query(threads, cpu=3.0) == [{"n": 3}]
    assert query(threads, cpu=0.5) == [{"n": 1}]
    assert query(f"create table t as {threads}; from t") == [{"n": 1}]
    assert [config["threads"] for config in connected] == [1, 3, 1]


def test_all_instances_together_take_no_more_memory_than_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nfrun.nodes.duckdb_instances.available_memory", lambda: 1000 * 2**20)
    instances = DuckDBInstances(tmp_path / "spill", 1.0)
    with instances.cursor() as cursor:
        assert setting(cursor, "memory_limit") == "800.0 MiB"
        with instances.own(1, tmp_path / "a") as first:
            assert [setting(one, "memory_limit") for one in (cursor, first)] == ["400.0 MiB"] * 2
            with instances.own(1, tmp_path / "b") as second, instances.own(1, tmp_path / "c") as third:
                limits = [setting(one, "memory_limit") for one in (cursor, first, second, third)]
                assert limits == ["200.0 MiB"] * 4
        assert setting(cursor, "memory_limit") == "800.0 MiB"


def test_an_instance_that_cannot_be_opened_gives_its_memory_back(
    instances: DuckDBInstances, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with instances.cursor() as cursor:
        before = setting(cursor, "memory_limit")
        with monkeypatch.context() as patch, pytest.raises(duckdb.Error):
            patch.setattr(duckdb, "connect", lambda *_, **__: cursor.sql("select error('no')").fetchall())
            with instances.own(1, tmp_path):
                pass
        assert setting(cursor, "memory_limit") == before


def test_a_query_on_the_shared_instance_spills_to_the_folder_of_the_run(trial: Trial, attempt: Any) -> None:
    """The memory is not enough for the sort."""
    runner = trial.work()
    object.__setattr__(runner, "memory_share", 60e6 / (0.8 * available_memory()))
    body = "select md5(i::varchar) as m from range(2000000) t(i) order by m"
    runner.pipeline.nodes["node"] = trial.spec("sql", body)  # type: ignore[index]
    outcome = runner(NodeStarted(0.0, "node", 1), trial.stop, trial.wait)
    assert trial.table(outcome).num_rows == 2_000_000
    assert [path.name.partition(".")[0] for path in trial.scratch.iterdir()] == ["duckdb"]


def test_an_interrupt_ends_only_its_own_query(instances: DuckDBInstances) -> None:
    begun, answers = threading.Barrier(2), []

    def count() -> None:
        with instances.cursor() as other:
            begun.wait()
            answers.append(other.sql("select count(*) from range(3000) a, range(3000) b where a.range >= 0").fetchall())

    thread = threading.Thread(target=count)
    with instances.cursor() as cursor:
        thread.start()
        begun.wait()
        while thread.is_alive():
            cursor.interrupt()
            thread.join(0.001)
    assert answers == [[(9_000_000,)]]


@pytest.mark.parametrize("kind", [duckdb.FatalException, duckdb.InternalException])
def test_an_instance_that_an_error_broke_is_not_used_again(instances: DuckDBInstances, kind: type[Exception]) -> None:
    with pytest.raises(kind), instances.cursor() as cursor:
        cursor.execute("create table t as select 1 as n")
        raise kind("broken")
    with instances.cursor() as cursor:
        assert cursor.sql("from duckdb_tables()").fetchall() == []


def test_a_query_that_another_broke_runs_again(query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    cursor, errors = DuckDBInstances.cursor, ["FATAL Error: Failed: database has been invalidated because of …"]

    def broken(instances: DuckDBInstances, *given: str) -> Any:
        if errors:
            raise duckdb.FatalException(errors.pop())
        return cursor(instances, *given)

    monkeypatch.setattr(DuckDBInstances, "cursor", broken)
    assert query("select 1 as n") == [{"n": 1}]
    assert not errors


def test_a_query_gives_the_same_rows_in_the_same_order_each_time(trial: Trial) -> None:
    """Four attempts at a time, over more rows than DuckDB gives to one thread."""
    table = pa.table({"k": [n * 7919 % 1000 for n in range(500_000)], "x": [1 / (n + 1) for n in range(500_000)]})
    ref = trial.store.publish("from_t", 1, table)  # type: ignore[arg-type]
    body = "select k, sum(x) as s, (select sum(x) from t) as total from t group by k"
    runner = trial.work(trial.spec("sql", body, {"t": None}))
    found: list[pa.Table] = []

    def run(attempts: range) -> None:
        for attempt in attempts:
            found.append(
                trial.table(runner(NodeStarted(0.0, "node", attempt, {"from_t": ref}), trial.stop, trial.wait))
            )

    threads = [threading.Thread(target=run, args=(range(1 + 5 * n, 6 + 5 * n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    assert all(table.equals(found[0]) for table in found)


DRAWING = """
    select random() a, uuid() b, (from (select list(i) from range(1000) t(i) using sample 3)) c,
        (from (select list(i) from (from range(1000) t(i) tablesample 3 rows))) d,
        (select list(i) from (from range(1000) t(i) order by random() limit 3)) e
"""


@pytest.mark.parametrize("before", ["", "create table t as select 1;"])
def test_a_query_draws_the_same_in_every_attempt(trial: Trial, before: str) -> None:
    first, again = (trial.table(trial.run("sql", before + DRAWING, attempt=attempt)) for attempt in (1, 2))
    assert first.equals(again)
    for more in ({"with_": {"n": 1}}, {"cache": False}):
        other = trial.table(trial.run("sql", before + DRAWING, attempt=3, **more))
        assert all(other[name] != first[name] for name in first.column_names)


@pytest.mark.parametrize("as_folder", [True, False])
def test_a_folder_that_is_not_utf_8_is_told_before_duckdb_gets_it(as_folder: bool, tmp_path: Path) -> None:
    odd = os.fsdecode(b"a\xffb")
    instances = DuckDBInstances(tmp_path / ("spill" if as_folder else odd), 1.0)
    folder = str(tmp_path / odd) if as_folder else ""
    with pytest.raises(NodeError) as raised, instances.cursor(folder):
        pass
    assert str(raised.value) == f"DuckDB takes no folder whose name is not UTF-8: {tmp_path / odd}"
