"""What a row-wise function may return, and what is told if it does not fit its rows."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from nfrun.rows.returned import ReturnedError, computed_rows

GIVEN: list[tuple[Any, dict[str, list[Any]]]] = [
    ({"a": [1, 2], "b": ("x", None)}, {"a": [1, 2], "b": ["x", None]}),
    ({"a": np.array([1, 2]), 3: pa.array(["x", "y"])}, {"a": [1, 2], "3": ["x", "y"]}),
    ({"a": pd.Series([1, 2]), "b": pl.Series([1, 2])}, {"a": [1, 2], "b": [1, 2]}),
    ([{"a": 1}, {"b": "x"}], {"a": [1, None], "b": [None, "x"]}),
    ([{"a": 1}, None], {"a": [1, None]}),
    ([1, 2.5], {"": [1.0, 2.5]}),
    ((None, None), {"": [None, None]}),
    (np.array([1, 2]), {"": [1, 2]}),
    (np.array([[1, 2], [3, 4]], np.float32), {"": [[1, 2], [3, 4]]}),
    ([np.array([1.0]), np.array([2.0])], {"": [[1.0], [2.0]]}),
    ([[1], []], {"": [[1], []]}),
    (pa.array(["x", "y"]), {"": ["x", "y"]}),
    (pa.chunked_array([["x"], ["y"]]), {"": ["x", "y"]}),
    (pl.Series(["x", "y"]), {"": ["x", "y"]}),
    (pd.Series(["x", "y"]), {"": ["x", "y"]}),
    (pa.table({"a": [1, 2]}), {"a": [1, 2]}),
    (pa.record_batch({"a": [1, 2]}), {"a": [1, 2]}),
    (pl.DataFrame({"a": [1, 2]}), {"a": [1, 2]}),
    (pd.DataFrame({"a": [1, 2]}, index=[7, 8]), {"a": [1, 2]}),
    (range(2), {"": [0, 1]}),
]


@pytest.mark.parametrize(("value", "columns"), GIVEN)
def test_forms(value: Any, columns: dict[str, list[Any]]) -> None:
    found = computed_rows(value, 2)
    assert found.counts is None and found.table.to_pydict() == columns


EXPLODED: list[tuple[Any, dict[str, list[Any]], tuple[int, ...]]] = [
    ([["a", "b"], []], {"": ["a", "b"]}, (2, 0)),
    ([[{"c": 1}, {"d": 2}], [{"c": 3}]], {"c": [1, None, 3], "d": [None, 2, None]}, (2, 1)),
    ([None, ("a",)], {"": ["a"]}, (0, 1)),
    ([[], []], {}, (0, 0)),
]


@pytest.mark.parametrize(("value", "columns", "counts"), EXPLODED)
def test_forms_of_exploded_rows(value: Any, columns: dict[str, list[Any]], counts: tuple[int, ...]) -> None:
    found = computed_rows(value, 2, explode=True)
    assert (found.table.to_pydict(), found.counts) == (columns, counts)


EACH = "return one value for each of the 2 rows"
WRONG: list[tuple[Any, bool, str, str]] = [
    ([1], False, "the function returned 1 value for 2 rows", EACH),
    ({"a": [1, 2, 3]}, False, "the function returned 3 values for the column 'a' for 2 rows", EACH),
    ({"a": 1}, False, "the function returned an int for the column 'a'", EACH),
    ({"a": "xy"}, False, "the function returned a str for the column 'a'", EACH),
    ({}, False, "the function returned no columns", "return a value or a mapping for each row"),
    ([{}, {}], False, "the function returned no columns", "return a value or a mapping for each row"),
    (None, False, "the function returned None", EACH),
    (7, False, "the function returned an int", EACH),
    (np.float64(7), False, "the function returned an array of 0 dimensions", ""),
    ("xy", False, "the function returned a str", EACH),
    ([{"a": 1}], False, "the function returned 1 mapping for 2 rows", EACH),
    (
        [{"a": 1}, 2],
        False,
        "the function returned a mapping for one row and an int for another",
        "return a mapping for each row, or None for a row of nulls",
    ),
    (pl.DataFrame({"a": [1]}), False, "the function returned 1 row for 2 rows", EACH),
    (
        np.zeros((2, 1, 1)),
        False,
        "the function returned an array of 3 dimensions",
        "return one of two dimensions, or a list with one value for each row",
    ),
    ([1, "x"], False, "the function returned a list that does not make columns: Could not convert 'x' …", ""),
    (
        [object(), 1],
        False,
        "the function returned a list that does not make columns: Could not convert <object object> with type …",
        "",
    ),
    ({"": [1, 2]}, False, "the function returned a column whose name is empty", "give it a name"),
    ([{"a": 1, "": 1}, {}], False, "the function returned a column whose name is empty", "give it a name"),
    (
        {"a": [1, 2]},
        True,
        "the function returned a dict",
        "'explode' needs a list with a list of new rows for each of the 2 rows",
    ),
    ([["a"]], True, "the function returned 1 list for 2 rows", EACH),
    (
        [["a"], "b"],
        True,
        "the function returned a str for a row",
        "'explode' needs a list of new rows for each row: values or mappings",
    ),
]


@pytest.mark.parametrize(("value", "explode", "message", "details"), WRONG)
def test_what_is_wrong(value: Any, explode: bool, message: str, details: str) -> None:
    with pytest.raises(ReturnedError) as error:
        computed_rows(value, 2, explode=explode)
    assert re.fullmatch(re.escape(message).replace("…", "(?s:.*)"), str(error.value))
    assert error.value.details == details or not details


def test_types_of_vectors() -> None:
    assert computed_rows(np.zeros((2, 3), np.float32), 2).table.schema.types == [pa.list_(pa.float32(), 3)]
    assert computed_rows({"v": np.zeros((2, 3))}, 2).table.schema.types == [pa.list_(pa.float64(), 3)]
    assert computed_rows(np.zeros((0, 3)), 0).table.schema.types == [pa.list_(pa.float64(), 3)]
    assert computed_rows(np.zeros((4, 2)).T, 2).table.to_pydict() == {"": [[0.0] * 4] * 2}


def test_what_is_kept_does_not_change_with_the_arrays_of_the_function() -> None:
    numbers = np.arange(5000)
    found = computed_rows({"a": numbers}, 5000)
    numbers[:] = -1
    assert found.table["a"][4999].as_py() == 4999
