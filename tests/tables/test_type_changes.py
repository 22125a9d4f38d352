"""Random tables through formats and libraries and back: what changes is in the table of docs/types.md, or an error."""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
import re
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.types as pt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_tables import LEAVES, SMALL, TEXT, filled, or_null

from nfrun.nodes.base import NodeError
from nfrun.nodes.data_frames import as_frames
from nfrun.nodes.returned_tables import to_table
from nfrun.nodes.sql_tables import arrow_table, sliced
from nfrun.tables.contracts.column_types import is_same_zone
from nfrun.tables.contracts.type_names import TypeNameError, is_read, parse_type
from nfrun.tables.file_io import read_table, write_table
from nfrun.tables.formats import FormatError
from nfrun.tables.stored_form import as_stored

duckdb = pytest.importorskip("duckdb")

PAGE = Path(__file__).parents[2] / "docs" / "types.md"
WAYS = ("Parquet", "CSV", "JSON lines", "pandas", "polars", "a query")
ENDINGS = {"Parquet": "parquet", "CSV": "csv", "JSON lines": "jsonl"}
EDGE = st.sampled_from
LIMITS: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    *((getattr(pa, f"int{bits}")(), EDGE([-(2 ** (bits - 1)), 0, 2 ** (bits - 1) - 1])) for bits in (8, 16, 32, 64)),
    *((getattr(pa, f"uint{bits}")(), EDGE([0, 2**bits - 1, 2**bits - 2])) for bits in (8, 16, 32, 64)),
    (pa.float64(), EDGE([0.1, -0.0, 5e-324, 1.7e308, math.inf, -math.inf, math.nan, 2.0**53 + 2, 1e22])),
    (pa.float32(), EDGE([0.1, math.inf, -math.inf, math.nan, 16777217.0])),
    (pa.decimal128(38, 0), EDGE([Decimal(10**38 - 1), Decimal(-(10**38) + 1), Decimal(2**64 + 1)])),
    (pa.date32(), EDGE([dt.date.min, dt.date.max, dt.date(1970, 1, 1)])),
    (pa.timestamp("s"), EDGE([dt.datetime.min, dt.datetime(9999, 12, 31), dt.datetime(1970, 1, 1)])),
    (pa.timestamp("s"), EDGE([10**13, -(10**13), 0])),
    (pa.timestamp("ms", "UTC"), EDGE([dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30), dt.datetime(2024, 3, 31, 1)])),
    (pa.timestamp("us", "America/New_York"), EDGE([dt.datetime(2024, 11, 3, h, 30) for h in (5, 6)])),
    (pa.timestamp("s", "+05:30"), EDGE([dt.datetime(2024, 2, 29), dt.datetime(1969, 12, 31)])),
    (pa.duration("us"), EDGE([0, -1, 10**15])),
    (pa.time64("us"), EDGE([0, 86_399_999_999])),
    (pa.uuid(), st.binary(min_size=16, max_size=16)),
]


