"""Tables of cells put together: columns by name, axes in front, and the tables that do not fit."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from nfrun.core.pipeline import Gather, OutputId, column_type
from nfrun.tables.formats import FormatError
from nfrun.tables.gathered import flattened, put_together

LR, RF, KNN = OutputId("score@lr@0"), OutputId("score@rf@0"), OutputId("score@knn@1")


def gather(
    *cells: tuple[Any, ...], axes: tuple[str, ...] = ("model", "fold"), columns: Any = None, form: str = "concat"
) -> Gather:
    ids = (LR, RF, KNN, OutputId("score@x@2"))
    types = {
        axis: column_type(cell[axes.index(axis)] for cell in cells) for axis in (axes if columns is None else columns)
    }
    return Gather(form, axes, dict(zip(ids, cells, strict=False)), types)


THREE = gather(("lr", 0), ("rf", 0), ("knn", 1))


def test_one_table_has_the_rows_in_cell_order_behind_the_axes() -> None:
    tables = {LR: pa.table({"n": [1, 2]}), RF: pa.table({"n": [3]}), KNN: pa.table({"n": [4]})}
    whole = put_together(THREE, tables)
    assert whole.schema == pa.schema([("model", pa.string()), ("fold", pa.int64()), ("n", pa.int64())])
    assert [list(row.values()) for row in whole.to_pylist()] == [
        ["lr", 0, 1],
        ["lr", 0, 2],
        ["rf", 0, 3],
        ["knn", 1, 4],
    ]
    whole.validate(full=True)


@pytest.mark.parametrize(
    ("values", "kind", "column"),
    [
        ([1, 2], "int64", [1, 2]),
        ([0.5, 1.0], "double", [0.5, 1.0]),
        ([True, False], "bool", [True, False]),
        (["b", "a"], "string", ["b", "a"]),
        ([1, 2.0], "string", ["1", "2.0"]),
        ([True, 1], "string", ["true", "1"]),
        ([1, "ä"], "string", ["1", "ä"]),
        ([1, 2**63], "string", ["1", "9223372036854775808"]),
        ([-(2**63), 2**63 - 1], "int64", [-(2**63), 2**63 - 1]),
    ],
)
def test_the_column_of_an_axis_has_the_type_of_all_its_values(values: list[Any], kind: str, column: list[Any]) -> None:
    two = gather((values[0],), (values[1],), axes=("v",))
    whole = put_together(two, {LR: pa.table({"n": [1]}), RF: pa.table({"n": [2]})})
    assert (str(whole.schema.field("v").type), whole.column("v").to_pylist()) == (kind, column)


def test_an_absent_cell_is_left_out_and_its_value_still_counts_for_the_type() -> None:
    whole = put_together(gather((1,), ("x",), axes=("v",)), {LR: pa.table({"n": [1]})})
    assert whole.to_pylist() == [{"v": "1", "n": 1}]


@pytest.mark.parametrize(("columns", "names"), [((), ["n"]), (("fold",), ["fold", "n"]), (("fold", "model"), None)])
def test_the_columns_are_those_that_are_named_in_that_order(columns: Any, names: list[str] | None) -> None:
    whole = put_together(
        gather(("lr", 0), ("rf", 0), columns=columns), {LR: pa.table({"n": [1]}), RF: pa.table({"n": [2]})}
    )
    assert whole.column_names == (names or ["fold", "model", "n"])


def test_columns_are_matched_by_name_and_what_a_cell_lacks_is_null() -> None:
    tables = {
        LR: pa.table({"a": [1], "b": ["x"]}),
        RF: pa.table({"b": ["y"], "a": [2]}),
        KNN: pa.table({"c": [0.5], "a": [3]}),
    }
    whole = put_together(gather(("lr", 0), ("rf", 0), ("knn", 1), columns=()), tables)
    assert whole.to_pylist() == [
        {"a": 1, "b": "x", "c": None},
        {"a": 2, "b": "y", "c": None},
        {"a": 3, "b": None, "c": 0.5},
    ]
    whole.validate(full=True)


def test_a_column_of_nulls_alone_fits_each_type() -> None:
    tables = {LR: pa.table({"a": [None]}), RF: pa.table({"a": [0.5]}), KNN: pa.table({"a": pa.nulls(1)})}
    whole = put_together(gather(("lr", 0), ("rf", 0), ("knn", 1), columns=()), tables)
    assert (whole.schema.field("a").type, whole.column("a").to_pylist()) == (pa.float64(), [None, 0.5, None])


def test_sums_of_which_one_is_larger_than_64_bits_are_decimals() -> None:
    whole, large = pa.int64(), pa.decimal128(38, 0)
    tables = {LR: pa.table({"a": pa.array([1], whole)}), RF: pa.table({"a": pa.array([2**64], large)})}
    for order in ([LR, RF], [RF, LR]):
        together = put_together(gather(("lr", 0), ("rf", 0), columns=()), {cell: tables[cell] for cell in order})
        assert (together.column("a").type, set(together.column("a").to_pylist())) == (large, {1, 2**64})


def test_a_column_is_not_null_only_if_it_is_so_in_all() -> None:
    strict = pa.schema([pa.field("a", pa.int64(), nullable=False)])
    both = {
        LR: pa.table({"a": [1]}, schema=strict),
        RF: pa.table({"a": [2], "b": [1]}, schema=strict.append(pa.field("b", pa.int64(), nullable=False))),
    }
    whole = put_together(gather(("lr", 0), ("rf", 0), columns=()), both)
    assert [field.nullable for field in whole.schema] == [False, True]
    whole = put_together(
        gather(("lr", 0), ("rf", 0), columns=()),
        {**both, RF: pa.table({"a": [None]}, schema=pa.schema([("a", pa.int64())]))},
    )
    assert [field.nullable for field in whole.schema] == [True]


def test_large_tables_are_not_copied() -> None:
    tables = {LR: pa.table({"n": range(5000)}), RF: pa.table({"n": range(6000)})}
    whole = put_together(gather(("lr", 0), ("rf", 0)), tables)
    parts = [chunk.buffers()[1].address for chunk in whole.column("n").chunks]
    assert parts == [table.column("n").chunk(0).buffers()[1].address for table in tables.values()]
    assert [len(chunk) for chunk in whole.column("model").chunks] == [5000, 6000]


def test_many_small_tables_become_few_chunks() -> None:
    ids = [OutputId(f"score@{i}") for i in range(1000)]
    many = Gather("concat", ("i",), {id: (i,) for i, id in enumerate(ids)}, {"i": "int64"})
    whole = put_together(many, {id: pa.table({"n": [i, i]}) for i, id in enumerate(ids)})
    assert (whole.num_rows, whole.column("n").num_chunks, whole.column("i").num_chunks) == (2000, 1, 1)
    assert whole.column("i").to_pylist() == [i for i in range(1000) for _ in range(2)]


def test_dictionaries_become_one() -> None:
    words = [pa.table({"w": pa.array([word] * 4000).dictionary_encode()}) for word in ("a", "b")]
    whole = put_together(gather(("lr", 0), ("rf", 0), columns=()), {LR: words[0], RF: words[1]})
    assert {tuple(chunk.dictionary.to_pylist()) for chunk in whole.column("w").chunks} == {("a", "b")}
    assert whole.column("w")[4000].as_py() == "b"


def test_tables_without_rows_or_columns() -> None:
    empty = pa.table({"n": pa.array([], pa.int64())})
    assert put_together(THREE, {LR: empty, RF: empty}).schema.names == ["model", "fold", "n"]
    assert put_together(THREE, {LR: pa.table({}), RF: pa.table({"n": [1]})}).to_pylist() == [
        {"model": "rf", "fold": 0, "n": 1}
    ]


def test_metadata_that_differs_is_dropped() -> None:
    tables = {
        LR: pa.table({"n": [1]}).replace_schema_metadata({"k": "1"}),
        RF: pa.table({"n": [2]}).replace_schema_metadata({"k": "2"}),
    }
    assert not put_together(gather(("lr", 0), ("rf", 0)), tables).schema.metadata
    same = dict.fromkeys(tables, tables[LR])
    assert put_together(gather(("lr", 0), ("rf", 0)), same).schema.metadata == {b"k": b"1"}


TOGETHER = "cannot be put together"
MISFITS = [
    (
        {LR: {"accuracy": [0.5]}, RF: {"accuracy": ["x"]}},
        f"the tables of 'score@lr@0' and 'score@rf@0' {TOGETHER}: 'accuracy' is double in the one and string in the "
        "other",
    ),
    (
        {LR: {"a": [None]}, RF: {"a": [1]}, KNN: {"a": [0.5]}},
        f"the tables of 'score@rf@0' and 'score@knn@1' {TOGETHER}: 'a' is int64 in the one and double in the other",
    ),
    (
        {LR: {"fold": [1]}, RF: {"n": [1]}},
        f"the tables of 'score@lr@0' and 'score@rf@0' {TOGETHER}: that of 'score@lr@0' has a column 'fold', like the "
        "axis (leave the axis out: columns: [model])",
    ),
    (
        {LR: {"n": [1]}, RF: {"n": [1]}, KNN: {"model": ["x"], "n": [1]}},
        f"the tables of 'score@lr@0', 'score@rf@0', 'score@knn@1' {TOGETHER}: that of 'score@knn@1' has a column "
        "'model', like the axis (leave the axis out: columns: [fold])",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("tables", "message"), MISFITS)
def test_tables_that_do_not_fit_are_named(tables: dict[OutputId, Any], message: str) -> None:
    with pytest.raises(FormatError) as error:
        put_together(THREE, {output: pa.table(columns) for output, columns in tables.items()})
    assert str(error.value) == message


def test_two_columns_of_one_name_cannot_be_matched() -> None:
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    two = gather(("lr", 0), ("rf", 0))
    assert put_together(two, {LR: twice, RF: twice}).num_columns == 4
    with pytest.raises(FormatError, match="that of 'score@lr@0' has two columns 'a'"):
        put_together(two, {LR: twice, RF: pa.table({"a": [1]})})


def test_a_mapping_is_nested_in_the_order_of_the_axes() -> None:
    tables = {LR: pa.table({"n": [1]}), KNN: pa.table({"n": [2]})}
    form = gather(("lr", 0), ("rf", 0), ("knn", 1), form="dict")
    nested = put_together(form, tables)
    assert nested == {"lr": {0: tables[LR]}, "knn": {1: tables[KNN]}}
    assert list(flattened(form, nested)) == list(tables.items())


def test_values_that_are_equal_in_python_cannot_be_keys() -> None:
    with pytest.raises(FormatError) as error:
        put_together(gather((1,), (True,), axes=("v",), form="dict"), {LR: pa.table({}), RF: pa.table({})})
    assert str(error.value) == (
        f"the tables of 'score@lr@0' and 'score@rf@0' {TOGETHER}: their values are one key in Python"
    )
