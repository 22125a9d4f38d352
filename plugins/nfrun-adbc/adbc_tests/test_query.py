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


def test_what_a_query_changes_is_rolled_back(filled: Trial) -> None:
    filled.query("delete from t where id < 10 returning id")
    assert filled.rows("select count(*) from t") == [(20_000,)]


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
        assert not str(error.value).startswith("{")


def test_parameters_that_do_not_fit(trial: Trial) -> None:
    trial.write(ROWS.slice(0, 1))
    sql, parameters = ("select $1::int + $2::int", [1]) if trial.scheme == "postgresql" else ("select ?", [1, 2])
    with pytest.raises(NodeError):
        trial.query(sql, parameters)


def test_numbers_of_postgresql_without_a_scale_are_texts(postgresql: Trial) -> None:
    table = postgresql.query("select 1.50::numeric as x, array[1, 2] as a, '{}'::jsonb as j, now() - now() as d")
    assert table["x"].to_pylist() == ["1.50"]
    assert not any(isinstance(field.type, pa.BaseExtensionType) for field in table.schema)
