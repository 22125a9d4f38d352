"""CSV and JSON lines with types that are given, and what is null in them."""

from __future__ import annotations

import gzip
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from nfrun.system.checksums import bytes_checksum
from nfrun.tables.file_io import read_table
from nfrun.tables.formats import FormatError


def read(folder: Path, text: str, name: str = "t.csv", **options: Any) -> pa.Table:
    (folder / name).write_text(text)
    return read_table(name, base=folder, **options)


def test_an_empty_field_is_null_and_a_quoted_one_is_an_empty_text(tmp_path: Path) -> None:
    """As polars and DuckDB have it; pandas has null for both."""
    assert read(tmp_path, 'a,b\n,1\n"",2\nNA,3\n')["a"].to_pylist() == [None, "", "NA"]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1\nNA\n\n3", [1, None, 3]),  # an empty line is no row of several columns, see below
        ("1.5\nnan\n", [1.5, None]),
        ('1\n""\n', [1, None]),
        ("2024-01-01\nNULL\n", [date(2024, 1, 1), None]),
        ("true\nN/A\n", [True, None]),
        ("x\nNA\n", ["x", "NA"]),
    ],
)
def test_what_stands_for_a_missing_value_is_null_among_values(tmp_path: Path, text: str, values: list[Any]) -> None:
    lines = [f"{line},0" for line in text.split("\n") if line]
    assert read(tmp_path, "\n".join(["a,b", *lines, ""]))["a"].to_pylist() == values


def test_columns_keep_their_order_when_one_is_read_again(tmp_path: Path) -> None:
    table = read(tmp_path, "a,b,c\n1,NA,x\n2,3,NA\n")
    assert table.to_pydict() == {"a": [1, 2], "b": [None, 3], "c": ["x", "NA"]}
    assert table.schema.field("b").type == pa.int64()


def test_text_is_read_as_the_types_that_are_given(tmp_path: Path) -> None:
    types = {
        "zip": pa.string(),
        "n": pa.int8(),
        "at": pa.timestamp("us"),
        "p": pa.decimal128(5, 2),
        "more": pa.date32(),
    }
    table = read(tmp_path, "zip,n,at,p,x\n01067,5,2024-01-01 10:00,1.5,7\n,NA,,,\n", types=types)
    assert table.schema.types == [types[name] for name in ("zip", "n", "at", "p")] + [pa.int64()]
    assert table["zip"].to_pylist() == ["01067", None]
    assert table["n"].to_pylist() == [5, None], "NA is no number"
    assert table["p"].to_pylist() == [Decimal("1.50"), None]


def test_a_column_of_text_is_the_same_beside_a_typed_one_with_missing_values(tmp_path: Path) -> None:
    text = 'a,b,c,d\nNA,,NA,\n1,"",,\n2,x,,\n'
    plain, typed = read(tmp_path, text), read(tmp_path, text, types={"a": pa.int64()})
    assert typed.schema == plain.schema
    assert typed.to_pydict() == plain.to_pydict()


def test_a_value_of_another_type_is_told_with_its_column_and_row(tmp_path: Path) -> None:
    with pytest.raises(FormatError) as caught:
        read(tmp_path, "a,b\n1,2\n3,x\n", types={"b": pa.int64()})
    why = "Row #3: CSV conversion error to int64: invalid value 'x'"
    assert str(caught.value) == f"t.csv cannot be read as csv: column 'b': {why}"
    with pytest.raises(FormatError, match=f"column 'ä,;': {why}"):
        read(tmp_path, 'a;"ä,;"\n1;2\n3;x\n', types={"ä,;": pa.int64()}, delimiter=";")


def test_types_of_several_files_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "0.csv").write_text("a\n1\n")
    assert read(tmp_path, "a\n0x\n", "1.csv") is not None
    table = read_table("*.csv", base=tmp_path, types={"a": pa.string()})
    assert table["a"].to_pylist() == ["1", "0x"]


