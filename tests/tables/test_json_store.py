"""Tables as JSON text: every Arrow table comes back with its types and its digest."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from test_digest import QUICK, Tagged, tables

from nfrun.core.errors import HandoffError
from nfrun.core.events import OutputRef
from nfrun.tables.digest import table_digest
from nfrun.tables.ipc import open_file
from nfrun.tables.json_store import JsonStore, from_json, to_json


def round_trip(table: pa.Table) -> Any:
    """Assert that the table comes back unchanged; return the columns of its JSON, parsed strictly."""
    text = to_json(table)
    back = from_json(text)
    back.validate(full=True)
    assert back.schema.equals(table.schema, check_metadata=True)
    assert back.num_rows == table.num_rows
    assert table_digest(back) == table_digest(table)

    def raise_error(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=raise_error)["columns"]


@QUICK
@given(tables())
def test_any_table_comes_back_with_its_digest(table: pa.Table) -> None:
    assert len(round_trip(table)) == table.num_columns


NATURAL = [
    (pa.array([1, None, -(2**63)], pa.int64()), [1, None, -(2**63)]),
    (pa.array([2**64 - 1], pa.uint64()), [2**64 - 1]),
    (pa.array([0.1, -0.0, 5e-324, None]), [0.1, -0.0, 5e-324, None]),
    (pa.array([0.1], pa.float32()), [0.10000000149011612]),
    (pa.array([True, None]), [True, None]),
    (pa.array(["é\n\"", "", None]), ["é\n\"", "", None]),
    (pa.array([], pa.string()), []),
]  # fmt: skip


@pytest.mark.parametrize(("array", "values"), NATURAL, ids=lambda v: str(v.type) if isinstance(v, pa.Array) else "")
def test_common_types_are_plain_values(array: pa.Array, values: list[Any] | None) -> None:
    (found,) = round_trip(pa.table({"c": array}))
    assert found == (array.to_pylist() if values is None else values)


def nans(*bits: int) -> pa.Array:
    return pa.array(bits, pa.uint64()).view(pa.float64())


RARE = [
    nans(0x7FF8000000000000, 0xFFF8000000000001, 0x7FF0000000000000),
    pa.array([None, None]),
    pa.array([[1, None], [], None]),
    pa.array([{"a": 1, "b": ["x"]}, {"a": None, "b": None}, None]),
    pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int8())),
    pa.array([Decimal("1200")], pa.decimal128(5, -2)),
    pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]),
    pa.array([(1, 2, 3)], pa.month_day_nano_interval()),
    pa.array([Decimal("1.50"), None], pa.decimal128(5, 2)),
    pa.array([dt.date(1970, 1, 2)], pa.date32()),
    pa.array([[dt.date(2024, 1, 1)]]),
    pa.array([dt.time(0, 1)], pa.time32("s")),
    pa.array([dt.datetime(1970, 1, 1, 1, tzinfo=dt.UTC)], pa.timestamp("ns", "Asia/Tokyo")),
    pa.array([dt.timedelta(seconds=2)], pa.duration("ms")),
    pa.array(["a", "b", "a", None]).dictionary_encode(),
    pa.array([1.5, None], pa.float16()),
    pa.ExtensionArray.from_storage(Tagged(), pa.array([1, 2], pa.int32())),
    pa.DictionaryArray.from_arrays(pa.array([0, None], pa.int16()), pa.nulls(1)),
    pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(bytes(4) + b"\1\0\0\0"), pa.py_buffer(b"\xff")]),
]


@pytest.mark.parametrize("array", RARE, ids=lambda a: str(a.type))
def test_values_without_a_json_form_are_strings_of_arrow_bytes(array: pa.Array) -> None:
    text = to_json(pa.table({"c": array}))
    assert isinstance(json.loads(text)["columns"][0], str)
    assert table_digest(from_json(text)) == table_digest(pa.table({"c": array}))


@pytest.mark.parametrize(
    "table",
    [
        pa.table({}),
        pa.table({"x": [1, 2, 3]}).select([]),
        pa.table([[1], ["a"]], names=["same", "same"]),
        pa.table({"": pa.array([1]), '\ud7ff"\\': pa.array([2])}),
        pa.table({"x": pa.chunked_array([[1, 2], [], [3]])}),
        pa.table({"x": pa.chunked_array([], pa.int64())}),
        pa.table({"x": pa.array(range(10)).slice(3, 4)}),
        pa.table({"x": [1]}, metadata={"who": "me"}),
        pa.table([pa.array([1])], schema=pa.schema([pa.field("x", pa.int64(), nullable=False, metadata={"k": "v"})])),
    ],
    ids=["nothing", "rows only", "one name twice", "names", "chunks", "no chunk", "slice", "metadata", "field"],
)
def test_shapes_of_tables(table: pa.Table) -> None:
    round_trip(table)


def test_a_dictionary_keeps_its_type() -> None:
    kind = pa.dictionary(pa.int8(), pa.string(), ordered=True)
    round_trip(
        pa.table({"c": pa.DictionaryArray.from_arrays(pa.array([1, None, 0], pa.int8()), ["b", "a"], ordered=True)})
    )
    assert from_json(to_json(pa.table({"c": pa.array(["x"], kind)}))).schema.field("c").type == kind


# ------------------------------------------------------------------------------------------------------ the store

NUMBERS = pa.table({"n": [1, 2, 3]})


@pytest.fixture
def published() -> list[OutputRef]:
    return []


@pytest.fixture
def store(tmp_path: Path, published: list[OutputRef]) -> JsonStore:
    return JsonStore(tmp_path / "run", retained=frozenset({"kept"}), on_published=published.append)


def test_every_reader_parses_a_table_of_its_own(store: JsonStore, published: list[OutputRef]) -> None:
    ref = store.publish("a", 1, NUMBERS)
    assert (ref.rows, ref.bytes, ref.schema, ref.path, ref.digest) == (3, 24, "n: int64", None, None)
    first, second = store.open(ref), store.open(ref)
    assert first == NUMBERS
    assert first is not second
    assert published == []


def test_a_record_batch_reader_is_read_to_its_end(store: JsonStore) -> None:
    assert store.open(store.publish("a", 1, NUMBERS.to_reader())) == NUMBERS


def test_a_retained_output_is_published_with_its_digest(store: JsonStore, published: list[OutputRef]) -> None:
    ref = store.publish("kept", 1, NUMBERS)
    store.commit(store.publish("a", 1, NUMBERS))
    assert published == []
    store.commit(ref)
    assert store.flushed(10)
    assert [(each.id, each.digest) for each in published] == [("kept", table_digest(NUMBERS))]


def test_a_script_gets_a_file_that_a_release_removes(store: JsonStore) -> None:
    ref = store.publish("a", 1, NUMBERS)
    path = store.file(ref)
    assert open_file(path) == NUMBERS
    store.release(ref)
    assert store.flushed(10)
    assert not path.exists()
    store.release(ref)


def test_closing_leaves_nothing(store: JsonStore, tmp_path: Path) -> None:
    store.file(store.publish("a", 1, NUMBERS))
    store.close()
    store.close()
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []
    with pytest.raises(HandoffError, match="the output 'a' comes too late: the run is over"):
        store.publish("a", 1, NUMBERS)


def test_a_released_output_is_gone(store: JsonStore) -> None:
    ref = store.publish("a", 1, NUMBERS)
    store.release(ref)
    for take in (store.open, store.file):
        with pytest.raises(HandoffError, match="the output 'a' is gone: all its readers had ended"):
            take(ref)


def test_a_file_that_cannot_be_written_is_an_error(store: JsonStore, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("in the way")
    ref = store.publish("a", 1, NUMBERS)
    with pytest.raises(HandoffError, match=r"cannot write the output 'a' \([0-9,]+ bytes\): Not a directory"):
        store.file(ref)