def inside(column: tuple[pa.DataType, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """Columns of a type that has this one inside."""
    kind, values = column
    some, pair = st.lists(or_null(values), max_size=3), st.lists(or_null(values), min_size=2, max_size=2)
    fields = st.fixed_dictionaries({"a": or_null(values), "b": or_null(SMALL)})
    return EDGE(
        [
            (pa.list_(kind), some),
            (pa.large_list(kind), some),
            (pa.list_(kind, 2), pair),
            (pa.struct({"a": kind, "b": pa.int64()}), fields),
            (pa.list_(pa.struct({"a": kind, "b": pa.int64()})), st.lists(or_null(fields), max_size=2)),
            (pa.map_(pa.string(), kind), st.lists(st.tuples(TEXT, or_null(values)), max_size=2)),
        ]
    )


@st.composite
def columns(draw: st.DrawFn, length: int) -> pa.Array:
    column = draw(EDGE([*LEAVES, *LIMITS]))
    if draw(st.integers(0, 2)) == 0 and not isinstance(column[0], pa.BaseExtensionType):
        column = draw(inside(column))
    array = draw(filled(column, length))
    encode = draw(EDGE([None, None, None, pa.Array.dictionary_encode]))
    try:
        return array if encode is None or isinstance(array.type, pa.BaseExtensionType) else encode(array)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return array


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """A table with a column of any type, and a last one without nulls: an empty line of a file would be no row."""
    length = draw(st.integers(0, 6))
    return as_stored(pa.table({"c": draw(columns(length)), "row": pa.array(range(length), pa.int64())}))


# ---------------------------------------------------------------- what the page says


@cache
def page() -> dict[tuple[str, str], str]:
    """The cells of the table, by the name of a type and the way."""
    found = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) == len(WAYS) + 1 and "`" in cells[0]:
            for name in re.findall("`([^`]+)`", cells[0]):
                key = name + cells[0].partition("`dictionary`")[2] if name == "dictionary" else name
                found.update({(key, way): cell for way, cell in zip(WAYS, cells[1:], strict=True)})
    return found


def name_of(type_: pa.DataType) -> str:
    if isinstance(type_, pa.BaseExtensionType):
        return type_.extension_name
    if pt.is_dictionary(type_):
        value = type_.value_type
        return f"dictionary of {'texts' if pt.is_string(value) or pt.is_large_string(value) else 'others'}"
    return re.match(r"\w+", str(type_))[0]  # type: ignore[index]


def parts(type_: pa.DataType) -> list[pa.DataType]:
    """The types inside of a nested type, of an encoding and of an extension type that the page does not name."""
    if isinstance(type_, pa.BaseExtensionType):
        return [] if name_of(type_) == "arrow.uuid" else [type_.storage_type]
    if pt.is_map(type_):
        return [type_.key_type, type_.item_type]
    if pt.is_dictionary(type_):
        return [type_.value_type]
    return [type_.field(i).type for i in range(type_.num_fields)]


def is_allowed(type_: pa.DataType, found: pa.DataType, way: str, *, empty: bool) -> bool:
    """Whether the page lets a column of one type become another."""
    if isinstance(type_, pa.BaseExtensionType) and name_of(type_) != "arrow.uuid" and found != type_:
        return is_allowed(type_.storage_type, found, way, empty=empty)
    if empty and pt.is_null(found):
        return True
    cell = page()[name_of(type_), way]
    if cell == "*looks*":
        return True
    if cell == "values":
        return is_allowed(type_.value_type, found, way, empty=empty)
    names = re.findall(r"`([^`]+)`(?: of (\w+))?", cell)
    of_unit = [name for name, unit in names if unit and unit == getattr(type_, "unit", "")]
    names = [*of_unit] or [name for name, unit in names if not unit] + ([name_of(type_)] * ("=" in cell))
    if not any(
        re.match(rf"{re.escape(name)}(?![a-z_0-9])|{name_of(found)}$", name) or str(found).startswith(name)
        for name in names
    ):
        return False
    if pt.is_timestamp(found) and pt.is_timestamp(type_) and way in ("Parquet", "pandas", "polars"):
        return (found.tz is None) is (type_.tz is None) and (found.tz is None or is_same_zone(found.tz, type_.tz))
    if pt.is_nested(type_) and pt.is_nested(found) and not pt.is_map(type_):
        return all(is_allowed(a, b, way, empty=True) for a, b in zip(parts(type_), parts(found), strict=True))
    return True


# ---------------------------------------------------------------- the ways


@pytest.fixture(scope="module")
def way_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, pa.Table], pa.Table]]:
    folder = tmp_path_factory.mktemp("types")
    connection = duckdb.connect(config={"python_enable_replacements": "false", "threads": 1})

    def go(way: str, table: pa.Table) -> pa.Table:
        if ending := ENDINGS.get(way):
            write_table(table, folder / f"t.{ending}")
            return read_table(f"t.{ending}", base=folder)
        if way == "a query":
            with connection.cursor() as cursor:
                cursor.register("t", sliced(table))
                return arrow_table(cursor.sql("from t"))
        return to_table(as_frames({"t": table}, {"t": way})["t"])

    yield go
    connection.close()


