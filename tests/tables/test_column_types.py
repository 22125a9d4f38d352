"""Names of types in pipeline files, compared with Arrow's types."""

from __future__ import annotations

import pyarrow as pa
import pytest

from nfrun.tables.contracts.column_types import arrow_type, matches
from nfrun.tables.contracts.type_names import TypeNameError, parse_type

EXACT = [
    pa.null(), pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint64(), pa.float16(),
    pa.float32(), pa.float64(), pa.large_string(), pa.string_view(), pa.large_binary(), pa.binary(16), pa.date32(),
    pa.date64(), pa.time32("ms"), pa.time64("ns"), pa.timestamp("us"), pa.timestamp("ns", "UTC"),
    pa.timestamp("s", "America/New_York"), pa.timestamp("ms", "+02:00"), pa.duration("s"), pa.decimal128(10, 2),
    pa.decimal256(50, -3), pa.list_(pa.int64()), pa.list_(pa.list_(pa.float32())), pa.large_list(pa.int8()),
    pa.list_(pa.float32(), 3), pa.struct([("a", pa.int64()), ("b", pa.list_(pa.bool_()))]),
    pa.map_(pa.int32(), pa.float64()), pa.dictionary(pa.int8(), pa.int64()),
]  # fmt: skip


@pytest.mark.parametrize("type_", EXACT, ids=str)
def test_a_type_is_named_as_arrow_shows_it(type_: pa.DataType) -> None:
    shown = "halffloat" if pa.types.is_float16(type_) else str(type_)
    if pa.types.is_map(type_):
        shown = "map<int32, double>"
    if pa.types.is_fixed_size_binary(type_):
        shown = "fixed_size_binary[16]"
    name, nullable = parse_type(shown)
    assert not nullable
    assert matches(name, type_)
    assert [other for other in EXACT if matches(name, other)] == [type_]
    made = arrow_type(name)
    assert made is not None
    assert made.equals(type_)


TEXT = pa.dictionary(pa.int32(), pa.string())
_INTEGERS = [pa.int8(), pa.uint64(), pa.dictionary(pa.int8(), pa.int16())]
FAMILIES = {
    "integer": _INTEGERS,
    "number": [*_INTEGERS, pa.float16(), pa.float64(), pa.decimal128(5, 2)],
    "string": [pa.string(), pa.large_string(), pa.string_view(), TEXT],
    "boolean": [pa.bool_()],
    "date": [pa.date32(), pa.date64()],
    "timestamp": [pa.timestamp("s"), pa.timestamp("ns", "UTC")],
    "binary": [pa.binary(), pa.large_binary(), pa.binary(4)],
    "list": [pa.list_(pa.int8()), pa.large_list(pa.string()), pa.list_(pa.int8(), 2)],
    "struct": [pa.struct([("a", pa.int8())])],
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_takes_every_width_and_encoding_and_nothing_else(family: str) -> None:
    name, _ = parse_type(family)
    every = {type_ for types in FAMILIES.values() for type_ in types}
    assert {type_ for type_ in every if matches(name, type_)} == set(FAMILIES[family])
    assert all(matches(parse_type("any")[0], type_) for type_ in every)


def test_types_inside_a_list_may_be_families() -> None:
    name, nullable = parse_type("list<string>?")
    assert nullable
    assert matches(name, pa.list_(pa.large_string()))
    assert not matches(name, pa.list_(pa.int8()))
    assert matches(parse_type("dictionary<values=string, indices=int32>")[0], TEXT)


def test_an_extension_type_counts_as_what_it_holds() -> None:
    assert matches(parse_type("string")[0], pa.json_(pa.string()))
    assert matches(parse_type("fixed_size_binary[16]")[0], pa.uuid())


READ_AS = {
    "integer": pa.int64(), "number": pa.float64(), "string": pa.string(), "boolean": pa.bool_(),
    "date": pa.date32(), "timestamp": pa.timestamp("us"), "binary": pa.binary(),
}  # fmt: skip


@pytest.mark.parametrize("family", READ_AS)
def test_text_is_read_as_one_type_of_a_family(family: str) -> None:
    made = arrow_type(parse_type(family)[0])
    assert made is not None
    assert made.equals(READ_AS[family])
    assert matches(parse_type(family)[0], made)


@pytest.mark.parametrize("family", ["any", "list", "struct", "list<any>", "map<string, list>"])
def test_some_types_do_not_say_how_text_is_read(family: str) -> None:
    assert arrow_type(parse_type(family)[0]) is None


WRONG = (
    "datte",
    "interger",
    "int",
    "varchar",
    "datetime",
    "numeric",
    "time",
    "decimal128",
    "decimal128(10)",
    "decimal128(39, 2)",
    "timestamp[m]",
    "timestamp[us, UTC]",
    "time32[ns]",
    "list<",
    "list<flaot>",
    "list<int64>>",
    "struct<a>",
    "int64??",
    "int64 null",
    "decimal128(0, 2)",
    "map<string>",
    "fixed_size_list<float>",
    "list<string>[3]",
    "dictionary<values=string>",
    "",
    "?",
)


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_type_is_told(text: str) -> None:
    with pytest.raises(TypeNameError) as caught:
        parse_type(text)
    assert str(caught.value) == f"there is no type '{text}'"
    assert caught.value.hint == (
        "Arrow's names, such as int64, time64[us], decimal128(9, 2) and list<int64>, or integer, number, string, "
        "boolean, date, timestamp, binary, list, struct, any"
    )


def test_a_type_may_not_be_nested_without_end() -> None:
    with pytest.raises(TypeNameError, match="is nested too deeply"):
        parse_type("list<" * 40_000)


ZONES = [
    ("UTC", "Etc/UTC", True),
    ("UTC", "+00:00", True),
    ("UTC", "-00:00", True),
    ("UTC", "Z", True),
    ("Zulu", "UTC", True),
    ("UTC", "GMT", True),
    ("UTC", "Etc/GMT", True),
    ("UTC", "Etc/Universal", True),
    ("utc", "UTC", True),
    ("+00", "+0000", True),
    ("US/Eastern", "America/New_York", False),
    ("Europe/Berlin", "+01:00", False),
    ("Europe/Berlin", "Europe/Rome", False),
    ("Europe/London", "UTC", False),
    ("+02:00", "-02:00", False),
    ("../etc", "UTC", False),
    ("Nowhere/Here", "Nowhere/Here", True),
]


@pytest.mark.parametrize(("named", "has", "same"), ZONES)
def test_a_zone_is_one_zone_under_all_of_its_names(named: str, has: str, same: bool) -> None:
    for one, other in ((named, has), (has, named)):
        name, _ = parse_type(f"timestamp[us, tz={one}]")
        assert matches(name, pa.timestamp("us", other)) is same
        assert not matches(name, pa.timestamp("ms", other))
        assert not matches(name, pa.timestamp("us"))
        assert not matches(parse_type("timestamp[us]")[0], pa.timestamp("us", other))
        nested, _ = parse_type(f"list<struct<a: timestamp[us, tz={one}]>>")
        assert matches(nested, pa.list_(pa.struct({"a": pa.timestamp("us", other)}))) is same
