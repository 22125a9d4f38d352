"""The checks against a slow and plain definition of each, over random tables, and DuckDB's answers beside Arrow's."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from nfrun.core.contracts import Check
from nfrun.tables.contracts.built_in import make_check

FLOATS = st.sampled_from([0.0, -0.0, 1.0, 1.5, -2.0, math.nan, -math.nan, math.inf, -math.inf, 5e-324])
INTEGERS = st.sampled_from([0, 1, -1, 5, 127, -128])
TEXTS = st.sampled_from(["", "a", "b", "ab", "ä", "a\n", "\0", "1"])
DAYS = st.sampled_from([date(1969, 12, 31), date(2024, 1, 1), date(2024, 1, 2)])
TIMES = st.sampled_from([datetime(1969, 12, 31, 23, 59, 59, 999999), datetime(2024, 1, 1), datetime(2024, 1, 1, 1)])
DECIMALS = st.sampled_from([Decimal("0.00"), Decimal("0.10"), Decimal("-0.11"), Decimal("99.99")])
TYPES: list[tuple[pa.DataType, Any]] = [
    (pa.float64(), FLOATS),
    (pa.float32(), FLOATS),
    (pa.int8(), INTEGERS),
    (pa.int64(), INTEGERS),
    (pa.string(), TEXTS),
    (pa.large_string(), TEXTS),
    (pa.string_view(), TEXTS),
    (pa.dictionary(pa.int32(), pa.string()), TEXTS),
    (pa.dictionary(pa.int8(), pa.int64()), INTEGERS),
    (pa.date32(), DAYS),
    (pa.timestamp("us"), TIMES),
    (pa.timestamp("ns", "Europe/Berlin"), TIMES),
    (pa.decimal128(4, 2), DECIMALS),
    (pa.bool_(), st.booleans()),
]
BOUNDS: dict[Any, Any] = {
    FLOATS: st.sampled_from([0, 1, -2.0, 1.25, math.inf, -math.inf]),
    INTEGERS: st.sampled_from([0, 1, 2.0, -1000, 1000, 127]),
    TEXTS: TEXTS,
    DAYS: st.sampled_from(["2024-01-01", "1970-01-01"]),
    TIMES: st.sampled_from(["2024-01-01", "2024-01-01T00:59:59.999999", "1900-01-01"]),
    DECIMALS: st.sampled_from([0, 0.1, 0.11, -0.11, 1000, -1000]),
}


@st.composite
def columns(draw: Any, kinds: Any = TYPES) -> tuple[pa.ChunkedArray, Any]:
    type_, values = draw(st.sampled_from(kinds))
    held = type_.value_type if pa.types.is_dictionary(type_) else type_
    parts = draw(st.lists(st.lists(st.none() | values, max_size=6), min_size=1, max_size=3))
    chunks = [pa.array(part, held) for part in parts]
    if pa.types.is_dictionary(type_):
        chunks = [chunk.dictionary_encode().cast(type_) for chunk in chunks]
    return pa.chunked_array(chunks, type_), values


def comparable(value: Any) -> Any:
    """A value as a key: all NaN are one, and the zeros are equal."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else value + 0.0
    return value


def literal(value: Any, column: pa.ChunkedArray) -> Any:
    """A value of the file as one of Python that compares exactly."""
    if pa.types.is_date(column.type):
        return date.fromisoformat(value)
    if pa.types.is_timestamp(column.type):
        return datetime.fromisoformat(value).replace(tzinfo=UTC if column.type.tz else None)
    if isinstance(value, float) and not math.isinf(value) and pa.types.is_decimal(column.type):
        return Fraction(Decimal(repr(value)))
    return value


def failing(kind: str, value: Any, table: pa.Table, others: Any = None) -> list[Any]:
    result = make_check(Check(kind, value, kind), table, others or {}, 0.0)
    assert not result.reason
    rows = [] if result.evidence is None else result.evidence.column("row").to_pylist()
    assert result.failing == len(rows)
    return rows


def numbered(**named: pa.ChunkedArray) -> pa.Table:
    return pa.table({"row": range(len(next(iter(named.values())))), **named})


@given(columns=st.lists(columns(), min_size=1, max_size=2))
def test_unique(columns: list[Any]) -> None:
    length = min(len(column) for column, _ in columns)
    table = numbered(**{f"c{i}": column.slice(0, length) for i, (column, _) in enumerate(columns)})
    names = table.schema.names[1:]
    keys = [tuple(comparable(row[name]) for name in names) for row in table.to_pylist()]
    counts = Counter(keys)
    expected = [i for i, key in enumerate(keys) if None not in key and counts[key] > 1]
    assert failing("unique", names, table) == expected


@given(data=st.data(), kind=st.sampled_from(TYPES))
def test_references(data: Any, kind: Any) -> None:
    column, _ = data.draw(columns([kind]))
    other, _ = data.draw(columns([kind]))
    known = {comparable(value) for value in other.to_pylist()}
    expected = [i for i, v in enumerate(column.to_pylist()) if v is not None and comparable(v) not in known]
    assert failing("references", {"c": "o(id)"}, numbered(c=column), {"c": pa.table({"id": other})}) == expected


@given(data=st.data(), keys=st.sampled_from([("min",), ("max",), ("min", "max")]))
def test_range(data: Any, keys: tuple[str, ...]) -> None:
    column, values = data.draw(columns([kind for kind in TYPES if kind[1] in BOUNDS]))
    limits = {key: data.draw(BOUNDS[values]) for key in keys}
    expected = []
    for i, value in enumerate(column.to_pylist()):
        exact = value.encode() if isinstance(value, str) else Fraction(value) if isinstance(value, Decimal) else value
        bounds = {k: literal(v, column) for k, v in limits.items()}
        bounds = {k: v.encode() if isinstance(v, str) else v for k, v in bounds.items()}
        within = ("min" not in bounds or exact >= bounds["min"]) if exact is not None else True
        if exact is not None and not (within and ("max" not in bounds or exact <= bounds["max"])):
            expected.append(i)
    assert failing("range", {"c": limits}, numbered(c=column)) == expected


@given(data=st.data())
def test_enum(data: Any) -> None:
    column, values = data.draw(columns([kind for kind in TYPES if kind[1] in BOUNDS]))
    allowed = data.draw(st.lists(BOUNDS[values], max_size=3))
    known = [literal(value, column) for value in allowed]
    plain = [Fraction(v) if isinstance(v, Decimal) else v for v in column.to_pylist()]
    expected = [i for i, value in enumerate(plain) if value is not None and value not in known]
    assert failing("enum", {"c": allowed}, numbered(c=column)) == expected
