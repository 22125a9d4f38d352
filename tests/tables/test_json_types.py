"""Tests of JSON lines: what is read is what the file says, or an error."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from nfrun.tables.file_io import read_table, write_table
from nfrun.tables.formats import FormatError

AT = datetime(2024, 1, 1, 9, 46, 40, tzinfo=UTC)
NAIVE = AT.replace(tzinfo=None)
LOCAL = '"2024-01-01T11:46:40+02:00"'
IN_UTC = pa.timestamp("s", "UTC")
INF = float("inf")
VALUES: dict[str, tuple[list[str], pa.DataType, list[Any]]] = {
    "int64": ([f"{2**63 - 1}", f"{-(2**63)}"], pa.int64(), [2**63 - 1, -(2**63)]),
    "large floats": (["1e22", "1e300"], pa.float64(), [1e22, 1e300]),
    "large whole floats": (["1e22", "1e+21"], pa.float64(), [1e22, 1e21]),
    "floats as JavaScript writes them": (["1.5", "12345678901234567000"], pa.float64(), [1.5, 12345678901234567000.0]),
    "floats": (["1.5", "2"], pa.float64(), [1.5, 2.0]),
    "infinity": (["Infinity", "-Infinity", "1.5"], pa.float64(), [INF, -INF, 1.5]),
    "infinity and whole numbers": (["Infinity", "1"], pa.float64(), [INF, 1.0]),
    "zoned": ([LOCAL, "null"], IN_UTC, [AT, None]),
    "Z": (['"2024-01-01T09:46:40Z"'], IN_UTC, [AT]),
    "several zones": ([LOCAL, '"2024-01-01 04:46:40-0500"', '"2024-01-01T10:46:40+01"'], IN_UTC, [AT, AT, AT]),
    "without a zone": (['"2024-01-01T09:46:40"', '"2024-01-01 09:46:40"'], pa.timestamp("s"), [NAIVE, NAIVE]),
    "days": (['"2024-01-01"', '"2024-12-31"'], pa.timestamp("s"), [datetime(2024, 1, 1), datetime(2024, 12, 31)]),
    "some with a zone": ([LOCAL, '"2024-01-01 09:46:40"'], pa.string(), [LOCAL[1:-1], "2024-01-01 09:46:40"]),
    "a day and a zone": ([LOCAL, '"2024-01-01"'], pa.string(), [LOCAL[1:-1], "2024-01-01"]),
    "text and a zone": ([LOCAL, '"none"'], pa.string(), [LOCAL[1:-1], "none"]),
    "fractions": (['"2024-01-01T11:46:40.5+02:00"'], pa.string(), ["2024-01-01T11:46:40.5+02:00"]),
    "hours": (['"11:46:40+02:00"'], pa.string(), ["11:46:40+02:00"]),
    "zoned in a list": ([f"[{LOCAL}, null]", "null", "[]"], pa.list_(IN_UTC), [[AT, None], None, []]),
    "zoned in a struct": (
        [f'{{"a": {LOCAL}, "b": "2024-01-01 09:46:40"}}', "null"],
        pa.struct({"a": IN_UTC, "b": pa.timestamp("s")}),
        [{"a": AT, "b": NAIVE}, None],
    ),
    "mixed zones in a list": ([f'[{LOCAL}, "2024-01-01"]'], pa.list_(pa.string()), [[LOCAL[1:-1], "2024-01-01"]]),
    "structs in lists": (
        [f'[{{"t": {LOCAL}, "n": 1}}]'],
        pa.list_(pa.struct({"t": IN_UTC, "n": pa.int64()})),
        [[{"t": AT, "n": 1}]],
    ),
}
LOST = f"{2**53 + 1}"
WRONG: dict[str, tuple[list[str], pa.DataType | None, str]] = {
    "beside fractions": (["1.5", LOST], None, f"column 'a' has {LOST} in line 2, which neither int64 nor a double is"),
    "beside fractions in a list": (
        [f"[1.5, {LOST}]"],
        None,
        f"column 'a' has {LOST} in line 1, which neither int64 nor a double is",
    ),
    "uint64": ([f"{2**64 - 1}", "null"], None, f"column 'a' has {2**64 - 1} in line 1, which neither int64 nor"),
    "below int64": (
        ["1", f"{-(2**63) - 1}"],
        None,
        f"column 'a' has {-(2**63) - 1} in line 2, which neither int64 nor",
    ),
    "in a struct": ([f'{{"b": {{"c": [{2**64 + 1}]}}}}'], None, f"column 'a' has {2**64 + 1} in line 1, which neither"),
    "beside infinity": (
        [LOST, "Infinity"],
        None,
        f"column 'a' has {LOST} in line 1, which neither int64 nor a double is",
    ),
    "80 digits": (["1" * 80], None, "which neither int64 nor a double is"),
    "400 digits beside fractions": (["0.5", "1" * 400], None, "in line 2, which neither int64 nor a double is"),
    "5,000 digits beside fractions": (["0.5", "1" * 5000], None, "in line 2, which neither int64 nor a double is"),
    "5,000 digits beside large fractions": (
        ["1.5e300", f"-{'1' * 5000}"],
        None,
        "in line 2, which neither int64 nor a double is",
    ),
    "zoned for none": (
        [LOCAL],
        pa.timestamp("us"),
        f"column 'a': '{LOCAL[1:-1]}' has a time zone, and timestamp[us] has none",
    ),
    "none for a zone": (
        [LOCAL, '"2024-01-01 09:46:40"'],
        pa.timestamp("us", "UTC"),
        "column 'a': '2024-01-01 09:46:40' has no time zone, and timestamp[us, tz=UTC] has one",
    ),
    "past all doubles": (["1e999"], None, "Number too big"),
    "past uint64 for int64": ([f"{2**64}"], pa.int64(), "couldn't parse:18446744073709551616"),
}


def lines(values: list[str]) -> bytes:
    return "".join(f'{{"a": {value}, "i": {i}}}\n' for i, value in enumerate(values)).encode()


@pytest.mark.parametrize("name", VALUES)
def test_values_are_what_the_file_says(tmp_path: Path, name: str) -> None:
    texts, type_, values = VALUES[name]
    (tmp_path / "t.jsonl.gz").write_bytes(gzip.compress(lines(texts)))
    table = read_table("t.jsonl.gz", base=tmp_path)
    assert table.column("a").to_pylist() == values
    assert table.schema == pa.schema({"a": type_, "i": pa.int64()})


@pytest.mark.parametrize("name", WRONG)
def test_a_value_that_would_be_another_one_is_an_error(tmp_path: Path, name: str) -> None:
    texts, type_, told = WRONG[name]
    (tmp_path / "t.jsonl").write_bytes(lines(texts))
    with pytest.raises(FormatError) as error:
        read_table("t.jsonl", base=tmp_path, types={} if type_ is None else {"a": type_})
    assert str(error.value).startswith("t.jsonl cannot be read as jsonl: ")
    assert told in str(error.value)


def test_a_type_that_is_given_is_that_of_the_column(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(lines([f"{2**64 - 1}", "1"]))
    for type_ in (pa.uint64(), pa.decimal128(38, 0)):
        assert read_table("t.jsonl", base=tmp_path, types={"a": type_})["a"].to_pylist() == [2**64 - 1, 1]
    (tmp_path / "t.jsonl").write_bytes(lines(["1.5", LOST]))
    assert read_table("t.jsonl", base=tmp_path, types={"a": pa.float64()})["a"].to_pylist() == [1.5, float(2**53)]
    (tmp_path / "t.jsonl").write_bytes(lines([LOCAL]))
    assert read_table("t.jsonl", base=tmp_path, types={"a": pa.string()})["a"].to_pylist() == [LOCAL[1:-1]]
    berlin = pa.timestamp("us", "Europe/Berlin")
    table = read_table("t.jsonl", base=tmp_path, types={"a": berlin, "b": berlin})
    assert (table.schema.field("a").type, table["a"].to_pylist(), table["b"].to_pylist()) == (berlin, [AT], [None])


@pytest.mark.parametrize("type_", [pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")])
def test_times_of_day_come_back_by_their_type(tmp_path: Path, type_: pa.DataType) -> None:
    table = pa.table({"a": pa.array([time(10, 0, 7), None], type_)})
    write_table(table, tmp_path / "t.jsonl")
    assert read_table("t.jsonl", base=tmp_path, types={"a": type_}).equals(table)


def test_infinity_is_written_and_read(tmp_path: Path) -> None:
    table = pa.table({"a": [1.5, INF, -INF, None], "l": [[INF], [], None, [-INF]], "s": [{"x": INF}] * 4})
    for name in ("t.jsonl", "t.csv"):
        write_table(table, tmp_path / name)
    assert read_table("t.jsonl", base=tmp_path).equals(table)
    assert (tmp_path / "t.jsonl").read_text().splitlines()[1] == '{"a":Infinity,"l":[],"s":{"x":Infinity}}'
    assert read_table("t.csv", base=tmp_path)["a"].equals(table["a"])
    assert (tmp_path / "t.csv").read_text().splitlines()[1] == '1.5,"[Infinity]","{""x"":Infinity}"'


def test_nan_is_null_in_texts(tmp_path: Path) -> None:
    for name in ("t.jsonl", "t.csv"):
        write_table(pa.table({"a": [1.5, float("nan")], "i": [1, 2]}), tmp_path / name)
        assert read_table(name, base=tmp_path)["a"].to_pylist() == [1.5, None]


def test_times_behind_the_first_rows_and_the_order_of_columns_are_kept(tmp_path: Path) -> None:
    rows = [f'{{"z": null, "t": "2024-01-01 09:46:40", "a": {i}, "b": "{"x" * 100}"}}\n' for i in range(1000)]
    (tmp_path / "t.jsonl").write_text("".join([*rows, f'{{"y": {LOCAL}, "z": {LOCAL}, "t": null, "a": 1}}\n']))
    table = read_table("t.jsonl", base=tmp_path)
    assert table.schema.equals(
        pa.schema({"z": IN_UTC, "t": pa.timestamp("s"), "a": pa.int64(), "b": pa.string(), "y": IN_UTC})
    )
    assert (table["z"][-1].as_py(), table["y"][-1].as_py(), table["t"][0].as_py()) == (AT, AT, NAIVE)
    given = read_table("t.jsonl", base=tmp_path, types={"a": pa.int32()})
    assert given.column_names == ["a", "z", "t", "b", "y"]
    (tmp_path / "t.jsonl").write_text("".join([*rows, '{"t": "never"}\n']))
    assert read_table("t.jsonl", base=tmp_path)["t"].to_pylist()[-2:] == ["2024-01-01 09:46:40", "never"]
