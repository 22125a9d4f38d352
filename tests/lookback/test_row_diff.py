"""Rows of two tables that differ: by position, and by a key column."""

from __future__ import annotations

import datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfrun.lookback.reopen.row_diff import KeyColumnError, compare_rows


def rows(before: pa.Table, after: pa.Table, key: str | None = None, most: int = 10) -> list[tuple[Any, Any, Any]]:
    return [
        (row["row"], row["before"], row["after"]) for row in compare_rows(before, after, key=key, most=most)["rows"]
    ]


def counts(found: dict[str, Any]) -> tuple[int, int, int]:
    return found["changed"], found["new"], found["gone"]


def test_rows_at_the_same_position_are_compared() -> None:
    before = pa.table({"id": [1, 2, 3], "name": ["a", "b", "c"]})
    after = pa.table({"id": [1, 2, 4, 5], "name": ["a", "x", "c", "d"]})
    found = compare_rows(before, after, key=None, most=10)
    assert found == {
        "changed": 2,
        "new": 1,
        "gone": 0,
        "rows": [
            {"row": 1, "before": {"name": "b"}, "after": {"name": "x"}},
            {"row": 2, "before": {"id": 3}, "after": {"id": 4}},
            {"row": 3, "before": None, "after": {"id": 5, "name": "d"}},
        ],
    }


def test_rows_with_the_same_key_are_compared_wherever_they_are() -> None:
    before = pa.table({"id": [1, 2, 3], "name": ["a", "b", "c"]})
    after = pa.table({"id": [3, 1, 9], "name": ["z", "a", "n"]})
    assert counts(compare_rows(before, after, key="id", most=10)) == (1, 1, 1)
    assert rows(before, after, "id") == [
        (3, {"name": "c"}, {"name": "z"}),
        (2, {"id": 2, "name": "b"}, None),
        (9, None, {"id": 9, "name": "n"}),
    ]


def test_only_the_first_rows_are_returned_and_all_are_counted() -> None:
    before, after = pa.table({"n": range(1000)}), pa.table({"n": range(1, 1001)})
    found = compare_rows(before, after, key=None, most=2)
    assert found["changed"] == 1000
    assert [row["row"] for row in found["rows"]] == [0, 1]


def test_equal_tables_have_no_rows_that_differ() -> None:
    table = pa.table(
        {"n": [1.5, None, float("nan")], "l": [[1], None, [float("nan")]], "s": [{"a": 1}, None, {"a": None}]}
    )
    found = compare_rows(table, table, key=None, most=10)
    assert found == {"changed": 0, "new": 0, "gone": 0, "rows": []}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (pa.array([1, None]), pa.array([None, None], pa.int64())),
        (pa.array([1, 2]), pa.array([5.5, 2.0])),
        (pa.array([1, 2]), pa.array(["1", "2"])),
        (pa.array([float("nan"), 1.0]), pa.array([2.0, 1.0])),
        (pa.array([[1], [2]]), pa.array([[1, 1], [2]])),
        (pa.array(["a", "b"]).dictionary_encode(), pa.array(["b", "b"]).dictionary_encode()),
        (pa.array([datetime.date(2020, 1, 1), None]), pa.array([datetime.date(2020, 1, 2), None])),
        (pa.array([b"a", b"b"]), pa.array([b"c", b"b"])),
        (pa.array([10**7, 0], pa.date32()), pa.array([0, 0], pa.date32())),
    ],
    ids=str,
)
def test_a_first_row_that_differs_is_found_in_columns_of_any_type(before: pa.Array, after: pa.Array) -> None:
    found = rows(pa.table({"c": before}), pa.table({"c": after}))
    assert found[0][0] == 0
    assert len(found) == (2 if before.type == pa.int64() and after.type == pa.string() else 1)


def test_columns_that_only_one_table_has_are_not_compared() -> None:
    assert rows(pa.table({"a": [1], "b": [1]}), pa.table({"a": [1], "c": [2]})) == []


def test_columns_of_the_same_name_are_not_compared() -> None:
    twice = pa.table([pa.array([1]), pa.array([2])], ["a", "a"])
    assert rows(twice, pa.table({"a": [3]})) == []


def test_chunks_and_dictionaries_make_no_difference() -> None:
    before = pa.table({"c": pa.chunked_array([["a"], ["b", "a"]]).dictionary_encode()})
    after = pa.table({"c": pa.chunked_array([["a", "b"], ["a"]])})
    assert rows(before, after) == []


