"""CSV as it comes: quotes that are not closed, large numbers, nulls, and the options that say how a file is written."""

from __future__ import annotations

import gzip
import math
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from nfrun.tables.csv_files import rejected_rows, warnings
from nfrun.tables.file_io import read_table, write_table
from nfrun.tables.formats import FormatError


def read(folder: Path, text: str | bytes, name: str = "t.csv", **options: Any) -> pa.Table:
    content = text if isinstance(text, bytes) else text.encode()
    (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return read_table(name, base=folder, **options)


def error(folder: Path, text: str, name: str = "t.csv", **options: Any) -> str:
    with pytest.raises(FormatError) as caught:
        read(folder, text, name, **options)
    return str(caught.value).removeprefix(f"{name} cannot be read as csv: ")


# ------------------------------------------------------------------ quotes

NOT_CLOSED = (
    "has a quote that is not closed, not within 1,000 lines and 1 MB, or where more text follows: close or double it,"
    " or read it with: {quote: ''} if quotes are text, or {long_fields: true} if a field is so long"
)
ROWS = "".join(f"{i},{i}\n" for i in range(3, 2000))


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ('a,b\n1,x\n2,"y\n3,z\n', {}, f"the row on line 3 {NOT_CLOSED}"),
        ('a,b\n1,x\n2,"y\n3,z', {}, f"the row on line 3 {NOT_CLOSED}"),
        ('a,b\n1,x\n2,"y', {}, f"the row on line 3 {NOT_CLOSED}"),
        ('a,b\r\n1,x\r\n2,"y\r\n3,z\r\n', {}, f"the row on line 3 {NOT_CLOSED}"),
        ('a,b\n1,"ä\nü"\n2,é"\nö,"y\n', {}, f"the row on line 5 {NOT_CLOSED}"),
        ('a,b\n"1,x\n2,y\n', {}, f"the row on line 2 {NOT_CLOSED}"),
        ('a\n1\n"x\ny\n', {}, f"the row on line 3 {NOT_CLOSED}"),
        ('a,"b\n1,2\n', {}, f"the row on line 1 {NOT_CLOSED}"),
        ('a,b\n1,x\n2,"y\n3,z\n', {"columns": ["a"]}, f"the row on line 3 {NOT_CLOSED}"),
        ('a,b\n1,2\n"3\n', {"types": {"a": pa.int64()}}, f"the row on line 3 {NOT_CLOSED}"),
        ("a;b\n1;'x\n", {"delimiter": ";", "quote": "'"}, f"the row on line 2 {NOT_CLOSED}"),
        ('x\n# "\na,b\n1,"y\n', {"skip": 1, "comment": "#"}, f"the row on line 4 {NOT_CLOSED}"),
        (f'a,b\n1,x\n2,"y\n{ROWS}', {}, f"the row on line 3 {NOT_CLOSED}"),
        (f'a,b\n1,x\n2,"y\n{ROWS}2000,"\n', {}, f"the row on line 3 {NOT_CLOSED}"),
        (f'a,b\n1,x\n2,"y\n{ROWS}2000,"\n', {"columns": ["a"]}, f"the row on line 3 {NOT_CLOSED}"),
        (f'a,b\n1,"{"x" * (1 << 21)}"\n', {}, f"the row on line 2 {NOT_CLOSED}"),
        (f'a,b\n1,"{"x" * (5 << 20)}"\n', {}, f"the row on line 2 {NOT_CLOSED}"),
    ],
)
def test_a_quote_that_takes_the_rest_of_a_file_is_an_error(
    tmp_path: Path, text: str, options: dict[str, Any], message: str
) -> None:
    assert error(tmp_path, text, **options) == message


def test_a_long_field_without_quotes_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, f"a,b\n1,{'x' * (1 << 21)}\n2,y\n")["a"].to_pylist() == [1, 2]


@pytest.mark.parametrize("options", [{}, {"columns": ["a"]}])
def test_a_quote_that_is_closed_by_that_of_another_field_is_an_error(tmp_path: Path, options: dict[str, Any]) -> None:
    told = error(tmp_path, 'a,b\n1,x\n2,"y\n3,"z"\n4,u\n', **options)
    assert told == f"the row on line 3 {NOT_CLOSED}"
    told = error(tmp_path, 'a,b\n1,x\n"2,y\n3,"z, u"\n4,u\n', **options)
    assert told == f"the row on line 3 {NOT_CLOSED}"


