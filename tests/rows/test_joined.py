"""The result as a whole: the same whatever the batch, the order of the calls, and what was kept."""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_tables import QUICK, arrays

from nfrun.core.map_spec import KeptRows, MapSpec
from nfrun.rows import joined as joined_module
from nfrun.rows.work import MapWork
from nfrun.tables.digest import table_digest
from nfrun.tables.formats import FormatError

Function = Callable[[list[int]], Any]


def mapped(
    ids: list[int], folder: Path, function: Function, batch: int, *, run: str = "1", seed: int = 0, **spec: Any
) -> pa.Table:
    """The result for rows with these ids, whose pieces are computed in an order that depends on `seed`."""
    table = pa.table({"id": pa.array(ids, pa.int64()), "row": [f"r{i}" for i in range(len(ids))]})
    work = MapWork(table, MapSpec("x", batch=batch, **spec), ("id",), KeptRows(str(folder), run), name="n")
    pieces = [work.piece((i,)) for i in range(work.count)]
    random.Random(seed).shuffle(pieces)
    for piece in pieces:
        work.record(piece, function(work.table(piece)["id"].to_pylist()))
        if seed % 2:
            work._recorder.flush()
    try:
        return work.joined().read_all()
    finally:
        work.close()


@QUICK
@given(arrays(9), st.data())
def test_random_types(tmp_path_factory: pytest.TempPathFactory, array: pa.Array, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("s")

    def function(ids: list[int]) -> Any:
        return {"v": pa.chunked_array([array.slice(i, 1) for i in ids], array.type)}

    order = data.draw(st.permutations(range(9)))
    try:
        first = mapped(order, folder, function, 9)
    except FormatError:  # a file cannot hold some types
        return
    assert first["v"].to_pylist().__repr__() == [array[i].as_py() for i in order].__repr__()
    batch, seed = data.draw(st.integers(1, 9)), data.draw(st.integers(0, 9))
    anew = mapped(order, tmp_path_factory.mktemp("s"), function, batch, seed=seed)
    again = mapped(order, folder, lambda ids: pytest.fail("called"), batch, run="2")
    assert table_digest(anew) == table_digest(first) == table_digest(again)
    assert anew["v"].type == array.type


def test_types_are_those_of_all_values_together(tmp_path: Path) -> None:
    values: list[Any] = [None, 1, 2.5, None]
    whole = mapped([0, 1, 2, 3], tmp_path / "a", lambda ids: [values[i] for i in ids], 4)
    for seed in range(4):
        one_by_one = mapped([0, 1, 2, 3], tmp_path / f"b{seed}", lambda ids: [values[i] for i in ids], 1, seed=seed)
        assert one_by_one.schema == whole.schema and one_by_one.equals(whole)
    rows: list[Any] = [{"a": 1}, {"b": [1]}, {"b": [None, 0.5], "c": {"x": 1}}, {"c": {"y": "t"}}]
    whole = mapped([0, 1, 2, 3], tmp_path / "c", lambda ids: [rows[i] for i in ids], 4)
    one_by_one = mapped([0, 1, 2, 3], tmp_path / "d", lambda ids: [rows[i] for i in ids], 1)
    assert one_by_one.equals(whole) and whole.schema.field("c").type == pa.struct({"x": pa.int64(), "y": pa.string()})


@pytest.mark.parametrize(
    "values",
    [
        [1, 2.5, None, 3],
        [{"a": 1}, {"b": "x"}, {"a": 2.5, "b": None}, {"b": "y"}],
        [None, {"b": "x"}, {"a": 1}, None],
        [[1], [None, 2.5], [], None],
        [{"a": [1], "c": {"x": 1}}, {"a": ["t"][:0], "c": {"y": 1.5}}, {"a": None}, {"c": None, "d": Decimal("1.25")}],
        [Decimal("1.5"), Decimal("100.25"), None, Decimal("7")],
        [np.float32(1.5), 2.5, 1, np.int8(3)],
        [b"x", None, bytearray(b"y"), b""],
    ],
)
@pytest.mark.parametrize("form", ["rows", "columns"])
def test_what_is_kept_of_a_row_does_not_depend_on_the_others(values: list[Any], form: str, tmp_path: Path) -> None:
    def function(ids: list[int]) -> Any:
        found = [values[i] for i in ids]
        return found if form == "rows" else {"v": found, "w": np.array(ids)}

    mapped([0, 1, 2, 3], tmp_path / "kept", function, 4)
    for ids in ([0], [1], [2], [3], [3, 0], [1, 3, 2], [2, 1, 0, 3]):
        kept = mapped(ids, tmp_path / "kept", lambda ids: pytest.fail("called"), 2, run="2")
        for batch in (1, 3):
            anew = mapped(ids, tmp_path / f"anew {ids} {batch}", function, batch)
            assert kept.schema == anew.schema and table_digest(kept) == table_digest(anew)


def test_what_is_kept_of_exploded_rows_does_not_depend_on_the_others(tmp_path: Path) -> None:
    values: list[Any] = [[1, 2], [2.5], [], None, [{"a": 1}][:0], [None]]
    mapped([*range(6)], tmp_path / "kept", lambda ids: [values[i] for i in ids], 6, explode=True)
    for ids in ([0], [1, 0], [2, 3], [5, 0], [4, 1, 0]):
        kept = mapped(ids, tmp_path / "kept", lambda ids: pytest.fail("called"), 2, run="2", explode=True)
        anew = mapped(ids, tmp_path / f"anew {ids}", lambda ids: [values[i] for i in ids], 2, explode=True)
        assert kept.equals(anew) and kept.schema == anew.schema


def test_tables_that_do_not_fit_together_are_told_with_their_pieces(tmp_path: Path) -> None:
    spec = MapSpec("x", by=("g",))
    work = MapWork(pa.table({"g": [1, 1, 2]}), spec, None, KeptRows(str(tmp_path), "1"), name="n")
    for number, value in enumerate([1, "x"]):
        work.record(work.piece((number,)), pa.table({"n": [value]}))
    with pytest.raises(FormatError, match="the results of piece 1 and piece 2 of 'n' cannot be put together"):
        work.joined()
    work.close()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            [1, 2, "x"],
            "row 1 and row 3 of 'n' cannot be put together: 'n' is int64 in the one and string in the other",
        ),
        (
            [None, b"x", "y"],
            "row 2 and row 3 of 'n' cannot be put together: 'n' is binary in the one and string in the other",
        ),
    ],
)
def test_values_that_do_not_fit_together_are_told_with_their_rows(
    values: list[Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(FormatError) as error:
        mapped([0, 1, 2], tmp_path, lambda ids: [values[i] for i in ids], 1)
    assert str(error.value) == f"the results of {message}"


def test_a_number_that_does_not_fit_the_type_of_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"^the values of 'n' are int64, and do not fit double: "):
        mapped([0, 1], tmp_path, lambda ids: [2**60 + 1 if i else 0.5 for i in ids], 1)


def test_a_new_column_takes_the_place_of_an_old_one(tmp_path: Path) -> None:
    found = mapped([3, 4], tmp_path, lambda ids: {"row": ids, "more": ids}, 1)
    assert found.to_pydict() == {"id": [3, 4], "row": [3, 4], "more": [3, 4]}
    assert mapped([3, 4], tmp_path, lambda ids: None, 1, keep=()).schema.names == ["row", "more"]
    assert mapped([3, 4], tmp_path, lambda ids: None, 1, keep=("row",)).schema.names == ["row", "more"]


def test_dictionaries_become_columns_of_their_values(tmp_path: Path) -> None:
    texts = ["b", "a", None, "b", "c", "a"]

    def function(ids: list[int]) -> Any:
        return {"d": pa.array([texts[i] for i in ids]).dictionary_encode()}

    found = mapped([0, 1, 2, 3, 4, 5], tmp_path, function, 2)
    assert (found.schema.field("d").type, found["d"].to_pylist()) == (pa.string(), texts)


def test_metadata_of_the_input_stays(tmp_path: Path) -> None:
    table = pa.table({"id": [1]}).replace_schema_metadata({"k": "v"})
    work = MapWork(table, MapSpec("x"), ("id",), KeptRows(str(tmp_path), "1"), name="n")
    work.record(work.piece((0,)), [1])
    assert work.joined().schema.metadata == {b"k": b"v"}
    work.close()


def test_batches_are_large_where_rows_are_small_and_small_where_they_are_large(tmp_path: Path) -> None:
    ids = list(range(100_000))
    table = pa.table({"id": ids})
    work = MapWork(table, MapSpec("x", batch=1000), ("id",), KeptRows(str(tmp_path), "1"), name="n")
    for i in range(work.count):
        piece = work.piece((i,))
        work.record(piece, work.table(piece)["id"])
    assert [batch.num_rows for batch in work.joined()] == [65536, 34464]
    large = MapWork(table.slice(0, 100), MapSpec("x", batch=5), ("id",), KeptRows(str(tmp_path / "l"), "1"), name="n")
    for i in range(large.count):
        large.record(large.piece((i,)), ["x" * (1 << 20)] * 5)
    assert [batch.num_rows for batch in large.joined()] == [7] * 14 + [2]


@pytest.mark.parametrize("large", [1 << 20, 1 << 30], ids=["taken from each record", "copied together"])
def test_rows_in_another_order_than_they_were_computed(
    large: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joined_module, "_LARGE", large)
    ids = list(range(200_000))
    mapped(ids, tmp_path, lambda ids: {"v": ids}, 500, seed=1)
    random.Random(3).shuffle(ids)
    found = mapped(ids, tmp_path, lambda ids: pytest.fail("called"), 500, run="2")
    assert found["v"].to_pylist() == found["id"].to_pylist() == ids


def test_several_rows_of_each_in_another_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(ids: list[int]) -> list[list[dict[str, Any]]]:
        return [[{"v": {"id": i, "text": f"{i}" * 20}} for _ in range(i % 3)] for i in ids]

    monkeypatch.setattr(joined_module, "_LARGE", 1 << 14)
    monkeypatch.setattr(joined_module, "_BLOCK_BYTES", 1 << 12)
    ids = list(range(3_000))
    mapped(ids, tmp_path, rows, 50, seed=1, explode=True)
    random.Random(3).shuffle(ids)
    found = mapped(ids, tmp_path, lambda ids: pytest.fail("called"), 50, run="2", explode=True)
    assert found["id"].to_pylist() == [i for i in ids for _ in range(i % 3)]
    assert found["v"].to_pylist() == [row["v"] for several in rows(ids) for row in several]
