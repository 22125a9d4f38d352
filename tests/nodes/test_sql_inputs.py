"""Tests of the inputs of queries: files that DuckDB reads itself give what their tables in Arrow give."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Trial, failed

from nfrun.nodes import sql_tables
from nfrun.system.checksums import FileChecksums
from nfrun.tables.file_io import read_table
from nfrun.tables.file_table import FileTable, open_files

duckdb = pytest.importorskip("duckdb")

DAY = datetime.datetime(2024, 2, 29, 12, 30, 1, 500_000)
COLUMNS: dict[str, pa.Array] = {
    "int8": pa.array([1, None, -3], pa.int8()),
    "uint64": pa.array([1, None, 2**64 - 1], pa.uint64()),
    "half": pa.array([1.5, None, -2.0], pa.float16()),
    "float": pa.array([1.5, None, float("nan")], pa.float32()),
    "double": pa.array([-0.0, None, float("inf")], pa.float64()),
    "bool": pa.array([True, None, False]),
    "string": pa.array(["", None, "ä'\"\0"]),
    "large_string": pa.array(["a", None, "b"], pa.large_string()),
    "string_view": pa.array(["a", None, "b"], pa.string_view()),
    "binary": pa.array([b"", None, b"\xff\0"]),
    "fixed_binary": pa.array([b"ab", None, b"\0\0"], pa.binary(2)),
    "dictionary": pa.array(["a", None, "b"]).dictionary_encode(),
    "date": pa.array([DAY.date(), None, DAY.date()]),
    "date64": pa.array([DAY.date(), None, DAY.date()], pa.date64()),
    "time_ms": pa.array([DAY.time(), None, DAY.time()], pa.time32("ms")),
    "time_us": pa.array([DAY.time(), None, DAY.time()], pa.time64("us")),
    "time_ns": pa.array([DAY.time(), None, DAY.time()], pa.time64("ns")),
    "timestamp_s": pa.array([DAY.replace(microsecond=0), None, DAY.replace(microsecond=0)], pa.timestamp("s")),
    "timestamp_ms": pa.array([DAY, None, DAY], pa.timestamp("ms")),
    "timestamp_us": pa.array([DAY, None, DAY], pa.timestamp("us")),
    "timestamp_ns": pa.array([DAY, None, DAY], pa.timestamp("ns")),
    "timestamp_tz": pa.array([DAY, None, DAY], pa.timestamp("us", "Europe/Berlin")),
    "duration": pa.array([1, None, 2], pa.duration("us")),
    "decimal": pa.array([decimal.Decimal("1.05"), None, decimal.Decimal("-2.00")], pa.decimal128(15, 2)),
    "list": pa.array([[1], None, []], pa.list_(pa.int64())),
    "fixed_list": pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int32(), 2)),
    "struct": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": None}]),
    "map": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64())),
    "null": pa.nulls(3),
}


def in_files(folder: Path, table: pa.Table, **options: Any) -> FileTable:
    pq.write_table(table, folder / "t.parquet")
    found = open_files("t.parquet", base=folder, look=FileChecksums().look, **options)
    assert found is not None
    return found


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return, for each input in files, whether DuckDB reads the files."""
    found: list[bool] = []
    original = sql_tables._is_same_in_arrow

    def noting(*arguments: Any) -> bool:
        found.append(original(*arguments))
        return found[-1]

    monkeypatch.setattr(sql_tables, "_is_same_in_arrow", noting)
    return found


@pytest.mark.parametrize("name", COLUMNS)
def test_files_give_the_types_and_values_that_their_table_gives(trial: Trial, name: str) -> None:
    files = in_files(trial.folder, pa.table({name: COLUMNS[name]}))
    files.load()
    table = files.take()
    query = f'select *, "{name}" is null as missing from t'
    try:
        expected = trial.table(trial.run("sql", query, {"t": table}))
    except AssertionError:  # DuckDB cannot read the table, and not the files either
        assert failed(trial.run("sql", query, {"t": in_files(trial.folder, table)}, attempt=2))
        return
    found = trial.table(trial.run("sql", query, {"t": in_files(trial.folder, table)}, attempt=3))
    assert found.schema == expected.schema
    assert str(found.to_pylist()) == str(expected.to_pylist())  # NaN is not equal to itself