def test_lines_before_the_header_count_in_places(tmp_path: Path) -> None:
    text = 'made by "x\n\n\na,b\n1,x\n2,"y\n3,"z"\n4,u\n'
    for options in ({}, {"columns": ["a"]}):
        assert error(tmp_path, text, skip=1, **options) == f"the row on line 6 {NOT_CLOSED}"
    assert read(tmp_path, "t\n\na\n\n1\n", skip=1)["a"].to_pylist() == [None, 1]
    assert "Row #5: Expected 2 columns, got 3" in error(tmp_path, "t\na,b\n1,2\n3,4\n5,6,7\n", skip=1)


def test_a_quote_in_a_compressed_file_and_in_one_of_several(tmp_path: Path) -> None:
    where = f"the row on line 2 {NOT_CLOSED}"
    assert error(tmp_path, 'a,b\n"x,1\n', "t.csv.gz") == where
    for name, text in (("day=1/t.csv", "a,b\ny,2\n"), ("day=2/t.csv", 'a,b\n"x,1\n')):
        (tmp_path / "days" / name).parent.mkdir(parents=True)
        (tmp_path / "days" / name).write_text(text)
    with pytest.raises(FormatError) as caught:
        read_table("days/", base=tmp_path)
    assert str(caught.value) == f"days/day=2/t.csv cannot be read as csv: {where}"


@pytest.mark.parametrize(
    ("text", "options", "values"),
    [
        ('a,b\n1,x"y\n2,5"\n', {}, ['x"y', '5"']),
        ('a,b\n1,"x\ny"\n2,"said ""\nso"""\n', {}, ["x\ny", 'said "\nso"']),
        ('a,b\n1,"x\n2,y\n', {"quote": ""}, ['"x', "y"]),
        ('a,b\n1,"x\\"y"\n', {"escape": "\\"}, ['x"y']),
        ("a,b\n1,'x,\"'\n", {"quote": "'"}, ['x,"']),
        ('a,b\n1,"' + "x\n" * 999 + '"\n', {}, ["x\n" * 999]),
        ('a,b\n1,"' + "x\n" * 1001 + '"\n', {"long_fields": True}, ["x\n" * 1001]),
        ('a,b\n1,"' + "x" * (1 << 20) + '"\n', {}, ["x" * (1 << 20)]),
        ('a,b\n1,"' + "x" * (5 << 20) + '"\n', {"long_fields": True}, ["x" * (5 << 20)]),
        ('a,b\n1,"x"', {}, ["x"]),
    ],
)
def test_quotes_that_are_right(tmp_path: Path, text: str, options: dict[str, Any], values: list[str]) -> None:
    assert read(tmp_path, text, **options)["b"].to_pylist() == values


# ------------------------------------------------------------------ numbers


@pytest.mark.parametrize(
    ("texts", "type_", "values"),
    [
        (["9007199254740993", "1"], pa.int64(), [9007199254740993, 1]),
        (["9223372036854775808", "1"], pa.uint64(), [9223372036854775808, 1]),
        (["18446744073709551616", "1"], pa.decimal128(38, 0), [Decimal(18446744073709551616), Decimal(1)]),
        (["-9223372036854775809", ""], pa.decimal128(38, 0), [Decimal(-9223372036854775809), None]),
        (["18446744073709551617", "NA"], pa.decimal128(38, 0), [Decimal(18446744073709551617), None]),
        (["18446744073709551617", "1.25"], pa.decimal128(38, 2), [Decimal(18446744073709551617), Decimal("1.25")]),
        (["18446744073709551617", "1e2"], pa.decimal128(38, 0), [Decimal(18446744073709551617), Decimal(100)]),
        (["12345678901234567.89", "1"], pa.decimal128(38, 2), [Decimal("12345678901234567.89"), Decimal(1)]),
        (["9" * 39, "1"], pa.string(), ["9" * 39, "1"]),
        (["18446744073709551617", "inf"], pa.string(), ["18446744073709551617", "inf"]),
        (["100000000000000000000", "1e300"], pa.float64(), [1e20, 1e300]),
        (["0.5", "1" * 400], pa.string(), ["0.5", "1" * 400]),
        (["inf", "-Infinity", "1e999"], pa.float64(), [math.inf, -math.inf, math.inf]),
        (["9007199254740993.5", "1"], pa.decimal128(38, 1), [Decimal("9007199254740993.5"), Decimal(1)]),
        (["0.1", "0.30000000000000004"], pa.float64(), [0.1, 0.30000000000000004]),
    ],
)
def test_whole_numbers_past_64_bits_stay_different(
    tmp_path: Path, texts: list[str], type_: pa.DataType, values: list[Any]
) -> None:
    column = read(tmp_path, "\n".join(["a,b", *[f"{text},x" for text in texts], ""]))["a"]
    assert (column.type, column.to_pylist()) == (type_, values)


