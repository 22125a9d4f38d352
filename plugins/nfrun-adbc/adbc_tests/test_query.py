"""`adbc.query`: rows as they come, parameters, and what it says of what is wrong."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from nfrun_adbc import query

from adbc_tests.trials import Trial, TrialJob
from nfrun import NodeError

ROWS = pa.table({"id": range(20_000), "name": [f"n{i}" for i in range(20_000)]})


@pytest.fixture
def filled(trial: Trial) -> Trial:
    trial.write(ROWS)
    return trial


def reader_of(trial: Trial, sql: str) -> tuple[Any, TrialJob]:
    job = TrialJob(trial.folder, trial.uri, {"sql": sql})
    return query.run(job)["rows"], job


def test_rows_come_batch_by_batch(filled: Trial) -> None:
    reader, _ = reader_of(filled, "select id, name from t order by id")
    assert isinstance(reader, pa.RecordBatchReader)
    batches = list(reader)
    assert len(batches) > 1 or filled.scheme == "postgresql"  # its driver makes batches of 16 MB
    found = pa.Table.from_batches(batches)
    assert (found["id"].to_pylist(), found["name"].to_pylist()) == (ROWS["id"].to_pylist(), ROWS["name"].to_pylist())
    filled.do("drop table t")  # the connection is closed


def test_parameters_are_bound(filled: Trial) -> None:
    first, second = ("?", "?") if filled.scheme == "sqlite" else ("$1", "$2")
    sql = f"select id from t where name = {first} or id = {second}"
    assert sorted(filled.query(sql, ["n5", 7])["id"].to_pylist()) == [5, 7]
    assert filled.query(sql, ["n5' or 1 = 1 --", -1]).num_rows == 0


def test_a_query_without_rows_has_its_columns(filled: Trial) -> None:
    assert filled.query("select id, name from t where id < 0").column_names == ["id", "name"]


ONE = "adbc.query takes one statement, and one that only reads"
CHANGES = [
    "delete from t where id < 10 returning id",
    "select 1 as a; delete from t",
    "insert into t values (1, 'x'); select 1 as a",
    "select 1 as x; commit; create table committed (x int); select 3 as y",
    "create table made (x int)",
    "drop table t",
]


@pytest.mark.parametrize("sql", CHANGES)
def test_a_query_changes_nothing(filled: Trial, sql: str) -> None:
    with pytest.raises(NodeError) as error:
        filled.query(sql)
    if filled.scheme == "postgresql":
        assert "read-only transaction" in str(error.value) or "multiple commands" in str(error.value)
    else:
        assert (str(error.value), error.value.details) == (ONE, "write a select")
    assert filled.rows("select count(*) from t") == [(20_000,)]


@pytest.mark.parametrize(
    ("scheme", "sql"),
    [
        ("sqlite", "attach 'made.db' as other"),
        ("sqlite", "pragma journal_mode = wal"),
        ("sqlite", "pragma query_only = 0"),
        ("duckdb", "copy t to 'made.csv'"),
        ("duckdb", "explain analyze copy t to 'made.csv'"),
        ("duckdb", "attach 'made.db'"),
        ("duckdb", "set threads = 1"),
    ],
)
def test_a_query_makes_no_file_and_sets_nothing(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, scheme: str, sql: str
) -> None:
    found: Trial = request.getfixturevalue(scheme)
    monkeypatch.chdir(found.folder)
    found.write(ROWS.slice(0, 1))
    with pytest.raises(NodeError) as error:
        found.query(sql)
    assert str(error.value) == ONE
    assert [path.name for path in found.folder.iterdir()] == ["test.db"]


def test_queries_that_are_no_plain_select(trial: Trial) -> None:
    trial.write(ROWS.slice(0, 2))
    assert trial.rows("with a as (select id from t) select max(id) as m from a;") == [(1,)]
    assert trial.rows("values (1, 2)") == [(1, 2)]
    if trial.scheme == "sqlite":
        assert trial.query("pragma table_info(t)")["name"].to_pylist() == ["id", "name"]
        assert trial.rows(
            "with recursive n(a) as (select 1 union all select a + 1 from n limit 3) select a from n"
        ) == [(1,), (2,), (3,)]
    if trial.scheme == "duckdb":
        assert trial.rows("pivot t on name using sum(id)") == [(0, 1)]


@pytest.mark.parametrize("name", ["parameters", "statements", "sql"])
def test_a_table_is_no_variable_of_the_program(duckdb: Trial, name: str) -> None:
    duckdb.write(ROWS.slice(0, 1))
    with pytest.raises(NodeError, match=f"Table with name {name} does not exist"):
        duckdb.query(f"select *, $1 as x from {name}", ["a"])


@pytest.mark.parametrize("sql", ["-- nothing", "/* */", ";"])
def test_a_query_of_nothing(trial: Trial, sql: str) -> None:
    trial.write(ROWS.slice(0, 1))
    with pytest.raises(NodeError) as error:
        trial.query(sql)
    assert trial.scheme == "postgresql" or str(error.value) == "the query gives no table"


# ------------------------------------------------------------------ SQLite, where each value has a type of its own


def test_a_column_of_several_types_is_an_error(sqlite: Trial) -> None:
    sqlite.do("create table mx (id integer, x)", "insert into mx values (1, 1), (2, 2), (3, 3.123456789012), (4, 'a')")
    with pytest.raises(NodeError) as error:
        sqlite.query("select x from mx order by id")
    assert str(error.value) == "the column 'x' has whole numbers and floats and texts"
    assert error.value.details == 'make one type of them: cast("x" as text) in the query'
    assert sqlite.query("select x from mx where id < 4 order by id")["x"].to_pylist() == [1.0, 2.0, 3.123456789012]
    sqlite.do("insert into mx values (5, 9007199254740993)")
    with pytest.raises(NodeError, match="the column 'x' has whole numbers and floats, and not all fit a float"):
        sqlite.query("select x from mx where id <> 4")


def test_a_type_that_changes_behind_the_first_rows_is_an_error(sqlite: Trial) -> None:
    sqlite.write(ROWS.slice(0, 1))
    numbers = "with recursive n(a) as (select 1 union all select a + 1 from n limit 40000) "
    with pytest.raises(NodeError) as error:
        sqlite.query(numbers + "select case when a < 30000 then a else 'x' end as v from n")
    assert str(error.value) == "the column 'v' has whole numbers and texts"


def test_columns_without_values_have_their_declared_types(sqlite: Trial) -> None:
    kinds = {"i": "integer", "t": "text", "r": "real", "b": "blob", "n": "numeric(5, 2)", "v": "varchar(9)"}
    columns = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
    sqlite.do(f"create table e ({columns})")
    expected = ["int64", "string", "double", "binary", "double", "string"]
    assert [str(kind) for kind in sqlite.query("select * from e;").schema.types] == expected
    with_parameters = sqlite.query("select i, t, r, v from e where i = ?", [1]).schema.types
    assert [str(kind) for kind in with_parameters] == ["int64", "string", "double", "string"]
    sqlite.do("insert into e (i) values (1)")
    assert [str(kind) for kind in sqlite.query("select * from e -- all").schema.types] == expected


def test_an_attempt_that_is_told_to_stop_ends(filled: Trial) -> None:
    reader, job = reader_of(filled, "select a.id, a.name, b.name as other from t as a, t as b limit 1000000")
    reader.read_next_batch()
    job.stop.requested = True
    with pytest.raises(Exception, match="stopped"):
        reader.read_all()
    del reader
    filled.do("drop table t")


def test_the_database_is_told_to_stop(postgresql: Trial) -> None:
    import threading

    job = TrialJob(postgresql.folder, postgresql.uri, {"sql": "select pg_sleep(60)"})
    failed: list[BaseException] = []

    def wait() -> None:
        try:
            query.run(job)["rows"].read_all()  # type: ignore[attr-defined]
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    sleeping = "select count(*) from pg_stat_activity where query like '%pg_sleep(60)%' and pid <> pg_backend_pid()"
    while postgresql.rows(sleeping) != [(1,)]:
        assert thread.is_alive()
    job.stop.callback()
    thread.join()
    assert "cancel" in str(failed[0])


WRONG = {
    "select * from nowhere": "nowhere",
    "select nothing from t": "nothing",
    "selct 1": "selct",
    "select 1 / 'a' from t where id = (select id from t)": "",
}


def test_an_error_of_the_database_is_its_own_words(trial: Trial) -> None:
    trial.write(ROWS.slice(0, 1))
    for sql, word in (("select * from nowhere", "nowhere"), ("selct 1", "selct"), ("select id from t where", "")):
        with pytest.raises(NodeError) as error:
            trial.query(sql)
        assert word in str(error.value)
        assert str(error.value).startswith(("SQLite test.db: ", "DuckDB test.db: ", "PostgreSQL: "))
        assert "libpq" not in str(error.value)


def test_parameters_that_do_not_fit(trial: Trial) -> None:
    trial.write(ROWS.slice(0, 1))
    sql, parameters = ("select $1::int + $2::int", [1]) if trial.scheme == "postgresql" else ("select ?", [1, 2])
    with pytest.raises(NodeError):
        trial.query(sql, parameters)


def test_numbers_of_postgresql_without_a_scale_are_texts(postgresql: Trial) -> None:
    table = postgresql.query("select 1.50::numeric as x, array[1, 2] as a, '{}'::jsonb as j, now() - now() as d")
    assert table["x"].to_pylist() == ["1.50"]
    assert not any(isinstance(field.type, pa.BaseExtensionType) for field in table.schema)