ERRORS = (
    *(
        FormatError,
        NodeError,
        duckdb.Error,
        pa.ArrowException,
        OverflowError,
        ValueError,
        TypeError,
        NotImplementedError,
    ),
    pl.exceptions.PanicException,
)


@pytest.mark.parametrize("way", WAYS)
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None)
@given(table=tables())
def test_what_changes_is_in_the_docs(way: str, way_of: Callable[[str, pa.Table], pa.Table], table: pa.Table) -> None:
    if way == "pandas" and re.search(r"map<.*binary", str(table.schema.field("c").type)):
        return  # pandas has pairs of a text and bytes, of which Arrow makes lists of texts
    try:
        found = as_stored(way_of(way, table))
    except ERRORS as error:
        type_ = table.schema.field("c").type
        assert parts(type_) or "error" in page()[name_of(type_), way], error
        return
    if way == "JSON lines" and not table.num_rows:
        assert not found.num_columns
        return
    assert found.column_names == table.column_names
    for before, after in zip(table.columns, found.columns, strict=True):
        empty = before.null_count == len(before) or way in ENDINGS
        told = f"{before.type} became {after.type}"
        assert is_allowed(before.type, after.type, way, empty=empty), told
        assert_same(before, after, way, told)


# ---------------------------------------------------------------- values


def assert_same(before: pa.ChunkedArray, after: pa.ChunkedArray, way: str, told: str) -> None:
    """Fail unless the values are the same in the form that the page gives for them."""
    assert len(before) == len(after)
    for one, other in zip(before, after, strict=True):
        a, b = atom(one), atom(other)
        assert alike(a, b, way), f"{told}: {a!r} became {b!r}"


PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def atom(scalar: pa.Scalar) -> Any:
    """The value: a number, a text, bytes, a list, a mapping, or a name with what it is made of."""
    kind = scalar.type
    if not scalar.is_valid:
        return None
    if isinstance(kind, pa.DictionaryType | pa.BaseExtensionType):
        return atom(scalar.value)
    if pt.is_map(kind):
        return [[atom(pair[0]), atom(pair[1])] for pair in scalar.values]
    if pt.is_struct(kind):
        return {field.name: atom(scalar[i]) for i, field in enumerate(kind)}
    if pt.is_nested(kind):
        return [*map(atom, scalar.values)]
    if pt.is_date(kind) or pt.is_timestamp(kind):
        ticks = scalar.value * (86_400 if pt.is_date32(kind) else 1)
        return "at", ticks * 10**9 // PER_SECOND["s" if pt.is_date32(kind) else getattr(kind, "unit", "ms")]
    if pt.is_time(kind):
        return "time", scalar.value * 10**9 // PER_SECOND[kind.unit]
    if pt.is_duration(kind):
        return "span", scalar.value * 10**9 // PER_SECOND[kind.unit], scalar.value
    if pt.is_interval(kind):
        return "interval", *scalar.as_py()
    return scalar.as_py()


def alike(a: Any, b: Any, way: str) -> bool:
    """Whether a value has become another as the page says."""
    if a is None or b is None:
        return a is b or (isinstance(a, float) and math.isnan(a)) or (way == "CSV" and isinstance(a, str))
    if isinstance(b, str) and not isinstance(a, str):
        return of_text(a, b, way)
    if isinstance(a, str):
        return a == b or way == "CSV" or (isinstance(b, tuple) and of_text(b, a, way))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key], way) for key in a)
    if isinstance(a, list):
        pairs = [
            [*item.values()] if is_pair(item) and isinstance(of, list) else item for of, item in zip(a, b, strict=True)
        ]
        return all(alike(one, other, way) for one, other in zip(a, pairs, strict=True))
    if isinstance(a, tuple) and isinstance(b, tuple):
        if a[0] == "span" and b[0] == "interval":
            return b[1:] == (0, 0, int(a[1] / 1000) * 1000)
        if a[0] == b[0] == "interval" and way == "a query":
            return a[:3] == b[:3] and int(a[3] / 1000) * 1000 == b[3]
        return a[:2] == b[:2] if a[0] == "span" else a == b
    if isinstance(a, tuple):
        return a[0] == "span" and a[2] == b
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    if isinstance(a, float) and isinstance(b, float) and a != b:  # of 32 or 16 bits, written with as many digits
        return single(a) == a == single(b) or half(a) == a == half(b)
    return a == b or (isinstance(a, Decimal) and isinstance(b, float) and float(a) == b)