def test_large_numbers_of_two_columns_of_one_name(tmp_path: Path) -> None:
    table = read(tmp_path, "a,a,b\n18446744073709551616,x,18446744073709551617\n")
    assert [column.to_pylist() for column in table.columns] == [
        [Decimal(18446744073709551616)],
        ["x"],
        [Decimal(18446744073709551617)],
    ]


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["1", "18446744073709551616"], [Decimal(1), Decimal(18446744073709551616)]),
        (["1.5", "2"], [1.5, 2.0]),
        (["18446744073709551616", "1.5"], "column 'a' is decimal128(38, 0) in the one and double in the other"),
        (["1.5", "1", "18446744073709551616"], "column 'a' is double in the one and decimal128(38, 0) in the other"),
        (["9007199254740993", "1.5"], "Integer value 9007199254740993 not in range"),
        (["1", "18446744073709551615"], "Integer value 18446744073709551615 not in range"),
    ],
)
def test_large_numbers_in_one_of_several_files(tmp_path: Path, texts: list[str], found: list[Any] | str) -> None:
    for i, text in enumerate(texts):
        (tmp_path / f"{i}.csv").write_text(f"a\n{text}\n")
    if isinstance(found, list):
        assert read_table("*.csv", base=tmp_path)["a"].to_pylist() == found
    else:
        with pytest.raises(FormatError, match=re.escape(found)):
            read_table("*.csv", base=tmp_path)


def test_large_numbers_with_own_words_for_null(tmp_path: Path) -> None:
    table = read(tmp_path, "a,b\n18446744073709551616,x\n-,-\n", null_values=["-"])
    assert table.to_pydict() == {"a": [Decimal(18446744073709551616), None], "b": ["x", None]}


def test_a_type_that_is_given_is_taken(tmp_path: Path) -> None:
    assert read(tmp_path, "a\n18446744073709551616\n", types={"a": pa.float64()})["a"].to_pylist() == [2.0**64]


# ------------------------------------------------------------------ null and empty


@pytest.mark.parametrize("values", [["x", None, ""], [None, "", None], [None], [""], [None, None], ["", "x"], []])
@pytest.mark.parametrize("ending", ["csv", "tsv", "csv.gz"])
def test_null_and_empty_of_one_column_of_texts(tmp_path: Path, values: list[str | None], ending: str) -> None:
    table = pa.table({"a": pa.array(values, pa.string())})
    write_table(table, tmp_path / f"t.{ending}")
    assert read_table(f"t.{ending}", base=tmp_path, types={"a": pa.string()}).equals(table)


@pytest.mark.parametrize("type_", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())])
def test_null_and_empty_of_other_types_of_texts(tmp_path: Path, type_: pa.DataType) -> None:
    write_table(pa.table({"a": pa.array(["x", None, ""]).cast(type_)}), tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == '"a"\n"x"\n\n""\n'
    assert read_table("t.csv", base=tmp_path)["a"].to_pylist() == ["x", None, ""]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('a\nx\n\n""\n', ["x", None, ""]),
        ('a\r\nx\r\n\r\n""\r\n', ["x", None, ""]),
        ("a\n\n1\n\n2", [None, 1, None, 2]),
        ("\n\na\nx\n", ["x"]),
        ("a\nx\n\n", ["x", None]),
    ],
)
def test_a_blank_line_of_a_file_with_one_column_is_null(tmp_path: Path, text: str, values: list[Any]) -> None:
    assert read(tmp_path, text)["a"].to_pylist() == values


def test_a_blank_line_of_a_file_with_several_columns_is_no_row(tmp_path: Path) -> None:
    assert read(tmp_path, '\na,b\n\n1,""\n\n').to_pydict() == {"a": [1], "b": [""]}


# ------------------------------------------------------------------ options


