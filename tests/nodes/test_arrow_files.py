"""Tests of queries over Arrow files, which get the whole table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conftest import Trial, failed
from test_sql_inputs import COLUMNS

from nfrun.core.errors import Cause
from nfrun.system.checksums import FileChecksums
from nfrun.tables.file_io import write_table
from nfrun.tables.file_table import FileTable, open_files

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


def in_files(folder: Path, name: str, *tables: pa.Table, **options: Any) -> FileTable:
    for i, table in enumerate(tables):
        write_table(table, folder / f"{name}{i}.arrow")
    found = open_files(f"{name}*.arrow", base=folder, look=FileChecksums().look, **options)
    assert found is not None
    return found


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


def test_several_files_are_one_table(trial: Trial) -> None:
    files = in_files(trial.folder, "t", T, T.slice(1, 2), T.slice(0, 0), columns=["c", "b"])
    assert trial.table(trial.run("sql", "select b from t", {"t": files}))["b"].to_pylist() == [
        "x",
        None,
        "y",
        "y",
        None,
        "y",
    ]
    assert "no" in failed(trial.run("sql", "select no from t", {"t": files}, attempt=2)).message


def test_a_damaged_column_fails_the_query(trial: Trial) -> None:
    """Arrow's readers trust texts, and whoever trusts them then may crash."""
    write_table(pa.table({"a": [1, 2], "s": ["abcdefgh", "ijklmnop"]}), trial.folder / "t0.arrow")
    path = trial.folder / "t0.arrow"
    path.write_bytes(path.read_bytes().replace(b"abcdefgh", b"abcd\xff\xfe\xfdh"))
    files = open_files("t0.arrow", base=trial.folder, look=FileChecksums().look)
    failure = failed(trial.run("sql", "select s from t", {"t": files}))
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