def test_json_lines_have_the_types_that_are_given(tmp_path: Path) -> None:
    types = {"n": pa.int32(), "at": pa.timestamp("s"), "more": pa.string()}
    table = read(tmp_path, '{"n": 1, "at": "2024-01-01 10:00:00", "x": true}\n{}\n', "t.jsonl", types=types)
    assert {field.name: field.type for field in table.schema} == {**types, "x": pa.bool_()}
    assert table["more"].to_pylist() == [None, None], "a key that no row has"
    assert read(tmp_path, "", "t.jsonl", types=types).schema == pa.schema(types)
    with pytest.raises(FormatError, match=r"t\.jsonl cannot be read as jsonl"):
        read(tmp_path, '{"n": "a"}\n', "t.jsonl", types=types)


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_the_name_of_the_file_of_each_row(tmp_path: Path, ending: str) -> None:
    rows = {"csv": "a\n1\n", "jsonl": '{"a": 1}\n'}
    for name in ("x", "y"):
        (tmp_path / f"{name}.{ending}").write_text(rows[ending])
    table = read_table(f"*.{ending}", base=tmp_path, filename=True, columns=["a"])
    assert table.to_pydict() == {"a": [1, 1], "filename": [f"x.{ending}", f"y.{ending}"]}


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_the_column_with_the_file_may_have_a_type(tmp_path: Path, name: str) -> None:
    content = {"t.csv": "a\n1\n", "t.jsonl": '{"a": 1}\n'}[name]
    types = {"a": pa.int64(), "filename": pa.string()}
    assert read(tmp_path, content, name, types=types, filename=True).to_pylist() == [{"a": 1, "filename": name}]


def test_a_column_of_that_name_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(FormatError) as caught:
        read(tmp_path, "filename\n1\n", filename=True)
    assert str(caught.value) == "t.csv has a column 'filename' already: leave the option 'filename' out"


def test_the_lines_of_texts(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes("\ufeff# Ä\r\n\n  b".encode())
    with gzip.open(tmp_path / "b.txt.gz", "wb") as file:
        file.write(b"c\n")
    (tmp_path / "empty.txt").write_bytes(b"")
    table = read_table("*", base=tmp_path, format="text", filename=True)
    assert table.to_pydict() == {"line": ["# Ä", "", "  b", "c"], "filename": ["a.md"] * 3 + ["b.txt.gz"]}
    (tmp_path / "bad.bin").write_bytes(b"a\n\xff")
    with pytest.raises(FormatError) as caught:
        read_table("bad.bin", base=tmp_path, format="text")
    assert str(caught.value) == "bad.bin is no text in UTF-8: see its line 2 ('format: bytes' reads any file)"


def test_a_row_for_each_file(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name, content in (("b.png", b"\0\xff"), ("a.png", b"")):
        (tmp_path / "images" / name).write_bytes(content)
    files = read_table("images/*.png", base=tmp_path, format="files")
    assert files.select(["path", "name", "size"]).to_pylist() == [
        {"path": "images/a.png", "name": "a.png", "size": 0},
        {"path": "images/b.png", "name": "b.png", "size": 2},
    ]
    assert files["digest"].to_pylist() == [bytes_checksum(b""), bytes_checksum(b"\0\xff")]
    whole = read_table("images/*.png", base=tmp_path, format="bytes")
    assert whole.column_names == [*files.column_names, "content"]
    assert whole["content"].to_pylist() == [b"", b"\0\xff"]
    with pytest.raises(FormatError, match=r"no such file: none\.png"):
        read_table("none.png", base=tmp_path, format="bytes")


def test_options_of_tables_are_not_for_other_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(FormatError) as caught:
        read_table("a.txt", base=tmp_path, format="text", columns=["line"])
    assert str(caught.value) == "a.txt is read as text, which has no columns: that is for arrow, csv, jsonl, parquet"
