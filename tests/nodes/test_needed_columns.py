"""Tests of queries over Arrow files: they read the columns that they need, and give what the whole table gives."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conftest import Trial, failed
from test_sql_inputs import COLUMNS

from nfrun.core.errors import Cause
from nfrun.nodes import sql_tables
from nfrun.system.checksums import FileChecksums
from nfrun.tables import file_table
from nfrun.tables.file_io import write_table
from nfrun.tables.file_table import FileTable, open_files
from nfrun.tables.footers import source_schema
from nfrun.tables.formats import FormatError

duckdb = pytest.importorskip("duckdb")

T = pa.table(
    {
        "a": [3, 1, 2, None],
        "b": ["x", None, "y", "y"],
        "c": [1.5, 2.5, None, -1.0],
        "d": [{"x": 1, "y": [1]}, None, {"x": 3, "y": []}, {"x": None, "y": None}],
        "d.x": [10, 20, 30, 40],
        'with "quotes", and more': [True, None, False, True],
    }
)
U = pa.table({"a": [1, 2], "e": ["one", "two"], "f": [b"1", b"2"]})
QUERIES = {
    "a column": ("select a from t", "a"),
    "no column": ("select count(*) as n from t", "a"),
    "none of the table": ("select 1 as n", ""),
    "all": ("from t", "* a"),  # columns are told apart by their names only
    "a filter": ("select a from t where c > $least", "a c"),
    "the order": ("select a from t order by b, c", "a b c"),
    "by its place": ("select #2 as n from t", "b"),
    "a part of a struct": ("select d.x as n from t", "d d.x"),
    "a dot": ('select "d.x" as n from t', "d d.x"),
    "quotes": ('select "with ""quotes"", and more" as n from t', 'with "quotes", and more'),
    "the row": ("select t as row from t", "* a"),
    "star inside": ("select max(a) as n from (select * from t)", "a"),
    "star without": ('select * exclude (b, d, "d.x") from t', 'a c with "quotes", and more'),
    "join": ("select c, e from t join u using (a)", "a c e"),
    "natural join": ("select c from t natural join u", "a c"),
    "union by place": ("select a from (select a, b from t union all select a, e from u)", "a"),
    "in": ("select b from t where a in (select a from u)", "a b"),
    "twice": ("select x.b from t x join t y on x.a = y.a + 1", "a b"),
    "named query": ("with x as (select * from t) select b from x where a > 1", "a b"),
    "unpivot": ("unpivot (select a, c from t) on columns(*) into name k value v", "a c"),
    "never": ("select a from t where false", ""),
    "window": ("select a, row_number() over (order by c) as n from t", "a c"),
    "another case": ("SELECT A FROM T", "a"),
}


def in_files(folder: Path, name: str, *tables: pa.Table, **options: Any) -> FileTable:
    for i, table in enumerate(tables):
        write_table(table, folder / f"{name}{i}.arrow")
    found = open_files(f"{name}*.arrow", base=folder, look=FileChecksums().look, **options)
    assert found is not None
    return found


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the columns that were read, of each input: `*` for all."""
    found: list[str] = []
    original = file_table.read_source

    def noting(source: Any) -> pa.Table:
        found.append("*" if source.columns is None else " ".join(source.columns))
        return original(source)

    monkeypatch.setattr(file_table, "read_source", noting)
    return found


@pytest.mark.parametrize("name", QUERIES)
def test_queries_read_the_columns_that_they_need(trial: Trial, name: str, read: list[str]) -> None:
    query, columns = QUERIES[name]
    values = {"with_": {"least": 1.0}} if "$least" in query else {}
    expected = trial.table(trial.run("sql", query, {"t": T, "u": U}, **values))
    files = {"t": in_files(trial.folder, "t", T), "u": in_files(trial.folder, "u", U)}
    found = trial.table(trial.run("sql", query, files, attempt=2, **values))
    assert found == expected
    assert found.schema == expected.schema
    assert sorted({word for some in read for word in some.split()}) == sorted(set(columns.split()))


@pytest.mark.parametrize("name", sorted({*COLUMNS} - {"half"}))  # which DuckDB cannot have in a table
def test_all_types_can_be_beside_those_that_are_read(trial: Trial, name: str, read: list[str]) -> None:
    table = pa.table({"n": [1, 2, 3], name: COLUMNS[name], "m": [4, 5, 6]})
    found = trial.table(trial.run("sql", "select m from t where n > 1", {"t": in_files(trial.folder, "t", table)}))
    assert found.to_pylist() == [{"m": 5}, {"m": 6}]
    assert read == ["n m"]


@pytest.mark.parametrize("name", COLUMNS)
def test_files_give_the_types_and_values_that_their_table_gives(trial: Trial, name: str) -> None:
    table, query = pa.table({name: COLUMNS[name]}), f'select *, "{name}" is null as missing from t'
    whole = trial.run("sql", query, {"t": table})
    found = trial.run("sql", query, {"t": in_files(trial.folder, "t", table)}, attempt=2)
    if whole.failure is not None:  # DuckDB cannot read this type
        assert failed(found).message == whole.failure.message
        return
    assert trial.table(found).schema == trial.table(whole).schema
    assert str(trial.table(found).to_pylist()) == str(trial.table(whole).to_pylist())  # NaN is not equal to itself


