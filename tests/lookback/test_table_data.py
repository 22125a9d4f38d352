"""What a page shows of tables: short first rows and columns, for all types, within the room that there is."""

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
from nfrun.lookback.page.column_data import column_of, shown_values
from nfrun.lookback.page.table_data import sample_of, table_data


def column(values: list[Any], type: pa.DataType | None = None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, type)])


def of(values: list[Any], type: pa.DataType | None = None) -> dict[str, Any]:
    return column_of("x", column(values, type))


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


def test_numbers_have_a_histogram() -> None:
    found = of([0.0, 0.5, 1.0, 16.0, None, float("nan")])
    assert (found["nulls"], found["histogram"]["counts"]) == (1, [2, 1, *[0] * 13, 1])
    assert found["histogram"]["edges"] == [float(i) for i in range(17)]


def test_few_whole_numbers_are_counted_and_more_have_a_bin_each() -> None:
    assert sorted(of([3, 3, 1])["top"]) == [[1, 1], [3, 2]]
    found = of([0, 1, 2, 3, 4, 5, 6, 6])
    assert found["histogram"] == {"edges": [0, 1, 2, 3, 4, 5, 6, 6], "counts": [1] * 6 + [2]}


def test_no_bin_of_whole_numbers_has_more_of_them_than_others() -> None:
    assert of(list(range(32)))["histogram"]["counts"] == [1] * 32
    found = of(list(range(-5, 95)))["histogram"]
    assert found["counts"] == [7] * 14 + [2]
    assert (found["edges"][:2], found["edges"][-2:]) == ([-5, 2], [93, 94])


def test_equal_and_missing_numbers() -> None:
    assert of([2.5, 2.5])["histogram"] == {"edges": [2.5, 2.5], "counts": [2]}
    assert of([None, None], pa.float64()) == {"name": "x", "nulls": 2, "distinct": 0}
    assert "histogram" not in of([float("nan")])


def test_floats_that_are_no_numbers_are_counted() -> None:
    found = of([1.0, 2.0, float("nan"), float("inf"), float("-inf"), None])
    assert (found["nulls"], found["nan"], found["infinite"]) == (1, 1, 2)
    assert sum(found["histogram"]["counts"]) == 2
    assert of([float("nan")]) == {"name": "x", "nulls": 0, "distinct": 1, "nan": 1}
    tiny = of([1e308, -1e308, 5e-324])
    assert tiny["histogram"]["counts"] == [3]  # the width of a bin is infinite


@pytest.mark.parametrize(
    ("values", "type", "first", "last"),
    [
        ([2**64 - 1 - i for i in range(1_000)], pa.uint64(), str(2**64 - 1_000), str(2**64 - 1)),
        ([2**53 + i for i in range(1_000)], pa.int64(), str(2**53), str(2**53 + 999)),
        ([-(2**63) + i * (2**64 // 1_000) for i in range(1_000)], pa.int64(), str(-(2**63)), None),
        ([Decimal("12345678901234567890.12") + i for i in range(1_000)], pa.decimal128(30, 2), None, None),
        (list(range(1_000)), pa.timestamp("ns"), None, "1970-01-01T00:00:00.000000999"),
        (list(range(1_000)), pa.time64("ns"), None, None),
        ([i - 500 for i in range(1_000)], pa.int16(), -500, 499),
    ],
)
def test_evenly_spread_values_have_even_bins(values: list[Any], type: pa.DataType, first: Any, last: Any) -> None:
    found = of(values, type)["histogram"]
    *even, rest = found["counts"]
    assert (sum(even) + rest, len(set(even)) <= 2, max(even) - min(even) <= 1, rest <= even[0]) == (
        1_000,
        True,
        True,
        True,
    )
    assert first is None or found["edges"][0] == first
    assert last is None or found["edges"][-1] == last


def test_small_decimals() -> None:
    assert of([Decimal("0.10"), Decimal("0.30")], pa.decimal128(5, 2))["histogram"]["edges"][::10] == ["0.10", "0.30"]


def test_dates_and_times_have_edges_that_are_texts() -> None:
    days = [datetime.date(2024, 1, 1) + datetime.timedelta(days=i) for i in range(33)]
    found = of(days)["histogram"]
    assert found["counts"] == [3] * 11
    assert (found["edges"][:2], found["edges"][-1]) == (["2024-01-01", "2024-01-04"], "2024-02-02")
    seconds = of([datetime.datetime(2024, 1, 1), datetime.datetime(2024, 1, 2)], pa.timestamp("ns"))
    assert seconds["histogram"]["edges"][0].startswith("2024-01-01T00:00:00")


def test_texts_have_their_most_frequent_values_unless_nearly_all_differ() -> None:
    assert of(["b", "a", "b", None])["top"][0] == ["b", 2]
    assert of([str(i) for i in range(100)]) == {"name": "x", "nulls": 0, "distinct": 100}
    many = of([str(i % 10) for i in range(100)])
    assert (len(many["top"]), many["distinct"]) == (6, 10)
    assert sorted(of([True, False, True])["top"]) == [[False, 1], [True, 2]]
    coded = pa.array(["a", "b", "a"]).dictionary_encode()
    assert column_of("x", pa.chunked_array([coded]))["top"][0] == ["a", 2]


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


def test_a_large_table_is_described_from_slices_from_its_beginning_to_its_end() -> None:
    table = pa.table({"x": range(1_000_000)})
    sample = sample_of(table)
    assert (sample.num_rows, sample["x"][0].as_py(), sample["x"][-1].as_py()) == (20_000, 0, 999_999)
    found = table_data(table, 10_000)
    assert (found["sampled"], found["first_rows"][-1]) == (20_000, [9])
    counts = found["columns"][0]["histogram"]["counts"]
    assert (max(counts) - min(counts), sum(counts)) == (0, 20_000)


def test_the_nulls_of_a_large_table_are_those_of_all_rows() -> None:
    found = table_data(pa.table({"x": [None, 1] * 50_000}), 10_000)
    assert (found["sampled"], found["columns"][0]["nulls"]) == (20_000, 50_000)


def test_a_table_that_is_damaged_is_an_error() -> None:
    broken = pa.StringArray.from_buffers(2, pa.py_buffer(b"\0\0\0\0\xff\0\0\0\x02\0\0\0"), pa.py_buffer(b"ab"))
    with pytest.raises(HandoffError, match="its file is damaged"):
        table_data(pa.table({"x": broken}), 10_000)


def test_of_a_wide_table_the_first_columns_are_read() -> None:
    table = pa.table({f"c{i}": [i] for i in range(3_000)})
    found = table_data(table, 1_000_000)
    assert (len(found["columns"]), len(found["first_rows"][0])) == (60, 60)


def test_a_sample_may_have_fewer_rows() -> None:
    found = table_data(pa.table({"x": range(5_000)}), 10_000, 1_000)
    assert (found["sampled"], sum(found["columns"][0]["histogram"]["counts"])) == (960, 960)


def test_a_time_of_a_year_without_a_text_is_shown() -> None:
    """`'infinity'::timestamp` of DuckDB is the last one."""
    last = pa.chunked_array([pa.array([2**63 - 1, None, 0], pa.timestamp("us"))])
    assert shown_values(last)[1] is None
    assert "9223372036854775807" in str(shown_values(last)[0])
