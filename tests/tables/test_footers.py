"""What the ends of files say of a table: its columns, and how many nulls these have."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfrun.system.checksums import FileChecksums
from nfrun.tables.csv_files import read_csv
from nfrun.tables.csv_options import CsvOptions
from nfrun.tables.csv_source import CsvSource
from nfrun.tables.file_io import read_table
from nfrun.tables.file_table import open_files
from nfrun.tables.footers import joined_schema, named_schema, null_counts

TABLE = pa.table(
    {
        "id": [1, 2, 3, 4],
        "name": ["a", None, "b", None],
        "word": pa.array(["x", None, "x", "y"]).dictionary_encode(),
        "list": [[1, None], [2], [], [None]],
        "struct": [{"a": None}, {"a": 1}, {"a": 2}, {"a": 3}],
    }
)


def counts(folder: Path, *names: str, **options: Any) -> dict[str, int] | None:
    """Return the nulls in two files with these rows each."""
    for name in ("1", "2"):
        pq.write_table(TABLE, folder / f"{name}.parquet", row_group_size=3, **options)
    found = open_files("*.parquet", base=folder, look=FileChecksums().look)
    assert found is not None
    return null_counts(found.source, names)


def test_nulls_are_counted_over_all_files_and_row_groups(tmp_path: Path) -> None:
    assert counts(tmp_path, "id", "name", "word", "other") == {"id": 0, "name": 4, "word": 2}


@pytest.mark.parametrize("column", ["list", "struct"])
def test_the_nulls_of_nested_columns_are_not_known(tmp_path: Path, column: str) -> None:
    assert counts(tmp_path, "id", column) is None


def test_files_without_statistics_say_nothing(tmp_path: Path) -> None:
    assert counts(tmp_path, "id", write_statistics=False) is None
    assert counts(tmp_path, write_statistics=False) == {}


def test_a_column_with_the_name_of_a_part_of_another_is_not_known(tmp_path: Path) -> None:
    pq.write_table(pa.table({"s.x": pa.array([None], pa.int64()), "s": [{"x": 1}]}), tmp_path / "t.parquet")
    found = open_files("t.parquet", base=tmp_path, look=FileChecksums().look)
    assert found is not None
    assert null_counts(found.source, ["s.x"]) is None


def test_the_columns_in_the_paths_of_partitions_are_counted_by_file(tmp_path: Path) -> None:
    """Also if the files have a column of this name: that of the path takes its place."""
    for folder, day in (("day=1", 7), ("day=__HIVE_DEFAULT_PARTITION__", 8)):
        (tmp_path / "t" / folder).mkdir(parents=True)
        pq.write_table(pa.table({"n": [1, None], "day": [day, None]}), tmp_path / "t" / folder / "1.parquet")
    found = open_files("t/", base=tmp_path, look=FileChecksums().look)
    assert found is not None
    assert null_counts(found.source, ["n", "day"]) == {"n": 2, "day": 2}
    found.load()
    table = found.take()
    assert table is not None and [table[name].null_count for name in ("n", "day")] == [2, 2]


def joined(folder: Path, *names: str, source: str = "", **options: Any) -> pa.Schema | None:
    return joined_schema({name: folder / name for name in names}, source, **options)


def test_files_with_one_schema_have_it_in_common(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "a.pq")
    pq.write_table(TABLE.slice(2), tmp_path / "b")
    assert joined(tmp_path, "a.pq") == TABLE.schema
    assert joined(tmp_path, "a.pq", "b", format="parquet") == TABLE.schema
    assert joined(tmp_path, "a.pq", "none.parquet") is None


def test_files_with_other_columns_have_those_of_all(tmp_path: Path) -> None:
    """The type null stands for one that is not known."""
    for name, values in (("a", {"n": [1], "x": ["a"]}), ("b", {"n": [1.5], "y": [1]}), ("c", {"n": [[1]]})):
        pq.write_table(pa.table(values), tmp_path / f"{name}.pq")
    assert joined(tmp_path, "a.pq", "b.pq") == pa.schema({"n": pa.null(), "x": pa.string(), "y": pa.int64()})
    assert joined(tmp_path, "a.pq", "c.pq") is None, "a query may take parts of a nested column"
    pq.write_table(pa.Table.from_arrays([[1], [2]], ["n", "n"]), tmp_path / "d.pq")
    assert joined(tmp_path, "a.pq", "d.pq") is None


def test_the_columns_in_paths_are_behind_those_of_the_files(tmp_path: Path) -> None:
    for day in (1, 2):
        (tmp_path / f"t/n={day}").mkdir(parents=True)
        pq.write_table(pa.table({"n": ["in the file"], "x": ["a"]}), tmp_path / f"t/n={day}/a.pq")
    files = "t/n=1/a.pq", "t/n=2/a.pq"
    assert joined(tmp_path, *files, source="t/") == pa.schema({"x": pa.string(), "n": pa.int64()})
    typed = joined(tmp_path, *files, source="t/", types={"n": pa.string()})
    assert typed == pa.schema({"x": pa.string(), "n": pa.string()})
    assert joined(tmp_path, *files, "t/a.pq", source="t/") is None, "the run says that they do not fit together"


HEADERS = (
    b"a,b\n1,2\n", b"a,b", b"a,b\r\n1,2", b"\xef\xbb\xbfa,b\n1,2\n", b'"a\nb",c\n1,2\n', b'"a"",b",c\n1,2\n',
    b"a,,b\n1,2,3\n", b"a,a\n1,2\n", b"\n\na,b\n1,2\n", b"\r\na,b\r\n1,2", b"a,b\r1,2\r3,4", b'a"x,b\n1,2\n',
    b'a"x,b"\n1,"2"\n', b" a , b \n1,2\n", b"a;b\n1;2\n", b"a\n\n\n", b'"a\n\nb"\n1\n', "\u00e4,\u6771\n1,2\n".encode(),
    b"1,2\n3,4\n", b'"a\r\nb",c\r\n1,2\r\n',
)  # fmt: skip


@pytest.mark.parametrize("content", HEADERS)
@pytest.mark.parametrize("file", ["a.csv", "a.csv.gz", "a.tsv"])
def test_a_header_has_the_names_that_the_table_will_have(tmp_path: Path, content: bytes, file: str) -> None:
    if file == "a.tsv":
        content = content.replace(b",", b"\t")
    (tmp_path / file).write_bytes(gzip.compress(content) if file.endswith("gz") else content)
    found = joined(tmp_path, file)
    assert found is not None
    assert found.names == read_table(file, base=tmp_path).schema.names


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"\xff\xfea\n1\n", b"PAR1,b\n", b"\xe4,b\n1,2\n", b"a" * (1 << 21) + b"\n1\n"]
)
def test_a_header_that_cannot_be_read_says_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    assert joined(tmp_path, "a.csv") is None


def test_nothing_is_read_of_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.csv")
    assert joined(tmp_path, "a.csv") is None


@given(
    st.lists(st.text(alphabet='ab",\n\r ;', max_size=8), min_size=1, max_size=4), st.sampled_from(["\n", "\r\n", "\r"])
)
def test_names_in_quotes_are_those_that_the_table_will_have(names: list[str], end: str) -> None:
    header = ",".join('"' + name.replace('"', '""') + '"' for name in names)
    data = f"{header}{end}{','.join('1' for _ in names)}{end}".encode()
    open_file = lambda: pa.BufferReader(data)  # noqa: E731
    options = CsvOptions()
    source = CsvSource(open_file, options, ",")
    assert source.names == read_csv(CsvSource(open_file, options, ","), None, {}).schema.names


def test_the_columns_that_are_read() -> None:
    schema = pa.schema({"a": pa.int64(), "b": pa.string()})
    assert named_schema(schema, ["b", "a"], with_file=False) == pa.schema({"b": pa.string(), "a": pa.int64()})
    assert named_schema(schema, ["a"], with_file=True) == pa.schema({"a": pa.int64(), "filename": pa.string()})
    assert named_schema(schema, ["a", "a"], with_file=False) is None
    assert named_schema(pa.schema({"filename": pa.int64()}), ["filename"], with_file=True) is None
