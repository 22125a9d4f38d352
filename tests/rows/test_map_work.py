"""What a mapped node computes, what it finds again, and what is put together."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from nfrun.core.map_spec import KeptRows, MapForm, MapSpec
from nfrun.rows.piece import Piece
from nfrun.rows.recorder import WorkerMap
from nfrun.rows.work import MapWork

TABLE = pa.table({"a": [1, 2, 3, 4, 5, 6, 2, None], "t": list("abcdefgh")})


def work(table: pa.Table, folder: Path, columns: tuple[str, ...] | None = ("a",), **spec: Any) -> MapWork:
    run = f"{len(list(folder.glob('*'))):05}"
    settings = {"batch": 0 if {"by", "parts"} & set(spec) else 3, **spec}
    return MapWork(table, MapSpec("x", **settings), columns, KeptRows(str(folder), run), name="n")


def compute(found: MapWork, function: Callable[[pa.Table], Any]) -> list[Piece]:
    """Record what the function returns for each piece, and return the pieces."""
    pieces = [found.piece((i,)) for i in range(found.count)]
    for piece in pieces:
        found.record(piece, function(found.table(pickle.loads(pickle.dumps(piece)))))
    return pieces


def result(found: MapWork) -> dict[str, list[Any]]:
    made = found.joined().read_all().to_pydict()
    found.close()
    return made


def tens(rows: pa.Table) -> list[dict[str, int]]:
    return [{"b": (a or 0) * 10} for a in rows["a"].to_pylist()]


def test_rows_are_computed_once_and_found_again(tmp_path: Path) -> None:
    first = work(TABLE, tmp_path)
    assert (first.rows, first.reused, first.count, [first.rows_of((i,)) for i in range(3)]) == (8, 0, 3, [4, 3, 1])
    compute(first, tens)
    made = result(first)
    assert made == {**TABLE.to_pydict(), "b": [10, 20, 30, 40, 50, 60, 20, 0]}
    again = work(TABLE, tmp_path)
    assert (again.reused, again.count, result(again)) == (8, 0, made)


def test_only_new_rows_are_computed_whatever_their_place_and_the_batch(tmp_path: Path) -> None:
    compute(before := work(TABLE, tmp_path), tens)
    before.close()
    more = pa.table({"b": ["x"] * 10, "a": [9, 4, 4, 1, 7, 2, 6, 5, 3, None]})
    found = work(more, tmp_path, batch=1)
    assert (found.reused, [piece.numbers() for piece in compute(found, tens)]) == (8, [[0], [4]])
    assert result(found) == {"b": [90, 40, 40, 10, 70, 20, 60, 50, 30, 0], "a": more["a"].to_pylist()}


def test_without_reuse_equal_rows_are_computed_each(tmp_path: Path) -> None:
    for _ in range(2):
        found = work(TABLE, tmp_path, reuse=False)
        assert sum(piece.rows for piece in compute(found, tens)) == 8
        assert result(found)["b"] == [10, 20, 30, 40, 50, 60, 20, 0]


def test_a_half_that_fails_is_left_out_and_told(tmp_path: Path) -> None:
    found = work(TABLE, tmp_path, batch=4)
    halves = found.piece((0, 0)), found.piece((0, 1))
    assert found.can_halve((0,)) and found.can_halve((1,)) and not found.can_halve((1, 0, 0))
    assert [found.rows_of((0, i)) for i in (0, 1)] == [3, 2]
    found.record(halves[0], tens(found.table(halves[0])))
    assert found.row_text(halves[1]) == (3, "a: 3")
    found.fail(halves[1], "ValueError", "bad", 2)
    rest = found.piece((1,))
    found.fail(rest, "OSError", "worse", 1)
    assert found.errors().to_pydict() == {
        "a": [3, 4, 5, 6, None],
        "error": ["ValueError"] * 2 + ["OSError"] * 3,
        "message": ["bad"] * 2 + ["worse"] * 3,
        "attempts": [2, 2, 1, 1, 1],
    }
    assert result(found) == {"a": [1, 2, 2], "t": ["a", "b", "g"], "b": [10, 20, 20]}
    assert work(TABLE, tmp_path).reused == 3


def paths(found: MapWork, bad: set[int], path: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Call a piece of the table, and its halves if it has a bad value. Returns the paths of all calls."""
    piece = found.piece(path)
    rows = found.table(piece)
    if not bad & {*rows["a"].to_pylist()}:
        found.record(piece, rows.append_column("of", pa.array([rows.num_rows] * rows.num_rows)))
        return [path]
    if not found.can_halve(path):
        found.fail(piece, "ValueError", "bad", len(path))
        return [path]
    return [path, *(called for half in (0, 1) for called in paths(found, bad, (*path, half)))]


def call_each(found: MapWork, *bad: int) -> list[tuple[int, ...]]:
    return [path for i in range(found.count) for path in paths(found, {*bad}, (i,))]