@pytest.mark.parametrize(
    ("table", "scanned"),
    [
        (pa.table({"n": [1, 2], "s": ["a", None]}), True),
        (pa.table({"n": COLUMNS["timestamp_ms"]}), False),
        (pa.table({"n": [1], "N": [2]}), True),
        (pa.table({'with "quotes"': [1], "and space": [2]}), True),
    ],
)
def test_files_are_scanned_where_that_gives_the_same(
    trial: Trial, scans: list[bool], table: pa.Table, scanned: bool
) -> None:
    found = trial.table(trial.run("sql", "from t", {"t": in_files(trial.folder, table)}))
    assert scans == [scanned]
    assert found.num_columns == table.num_columns
    assert found.num_rows == table.num_rows


def test_the_table_has_the_columns_that_were_selected(trial: Trial) -> None:
    files = in_files(trial.folder, pa.table({"a": [1], "b": [2], "c": [3]}), columns=["c", "a"])
    assert trial.table(trial.run("sql", "from t", {"t": files})).to_pylist() == [{"c": 3, "a": 1}]
    files = in_files(trial.folder, pa.table({"a": [1], "b": [2]}), columns=["a"])
    assert "b" in failed(trial.run("sql", "select b from t", {"t": files}, attempt=2)).message


def test_files_of_several_parts_and_odd_names_are_one_table(trial: Trial) -> None:
    for name, n in (("a=1", 1), ("it's", 2), ("b=%2F ä", 3)):
        (trial.folder / "p" / name).mkdir(parents=True)
        pq.write_table(pa.table({"n": [n]}), trial.folder / "p" / name / "t.parquet")
    files = open_files("p/*/*.parquet", base=trial.folder, look=FileChecksums().look)
    assert files is not None
    found = trial.table(trial.run("sql", "from t", {"t": files}))  # no column `a` from the name of a folder
    assert sorted(found.to_pydict().items()) == [("n", [1, 3, 2])]


def in_folders(folder: Path, parts: dict[str, int], **options: Any) -> FileTable:
    """Write a file for each of these folders, with a number and a column that the paths hold, too."""
    for name, n in parts.items():
        (folder / "d" / name).mkdir(parents=True)
        pq.write_table(pa.table({"n": [n, n + 1], "k": ["in", "file"]}), folder / "d" / name / "t.parquet")
    found = open_files("d/", base=folder, look=FileChecksums().look, **options)
    assert found is not None
    return found


PARTS = {
    "texts": {"k=DE": 1, "k=null": 3, "k=__HIVE_DEFAULT_PARTITION__": 5, "k=a%2Fb ä+'": 7, "k=01067": 9},
    "numbers": {"k=1/day=2024-03-01": 1, "k=-2/day=2024-03-02": 3, "k=10/day=__HIVE_DEFAULT_PARTITION__": 5},
    "other names": {"P0=1/p1=x": 1, "P0=2/p1=y": 3},
    "a long name": {f"x={'y' * 252}": 1, "x=z": 2},
    "only null": {"x=__HIVE_DEFAULT_PARTITION__": 1},
}


@pytest.mark.parametrize("parts", PARTS)
def test_folders_of_partitions_give_what_their_table_gives(trial: Trial, scans: list[bool], parts: str) -> None:
    found = trial.table(trial.run("sql", "from t", {"t": in_folders(trial.folder, PARTS[parts])}))
    assert scans == [True]
    table = read_table("d/", base=trial.folder)
    assert found == trial.table(trial.run("sql", "from t", {"t": table}, attempt=2))
    assert found.to_pylist() == table.to_pylist()