@pytest.mark.parametrize(
    ("text", "options", "rows"),
    [
        ("1,x\n2,y\n", {"header": False}, {"f0": [1, 2], "f1": ["x", "y"]}),
        ("1,x\n2,y\n", {"header": ["id", "name"]}, {"id": [1, 2], "name": ["x", "y"]}),
        ("1,x\n2,y\n", {"header": ["id", "name"], "columns": ["name"]}, {"name": ["x", "y"]}),
        ("1\n\n2\n", {"header": False}, {"f0": [1, None, 2]}),
        ("l\n\na,b\n1,2\n", {"skip": 2}, {"a": [1], "b": [2]}),
        ("l\r\nm\r\na,b\r\n1,2\r\n", {"skip": 2}, {"a": [1], "b": [2]}),
        ("l\rm\ra,b\r1,2\r", {"skip": 2}, {"a": [1], "b": [2]}),
        ("\ufeff# l\na,b\n# m\n1,x\n#n", {"comment": "#"}, {"a": [1], "b": ["x"]}),
        ('a,b\n1,"x\n# no comment"\n2,# y\n', {"comment": "#"}, {"a": [1, 2], "b": ["x\n# no comment", "# y"]}),
        ("# l\r# m\ra,b\r1,2\r", {"comment": "#"}, {"a": [1], "b": [2]}),
        ("l\n# m\na,b\n1,2\n", {"comment": "#", "skip": 1}, {"a": [1], "b": [2]}),
        ("a;b\n1,5;x\n", {"delimiter": ";", "decimal": ","}, {"a": [1.5], "b": ["x"]}),
        (
            "a;b\n1.234,5;1.000\n7;2\n",
            {"delimiter": ";", "decimal": ",", "thousands": "."},
            {"a": [1234.5, 7.0], "b": [1000, 2]},
        ),
        ('a,b\n"1,234.5",x\n', {"thousands": ","}, {"a": [1234.5], "b": ["x"]}),
        ("a,b\n1 234,1 23\n", {"thousands": " "}, {"a": [1234], "b": ["1 23"]}),
        ("a,b\n1\u00a0234,x\nNA,y\n", {"thousands": "\u00a0"}, {"a": [1234, None], "b": ["x", "y"]}),
        (
            "a,b\n18.446.744.073.709.551.616;x\n".replace(",b", ";b"),
            {"delimiter": ";", "decimal": ",", "thousands": "."},
            {"a": [Decimal(18446744073709551616)], "b": ["x"]},
        ),
        ("a,b\n31.12.2024,2024-01-02\n", {"dates": "%d.%m.%Y"}, {"a": [date(2024, 12, 31)], "b": [date(2024, 1, 2)]}),
        (
            "a,b\n31.12.2024 10:30,x\n01.02.2025,y\n",
            {"dates": ["%d.%m.%Y %H:%M", "%d.%m.%Y"]},
            {"a": [datetime(2024, 12, 31, 10, 30), datetime(2025, 2, 1)], "b": ["x", "y"]},
        ),
        ("a,b\n1,2\n3\n4,5,6\n7,8\n", {"bad_rows": "skip"}, {"a": [1, 7], "b": [2, 8]}),
    ],
)
def test_a_file_as_the_options_say(
    tmp_path: Path, text: str, options: dict[str, Any], rows: dict[str, list[Any]]
) -> None:
    assert read(tmp_path, text, **options).to_pydict() == rows


def test_numbers_and_dates_as_the_types_that_are_given(tmp_path: Path) -> None:
    types = {"d": pa.date32(), "n": pa.decimal128(9, 2), "m": pa.int32()}
    options = {"delimiter": ";", "decimal": ",", "thousands": ".", "dates": "%d.%m.%Y", "types": types}
    table = read(tmp_path, "d;n;m\n31.12.2024;1.234,5;1.000\n;NA;\n", **options)
    assert table.schema.types == [*types.values()]
    assert table.to_pylist()[0] == {"d": date(2024, 12, 31), "n": Decimal("1234.50"), "m": 1000}
    assert table.to_pylist()[1] == {"d": None, "n": None, "m": None}
    told = error(tmp_path, "d;n;m\n31.12.2024;1;x\n", **options)
    assert told == "Row #2: 'x' in the column 'm' is no int32"