@pytest.mark.parametrize("reuse", [True, False])
def test_a_batch_of_the_table_is_halved_and_its_rows_stay_in_order(tmp_path: Path, reuse: bool) -> None:
    found = work(TABLE, tmp_path, columns=None, batch=5, reuse=reuse)
    assert call_each(found, 2) == [
        (0,),
        (0, 0),
        (0, 0, 0),
        (0, 0, 1),
        (0, 1),
        (1,),
        (1, 0),
        (1, 1),
        (1, 1, 0),
        (1, 1, 1),
    ]
    assert [found.rows_of(path) for path in ((0,), (0, 0), (0, 1), (1, 1), (1, 1, 0))] == [5, 2, 3, 2, 1]
    errors = {"row": [2, 7], "rows": [1, 1], "error": ["ValueError"] * 2, "message": ["bad"] * 2, "attempts": [3, 3]}
    assert found.errors().to_pydict() == errors
    assert result(found) == {"a": [1, 3, 4, 5, 6, None], "t": list("acdefh"), "of": [1, 3, 3, 3, 1, 1]}
    again = work(TABLE, tmp_path, columns=None, batch=5, reuse=reuse)
    assert again.reused == (6 if reuse else 0)
    if reuse:
        assert call_each(again) == [(0,), (1,)]
        made = result(again)
        assert (made["a"], made["of"]) == (TABLE["a"].to_pylist(), [1, 1, 3, 3, 3, 1, 1, 1])
        assert work(TABLE, tmp_path, columns=None, batch=5).reused == 8


def test_equal_batches_are_halved_alike(tmp_path: Path) -> None:
    table = pa.table({"a": [0, 1, 2, 3] * 3 + [9]})
    found = work(table, tmp_path, columns=None, batch=4)
    assert [found.rows_of((i,)) for i in range(found.count)] == [12, 1]
    assert len(call_each(found, 2)) == 6
    assert [found.rows_of(path) for path in ((0, 0), (0, 1, 0))] == [6, 3]
    assert found.errors()["row"].to_pylist() == [3, 7, 11]
    assert result(found)["a"] == [0, 1, 3] * 3 + [9]


def test_a_batch_of_which_no_part_has_a_result_is_called_as_a_whole_again(tmp_path: Path) -> None:
    table = pa.table({"a": [*range(8)]})
    call_each(first := work(table, tmp_path, columns=None, batch=4), 0, 1, 2, 3)
    result(first)
    again = work(table, tmp_path, columns=None, batch=4)
    assert (again.reused, again.count, again.piece((0,)).rows) == (4, 1, 4)


@pytest.mark.parametrize("form", [{"by": ("a",)}, {"parts": 2}])
def test_groups_and_parts_are_not_halved(tmp_path: Path, form: dict[str, Any]) -> None:
    found = work(pa.table({"a": [1, 1, 1, 2, 2]}), tmp_path, columns=None, **form)
    assert not found.can_halve((0,)) and not found.can_halve((1,))


def test_equal_rows_fail_together(tmp_path: Path) -> None:
    found = work(TABLE, tmp_path, batch=1)
    for i in range(found.count):
        piece = found.piece((i,))
        (a,) = found.table(piece)["a"].to_pylist()
        found.fail(piece, "E", "m", 1) if a == 2 else found.record(piece, [a])
    assert found.errors()["a"].to_pylist() == [2, 2]
    assert result(found)["n"] == [1, 3, 4, 5, 6, None]


def test_explode_repeats_the_columns_that_stay(tmp_path: Path) -> None:
    found = work(TABLE, tmp_path, explode=True, keep=("t",))
    compute(found, lambda rows: [list(range(a or 0)) for a in rows["a"].to_pylist()])
    made = result(found)
    assert made["t"] == list("abbcccddddeeeeeffffffgg")
    assert made["n"] == [i for a in TABLE["a"].to_pylist() for i in range(a or 0)]


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_functions_of_tables_are_found_by_the_content_of_the_piece(batch: int, tmp_path: Path) -> None:
    def last(rows: pa.Table) -> pa.Table:
        return rows.slice(rows.num_rows - 1)

    found = work(TABLE, tmp_path, None, batch=batch)
    compute(found, last)
    made = result(found)
    assert made == {
        name: [*values[batch - 1 :: batch], *values[8 - (8 % batch) :][-1:]]
        for name, values in TABLE.to_pydict().items()
    }
    assert work(TABLE, tmp_path, None, batch=batch).count == 0
    other = pa.concat_tables([TABLE.slice(0, 4), TABLE.slice(3)])
    assert work(other, tmp_path, None, batch=100).count == 1


def test_groups_come_in_the_order_of_their_first_appearance(tmp_path: Path) -> None:
    table = pa.table({"g": ["x", None, "y", "x", None], "n": [1, 2, 3, 4, 5]})
    found = work(table, tmp_path, None, by=("g",))
    assert [piece.numbers() for piece in compute(found, lambda rows: rows)] == [[0, 3], [1, 4], [2]]
    assert result(found)["n"] == [1, 4, 2, 5, 3]
    changed = table.set_column(1, "n", [[1, 2, 3, 4, 6]])
    again = work(changed, tmp_path, None, by=("g",))
    assert ([piece.numbers() for piece in compute(again, lambda rows: rows)], again.reused) == ([[1, 4]], 3)
    assert result(again)["n"] == [1, 4, 2, 6, 3]


