"""What the ends of files say of a table: its columns, and how many nulls these have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nfrun.system.checksums import FileChecksums
from nfrun.tables.file_table import open_files
from nfrun.tables.footers import common_schema, named_schema, null_counts

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


def test_files_with_one_schema_have_it_in_common(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "a.pq")
    pq.write_table(TABLE.slice(2), tmp_path / "b")
    assert common_schema([tmp_path / "a.pq"]) == TABLE.schema
    assert common_schema([tmp_path / "a.pq", tmp_path / "b"], "parquet") == TABLE.schema
    pq.write_table(TABLE.drop_columns("name"), tmp_path / "b")
    assert common_schema([tmp_path / "a.pq", tmp_path / "b"], "parquet") is None
    assert common_schema([tmp_path / "none.parquet"]) is None


def test_the_columns_that_are_read() -> None:
    schema = pa.schema({"a": pa.int64(), "b": pa.string()})
    assert named_schema(schema, ["b", "a"], with_file=False) == pa.schema({"b": pa.string(), "a": pa.int64()})
    assert named_schema(schema, ["a"], with_file=True) == pa.schema({"a": pa.int64(), "filename": pa.string()})
    assert named_schema(schema, ["a", "a"], with_file=False) is None
    assert named_schema(pa.schema({"filename": pa.int64()}), ["filename"], with_file=True) is None
