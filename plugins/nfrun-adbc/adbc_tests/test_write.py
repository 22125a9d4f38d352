"""`adbc.write`: its modes, on SQLite, DuckDB and PostgreSQL, and what it says of what is wrong."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from nfrun_adbc import write

from adbc_tests.trials import Trial, TrialJob
from nfrun import NodeError

ROWS = pa.table({"id": [1, 2, 3], "name": ["a", "b", None]})
UPSERT = {"upsert": ["id"]}


def problem(trial: Trial, table: pa.Table, mode: Any = "append", **values: Any) -> tuple[str, str]:
    with pytest.raises(NodeError) as error:
        trial.write(table, mode, **values)
    return str(error.value), error.value.details


# ------------------------------------------------------------------ the modes


def test_a_table_that_is_not_there_is_made(trial: Trial) -> None:
    assert trial.write(ROWS, "append") == [{"table": "t", "mode": "append", "rows": 3}]
    assert trial.rows() == [(1, "a"), (2, "b"), (3, None)]


def test_append_adds_rows_each_time(trial: Trial) -> None:
    trial.write(ROWS, "append")
    trial.write(ROWS.slice(0, 1), "append")
    assert trial.rows("select count(*) from t") == [(4,)]


def test_replace_leaves_no_row_of_before_and_the_table_as_it_is(trial: Trial) -> None:
    trial.do("create table t (id integer primary key, name varchar(20) default 'none', more integer)")
    trial.do("insert into t values (7, 'old', 1)")
    trial.write(ROWS.select(["id"]), "replace")
    trial.write(ROWS.select(["id"]), "replace")
    assert trial.rows() == [(1, "none", None), (2, "none", None), (3, "none", None)]
    with pytest.raises(NodeError):
        trial.do("insert into t (id) values (1)")  # the primary key is still there


def test_upsert_updates_the_rows_whose_keys_are_there_and_adds_the_others(trial: Trial) -> None:
    assert trial.write(ROWS, UPSERT) == [{"table": "t", "mode": "upsert", "rows": 3}]
    trial.write(pa.table({"name": ["c", None, "d"], "id": [3, 1, 4]}), UPSERT)
    assert trial.rows() == [(1, None), (2, "b"), (3, "c"), (4, "d")]


def test_upsert_twice_is_upsert_once(trial: Trial) -> None:
    for _ in range(2):
        trial.write(ROWS, UPSERT)
    assert trial.rows() == [(1, "a"), (2, "b"), (3, None)]


def test_upsert_needs_no_index_and_leaves_columns_that_it_does_not_have(trial: Trial) -> None:
    trial.do("create table t (id integer, name varchar(20), kept integer)")
    trial.do("insert into t values (1, 'x', 5), (9, 'y', 6)")
    trial.write(ROWS, UPSERT)
    assert trial.rows() == [(1, "a", 5), (2, "b", None), (3, None, None), (9, "y", 6)]


def test_upsert_by_several_keys_and_of_nothing_but_keys(trial: Trial) -> None:
    keys = {"upsert": ["day", "id"]}
    trial.write(pa.table({"id": [1, 1], "day": ["mo", "tu"], "n": [1, 2]}), keys)
    trial.write(pa.table({"id": [1, 2], "day": ["tu", "tu"], "n": [3, 4]}), keys)
    assert trial.rows("select day, id, n from t order by 1, 2") == [("mo", 1, 1), ("tu", 1, 3), ("tu", 2, 4)]
    trial.write(pa.table({"id": [1, 5], "day": ["mo", "mo"]}), keys)
    assert trial.rows("select day, id, n from t where day = 'mo' order by 2") == [("mo", 1, 1), ("mo", 5, None)]


def test_an_empty_table(trial: Trial) -> None:
    trial.write(ROWS.slice(0, 0), "append")
    assert trial.rows() == []
    trial.write(ROWS, "append")
    for mode, left in (("append", 3), (UPSERT, 3), ("replace", 0)):
        trial.write(ROWS.slice(0, 0), mode)
        assert len(trial.rows()) == left


def test_names_are_quoted(trial: Trial) -> None:
    table = pa.table({'a"b; drop table t': [1], "select": ["x"], "Ä ö": [True], "s.id": [2.0]})
    name = 'my "table"; --'
    trial.write(table, {"upsert": ['a"b; drop table t']}, name=name)
    trial.write(table, {"upsert": ['a"b; drop table t', "select"]}, name=name)
    assert [tuple(row) for row in trial.rows('select * from "my ""table""; --"')] == [(1, "x", True, 2.0)]


def test_a_schema(trial: Trial) -> None:
    schema = {"sqlite": "main", "duckdb": "mart", "postgresql": f"mart_{trial.folder.name}"[:60].lower()}[trial.scheme]
    if trial.scheme != "sqlite":
        trial.do(f'create schema "{schema}"')
    for mode in (UPSERT, UPSERT, "replace"):
        assert trial.write(ROWS, mode, schema=schema)[0]["table"] == f"{schema}.t"
    assert trial.rows(f'select * from "{schema}".t order by 1') == [(1, "a"), (2, "b"), (3, None)]
    trial.write(ROWS.slice(0, 1), "append", name="other")
    assert trial.rows("select count(*) from other") == [(1,)]


def test_capitals_of_columns(trial: Trial) -> None:
    trial.do("create table t (ID integer, Name varchar(5))")
    table = ROWS.rename_columns(["id", "name"])
    trial.write(table, UPSERT)
    trial.write(table, UPSERT)
    assert len(trial.rows()) == 3


# ------------------------------------------------------------------ all or nothing


def fails_at_the_end(trial: Trial) -> None:
    trial.do("create table t (id integer primary key, name varchar(20) check (name <> 'bad'))")
    trial.write(ROWS, "append")
    assert trial.rows() == [(1, "a"), (2, "b"), (3, None)]


def test_a_row_that_the_table_refuses_leaves_all_as_it_was(trial: Trial) -> None:
    fails_at_the_end(trial)
    for mode in ("append", "replace", UPSERT):
        message, _ = problem(trial, pa.table({"id": [8, 9], "name": ["good", "bad"]}), mode)
        named = {"sqlite": "SQLite test.db: ", "duckdb": "DuckDB test.db: ", "postgresql": "PostgreSQL: "}[trial.scheme]
        assert message.startswith(named)
        assert "check" in message.lower()
        assert trial.rows() == [(1, "a"), (2, "b"), (3, None)]


def test_an_attempt_that_is_told_to_stop_leaves_all_as_it_was(trial: Trial) -> None:
    trial.write(ROWS, "append")
    for mode in ("append", "replace", UPSERT):
        job = TrialJob(trial.folder, trial.uri, {"table": "t", "mode": mode}, pa.table({"id": [8], "name": ["x"]}))
        job.stop.requested = True
        with pytest.raises(NodeError, match="stopped"):
            write.run(job)
    assert trial.rows() == [(1, "a"), (2, "b"), (3, None)]


def test_a_table_is_not_made_by_an_attempt_that_fails(trial: Trial) -> None:
    problem(trial, pa.table({"id": [1, 1]}), UPSERT)
    with pytest.raises(NodeError):
        trial.query("select * from t")


def test_writers_in_one_process_wait_for_one_another(trial: Trial) -> None:
    trial.write(ROWS, UPSERT)
    failed: list[BaseException] = []

    def add(i: int) -> None:
        try:
            trial.write(pa.table({"id": [1, 100 + i], "name": [f"n{i}", "new"]}), UPSERT)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=add, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert trial.rows("select count(*) as n, count(distinct id) as ids from t") == [(9, 9)]


def test_a_constraint_says_what_to_do(sqlite: Trial) -> None:
    sqlite.do("create table t (id integer, name text not null)")
    told = "nothing is written: leave such rows out, or change them, in the node before"
    assert problem(sqlite, ROWS) == ("SQLite test.db: NOT NULL constraint failed: t.name", told)


# ------------------------------------------------------------------ what is wrong


WRONG = {
    "no columns": (pa.table({}), "append", "the input has no columns", ""),
    "two alike": (
        pa.table([[1], [2]], names=["a", "A"]),
        "append",
        "the input has two columns called 'A', also if capitals do not count",
        "rename one",
    ),
    "no name": (
        pa.table([[1]], names=[""]),
        "append",
        "a column of the input has no name",
        "name it in the node before",
    ),
    "a NUL": (pa.table({"a\0b": [1]}), "append", "'a\\x00b' cannot be the name of a column", ""),
    "no key": (
        ROWS,
        {"upsert": ["ID"]},
        "'upsert' names the column 'ID', which the input does not have",
        "there is 'id', 'name'",
    ),
    "null keys": (
        ROWS,
        {"upsert": ["name"]},
        "the key 'name' is null in 1 row: such rows cannot be told apart",
        "leave them out, or give them a value, in the node before",
    ),
    "keys twice": (
        pa.table({"id": [1, 2, 1], "name": ["a", "b", "a"]}),
        {"upsert": ["id", "name"]},
        "2 rows of the input have the key id 1, name 'a'",
        "keep one of them in the node before",
    ),
    "a column too many": (
        ROWS.append_column("more", pa.array([1, 2, 3])),
        "append",
        "\"t\" has no column 'more'; it has 'id', 'name'",
        "add it to the table, drop the table, or leave the column out in the node before",
    ),
}


def test_what_is_wrong_is_said(trial: Trial) -> None:
    trial.write(ROWS, "append")
    found = {name: problem(trial, table, mode) for name, (table, mode, *_) in WRONG.items()}
    assert found == {name: tuple(told) for name, (_, _, *told) in WRONG.items()}
    assert len(trial.rows()) == 3


def test_a_schema_that_is_not_there(trial: Trial) -> None:
    told = ('there is no schema "nowhere"', 'nfrun makes tables, and no schemas: create schema "nowhere"')
    if trial.scheme == "sqlite":
        told = ("SQLite test.db: unknown database 'nowhere'", "")
    assert problem(trial, ROWS, schema="nowhere") == told


def test_a_name_with_a_nul(trial: Trial) -> None:
    assert "cannot be a name in a database" in problem(trial, ROWS, name="a\0b")[0]


def test_a_type_that_the_table_cannot_take(trial: Trial) -> None:
    trial.do("create table t (id integer, name date)")
    if trial.scheme == "sqlite":
        trial.write(ROWS)  # any value goes into any column
        return
    message, _ = problem(trial, ROWS)
    assert "date" in message
    assert trial.rows("select count(*) from t") == [(0,)]


def test_a_view(trial: Trial) -> None:
    trial.write(ROWS)
    trial.do("create view v as select id, count(*) as name from t group by id")
    message, _ = problem(trial, ROWS, name="v")
    assert "v" in message


def test_a_file_that_is_no_database(sqlite: Trial) -> None:
    Path(sqlite.folder, "test.db").write_text("something else, and long enough to be a header of a page")
    assert "not a database" in problem(sqlite, ROWS)[0]
