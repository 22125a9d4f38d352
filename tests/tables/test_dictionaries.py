"""Tests of words that libraries number: they are written and handed on as other texts are."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from conftest import Trial

from nfrun.tables.file_io import read_table, write_stream, write_table
from nfrun.tables.formats import FormatError

WORDS = ["b", "a", None, "b"]
FRAMES = {
    "categorical": pl.Series(["b", "a", None, "b"], dtype=pl.Categorical),
    "enum": pl.Series(["b", "a", None, "b"], dtype=pl.Enum(["a", "b"])),
    "list": pl.Series([["a"], None, [], ["b", None]], dtype=pl.List(pl.Categorical)),
    "array": pl.Series([["a", "b"], None, ["b", None], ["a", "a"]], dtype=pl.Array(pl.Enum(["a", "b"]), 2)),
    "struct": pl.Series([{"x": "a"}, {"x": None}, {"x": "b"}, {"x": "a"}], dtype=pl.Struct({"x": pl.Categorical})),
    "deep": pl.Series(
        [[{"x": ["a"]}], [], None, [{"x": None}]], dtype=pl.List(pl.Struct({"x": pl.List(pl.Categorical)}))
    ),
}
TABLES = {name: pa.table(pl.DataFrame({"c": series, "i": range(4)})) for name, series in FRAMES.items()}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("format", ["arrow", "parquet", "jsonl", "csv"])
def test_words_of_polars_are_written(tmp_path: Path, name: str, format: str) -> None:
    table = TABLES[name]
    for written in (table, table.slice(1, 2)):
        write_table(written, tmp_path / f"t.{format}")
        found = read_table(f"t.{format}", base=tmp_path)["c"].to_pylist()
        if format != "csv" or name in ("categorical", "enum"):
            assert found == written["c"].to_pylist()


@pytest.mark.parametrize("name", TABLES)
def test_words_of_polars_are_handed_on(trial: Trial, name: str) -> None:
    table = TABLES[name]
    values = table["c"].to_pylist()
    for reader in ("pd.DataFrame", "pl.DataFrame", "pa.Table"):
        source = f"import pandas as pd, polars as pl, pyarrow as pa\ndef f(t: {reader}): return t"
        assert trial.table(trial.python(source, {"t": table}))["c"].to_pylist() == values
    for format in ("arrow", "parquet", "jsonl"):
        outcome = trial.run("run", 'cp "$NFRUN_INPUT_t" "$NFRUN_OUTPUT"', {"t": table}, format=format)
        assert trial.table(outcome)["c"].to_pylist() == values
    assert trial.table(trial.run("sql", "from t", {"t": table}))["c"].to_pylist() == values


def test_what_polars_says_of_an_enum_stays(trial: Trial) -> None:
    source = "import polars as pl\ndef f(t: pl.DataFrame): return {'type': str(t['c'].dtype)}"
    for name, type_ in (("enum", "Enum(categories=['a', 'b'])"), ("categorical", "Categorical")):
        assert trial.table(trial.python(source, {"t": TABLES[name]}))["type"].to_pylist() == [type_]


INTERVAL = pa.array([(1, 2, 3)], pa.month_day_nano_interval())
UNION = pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])
UNWRITABLE = {
    "parquet interval": ("parquet", INTERVAL, "Unhandled type for Arrow to Parquet schema conversion: month_day_nano"),
    "parquet list": ("parquet", pa.array([[(1, 2, 3)]], pa.list_(INTERVAL.type)), "Unhandled type"),
    "parquet union": ("parquet", UNION, "Unhandled type for Arrow to Parquet schema conversion: sparse_union"),
    "csv union": ("csv", UNION, "there is no text form for sparse_union<0: int64=0>"),
    "jsonl union": ("jsonl", UNION, "there is no text form for sparse_union<0: int64=0>"),
}


@pytest.mark.parametrize("name", UNWRITABLE)
def test_a_column_that_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    format, column, told = UNWRITABLE[name]
    table = pa.table({"a": [1], "x": column, "z": INTERVAL})
    with pytest.raises(FormatError) as error:
        write_table(table, tmp_path / f"t.{format}")
    assert str(error.value).startswith(f"t.{format} cannot be written as {format}: its column 'x'")
    assert told in str(error.value)
    assert str(column.type) in str(error.value)
    assert str(error.value).endswith('; make a text of it, as with "x"::varchar in a query')
    assert not list(tmp_path.iterdir())
    with (tmp_path / "out").open("wb") as stream, pytest.raises(FormatError, match="its column 'x'"):
        write_stream(table, format, stream)
