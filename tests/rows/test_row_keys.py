"""The keys of rows: they depend on values, not on layout, encoding or other rows."""

from __future__ import annotations

import datetime as dt
import struct
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_tables import FLOATS, LEAVES, QUICK, Column, arrays, as_dictionary, filled, joined, nested, split, tables

from nfrun.rows.row_keys import row_keys


def keys(table: pa.Table) -> list[bytes]:
    found: list[bytes] = row_keys(table, table.schema.names).to_pylist()
    assert all(len(key) == 16 for key in found) and len(found) == table.num_rows
    return found


def key(value: Any, kind: pa.DataType | None = None, name: str = "x") -> bytes:
    return keys(pa.table({name: pa.array([value], kind)}))[0]


@QUICK
@given(tables(), st.data())
def test_layout_and_other_rows_do_not_matter(table: pa.Table, data: st.DataObject) -> None:
    before = keys(table)
    offsets = st.lists(st.integers(0, table.num_rows), max_size=4)
    chunked = pa.table([split(joined(c), data.draw(offsets)) for c in table.columns], table.schema.names)
    assert keys(chunked) == before
    start = data.draw(st.integers(0, table.num_rows))
    assert keys(table.slice(start, 2)) == before[start : start + 2]


def test_lists_of_one_size_may_be_null_inside_of_others() -> None:
    pair = pa.list_(pa.struct([("a", pa.large_string()), ("b", pa.null())]), 2)
    rows = [None, [("k", None), ("j", [{"a": None}, {"a": "x"}]), ("", None)], [("", None)]]
    array = pa.array(rows, pa.map_(pa.string(), pair))
    before = keys(pa.table({"x": array}))
    assert [keys(pa.table({"x": array.slice(i, 1)}))[0] for i in range(3)] == before


@QUICK
@given(st.data())
def test_equal_keys_mean_equal_values(data: st.DataObject) -> None:
    # without floats: 0.0 equals -0.0, and NaN does not equal itself
    leaves = st.sampled_from([leaf for leaf in LEAVES if leaf is not FLOATS])
    column: Column = data.draw(leaves.flatmap(lambda leaf: st.one_of(st.just(leaf), nested(st.just(leaf)))))
    array = data.draw(filled(column, 4))
    found = keys(pa.table({"x": array}))
    for i in range(4):
        for j in range(4):
            assert (found[i] == found[j]) == array.slice(i, 1).equals(array.slice(j, 1))


@QUICK
@given(arrays(5))
def test_a_dictionary_has_the_keys_of_its_values(array: pa.Array) -> None:
    try:
        encoded = as_dictionary(array)
        plain = encoded.dictionary.take(encoded.indices)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # of some types there are no dictionaries
        return
    assert keys(pa.table({"x": encoded})) == keys(pa.table({"x": plain}))


@pytest.mark.parametrize(
    ("kind", "others"),
    [
        (pa.string(), [pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]),
        (pa.binary(), [pa.large_binary(), pa.binary_view(), pa.dictionary(pa.int32(), pa.binary())]),
        (pa.list_(pa.string()), [pa.large_list(pa.large_string()), pa.list_(pa.string_view())]),
    ],
)
def test_encodings_of_one_value_have_one_key(kind: pa.DataType, others: list[pa.DataType]) -> None:
    values: list[Any] = [None, "", "a", "bc"] if not pa.types.is_nested(kind) else [None, [], ["a", None], ["b"]]
    plain = pa.array(values, kind)
    for other in others:
        assert keys(pa.table({"x": pa.array(values, other)})) == keys(pa.table({"x": plain}))


DIFFERENT: list[tuple[Any, pa.DataType, Any, pa.DataType]] = [
    (0.0, pa.float64(), -0.0, pa.float64()),
    (1, pa.int64(), 1, pa.int32()),
    (1, pa.int64(), 1.0, pa.float64()),
    ("a", pa.string(), b"a", pa.binary()),
    ("", pa.string(), None, pa.string()),
    (0, pa.int64(), None, pa.int64()),
    ([], pa.list_(pa.int8()), None, pa.list_(pa.int8())),
    ([None], pa.list_(pa.int8()), [0], pa.list_(pa.int8())),
    ([None, 1], pa.list_(pa.int8()), [1, None], pa.list_(pa.int8())),
    ([[1], [2]], pa.list_(pa.list_(pa.int8())), [[1, 2], []], pa.list_(pa.list_(pa.int8()))),
    (["ab", "c"], pa.list_(pa.string()), ["a", "bc"], pa.list_(pa.string())),
    ({"a": None}, pa.struct({"a": pa.int8()}), None, pa.struct({"a": pa.int8()})),
    ({"a": 1}, pa.struct({"a": pa.int8()}), {"b": 1}, pa.struct({"b": pa.int8()})),
    (Decimal("1.50"), pa.decimal128(9, 2), Decimal("1.500"), pa.decimal128(9, 3)),
    (dt.datetime(2024, 1, 1), pa.timestamp("us"), dt.datetime(2024, 1, 1), pa.timestamp("us", "UTC")),
]


@pytest.mark.parametrize(("one", "its_type", "other", "other_type"), DIFFERENT)
def test_these_have_different_keys(one: Any, its_type: pa.DataType, other: Any, other_type: pa.DataType) -> None:
    assert key(one, its_type) != key(other, other_type)


def test_the_name_of_a_column_is_in_its_keys_and_so_is_their_order() -> None:
    assert key("a", name="x") != key("a", name="y")
    table = pa.table({"x": ["a"], "y": ["b"]})
    assert keys(table) != keys(table.select(["y", "x"]))
    assert keys(pa.table({"x": ["ab"], "y": ["c"]})) != keys(pa.table({"x": ["a"], "y": ["bc"]}))


def test_nans_with_the_same_bits_have_one_key() -> None:
    quiet, other = (struct.unpack("<d", bits.to_bytes(8, "little"))[0] for bits in (0x7FF8 << 48, 0x7FF8 << 48 | 1))
    one, two, three = keys(pa.table({"x": pa.array([quiet, quiet, other])}))
    assert one == two != three


def test_null_items_change_only_the_keys_of_their_lists() -> None:
    lists = pa.array([[1, 2], [], None, [3]], pa.list_(pa.int16()))
    more = pa.concat_arrays([lists, pa.array([[None]], pa.list_(pa.int16()))])
    assert keys(pa.table({"x": more}))[:4] == keys(pa.table({"x": lists}))


def test_without_columns_all_rows_are_equal() -> None:
    assert len(set(row_keys(pa.table({"x": [1, 2]}), ()).to_pylist())) == 1


def test_keys_stay_what_they_are() -> None:
    """Kept results are found by them: with another key, `_VERSION` is to be raised."""
    table = pa.table({"n": [1, None], "t": ["a", ""], "l": [[1.5], None]})
    assert [found.hex() for found in keys(table)] == [
        "b50fc3a0182e4b47ddbf9ce9965acf1c",
        "4bfcab57571576e41694f0fecdd3c672",
    ]
    assert [found.hex() for found in keys(table.select(["t"]))] == [
        "6d0518506b5e1111d16b981ea1761620",
        "951b42fbc32bd0327b55f70c26a97c9f",
    ]