@pytest.mark.parametrize("text", ["31.02.2024", "29.02.2023", "31.04.2024 10:00", "30.2.24"])
def test_a_day_that_its_month_does_not_have_is_no_date(tmp_path: Path, text: str) -> None:
    dates = ["%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%y"]
    rows = f"d,n\n01.03.2024,1\n{text},2\n29.02.2024,3\n"
    assert read(tmp_path, rows, dates=dates).column("d").to_pylist() == ["01.03.2024", text, "29.02.2024"]
    types = {"d": pa.timestamp("s")}
    told = error(tmp_path, rows, dates=dates, types=types)
    assert told == f"Row #3: '{text}' in the column 'd' is no timestamp[s]"
    kept = read(tmp_path, rows, dates=dates, types=types, bad_rows="skip")
    assert kept.column("d").to_pylist() == [datetime(2024, 3, 1), datetime(2024, 2, 29)]


def test_times_in_several_formats_and_zones(tmp_path: Path) -> None:
    rows = "d\n31.01.2024\n2024-03-29\n NA\n01/31/24\n"
    expected = [date(2024, 1, 31), date(2024, 3, 29), None, date(2024, 1, 31)]
    for types in ({}, {"d": pa.date32()}):
        assert read(tmp_path, rows, dates=["%d.%m.%Y", "%D"], types=types).column("d").to_pylist() == expected
    told = error(tmp_path, "d,n\n31.01.2024,1\n", dates="%d.%m.%Y", types={"d": pa.timestamp("s", "UTC")})
    assert told == "Row #2: '31.01.2024' in the column 'd' is no timestamp[s, tz=UTC]"
    told = error(tmp_path, "d,n\n2024-01-31 10:00:00,1\n", dates="%d.%m.%Y", types={"d": pa.date32()})
    assert told == "Row #2: '2024-01-31 10:00:00' in the column 'd' is no date32[day]"
    some = read(tmp_path, "d,n\n31.01.2024,1\n2024-01-31 10:00:00,2\n", dates="%d.%m.%Y").column("d").to_pylist()
    assert some == [datetime(2024, 1, 31), datetime(2024, 1, 31, 10)]
    mixed = "d,n\n31.01.2024 10:00 +0100,1\n31.01.2024 10:00,2\n"
    texts = read(tmp_path, mixed, dates=["%d.%m.%Y %H:%M %z", "%d.%m.%Y %H:%M"]).column("d")
    assert texts.to_pylist() == ["31.01.2024 10:00 +0100", "31.01.2024 10:00"]
    utc = {"d": pa.timestamp("s", "UTC")}
    iso = read(tmp_path, "d,n\n2024-01-31T10:00:00+02:00,1\n,2\n", dates="%d.%m.%Y", types=utc).column("d").to_pylist()
    assert iso == [datetime(2024, 1, 31, 8, tzinfo=UTC), None]
    zoned = read(tmp_path, "d,n\n31.01.2024 10:00 +0200,1\n", dates="%d.%m.%Y %H:%M %z")
    assert zoned.column("d").to_pylist() == [datetime(2024, 1, 31, 8, tzinfo=UTC)]


def test_a_header_without_a_line_end_is_a_table_without_rows(tmp_path: Path) -> None:
    assert (read(tmp_path, "a,b").column_names, read(tmp_path, "a").num_rows) == (["a", "b"], 0)


@pytest.mark.parametrize(
    ("text", "options", "rejected"),
    [
        (
            "a,b\n1,2\n3\n4,5,6\n7,8\n",
            {},
            [(3, "1 field, and the header has 2", "3"), (4, "3 fields, and the header has 2", "4,5,6")],
        ),
        ("a,b\n1,2\n", {}, []),
        (
            'l\n# c\na,b\n1,"2\n\n2"\n\n3\n4,"5\n5",6\n7,8\n',
            {"comment": "#", "skip": 1},
            [(8, "1 field, and the header has 2", "3"), (9, "3 fields, and the header has 2", '4,"5\n5",6')],
        ),
        (
            "a\n1\n2,3\n2,3\n",
            {},
            [(3, "2 fields, and the header has 1", "2,3"), (4, "2 fields, and the header has 1", "2,3")],
        ),
        ("1,2\r\n3\r\n", {"header": False}, [(2, "1 field, and the header has 2", "3")]),
        ("a,b\nx,1\n", {"types": {"a": pa.int64()}}, [(2, "'x' in the column 'a' is no int64", "x,1")]),
        (
            "a,b\n1.5,1\n1.005,2\n",
            {"types": {"a": pa.decimal128(9, 2)}},
            [(3, "'1.005' in the column 'a' is no decimal128(9, 2)", "1.005,2")],
        ),
        (
            "a,b\n10:00:00,1\nx,2\n",
            {"types": {"a": pa.time32("s")}},
            [(3, "'x' in the column 'a' is no time32[s]", "x,2")],
        ),
    ],
)
def test_bad_rows_are_put_aside_with_their_lines(
    tmp_path: Path, text: str, options: dict[str, Any], rejected: list[tuple[int, str, str]]
) -> None:
    bad: list[Any] = []
    read(tmp_path, text, bad_rows="aside", rejected=bad, **options)
    assert rejected_rows(bad).schema.names == ["filename", "line", "reason", "text"]
    assert [tuple(row.values()) for row in rejected_rows(bad).to_pylist()] == [("t.csv", *row) for row in rejected]


