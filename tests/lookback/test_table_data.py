"""What a page shows of tables: short first rows, for all types, within the room that there is."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from random_tables import tables

from nfrun.core.errors import HandoffError
from nfrun.lookback.page.output_data import shown_values, table_data


def column(values: list[Any], type: pa.DataType | None = None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, type)])


@pytest.mark.parametrize(
    ("values", "type", "shown"),
    [
        ([1, None, 10**15], pa.int64(), [1, None, str(10**15)]),
        ([1.5, None, float("nan"), float("inf"), float("-inf")], None, [1.5, None, "NaN", "Infinity", "-Infinity"]),
        ([0.1 + 0.2], None, [0.3]),
        (["a" * 100, "</script>", None], None, ["a" * 79 + "…", "</script>", None]),
        ([True, None], None, [True, None]),
        ([b"\x00\xff"], None, ["AP8="]),
        ([Decimal("1.20")], None, ["1.20"]),
        ([datetime.date(2024, 1, 2)], None, ["2024-01-02"]),
        ([datetime.datetime(2024, 1, 2, 3, 4, 5)], pa.timestamp("s"), ["2024-01-02T03:04:05"]),
        ([[1, None], []], pa.list_(pa.int8()), ["[1, None]", "[]"]),
        ([{"a": 1}], None, ["{'a': 1}"]),
        ([None], pa.null(), [None]),
    ],
)
def test_values_are_short_json_values(values: list[Any], type: pa.DataType | None, shown: list[Any]) -> None:
    assert shown_values(column(values, type)) == shown


@given(tables())
def test_any_table_is_shown_as_json(table: pa.Table) -> None:
    found = table_data(table, 100_000)
    json.dumps(found, allow_nan=False)
    assert len(found["first_rows"]) == min(10, table.num_rows)
    assert all(len(row) == min(60, table.num_columns) for row in found["first_rows"])


def test_less_is_shown_where_there_is_less_room() -> None:
    table = pa.table({f"column {i}": [f"text {j}" for j in range(50)] for i in range(100)})
    sizes = {room: len(json.dumps(table_data(table, room))) for room in (200, 1_500, 5_000, 20_000)}
    assert all(size <= room for room, size in sizes.items())
    assert table_data(table, 200) == {}
    assert sizes[20_000] > sizes[5_000] > sizes[1_500]


def test_the_nulls_of_a_large_table_are_those_of_all_rows() -> None:
    found = table_data(pa.table({"x": [None, 1] * 50_000}), 10_000)
    assert (len(found["first_rows"]), found["nulls"]) == (10, [50_000])


def test_a_table_that_is_damaged_is_an_error() -> None:
    broken = pa.StringArray.from_buffers(2, pa.py_buffer(b"\0\0\0\0\xff\0\0\0\x02\0\0\0"), pa.py_buffer(b"ab"))
    with pytest.raises(HandoffError, match="its file is damaged"):
        table_data(pa.table({"x": broken}), 10_000)


def test_of_a_wide_table_the_first_columns_are_read() -> None:
    table = pa.table({f"c{i}": [i] for i in range(3_000)})
    found = table_data(table, 1_000_000)
    assert (len(found["nulls"]), len(found["first_rows"][0])) == (60, 60)


def test_a_time_of_a_year_without_a_text_is_shown() -> None:
    """`'infinity'::timestamp` of DuckDB is the last one."""
    last = pa.chunked_array([pa.array([2**63 - 1, None, 0], pa.timestamp("us"))])
    assert shown_values(last)[1] is None
    assert "9223372036854775807" in str(shown_values(last)[0])