@pytest.mark.parametrize(
    ("type_", "scanned"), [(pa.string(), True), (pa.bool_(), True), (pa.date64(), True), (pa.binary(), False)]
)
def test_partitions_have_the_types_of_the_schema(
    trial: Trial, scans: list[bool], type_: pa.DataType, scanned: bool
) -> None:
    values = {pa.bool_(): ["true", "0"], pa.date64(): ["2024-03-01"]}.get(type_, ["1", "2"])
    parts = {f"k={value}": n for n, value in enumerate(values)}
    files = in_folders(trial.folder, parts, types={"k": type_})
    found = trial.table(trial.run("sql", "from t", {"t": files}))
    assert scans == [True] * scanned
    table = read_table("d/", base=trial.folder, types={"k": type_})
    assert found == trial.table(trial.run("sql", "from t", {"t": table}, attempt=2))


def test_columns_of_partitions_are_selected_like_others(trial: Trial) -> None:
    files = in_folders(trial.folder, {"k=1/x=a": 1, "k=2/x=b": 3}, columns=["x", "n"])
    found = trial.table(trial.run("sql", "select * from t where x > 'a'", {"t": files}))
    assert found.to_pylist() == [{"x": "b", "n": 3}, {"x": "b", "n": 4}]
    assert files.source.partitions == ("x",)


def test_of_files_with_a_column_of_file_names_the_table_is_read(trial: Trial, scans: list[bool]) -> None:
    (trial.folder / "d/k=1").mkdir(parents=True)
    pq.write_table(pa.table({"n": [1], "filename": ["f"]}), trial.folder / "d/k=1/t.parquet")
    for attempt, columns in enumerate((None, ["n", "k"]), 1):
        source = open_files("d/", base=trial.folder, look=FileChecksums().look, columns=columns)
        found = trial.table(trial.run("sql", "from t", {"t": source}, attempt=attempt))
        assert found == read_table("d/", base=trial.folder, columns=columns)
    assert scans == [False, False]


@pytest.mark.parametrize(
    ("filter", "files"),
    [("k > 1", "2/3"), ("k in (3, 4)", "1/3"), ("x = 'b'", "2/3"), ("k is not null", "3/3"), ("k + 1 = 3", "1/3")],
)
def test_files_of_other_partitions_are_not_read(trial: Trial, filter: str, files: str) -> None:
    source = in_folders(trial.folder, {"k=1/x=a": 1, "k=2/x=b": 3, "k=3/x=b": 5})
    plan = trial.table(trial.run("sql", f"explain analyze select n from t where {filter}", {"t": source}))
    shown = str(plan["explain_value"][0])
    assert f"Scanning Files: {files}" in shown or files == "3/3"
    assert f"Total Files Read: {files[0]}" in shown


def test_a_file_that_is_changed_while_a_query_reads_it_fails_the_node(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = sql_tables.bind_inputs

    def then_changed(*arguments: Any, **options: Any) -> Any:
        scanned = original(*arguments, **options)
        with (trial.folder / "t.parquet").open("ab") as file:
            file.write(b"more")
        return scanned

    monkeypatch.setattr("nfrun.nodes.sql.bind_inputs", then_changed)
    failure = failed(trial.run("sql", "from t", {"t": in_files(trial.folder, pa.table({"n": [1]}))}))
    assert failure.error == "t.parquet was changed while the run was reading it: start the run again"


def test_messages_of_duckdb_name_the_file_of_the_user(trial: Trial) -> None:
    files = in_files(trial.folder, pa.table({"s": ["12", "ab"]}))
    path = trial.folder / "t.parquet"
    path.write_bytes(path.read_bytes())
    source = files.source
    message = f"IO Error: cannot read {source.files[0].path}"
    assert sql_tables.with_names(message, [source]) == "IO Error: cannot read t.parquet"


def test_a_large_table_reaches_duckdb_in_slices_that_share_its_memory() -> None:
    table = pa.table({"n": pa.array(range(300_000), pa.int64())})
    slices = sql_tables.sliced(table)
    assert slices == table
    assert [len(chunk) for chunk in slices["n"].chunks] == [122_880, 122_880, 54_240]
    address = table["n"].chunks[0].buffers()[1].address
    assert all(chunk.buffers()[1].address == address for chunk in slices["n"].chunks)
    small = pa.table({"n": [1]})
    assert sql_tables.sliced(small) is small
