"""Tables as folders of files: written with partitions, put in place as a whole or in part, and read back."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nfrun.system import atomic_folders
from nfrun.tables import table_folders
from nfrun.tables.file_io import read_table, write_table
from nfrun.tables.formats import FormatError
from nfrun.tables.partitions import folder_name
from nfrun.tables.table_folders import WrittenFile, write_folder

SALES = pa.table({"id": [1, 2, 3, 4], "country": ["FR", "DE", None, "DE"], "year": [2024, 2023, 2024, 2024]})


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def error(function: Any, *args: Any, **options: Any) -> str:
    with pytest.raises(FormatError) as found:
        function(*args, **options)
    return str(found.value)


# ------------------------------------------------------------------ writing


@pytest.mark.parametrize("format", ["parquet", "arrow", "jsonl", "csv"])
def test_a_folder_of_one_file(tmp_path: Path, format: str) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "old.csv").write_text("a\n1\n")
    files = write_folder(SALES, tmp_path / "t", format=format)
    assert files_in(tmp_path) == [f"t/part-0.{format}"]
    assert files == [WrittenFile(f"part-0.{format}", 4, (tmp_path / "t" / f"part-0.{format}").stat().st_size)]
    assert read_table("t/", base=tmp_path).equals(SALES)


def test_rows_of_partitions_keep_their_order(tmp_path: Path) -> None:
    files = write_folder(SALES, tmp_path / "t", partition=["country", "year"])
    assert [(file.path, file.rows) for file in files] == [
        ("country=DE/year=2023/part-0.parquet", 1),
        ("country=DE/year=2024/part-0.parquet", 1),
        ("country=FR/year=2024/part-0.parquet", 1),
        ("country=__HIVE_DEFAULT_PARTITION__/year=2024/part-0.parquet", 1),
    ]
    assert files_in(tmp_path / "t") == [file.path for file in files]
    write_folder(SALES, tmp_path / "t", partition=["country"])
    assert pq.ParquetFile(tmp_path / "t/country=DE/part-0.parquet").read().to_pydict() == {
        "id": [2, 4],
        "year": [2023, 2024],
    }
    assert read_table("t/", base=tmp_path).to_pydict() == {
        "id": [2, 4, 1, 3],
        "year": [2023, 2024, 2024, 2024],
        "country": ["DE", "DE", "FR", None],
    }


def test_other_partitions_stay(tmp_path: Path) -> None:
    write_folder(SALES, tmp_path / "t", partition=["country"])
    (tmp_path / "t" / "country=DE" / "more.parquet").touch()
    before = (tmp_path / "t" / "country=FR" / "part-0.parquet").stat().st_ino
    new = pa.table({"id": [9], "country": ["DE"], "year": [2025]})
    for _ in range(2):
        write_folder(new, tmp_path / "t", partition=["country"], replace=["country"])
        assert read_table("t/", base=tmp_path)["id"].to_pylist() == [9, 1, 3]
    assert (tmp_path / "t" / "country=FR" / "part-0.parquet").stat().st_ino == before
    write_folder(new.slice(1), tmp_path / "t", partition=["country"], replace=["country"])
    assert read_table("t/", base=tmp_path)["id"].to_pylist() == [9, 1, 3]
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


@pytest.mark.parametrize(
    ("partition", "replace", "found"),
    [
        (["year", "country"], ["year"], {(1, "DE"), (2, "DE"), (9, "IT")}),  # 2023 stays, 2024 is what it is now
        (["year", "country"], ["year", "country"], {(1, "DE"), (1, "FR"), (2, "DE"), (3, None), (9, "IT")}),
        (["year", "country", "kind"], ["year"], {(1, "DE"), (2, "DE"), (9, "IT")}),
        (["year", "country", "kind"], ["year", "country"], {(1, "DE"), (1, "FR"), (2, "DE"), (3, None), (9, "IT")}),
        (["kind", "year", "country"], ["kind"], {(1, "DE"), (9, "IT")}),
    ],
)
def test_the_folders_of_the_first_columns_are_replaced_as_a_whole(
    tmp_path: Path, partition: list[str], replace: list[str], found: set[object]
) -> None:
    old = SALES.append_column("kind", pa.array(["k"] * 4))
    new = pa.table({"id": [1, 9], "country": ["DE", "IT"], "year": [2024, 2024], "kind": ["k", "k"]})
    write_folder(old, tmp_path / "t", partition=partition)
    for _ in range(2):
        write_folder(new, tmp_path / "t", partition=partition, replace=replace)
        rows = read_table("t/", base=tmp_path).to_pylist()
        assert {(row["id"], row["country"]) for row in rows} == found and len(rows) == len(found)
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_no_rows_with_partitions_are_an_empty_folder(tmp_path: Path) -> None:
    assert write_folder(SALES.slice(4), tmp_path / "t", partition=["country"]) == []
    assert files_in(tmp_path / "t") == [] and (tmp_path / "t").is_dir()


def test_chunks_change_no_bytes(tmp_path: Path) -> None:
    table = pa.table({"n": range(5_000), "text": [f"row {n % 700}" for n in range(5_000)], "k": [1, 2] * 2_500})
    chunks = pa.concat_tables([table.slice(0, 1), table.slice(1, 1_500), table.slice(1_501)])
    for name, form in {"one": table, "two": chunks}.items():
        write_folder(form, tmp_path / name / "plain")
        write_folder(form, tmp_path / name / "parts", partition=["k"])
    for file in files_in(tmp_path / "one"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", "b"]).dictionary_encode(),
        pa.array(["a", "b"], pa.large_string()),
        pa.array(["a", "b"], pa.string_view()),
        pa.array([1, 2], pa.uint8()),
        pa.array([True, False]),
        pa.array([dt.date(2024, 1, 1), dt.date(2024, 1, 2)], pa.date64()),
    ],
)
def test_types_of_partitions(tmp_path: Path, column: Any) -> None:
    write_folder(pa.table({"p": column, "n": [1, 2]}), tmp_path / "t", partition=["p"])
    found = read_table("t/", base=tmp_path, types={"p": pa.string()}).sort_by("n")
    texts = [str(value).removesuffix(" 00:00:00") for value in column.to_pylist()]
    assert found["p"].to_pylist() == [text.lower() if text in ("True", "False") else text for text in texts]


@pytest.mark.parametrize(
    ("partition", "what"),
    [
        (["contry"], "the table has no column 'contry' to partition by: did you mean 'country'?"),
        (["zzz"], "the table has no column 'zzz' to partition by: it has id, country, year"),
        (
            ["id", "country", "year"],
            "the table has no columns but those that it is partitioned by: leave one out of 'partition'",
        ),
    ],
)
def test_columns_that_are_not_there(tmp_path: Path, partition: list[str], what: str) -> None:
    assert error(write_folder, SALES, tmp_path / "t", partition=partition) == what
    assert list(tmp_path.iterdir()) == []


def test_tables_that_cannot_be_partitioned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"x": [1.5], "n": [1]})
    what = "'x' is double, and rows are partitioned by texts, whole numbers, booleans and dates: cast it in a sql node"
    assert error(write_folder, table, tmp_path / "t", partition=["x"]) == what
    twice = pa.table([[1], [2]], names=["n", "n"])
    assert error(write_folder, twice, tmp_path / "t", partition=["n"]) == "the table has 2 columns named 'n'"
    monkeypatch.setattr(table_folders, "MOST_PARTITIONS", 3)
    assert error(write_folder, SALES, tmp_path / "t", partition=["id"]) == (
        "by id the table has 4 partitions, and at most 3 are written: partition it by columns with fewer values"
    )


def test_a_folder_with_another_layout(tmp_path: Path) -> None:
    write_folder(SALES, tmp_path / "t", partition=["country"])
    options = {"partition": ["year"], "replace": ["year"]}
    assert error(write_folder, SALES, tmp_path / "t", **options) == (
        "the folder holds 'country=DE', which is no partition by 'year': write the whole folder with mode: replace"
    )
    options = {"partition": ["country", "year"], "replace": ["country"]}
    assert error(write_folder, SALES, tmp_path / "t", **options) == (
        "the folder holds 'country=DE/part-0.parquet', which is no partition by 'year': "
        "write the whole folder with mode: replace"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_another_name_of_a_partition(tmp_path: Path) -> None:
    cities = pa.table({"id": [1, 2], "city": ["New York", "Rome"], "year": [2024, 2024]})
    (tmp_path / "t" / "city=New%20York").mkdir(parents=True)
    assert error(write_folder, cities, tmp_path / "t", partition=["city"], replace=["city"]) == (
        "the folder holds 'city=New%20York', another name of 'city=New York', whose rows would be there twice: "
        "write the whole folder with mode: replace"
    )
    (tmp_path / "t" / "city=New%20York").rename(tmp_path / "t" / "city=R%6Fme")
    write_folder(cities.slice(0, 1), tmp_path / "t", partition=["city"], replace=["city"])  # of which it has no rows
    (tmp_path / "s" / "year=2024" / "city=New%20York").mkdir(parents=True)
    write_folder(cities, tmp_path / "s", partition=["year", "city"], replace=["year"])
    assert sorted(path.name for path in (tmp_path / "s" / "year=2024").iterdir()) == ["city=New York", "city=Rome"]


def test_an_error_leaves_the_folder(tmp_path: Path) -> None:
    write_folder(SALES, tmp_path / "t", partition=["country"])
    before = {file: (tmp_path / "t" / file).read_bytes() for file in files_in(tmp_path / "t")}
    nested = SALES.append_column("id", SALES["id"])
    for replace in ([], ["country"]):
        error(write_folder, nested, tmp_path / "t", partition=["country"], format="jsonl", replace=replace)
    assert {file: (tmp_path / "t" / file).read_bytes() for file in files_in(tmp_path / "t")} == before
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_systems_that_cannot_exchange_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic_folders, "_exchanged", lambda new, old: False)
    for _ in range(2):
        write_folder(SALES, tmp_path / "t", partition=["country"], replace=["country"], fsync=True)
    assert read_table("t/", base=tmp_path)["id"].to_pylist() == [2, 4, 1, 3]
    assert len(files_in(tmp_path)) == 3


@pytest.mark.parametrize("can_exchange", [True, False])
@pytest.mark.parametrize("replace", [["country"], []])
def test_links_are_replaced_and_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replace: list[str], can_exchange: bool
) -> None:
    if not can_exchange:
        monkeypatch.setattr(atomic_folders, "_exchanged", lambda new, old: False)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "data").touch()
    (tmp_path / "disk").symlink_to("real")
    (tmp_path / "real" / "t").mkdir(parents=True)
    link = tmp_path / "real" / "t" / "country=DE" if replace else tmp_path / "real" / "t"
    if not replace:
        link.rmdir()
    for target in ("mine", "mine/data", "nowhere", link.name):  # a folder, a file, nothing, the link itself
        link.symlink_to(target if target == link.name else tmp_path / target)
        write_folder(SALES, tmp_path / "disk" / "t", partition=["country"], replace=replace)
        assert not link.is_symlink() and len(files_in(tmp_path / "real")) == 3
        assert files_in(mine) == ["data"] and not (tmp_path / "nowhere").exists()
        atomic_folders.remove(link)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "mine", "real"]
    assert sorted(path.name for path in (tmp_path / "real").iterdir()) == (["t"] if replace else [])


def test_a_folder_of_partitions_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk" / "t").mkdir(parents=True)
    (tmp_path / "t").symlink_to("disk/t")
    write_folder(SALES, tmp_path / "t", partition=["country"], replace=["country"])
    assert (tmp_path / "t").is_symlink() and len(files_in(tmp_path / "disk")) == 3
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["t"]


def test_a_file_that_has_the_name_of_a_partition_stays(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "country=FR").write_text("mine")
    with pytest.raises(NotADirectoryError):
        write_folder(SALES, tmp_path / "t", partition=["country"], replace=["country"])
    assert (tmp_path / "t" / "country=FR").read_text() == "mine"


# ------------------------------------------------------------------ names of folders


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("DE", "DE"),
        ("a/b:c=d%", "a%2Fb%3Ac%3Dd%25"),
        ("\n\"#'*?\\{[]^\x7f", "%0A%22%23%27%2A%3F%5C%7B%5B%5D%5E%7F"),
        ("São Paulo", "São Paulo"),
        ("..", ".."),
        (None, "__HIVE_DEFAULT_PARTITION__"),
        ("", "__HIVE_DEFAULT_PARTITION__"),
    ],
)
def test_names_are_those_of_hive(tmp_path: Path, value: str | None, name: str) -> None:
    assert folder_name("p", value) == f"p={name}"
    write_folder(pa.table({"p": pa.array([value], pa.string()), "n": [1]}), tmp_path / "t", partition=["p"])
    assert files_in(tmp_path / "t") == [f"p={name}/part-0.parquet"]
    assert read_table("t/", base=tmp_path)["p"].to_pylist() == [value or None]


def test_names_of_columns_are_escaped(tmp_path: Path) -> None:
    write_folder(pa.table({"_a/b": [1], ".c": [2], "n": [1]}), tmp_path / "t", partition=["_a/b", ".c"])
    assert files_in(tmp_path / "t") == ["_a%2Fb=1/.c=2/part-0.parquet"]
    assert read_table("t/", base=tmp_path).to_pylist() == [{"n": 1, "_a/b": 1, ".c": 2}]


# ------------------------------------------------------------------ reading


@pytest.mark.parametrize(
    ("texts", "type", "values"),
    [
        (["1", "-20"], pa.int64(), [-20, 1]),
        (["1", "020"], pa.string(), ["020", "1"]),
        (["1", "99999999999999999999"], pa.string(), ["1", "99999999999999999999"]),
        (["2024-01-01", "2024-02-29"], pa.date32(), [dt.date(2024, 1, 1), dt.date(2024, 2, 29)]),
        (["2024-01-01", "2023-02-29"], pa.string(), ["2023-02-29", "2024-01-01"]),
        (["1", "__HIVE_DEFAULT_PARTITION__"], pa.int64(), [1, None]),
        (["__HIVE_DEFAULT_PARTITION__"], pa.string(), [None]),
        (["1", "x"], pa.string(), ["1", "x"]),
    ],
)
def test_types_of_columns_in_paths(tmp_path: Path, texts: list[str], type: Any, values: list[Any]) -> None:
    for text in texts:
        write_table(pa.table({"n": [1]}), tmp_path / "t" / f"p={text}" / "a.csv")
    found = read_table("t/", base=tmp_path)
    assert (found.schema.field("p").type, found["p"].to_pylist()) == (type, values)


def test_given_types_and_options(tmp_path: Path) -> None:
    for format in ("jsonl", "csv", "parquet"):
        write_folder(SALES, tmp_path / format, partition=["year"], format=format)
        types = {"year": pa.string(), "id": pa.int64()}
        found = read_table(f"{format}/", base=tmp_path, types=types, columns=["year", "id"], filename=True)
        assert found.schema.names == ["year", "id", "filename"]
        assert found["year"].to_pylist() == ["2023", "2024", "2024", "2024"]
        assert found["filename"][0].as_py() == f"{format}/year=2023/part-0.{format}"
        assert read_table(f"{format}/", base=tmp_path, columns=["year"]).num_rows == 4
    assert error(read_table, "csv/", base=tmp_path, types={"year": pa.date32()}).startswith(
        "the column 'year', which paths in csv/ hold, cannot be read as date32[day]: "
    )


def test_a_column_in_the_path_replaces_that_in_the_file(tmp_path: Path) -> None:
    write_table(pa.table({"day": ["x"], "n": [1]}), tmp_path / "t" / "day=2024-01-01" / "a.csv")
    found = read_table(f"file://{tmp_path}/t/", base=tmp_path)
    assert found.to_pylist() == [{"n": 1, "day": dt.date(2024, 1, 1)}]


def test_paths_with_different_columns(tmp_path: Path) -> None:
    write_folder(SALES, tmp_path / "t", partition=["country"])
    write_table(SALES, tmp_path / "t" / "all.parquet")
    assert error(read_table, "t/", base=tmp_path) == (
        "t/all.parquet and t/country=DE/part-0.parquet cannot be read as one table, as their paths hold different "
        "columns: none, and country"
    )


def test_hidden_files_and_links(tmp_path: Path) -> None:
    write_table(SALES, tmp_path / "disk" / "b.csv")
    write_table(SALES.slice(0, 1), tmp_path / "t" / "a.csv")
    (tmp_path / "t" / "_SUCCESS").touch()
    (tmp_path / "t" / ".nfrun-00000000-0.tmp").mkdir()
    (tmp_path / "t" / ".nfrun-00000000-0.tmp" / "a.csv").touch()
    (tmp_path / "t" / "linked").symlink_to("../disk")
    (tmp_path / "t" / "circle").symlink_to(".")
    assert read_table("t/", base=tmp_path)["id"].to_pylist() == [1, 1, 2, 3, 4]
