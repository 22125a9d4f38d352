"""Tests of tables that stay in the user's files: what is known of them, when they are loaded, and what files can do."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nfrun.core.errors import HandoffError
from nfrun.core.pipeline import OutputId
from nfrun.system.checksums import FileChecksums
from nfrun.tables import file_io
from nfrun.tables.file_table import FileTable, check_unchanged, open_files
from nfrun.tables.formats import FormatError
from nfrun.tables.output_files import WorkerStore
from nfrun.tables.store import TableStore

OUTPUT = OutputId("a")
TABLE = pa.table({"n": pa.array(range(1000), pa.int64()), "text": [f"row {i}" for i in range(1000)]})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pq.write_table(TABLE, tmp_path / "t.parquet", row_group_size=300)
    return tmp_path


def opened(folder: Path, source: str = "t.parquet", **options: Any) -> FileTable:
    found = open_files(source, base=folder, look=FileChecksums().look, **options)
    assert found is not None
    return found


def test_all_is_known_of_a_table_that_is_not_loaded(folder: Path) -> None:
    ref = opened(folder).described(OUTPUT, 2)
    assert (ref.id, ref.attempt, ref.rows, ref.path) == ("a", 2, 1000, None)
    assert ref.schema == "n: int64, text: string"
    assert ref.bytes == (folder / "t.parquet").stat().st_size
    assert ref.digest is not None
    assert ref.digest.startswith("files:")


def test_the_digest_is_that_of_the_content_of_the_files(folder: Path) -> None:
    shutil.copyfile(folder / "t.parquet", folder / "copy.parquet")
    pq.write_table(TABLE.slice(1), folder / "other.parquet")

    def digest(*arguments: str, **options: Any) -> str | None:
        return opened(folder, *arguments, **options).described(OUTPUT, 1).digest

    assert digest() == digest("copy.parquet")
    assert len({digest(), digest("other.parquet"), digest("[co]*.parquet"), digest(columns=["n"])}) == 4
    assert digest(columns=["n", "text"]) != digest(columns=["text", "n"])


@pytest.mark.parametrize(
    ("files", "source", "options"),
    [
        ({"t.csv": "n\n1\n"}, "t.csv", {}),
        ({"t.jsonl": '{"n": 1}\n'}, "t.jsonl", {}),
        ({"t.csv": "n\n1\n"}, "t.parquet", {"format": "csv"}),
        ({"t.csv": "n\n1\n"}, "t.*", {}),
        ({}, "t.parquet", {"delimiter": ";"}),
        ({}, "s3://bucket/t.parquet", {"format": "csv"}),
    ],
)
def test_other_files_are_read_at_once(folder: Path, files: dict[str, str], source: str, options: Any) -> None:
    for name, text in files.items():
        (folder / name).write_text(text)
    assert open_files(source, base=folder, look=FileChecksums().look, **options) is None


def test_files_with_other_columns_are_read_at_once(folder: Path) -> None:
    pq.write_table(TABLE.select(["n"]), folder / "t2.parquet")
    assert open_files("t*.parquet", base=folder, look=FileChecksums().look) is None


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (None, {}, r"no such file: x.parquet"),
        (b"", {}, "x.parquet cannot be read as parquet: the file is empty"),
        (b"n\n1\n", {}, "x.parquet cannot be read as parquet: Parquet file size is 4 bytes"),
        (b"PAR1 and then nothing", {}, "x.parquet cannot be read as parquet: "),
        (True, {"columns": ["m"]}, "x.parquet has no column 'm': it has n, text"),
    ],
)
def test_what_is_no_table_is_an_error_at_once(
    folder: Path, content: bytes | bool | None, options: Any, message: str
) -> None:
    if content is True:
        shutil.copyfile(folder / "t.parquet", folder / "x.parquet")
    elif content is not None:
        (folder / "x.parquet").write_bytes(content)  # type: ignore[arg-type]
    with pytest.raises(FormatError, match=message):
        opened(folder, "x.parquet", **options)


# ------------------------------------------------------------------ partitions


def in_partitions(folder: Path, *names: str) -> str:
    """Write a file with the table into each of these folders. Returns the source of all of them."""
    for name in names:
        (folder / "d" / name).mkdir(parents=True)
        shutil.copyfile(folder / "t.parquet", folder / "d" / name / "t.parquet")
    return "d/"


@pytest.mark.parametrize("columns", [None, ["n"], ["k", "text"], ["day"]])
def test_a_folder_of_partitions_gives_the_table_that_is_read_at_once(folder: Path, columns: list[str] | None) -> None:
    source = in_partitions(folder, "k=1/day=2024-03-01", "k=2/day=2024-03-02", "k=__HIVE_DEFAULT_PARTITION__/day=")
    files = opened(folder, source, columns=columns)
    expected = file_io.read_table(source, base=folder, columns=columns)
    ref = files.described(OUTPUT, 1)
    assert (ref.rows, ref.schema) == (3000, ", ".join(f"{field.name}: {field.type}" for field in expected.schema))
    files.load()
    assert files.take() == expected


def test_the_digest_covers_the_partitions(folder: Path) -> None:
    source = in_partitions(folder, "k=1", "k=2")

    def digest(**options: Any) -> str | None:
        return opened(folder, source, **options).described(OUTPUT, 1).digest

    before = digest()
    assert len({before, digest(types={"k": pa.string()}), digest(columns=["n"]), digest(columns=["n", "k"])}) == 4
    (folder / "d" / "k=2").rename(folder / "d" / "k=3")
    assert digest() != before
    assert digest(columns=["n"]) == opened(folder, source, columns=["n"]).described(OUTPUT, 1).digest


# ------------------------------------------------------------------ files that change


def test_a_file_that_was_replaced_is_an_error(folder: Path) -> None:
    files = opened(folder)
    pq.write_table(TABLE.slice(1), folder / "new")
    (folder / "new").rename(folder / "t.parquet")
    with pytest.raises(FormatError, match=r"^t\.parquet was changed while the run was reading it"):
        files.load()
    assert opened(folder).described(OUTPUT, 1).rows == 999


def test_a_file_that_was_changed_in_place_is_an_error(folder: Path) -> None:
    files = opened(folder)
    with (folder / "t.parquet").open("r+b") as file:
        file.seek(40)
        file.write(b"other")
    with pytest.raises(FormatError, match=r"^t\.parquet was changed while the run was reading it"):
        files.load()


def test_a_file_that_was_removed_is_an_error(folder: Path) -> None:
    files = opened(folder)
    (folder / "t.parquet").unlink()
    with pytest.raises(FormatError, match=r"^t\.parquet cannot be read any more: No such file or directory$"):
        files.load()


def test_a_file_whose_path_is_a_pattern_is_read_at_once(folder: Path) -> None:
    (folder / "t.parquet").rename(folder / "t[1].parquet")
    assert open_files("t[1].parquet", base=folder, look=FileChecksums().look) is None


def test_a_file_that_was_only_touched_is_read(folder: Path) -> None:
    files = opened(folder)
    os.utime(folder / "t.parquet", (1, 1))
    check_unchanged(files.source)


# ------------------------------------------------------------------ in a store


@pytest.mark.parametrize("mode", ["auto", "mmap", "memory"])
def test_a_store_loads_the_table_when_it_is_opened_and_once(
    folder: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    read = file_io.read_parquet
    monkeypatch.setattr(file_io, "read_parquet", lambda *given: (reads.append(given), read(*given))[1])
    store = TableStore(folder / "run", mode=mode, unwritten=frozenset({"a"}), persistent=mode != "memory")
    ref = store.publish(OUTPUT, 1, opened(folder))
    assert store.wait_digest(ref) == ref
    assert not reads
    assert store.open(ref) is store.open(ref)
    assert store.open(ref) == TABLE
    assert pa.ipc.open_file(store.file(ref)).read_all() == TABLE
    assert len(reads) == 1
    store.release(ref)
    with pytest.raises(HandoffError, match="is gone"):
        store.open(ref)
    with pytest.raises(HandoffError, match="is gone"):
        store.files(ref)
    store.close()


@pytest.mark.parametrize("kept", ["unwritten", "retained"])
@pytest.mark.parametrize("is_loaded", [True, False])
def test_the_digest_is_the_same_however_the_table_is_handed_on(folder: Path, kept: str, is_loaded: bool) -> None:
    files = opened(folder)
    expected = files.described(OUTPUT, 1)
    if is_loaded:
        files.load()
    store = TableStore(folder / "run", persistent=True, **{kept: frozenset({"a"})})  # type: ignore[arg-type]
    ref = store.publish(OUTPUT, 1, files)
    store.commit(ref)
    found = store.wait_digest(ref)
    assert (found.digest, found.schema_digest, found.rows, found.bytes, found.schema, found.files) == (
        expected.digest,
        expected.schema_digest,
        expected.rows,
        expected.bytes,
        expected.schema,
        expected.files,
    )
    assert store.open(ref) == TABLE
    store.close()


def test_a_worker_hands_files_on_without_reading_them(folder: Path) -> None:
    worker, store = WorkerStore(folder / "run"), TableStore(folder / "run", unwritten=frozenset({"a"}))
    sent = worker.publish(OUTPUT, 1, opened(folder))
    ref = store.register_file(sent)
    assert ref.path is None
    assert worker.open(sent) == store.open(ref) == TABLE
    assert not list((folder / "run").glob("*"))
    store.close()


def test_a_table_that_a_worker_has_written_keeps_the_digest_of_the_files(folder: Path) -> None:
    worker, store = WorkerStore(folder / "run"), TableStore(folder / "run", persistent=True)
    files = opened(folder)
    files.load()
    ref = store.register_file(worker.publish(OUTPUT, 1, files))
    assert ref.digest == opened(folder).described(OUTPUT, 1).digest
    assert store.open(ref) == TABLE
    assert store.files(ref).files[0].name == "t.parquet"
    store.close()
