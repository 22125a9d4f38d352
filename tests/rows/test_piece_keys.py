"""The keys of pieces: they depend on the content of a piece, not on the others or on where it stands."""

from __future__ import annotations

from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from nfrun.core.map_spec import MapSpec
from nfrun.rows.work import Cut, cut, piece_keys

SIZES = [1, 255, 256, 3, 1000, 0, 1, 70_000, 2, 300]


def keys(table: pa.Table, pieces: Cut) -> list[bytes]:
    found: list[bytes] = piece_keys(table, pieces).to_pylist()
    assert len(found) == pieces.count
    return found


def numbered(first: int, rows: int) -> pa.Table:
    numbers = range(first, first + rows)
    columns = {"n": pa.array(numbers, pa.int64()), "t": pa.array([f"t{i}" for i in numbers], pa.string())}
    return pa.table(columns)


def test_each_piece_has_the_key_that_it_has_alone() -> None:
    whole, bounds = numbered(0, sum(SIZES)), [0]
    for size in SIZES:
        bounds.append(bounds[-1] + size)
    together = keys(whole, Cut(tuple(bounds)))
    assert len(set(together)) == len(SIZES)
    for key, start, size in zip(together, bounds, SIZES, strict=False):
        assert keys(numbered(start, size), Cut((0, size))) == [key]
    backwards = pa.array([*range(1000, 1300), *range(255, 1000), *range(255)], pa.int64())
    found = keys(whole, Cut((0, 300, 1045, 1300), backwards))
    assert found[2:] == keys(numbered(0, 255), Cut((0, 255)))


@pytest.mark.parametrize("rows", [3, 300])
def test_types_names_and_order_count(rows: int) -> None:
    table = numbered(0, rows)
    others = [
        table,
        table.select(["t", "n"]),
        table.rename_columns(["n", "u"]),
        table.select(["n"]),
        table.set_column(0, "n", table["n"].cast(pa.int32())),
        table.set_column(1, "t", table["t"].dictionary_encode()),
        table.take(pa.array(range(rows))[::-1]),
        table.slice(0, rows - 1),
        table.replace_schema_metadata({"k": "v"}),
    ]
    assert len({keys(other, Cut((0, other.num_rows)))[0] for other in others}) == len(others)


def test_chunks_do_not_count() -> None:
    table = numbered(0, 600)
    chunked = pa.concat_tables([table.slice(i, 7) for i in range(0, 600, 7)])
    for spec in (MapSpec("x", batch=10), MapSpec("x", batch=500), MapSpec("x", batch=0, by=("n",))):
        assert keys(chunked, cut(chunked, spec)) == keys(table, cut(table, spec))


def test_no_pieces_and_no_columns() -> None:
    assert keys(numbered(0, 0), Cut((0, 0)))[0] != keys(numbered(0, 1), Cut((0, 1)))[0]
    assert piece_keys(numbered(0, 0), Cut((0,))).to_pylist() == []


def test_the_numbers_of_rows_in_the_metadata_of_pandas_do_not_count() -> None:
    few, many = (pa.Table.from_pandas(pd.DataFrame({"n": range(size)})) for size in (300, 400))
    assert few.schema.metadata != many.schema.metadata
    assert keys(few, Cut((0, 10, 300)))[0] == keys(many, Cut((0, 10, 400)))[0]


def worded(words: str, form: str) -> pa.Table:
    """Return a table whose rows have the words a and b, from a dictionary of all the words."""
    array = pa.DictionaryArray.from_arrays([words.index("a"), words.index("b")] * 150, list(words))
    forms = {
        "column": lambda: array,
        "lists": lambda: pa.ListArray.from_arrays([*range(301)], array),
        "lists of one size": lambda: pa.FixedSizeListArray.from_arrays(array, 1),
        "structs": lambda: pa.StructArray.from_arrays([array], ["x"]),
        "maps": lambda: pa.MapArray.from_arrays([*range(301)], pa.array(range(300)), array),
        "of a data frame": lambda: pa.Table.from_pandas(
            pd.DataFrame({"t": pd.Categorical(["a", "b"] * 150, [*words])})
        )["t"],
        "of polars": lambda: pa.table(pl.DataFrame({"t": pl.Series(["a", "b"] * 150, dtype=pl.Enum([*words]))}))["t"],
    }
    return pa.table({"n": range(300), "t": forms[form]()})


@pytest.mark.parametrize(
    "form",
    ["column", "lists", "lists of one size", "structs", "maps", "of a data frame", "of polars"],
)
@pytest.mark.parametrize("how", [{"batch": 2}, {"batch": 300}, {"by": ("n",)}, {"parts": 1}, {"parts": 9}])
def test_dictionaries_count_with_their_order_and_the_values_that_no_row_has(form: str, how: dict[str, Any]) -> None:
    found = {}
    for words in ("ab", "ba", "abc", "abd", "cab"):
        table = worded(words, form)
        found[words] = keys(table, cut(table, MapSpec("t", **{"batch": 0, **how})))
    assert len({key for each in found.values() for key in each}) == sum(map(len, found.values()))
    table = worded("ab", form)
    assert keys(table, cut(table, MapSpec("t", **{"batch": 0, **how}))) == found["ab"]