def test_parts_have_whole_groups(tmp_path: Path) -> None:
    table = pa.table({"g": [i % 10 for i in range(100)], "n": list(range(100))})
    found = work(table, tmp_path, None, by=("g",), parts=4)
    groups = [{n % 10 for n in piece.numbers()} for piece in compute(found, lambda rows: rows)]
    assert 2 <= len(groups) <= 4 and sum(map(len, groups)) == 10 and set.union(*groups) == set(range(10))
    assert sorted(result(found)["n"]) == list(range(100))


def test_parts_without_groups_are_slices(tmp_path: Path) -> None:
    found = work(TABLE, tmp_path, None, parts=3)
    assert [piece.numbers() for piece in compute(found, lambda rows: rows)] == [[0, 1], [2, 3, 4], [5, 6, 7]]
    assert work(TABLE, tmp_path, None, parts=100).count == 8


@pytest.mark.parametrize("columns", [("a",), None])
def test_an_input_without_rows_is_one_empty_piece(columns: tuple[str, ...] | None, tmp_path: Path) -> None:
    found = work(TABLE.slice(0, 0), tmp_path, columns)
    assert (found.rows, found.count, found.rows_of((0,))) == (0, 1, 0)
    (piece,) = compute(found, lambda rows: rows.set_column(0, "b", rows["a"]) if columns is None else {"b": rows["a"]})
    assert piece.rows == 0
    assert found.joined().read_all().schema.names == (["b", "t"] if columns is None else ["a", "t", "b"])
    found.close()
    assert work(TABLE.slice(0, 0), tmp_path, columns).count == 0


def test_failed_groups_are_told_by_their_values_and_other_pieces_by_their_rows(tmp_path: Path) -> None:
    table = pa.table({"g": ["x", "y", "x"], "n": [1, 2, 3]})
    found = work(table, tmp_path / "a", None, by=("g",))
    found.fail(found.piece((0,)), "ValueError", "bad", 1)
    assert found.row_text(found.piece((0,))) == (1, 'g: "x"')
    assert found.errors().to_pydict() == {"g": ["x"], "error": ["ValueError"], "message": ["bad"], "attempts": [1]}
    slices = work(table, tmp_path / "b", None, batch=2)
    slices.fail(slices.piece((1,)), "ValueError", "bad", 3)
    assert slices.errors().to_pydict() == {
        "row": [3],
        "rows": [1],
        "error": ["ValueError"],
        "message": ["bad"],
        "attempts": [3],
    }


def test_a_worker_process_maps_the_input_and_writes_results_at_once(tmp_path: Path) -> None:
    path = tmp_path / "input.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, TABLE.schema) as writer:
        writer.write_table(TABLE)
    found = work(TABLE, tmp_path / "s")
    worker = WorkerMap(pickle.loads(pickle.dumps(found.for_worker(str(path)))), {})
    for i in range(found.count):
        piece = found.piece((i,))
        worker.record(piece, tens(worker.table(piece)))
    assert found.joined().read_all()["b"].to_pylist() == [10, 20, 30, 40, 50, 60, 20, 0]
    worker.close()


def test_equal_pieces_fail_together(tmp_path: Path) -> None:
    table = pa.table({"g": ["x", "x", "y", "x"], "n": [1, 1, 2, 1]})
    slices = work(table, tmp_path / "a", None, batch=1)
    assert slices.count == 2
    slices.fail(slices.piece((0,)), "E", "m", 1)
    slices.record(slices.piece((1,)), slices.table(slices.piece((1,))))
    assert slices.errors()["row"].to_pylist() == [1, 2, 4]
    assert result(slices) == {"g": ["y"], "n": [2]}


@pytest.mark.parametrize("columns", [("a",), None])
def test_a_call_for_no_rows_that_fails_leaves_no_row(columns: tuple[str, ...] | None, tmp_path: Path) -> None:
    found = (
        work(TABLE.slice(0, 0), tmp_path, columns, by=("t",)) if columns is None else work(TABLE.slice(0, 0), tmp_path)
    )
    found.fail(found.piece((0,)), "E", "m", 1)
    assert found.errors().num_rows == 0


@pytest.mark.parametrize("form", ["arrow", "chunked", "pandas", "polars", "numpy", "list", "row"])
def test_a_row_is_computed_again_with_another_dictionary_if_the_function_sees_it(tmp_path: Path, form: str) -> None:
    shows = form in ("arrow", "chunked", "pandas", "polars")
    taken = MapForm(takes_table=False, columns=("t",), per_row=form == "row", batches={"t": form} if shows else {})
    reused = []
    for words in ("ab", "abc", "ba", "ab"):
        table = pa.table({"t": pa.DictionaryArray.from_arrays([words.index("a")], list(words)), "u": ["x"]})
        compute(found := work(table, tmp_path, ("t",), form=taken), lambda rows: [{"b": 1}] * rows.num_rows)
        reused.append(found.reused)
        found.close()
    assert reused == ([0, 0, 0, 1] if shows else [0, 1, 1, 1])
