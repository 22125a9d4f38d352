"""Strategies for random tables of all Arrow types, and the same tables in another layout."""

from __future__ import annotations

import datetime as dt
import decimal
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

QUICK = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def decimals(bits: int, digits: int) -> tuple[pa.DataType, st.SearchStrategy[Any]]:
    kind = getattr(pa, f"decimal{bits}")(digits, 2)
    return kind, st.decimals(-99, 99, places=2).map(lambda d: d.quantize(decimal.Decimal("0.01")))


class Tagged(pa.ExtensionType):  # type: ignore[misc]
    def __init__(self, storage: pa.DataType | None = None) -> None:
        super().__init__(storage or pa.int32(), "test.tagged")

    def __arrow_ext_serialize__(self) -> bytes:
        return b"v1"

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: pa.DataType, serialized: bytes) -> Tagged:
        return cls(storage_type)


SMALL = st.integers(-100, 100)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
BYTES = st.binary(max_size=20)
INSTANT = st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1))
FLOATS = (pa.float64(), st.floats())
LEAVES: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.null(), st.none()),
    (pa.bool_(), st.booleans()),
    *((kind, SMALL) for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64())),
    *((kind, st.integers(0, 200)) for kind in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())),
    *((kind, SMALL.map(float)) for kind in (pa.float16(), pa.float32(), pa.float64())),
    FLOATS,
    *((kind, TEXT) for kind in (pa.string(), pa.large_string(), pa.string_view())),
    *((kind, BYTES) for kind in (pa.binary(), pa.large_binary(), pa.binary_view())),
    (pa.binary(3), st.binary(min_size=3, max_size=3)),
    (pa.binary(0), st.just(b"")),
    decimals(32, 9),
    decimals(64, 18),
    decimals(128, 38),
    decimals(256, 76),
    (pa.date32(), st.dates()),
    (pa.date64(), st.dates(dt.date(1900, 1, 1))),
    (pa.time32("s"), st.integers(0, 86399)),
    (pa.time64("ns"), st.integers(0, 86399 * 10**9)),
    (pa.timestamp("us"), INSTANT),
    (pa.timestamp("ns", "Europe/Berlin"), INSTANT),
    (pa.duration("ms"), SMALL),
    (pa.month_day_nano_interval(), st.tuples(SMALL, SMALL, SMALL)),
]
Column = tuple[pa.DataType, st.SearchStrategy[Any]]


def or_null(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), values, values, values)


def nested(inner: st.SearchStrategy[Column]) -> st.SearchStrategy[Column]:
    def listed(make: Callable[[pa.DataType], pa.DataType], length: int | None = None) -> st.SearchStrategy[Column]:
        size = {"min_size": length or 0, "max_size": length or 3}
        return inner.map(lambda c: (make(c[0]), st.lists(or_null(c[1]), **size)))

    return st.one_of(
        listed(pa.list_),
        listed(pa.large_list),
        listed(lambda kind: pa.list_(kind, 2), 2),
        inner.map(lambda c: (pa.map_(pa.string(), c[0]), st.lists(st.tuples(TEXT, or_null(c[1])), max_size=3))),
        st.tuples(inner, inner).map(
            lambda cs: (
                pa.struct([("a", cs[0][0]), ("b", cs[1][0])]),
                st.fixed_dictionaries({"a": or_null(cs[0][1]), "b": or_null(cs[1][1])}),
            )
        ),
    )


COLUMNS = st.recursive(st.sampled_from(LEAVES), nested, max_leaves=4)


def filled(column: Column, length: int) -> st.SearchStrategy[pa.Array]:
    kind, values = column
    return st.lists(or_null(values), min_size=length, max_size=length).map(lambda v: pa.array(v, kind))


def as_dictionary(array: pa.Array) -> pa.Array:
    """Dictionary-encoded, with an unused value and a null among the dictionary's values."""
    values = pa.concat_arrays([array, pa.nulls(1, array.type)])
    indices = [None if i % 5 == 4 else (len(array) if i % 5 == 3 else i) for i in range(len(array))]
    return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int16()), values)


def as_struct(array: pa.Array) -> pa.Array:
    missing = pa.array([i % 3 == 1 for i in range(len(array))], pa.bool_())
    return pa.StructArray.from_arrays([array], ["a"], mask=missing)


def as_list(array: pa.Array) -> pa.Array:
    offsets = pa.array([None if i % 4 == 1 else i for i in range(len(array))] + [len(array)], pa.int32())
    return pa.ListArray.from_arrays(offsets, array)


WRAPPERS = [as_dictionary, as_struct, as_list]


@st.composite
def arrays(draw: st.DrawFn, length: int) -> pa.Array:
    """Any array of this length, nested up to twice in types that have no Python literal."""
    array = draw(filled(draw(COLUMNS), length))
    wrappers = draw(st.lists(st.sampled_from(WRAPPERS), max_size=2))
    for wrap in wrappers:
        try:
            array = wrap(array)
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # for example nulls in nulls, runs of some types
            break
    return array


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    length = draw(st.integers(0, 12))
    columns = draw(st.lists(arrays(length), min_size=1, max_size=3))
    return pa.table(columns, names=[f"c{i}" for i in range(len(columns))])


def split(array: pa.Array, offsets: Sequence[int]) -> pa.ChunkedArray:
    edges = [0, *sorted(p for p in offsets if p <= len(array)), len(array)]
    return pa.chunked_array([array.slice(a, b - a) for a, b in itertools.pairwise(edges)], array.type)


def joined(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def shifted(array: pa.Array, before: int) -> pa.Array:
    junk = array.slice(0, before)
    return pa.concat_arrays([junk, array, junk]).slice(len(junk), len(array))


def through_ipc(table: pa.Table) -> pa.Table:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:  # unlike a file, a stream may replace dictionaries
        writer.write_table(table)
    return pa.ipc.open_stream(sink.getvalue()).read_all()
