"""Plain values make the same tables as all others do, and many results become one table."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from nfrun.rows.piece import Piece
from nfrun.rows.recorder import ResultWriter
from nfrun.rows.results import kept_records
from nfrun.rows.returned import PlainRows, computed_rows, plain_rows, together
from nfrun.rows.row_keys import KEY_BYTES
from nfrun.rows.streams import StreamFile

PLAIN: list[Any] = [
    {"a": [1, -(1 << 63)], "b": ("x", "é")},
    {"a": [0.5, float("nan")], "b": [True, False], "c": [b"", b"\xff"]},
    [{"a": 1, "b": "x"}, {"a": 2, "b": ""}],
    [1.5, 2.5],
    ["", "\0"],
]
OTHERS: list[Any] = [
    {"a": [1, None]},
    {"a": [1, 2.5]},
    {"a": [True, 1]},
    {"a": [1 << 63, 0]},
    {"a": ["x", "\udc80"]},
    {"a": [1]},
    {"a": 1},
    {1: [1, 2]},
    {},
    [{"a": 1}, {"b": 1}],
    [{"a": 1, "b": 1}, {"b": 1, "a": 1}],
    [{"a": 1}, None],
    [{}, {}],
    [[1], [2]],
    [datetime.date(2020, 1, 1)] * 2,
    [1, 2, 3],
    (1, 2),
    pa.array([1, 2]),
    None,
]


def plain(value: Any, rows: int = 2) -> PlainRows:
    found = plain_rows(value, rows)
    assert found is not None
    return found


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_plain_values_make_the_same_table_as_all_others_do(value: Any) -> None:
    one = computed_rows(value, 2).table
    made = together([plain(value), plain(value)])
    assert made.schema == one.schema
    assert repr(made.to_pylist()) == repr(pa.concat_tables([one, one]).to_pylist())


@pytest.mark.parametrize("value", OTHERS)
def test_values_that_are_not_plain(value: Any) -> None:
    assert plain_rows(value, 2) is None


def test_many_rows_are_not_plain() -> None:
    assert plain_rows([1] * 17, 17) is None
    assert plain_rows([], 0) is None


def test_what_the_function_changes_later_does_not_count() -> None:
    values = [1, 2]
    found = plain({"a": values})
    values[0] = 3
    assert together([found]).column("a").to_pylist() == [1, 2]


def test_the_results_of_many_calls_become_one_table_for_all_columns_of_one_type(tmp_path: Path) -> None:
    writer = ResultWriter(StreamFile(tmp_path, "0000000001-a"))
    returned = [[{"a": i, "b": "x" * i}] if i % 3 else [{"a": i / 2}] for i in range(30)]
    with writer._writing:  # the thread waits until all have been added
        for i, value in enumerate(returned):
            writer.record(Piece(i.to_bytes(KEY_BYTES, "little"), i, i + 1), value, 0.25)
    writer.close()
    records = kept_records(tmp_path)
    assert 2 <= len(records) <= 4
    found = {
        int.from_bytes(key.as_py(), "little"): row
        for each in records
        for key, row in zip(each.keys, each.table().to_pylist(), strict=True)
    }
    assert [found[i] for i in range(30)] == [value[0] for value in returned]
    assert sum(each.seconds for each in records) == 7.5
