"""Rows of tables are taken for types that Arrow has no kernel for."""

from __future__ import annotations

import pyarrow as pa
import pytest

from nfrun.rows.piece import take

ENDS = pa.array([1, 3, 5], pa.int32())
NO_VALUES = pa.DictionaryArray.from_arrays(pa.array([0, 1, None], pa.int16()), pa.nulls(2))


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", "b", "b", None, None], pa.string_view()),
        pa.RunEndEncodedArray.from_arrays(ENDS, pa.array(["a", "b", None])),
        pa.RunEndEncodedArray.from_arrays(ENDS, NO_VALUES),  # these cannot be joined either
    ],
    ids=["view", "runs", "runs of a dictionary without values"],
)
@pytest.mark.parametrize("rows", [[], [4, 0, 2, 2]], ids=len)
def test_rows_of_types_without_a_kernel(column: pa.Array, rows: list[int]) -> None:
    taken = take(pa.table({"v": column}), pa.array(rows, pa.int64()))["v"]
    assert (taken.type, taken.to_pylist()) == (column.type, [column[row].as_py() for row in rows])