def test_several_files_are_one_table(trial: Trial, read: list[str]) -> None:
    files = in_files(trial.folder, "t", T, T.slice(1, 2), T.slice(0, 0), columns=["c", "b"])
    assert trial.table(trial.run("sql", "select b from t", {"t": files}))["b"].to_pylist() == [
        "x",
        None,
        "y",
        "y",
        None,
        "y",
    ]
    assert read == ["b"]
    assert "no" in failed(trial.run("sql", "select no from t", {"t": files}, attempt=2)).message


def test_names_that_differ_in_case_only_read_all(trial: Trial, read: list[str]) -> None:
    files = in_files(trial.folder, "t", pa.table({"a": [1], "A": [2], "b": [3]}))
    assert trial.table(trial.run("sql", "select b from t", {"t": files})).to_pylist() == [{"b": 3}]
    assert read == ["*"]


def test_several_statements_get_the_table(trial: Trial, read: list[str]) -> None:
    query = "create temp table x as select b from t; select b from x where b is not null"
    assert trial.table(trial.run("sql", query, {"t": in_files(trial.folder, "t", T)})).num_rows == 3
    assert read == ["*"]


def test_all_columns_are_read_if_the_plan_needs_others_when_there_are_rows(
    trial: Trial, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = iter([{"a"}, {"a", "b"}])
    monkeypatch.setattr(sql_tables, "_columns_read", lambda *_: next(plans))
    found = trial.table(trial.run("sql", "select a, b from t", {"t": in_files(trial.folder, "t", T)}))
    assert found == T.select(["a", "b"])
    assert read == ["a", "*"]


def test_a_damaged_column_fails_only_those_who_read_it(trial: Trial) -> None:
    """Arrow's readers trust texts, and whoever trusts them then may crash."""
    write_table(pa.table({"a": [1, 2], "s": ["abcdefgh", "ijklmnop"]}), trial.folder / "t0.arrow")
    path = trial.folder / "t0.arrow"
    path.write_bytes(path.read_bytes().replace(b"abcdefgh", b"abcd\xff\xfe\xfdh"))
    files = open_files("t0.arrow", base=trial.folder, look=FileChecksums().look)
    assert trial.table(trial.run("sql", "select a from t", {"t": files}))["a"].to_pylist() == [1, 2]
    failure = failed(trial.run("sql", "select s from t", {"t": files}, attempt=2))
    assert failure.cause is Cause.NODE
    assert failure.message.startswith("t0.arrow cannot be read as arrow: ")


def test_a_file_that_was_changed_fails_the_query(trial: Trial) -> None:
    files = in_files(trial.folder, "t", T)
    with (trial.folder / "t0.arrow").open("ab") as file:
        file.write(b"more")
    failure = failed(trial.run("sql", "select a from t", {"t": files}))
    assert failure.error == "t0.arrow was changed while the run was reading it: start the run again"


def test_a_file_that_was_replaced_is_read_as_it_was(trial: Trial) -> None:
    files = in_files(trial.folder, "t", T)
    write_table(U, trial.folder / "t0.arrow")
    assert trial.table(trial.run("sql", "select b from t", {"t": files})) == T.select(["b"])


def test_a_stream_is_read_at_once(tmp_path: Path) -> None:
    with pa.OSFile(str(tmp_path / "t.arrow"), "wb") as file, pa.ipc.new_stream(file, T.schema) as stream:
        stream.write_table(T)
    assert open_files("t.arrow", base=tmp_path, look=FileChecksums().look) is None


@pytest.mark.slow
@pytest.mark.parametrize("compression", [None, "zstd"])
def test_damaged_files_are_refused_or_read(tmp_path: Path, compression: str | None) -> None:
    """Each of 1,000 files has some bytes that are wrong. None crashes Arrow or DuckDB, or raises another error."""
    drawn = random.Random(5)
    table = pa.table({"n": range(200), "s": [f"x{n}" for n in range(200)], "l": [[n] * (n % 3) for n in range(200)]})
    table = table.append_column("d", pa.array(["u", "v"] * 100).dictionary_encode())
    path, options = tmp_path / "t.arrow", pa.ipc.IpcWriteOptions(compression=compression)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=64)
    content, read, refused = path.read_bytes(), 0, 0
    connection = duckdb.connect(config={"threads": 1})
    for _ in range(1000):
        damaged = bytearray(content)
        for _ in range(drawn.choice([1, 2, 5])):
            damaged[drawn.randrange(len(damaged))] = drawn.choice([0, 255, 127, 128, drawn.randrange(256)])
        path.write_bytes(damaged)
        try:
            files = open_files("t.arrow", base=tmp_path, look=FileChecksums().look)
            for name in ("s", "l", "d") if files is not None else ():
                connection.register("t", source_schema(files.source).empty_table())
                sql_tables.bind_needed(connection, {"t": files.source}, f"select {name} from t", {})
                connection.sql(f"select {name} from t").to_arrow_table()
            read += 1
        except (FormatError, duckdb.Error):
            refused += 1
    assert read > 100
    assert refused > 100
