"""Types of columns: what is written is read back, or it is an error that says so. Nothing is rounded silently."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from adbc_tests.trials import Trial
from nfrun import NodeError

UTC = dt.UTC
NOON = dt.datetime(2024, 2, 29, 12, 30, 15, 123456)
SAME: Any = object()  # what is read equals what was written
# By name: the column, and what is read back from SQLite, DuckDB and PostgreSQL.
TYPES: dict[str, tuple[pa.Array, Any, Any, Any]] = {
    "bool": (pa.array([True, False, None]), [1, 0, None], SAME, SAME),
    "int8": (pa.array([-128, 127, None], pa.int8()), SAME, SAME, SAME),
    "uint8": (pa.array([0, 255, None], pa.uint8()), SAME, SAME, SAME),
    "uint32": (pa.array([0, 2**32 - 1, None], pa.uint32()), SAME, SAME, SAME),
    "int64": (pa.array([-(2**63), 2**63 - 1, None]), SAME, SAME, SAME),
    "float16": (pa.array([1.5, None], pa.float16()), SAME, SAME, SAME),
    "float32": (pa.array([1.5, None], pa.float32()), SAME, SAME, SAME),
    "float64": (pa.array([0.1, 1e300, None]), SAME, SAME, SAME),
    "string": (pa.array(["", "ä€𝄞", 'it\'s "it"; --', None]), SAME, SAME, SAME),
    "large_string": (pa.array(["a", None], pa.large_string()), SAME, SAME, SAME),
    "string_view": (pa.array(["a", None], pa.string_view()), SAME, SAME, SAME),
    "dictionary": (pa.array(["a", "b", "a", None]).dictionary_encode(), SAME, SAME, SAME),
    "binary": (pa.array([b"", b"\0\xff'", None]), SAME, SAME, SAME),
    "fixed binary": (pa.array([b"ab", None], pa.binary(2)), SAME, SAME, SAME),
    "null": (pa.nulls(2), SAME, SAME, SAME),
    "date": (pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31), None]), ["0001-01-01", "9999-12-31", None], SAME, SAME),
    "timestamp s": (
        pa.array([NOON.replace(microsecond=0), None], pa.timestamp("s")),
        ["2024-02-29 12:30:15", None],
        SAME,
        SAME,
    ),
    "timestamp us": (pa.array([NOON, None]), ["2024-02-29 12:30:15.123456", None], SAME, SAME),
    "timestamp ns": (pa.array([NOON, None], pa.timestamp("ns")), ["2024-02-29 12:30:15.123456000", None], SAME, SAME),
    "timestamp tz": (
        pa.array([NOON.replace(tzinfo=UTC), None], pa.timestamp("us", "Europe/Berlin")),
        ["2024-02-29T12:30:15.123456Z", None],
        SAME,
        SAME,
    ),
    "time": (pa.array([dt.time(23, 59, 59, 999999), None]), ["23:59:59.999999", None], SAME, SAME),
    "time s": (pa.array([dt.time(23, 59, 59), None], pa.time32("s")), ["23:59:59", None], SAME, SAME),
    "decimal": (
        pa.array([Decimal("123456789012345678.90"), Decimal("-0.01"), None], pa.decimal128(20, 2)),
        ["123456789012345678.90", "-0.01", None],
        SAME,
        ["123456789012345678.90", "-0.01", None],
    ),
    "decimal256": (pa.array([Decimal("1.20"), None], pa.decimal256(20, 2)), ["1.20", None], SAME, ["1.20", None]),
    "uint64": (pa.array([0, 2**63 - 1, None], pa.uint64()), SAME, SAME, ["0", "9223372036854775807", None]),
}


def test_what_is_written_is_read_back(trial: Trial) -> None:
    size = max(len(column) for column, *_ in TYPES.values())
    padded = {
        name: pa.concat_arrays([column, pa.nulls(size - len(column), column.type)])
        for name, (column, *_) in TYPES.items()
    }
    table = pa.table({"id": range(size), **padded})
    for mode in ("append", {"upsert": ["id"]}, "replace"):
        trial.write(table, mode)
    read = trial.query("select * from t order by id").to_pydict()
    for name, (column, *expected) in TYPES.items():
        own = expected[["sqlite", "duckdb", "postgresql"].index(trial.scheme)]
        wanted = column.to_pylist() if own is SAME else own
        assert read[name] == [*wanted, *[None] * (size - len(wanted))], name


def test_columns_of_all_types_can_be_keys(trial: Trial) -> None:
    names = ("int64", "string", "decimal", "timestamp tz", "date", "uint64")
    columns = {name: TYPES[name][0].slice(0, 1) for name in names}
    for n in (1, 2):
        trial.write(pa.table({**columns, "n": [n]}), {"upsert": list(names)})
    assert trial.rows("select n, count(*) as rows from t group by n") == [(2, 1)]


def test_large_numbers(trial: Trial) -> None:
    table = pa.table({"x": pa.array([2**64 - 1], pa.uint64())})
    if trial.scheme != "sqlite":
        trial.write(table)
        assert str(trial.query("select x from t")["x"][0]) == str(2**64 - 1)
        return
    with pytest.raises(
        NodeError, match="the column 'x' does not fit a column of sqlite: Integer value 18446744073709551615 "
    ):
        trial.write(table)


def test_nanoseconds_are_not_cut(trial: Trial) -> None:
    table = pa.table({"x": pa.array([1], pa.timestamp("ns"))})
    if trial.scheme != "postgresql":
        trial.write(table)
        assert "000000001" in str(trial.query("select cast(x as varchar) as x from t")["x"][0])
        return
    with pytest.raises(NodeError) as error:
        trial.write(table)
    assert str(error.value).startswith(
        "the column 'x' does not fit a column of postgresql: Casting from timestamp[ns] to"
    )
    assert error.value.details == "timestamp[ns] becomes timestamp[us] there: round or cast it in the node before"


@pytest.mark.parametrize("column", [[[1, 2], None], [[["a"]], None], [{"a": 1}, None], [dt.timedelta(1), None]])
def test_nested_columns(trial: Trial, column: list[Any]) -> None:
    array = pa.array(column)
    table = pa.table({"x": array})
    if column == [[1, 2], None] and trial.scheme != "sqlite":
        trial.write(table)
        assert trial.query("select x from t")["x"].to_pylist() == column
        return
    with pytest.raises(NodeError) as error:
        trial.write(table)
    assert str(error.value) == f"the column 'x' has the type {array.type}, and {trial.scheme} has none for it"
    assert error.value.details == "make a text of it in the node before: to_json(…) in a query"


def test_texts_become_what_a_table_of_postgresql_has(postgresql: Trial) -> None:
    postgresql.do(
        "create type mood as enum ('sad', 'happy')",
        "create table t (id uuid primary key, j jsonb, old json, at timestamptz, m mood, n numeric(6, 3), "
        "v varchar(3))",
    )
    id = "0b9c4c3c-5d1d-4a9a-8a43-2f9a6c8c4a10"
    row = {"id": id, "j": '{"a": 1}', "old": "{}", "at": "2024-01-01T00:00:00Z", "m": "happy", "n": "1.5", "v": "abc"}
    for _ in range(2):
        postgresql.write(pa.Table.from_pylist([row]), {"upsert": ["id"]})
    assert postgresql.rows("select j->>'a', m::text, n::text, extract(year from at)::int from t") == [
        ("1", "happy", "1.500", 2024)
    ]
    with pytest.raises(NodeError, match="value too long"):
        postgresql.write(pa.Table.from_pylist([{**row, "v": "abcd"}]), {"upsert": ["id"]})


# ------------------------------------------------------------------ nothing is rounded

FITS = "cast the column in the node before, or change the type in the table"


def test_sqlite_has_no_nan(sqlite: Trial) -> None:
    floats = [float("nan"), float("inf"), -0.0, None]
    with pytest.raises(NodeError) as error:
        sqlite.write(pa.table({"f": floats}))
    assert str(error.value) == "SQLite has no NaN: the column 'f' has it in 1 row"
    assert error.value.details == "make nulls of them in the node before"
    sqlite.write(pa.table({"f": floats[1:]}))
    assert sqlite.query("select f from t")["f"].to_pylist() == [float("inf"), 0.0, None]


MISFITS: list[tuple[str, list[Any], list[Any]]] = [
    ("integer", ["12", "-7", None], ["abc", "012", "1.5", " 1", "1e3", "12345678901234567890"]),
    ("integer", [1.0, -2.0], [1.5, float("inf"), 1e300]),
    ("integer", [], [b"x"]),
    ("integer", [Decimal("2.00")], [Decimal("2.50")]),
    ("real", [1, 2**53], [2**53 + 1, -(2**62)]),
    ("real", ["1.5", "0.25"], ["x", "1.50e1", "0123", "1234567890.1234567"]),
    ("text", [0.5, 1e300], [0.1 + 0.2]),
    ("text", [7, True], [b"x"]),
    ("numeric(20, 2)", [Decimal("1.50"), Decimal("123.45")], [Decimal("123456789012345678.91")]),
    ("date", ["2024-01-01", "soon", "20240101"], ["007", "1e3"]),
    ("any", ["x"], ["012"]),
    ("blob", ["012", 1.5, b"x"], []),
]


@pytest.mark.parametrize(("type", "good", "bad"), MISFITS)
def test_sqlite_changes_no_value(sqlite: Trial, type: str, good: list[Any], bad: list[Any]) -> None:
    sqlite.do(f"create table t (x {type})")
    for value in good:
        sqlite.write(pa.table({"x": [value]}))
    for value in bad:
        for mode in ("append", "replace"):
            with pytest.raises(NodeError) as error:
                sqlite.write(pa.table({"x": [None, value]}), mode)
            shown = repr(str(value)) if isinstance(value, Decimal) else repr(value)
            told = f"the column 'x' of \"t\" is {type}, and the value {shown} does not fit exactly"
            assert (str(error.value).lower(), error.value.details) == (told.lower(), FITS)
    assert sqlite.rows("select count(*) as n from t") == [(len(good),)]


ROUNDED: list[tuple[str, Any, Any]] = [
    ("integer", 2.0, 1.5),
    ("integer", Decimal("2.00"), Decimal("2.50")),
    ("real", 0.5, 0.1),
    ("double precision", 2**53, 2**53 + 1),
    ("numeric(6, 1)", 1.5, 1.55),
    ("numeric(6, 1)", Decimal("1.50"), Decimal("1.55")),
    ("numeric(6, 1)", "1.50", "1.55"),
    ("numeric(20, 1)", "12345678901234567.80", "12345678901234567.84"),
    ("integer", "2", "1.5"),
    ("date", "2024-01-01", "2024-01-01 12:00:00"),
    ("date", dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 1, 12)),
]


@pytest.mark.parametrize(("type", "good", "bad"), ROUNDED)
def test_other_databases_round_no_value(trial: Trial, type: str, good: Any, bad: Any) -> None:
    if trial.scheme == "sqlite":
        return
    trial.do(f"create table t (x {type})")
    trial.write(pa.table({"x": [good]}))
    with pytest.raises(NodeError, match=r"does not fit exactly|invalid input syntax for type integer"):
        trial.write(pa.table({"x": [None, bad]}))
    assert trial.rows("select count(*) as n from t") == [(1,)]