@pytest.mark.parametrize(
    ("text", "options", "rows", "rejected"),
    [
        (
            "a,b\n1,2\nx,3\n4\nNA,5\n",
            {"a": pa.int64()},
            [1, None],
            [(3, "'x' in the column 'a' is no int64"), (4, "1 field, and the header has 2")],
        ),
        ('a,b\n300,"2\n3"\n\n7,8\n', {"a": pa.int8()}, [7], [(2, "'300' in the column 'a' is no int8")]),
        ("a\n1\n\nx\n", {"a": pa.int64()}, [1, None], [(4, "'x' in the column 'a' is no int64")]),
        (
            "a,b\n2024-01-01,1\n2024-13-01,x\n",
            {"a": pa.date32(), "b": pa.int64()},
            [date(2024, 1, 1)],
            [(3, "'2024-13-01' in the column 'a' is no date32[day]")],
        ),
        ("a,b\nmaybe,1\n0,2\n", {"a": pa.bool_()}, [False], [(2, "'maybe' in the column 'a' is no bool")]),
    ],
)
def test_a_row_with_a_value_of_another_type_is_bad(
    tmp_path: Path, text: str, options: dict[str, Any], rows: list[Any], rejected: list[tuple[int, str]]
) -> None:
    bad: list[Any] = []
    assert read(tmp_path, text, bad_rows="aside", rejected=bad, types=options)["a"].to_pylist() == rows
    assert [(row["line"], row["reason"]) for row in bad] == rejected
    assert read(tmp_path, text, bad_rows="skip", types=options)["a"].to_pylist() == rows


def test_dates_and_numbers_as_they_are_written_are_no_bad_rows(tmp_path: Path) -> None:
    bad: list[Any] = []
    types = {"d": pa.date32(), "n": pa.float64()}
    options = {"delimiter": ";", "decimal": ",", "thousands": ".", "dates": "%d.%m.%Y", "bad_rows": "aside"}
    table = read(tmp_path, "d;n\n31.12.2024;1.234,5\n2024;1\n;1,23.4\n", types=types, rejected=bad, **options)
    assert table.to_pylist() == [{"d": date(2024, 12, 31), "n": 1234.5}]
    assert [row["reason"] for row in bad] == [
        "'2024' in the column 'd' is no date32[day]",
        "'1,23.4' in the column 'n' is no double",
    ]


def test_a_type_of_which_pyarrow_casts_no_texts_fails_as_without_the_option(tmp_path: Path) -> None:
    told = error(tmp_path, "a,b\nx,1\n", bad_rows="skip", types={"a": pa.duration("s")})
    assert told == "column 'a': Row #2: CSV conversion error to duration[s]: invalid value 'x'"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,x\n2,y\n", "1"),
        ("x,2024-01-01\ny,2024-01-02\n", "2024-01-01"),
        ("0.5,7\n1.5,8\n", "0.5"),
        ("a,b\n1,2\n", ""),
        ("country,2019,2020\nDE,1,2\n", ""),
        ("1,b\n2,3\n", ""),
        ("x,y\nz,u\n", ""),
    ],
)
def test_a_first_row_that_looks_like_data_is_told(tmp_path: Path, text: str, value: str) -> None:
    table = read(tmp_path, text)
    told = [
        f"the first row looks like data, not like the names of columns: '{value}'. Under 'with', 'header: false' reads "
        "it as a row, 'header: [a, b]' names the columns, and 'header: true' is silent"
    ]
    assert list(warnings(table, {})) == (told if value else [])
    assert not list(warnings(table, {"header": True}))