def test_null_is_a_key_too() -> None:
    before, after = pa.table({"k": [None, 1], "v": [1, 2]}), pa.table({"k": [1, None], "v": [2, 3]})
    assert rows(before, after, "k") == [(None, {"v": 1}, {"v": 3})]


def test_empty_tables_are_compared() -> None:
    empty = pa.table({"k": pa.array([], pa.int64())})
    one = pa.table({"k": [1]})
    for key in (None, "k"):
        assert rows(empty, empty, key) == []
        assert rows(empty, one, key) == [(1 if key else 0, None, {"k": 1})]
        assert rows(one, empty, key) == [(1 if key else 0, {"k": 1}, None)]
    assert rows(pa.table({}), pa.table({})) == []


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("nmae", "the table of the earlier run has no column 'nmae': it has id, name, tags, kind, half"),
        ("name", "the column 'name' is no key: a stands in several rows of the earlier run"),
        ("tags", "the column 'tags' is list<item: int64>, which is no key"),
        ("half", "the column 'half' is no key: it is halffloat in the earlier run and halffloat in the later one"),
        ("kind", "the column 'kind' is no key: it is int64 in the earlier run and string in the later one"),
    ],
)
def test_a_column_that_is_no_key_is_refused(key: str, message: str) -> None:
    table = pa.table({"id": [1, 2], "name": ["a", "a"], "tags": [[1], [2]], "kind": [1, 2]})
    table = table.append_column("half", pa.array([1.0, 2.0], pa.float16()))
    other = table.set_column(3, "kind", pa.array(["x", "y"]))
    with pytest.raises(KeyColumnError) as error:
        compare_rows(table, other, key=key, most=10)
    assert str(error.value) == message


def test_a_key_column_that_is_there_twice_is_refused() -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["k", "k"])
    with pytest.raises(KeyColumnError) as error:
        compare_rows(table, table, key="k", most=10)
    assert str(error.value) == "the table of the earlier run has several columns 'k': it has k, k"


def test_values_that_arrow_does_not_compare_are_compared_as_python_values() -> None:
    plain, zoned = pa.array([0, 1], pa.timestamp("us")), pa.array([0, 1], pa.timestamp("us", "UTC"))
    assert [row[0] for row in rows(pa.table({"t": plain}), pa.table({"t": zoned}))] == [0, 1]
    assert rows(pa.table({"v": [[1], [2], None]}), pa.table({"v": [[1], [3], None]})) == [
        (1, {"v": "[2]"}, {"v": "[3]"})
    ]


CELLS = st.one_of(st.none(), st.integers(0, 2), st.just(float("nan")))
ROWS = st.lists(st.tuples(st.integers(0, 9), CELLS, st.none() | st.lists(st.integers(0, 1), max_size=2)), max_size=8)


def table_of(rows: list[tuple[Any, ...]], chunk: int) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else ([], [], [])
    types = (pa.int64(), pa.float64(), pa.list_(pa.int64()))
    arrays = [pa.array(values, kind) for values, kind in zip(columns, types, strict=True)]
    table = pa.table(arrays, ["k", "v", "l"])
    return pa.concat_tables([table.slice(0, chunk), table.slice(chunk)])


@given(ROWS, ROWS, st.integers(0, 8), st.integers(0, 8))
def test_all_rows_that_differ_are_found(
    before: list[tuple[Any, ...]], after: list[tuple[Any, ...]], chunk: int, other: int
) -> None:
    found = compare_rows(table_of(before, chunk), table_of(after, other), key=None, most=100)
    one, two = ([*map(repr, rows)] for rows in (before, after))
    common = min(len(one), len(two))
    differing = [i for i in range(common) if one[i] != two[i]]
    assert [row["row"] for row in found["rows"]] == [*differing, *range(common, len(one)), *range(common, len(two))]
    assert counts(found) == (len(differing), len(two) - common, len(one) - common)


@given(ROWS, ROWS)
def test_all_keys_that_differ_are_found(before: list[tuple[Any, ...]], after: list[tuple[Any, ...]]) -> None:
    one, two = ({row[0]: repr(row) for row in rows} for rows in (before, after))
    tables = [table_of([*{row[0]: row for row in rows}.values()], 3) for rows in (before, after)]
    found = compare_rows(tables[0], tables[1], key="k", most=100)
    labels = [row["row"] for row in found["rows"]]
    changed, _, gone = counts(found)
    assert sorted(labels[:changed]) == sorted(key for key in one.keys() & two.keys() if one[key] != two[key])
    assert sorted(labels[changed : changed + gone]) == sorted(one.keys() - two.keys())
    assert sorted(labels[changed + gone :]) == sorted(two.keys() - one.keys())