def single(value: float) -> float:
    return float(np.float32(value))


def half(value: float) -> float:
    return float(np.float16(value))


def is_pair(item: Any) -> bool:
    return isinstance(item, dict) and [*item] == ["key", "value"]


def of_text(a: Any, text: str, way: str) -> bool:
    """Whether a text says a value."""
    if isinstance(a, list | dict):
        return alike(a, json.loads(text), way)
    if isinstance(a, bytes):
        return text == str(uuid.UUID(bytes=a)) if len(a) == 16 and "-" in text else base64.b64decode(text) == a
    if isinstance(a, uuid.UUID):
        return text == str(a)
    if isinstance(a, int | Decimal):
        return Decimal(text) == a
    if a[0] == "at" and len(text) == 10:
        text += "T00:00:00"
    if a[0] == "interval":
        return text == f"P{a[1]}M{a[2]}DT{in_seconds(a[3])}S"
    if a[0] == "span":
        return text == f"PT{in_seconds(a[1])}S"
    found = re.fullmatch(r"(?:(\S{10,})[T ])?(\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:?\d\d)?", text)
    if found is None:
        return False
    day, time, part, zone = found.groups()
    at = dt.datetime.fromisoformat(f"{day or '1970-01-01'}T{time}{zone or 'Z'}") - dt.datetime(
        1970, 1, 1, tzinfo=dt.UTC
    )
    return a == ("at" if day else "time", at // dt.timedelta(seconds=1) * 10**9 + int((part or "").ljust(9, "0")))


def in_seconds(nanoseconds: int) -> str:
    text = f"{Decimal(abs(nanoseconds)).scaleb(-9):f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return f"{'-' if nanoseconds < 0 else ''}{text}"


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None)
@given(data=st.data())
def test_a_schema_reads_the_table_that_was_written(
    ending: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder, length = tmp_path_factory.mktemp("types"), data.draw(st.integers(1, 6))
    readable = [kind for kind in [*LEAVES, *LIMITS] if is_readable(kind[0], ending)]
    column = data.draw(st.sampled_from(readable).flatmap(lambda kind: filled(kind, length)))
    table = as_stored(pa.table({"c": column, "row": range(length)}))
    write_table(table, folder / f"t.{ending}")
    found = read_table(f"t.{ending}", base=folder, types=dict(zip(table.schema.names, table.schema.types, strict=True)))
    assert found.schema.equals(table.schema)
    for one, other in zip(table["c"], found["c"], strict=True):
        a, b = atom(one), atom(other)
        assert a == b or (isinstance(a, float) and math.isnan(a) and b is None)


def is_readable(type_: pa.DataType, ending: str) -> bool:
    text = not (
        pt.is_binary(type_) or pt.is_large_binary(type_) or pt.is_binary_view(type_) or pt.is_fixed_size_binary(type_)
    )
    if isinstance(type_, pa.BaseExtensionType) or pt.is_float16(type_) or type_ == pa.timestamp("s"):
        return False
    try:
        name = parse_type(str(type_))[0]
    except TypeNameError:
        return False
    times = ending == "jsonl" and (pt.is_time(type_) or pt.is_date64(type_) or pt.is_duration(type_))
    return text and not times and is_read(name, ending) and not pt.is_null(type_)
