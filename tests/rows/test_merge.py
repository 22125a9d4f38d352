"""Small streams are written as one: nothing is lost, and readers and writers are not disturbed."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from nfrun.rows import merge
from nfrun.rows.merge import are_scattered, merge_streams
from nfrun.rows.results import Results, kept_records, read_stream
from nfrun.rows.returned import Computed
from nfrun.rows.row_keys import key_array
from nfrun.rows.stream_files import files_read, streams_in, write_reads
from nfrun.rows.streams import Result, StreamFile, encoded


def key(number: int) -> bytes:
    return number.to_bytes(16, "little")


def add(folder: Path, run: int, *numbers: int, value: str = "", one_by_one: bool = False) -> StreamFile:
    stream = StreamFile(folder, f"{run:010}-{run:012x}")
    for group in [[n] for n in numbers] if one_by_one else [numbers]:
        table = pa.table({"v": [f"{n}{value}" for n in group]})
        stream.append(encoded([Result(b"".join(map(key, group)), Computed(table), 0.5)]))
    stream.close()
    return stream


def merged(folder: Path, running: str = "x", **how: bool) -> list[str]:
    """Merge the streams of the runs before one that is under way. Returns the runs whose streams are there."""
    merge_streams(folder, lambda name: name < running, **how)
    return [path.name[:10].lstrip("0") for path in streams_in(folder)]


def totals(path: Path) -> tuple[int, float]:
    """How many records there are, and how long their calls took."""
    records = [*read_stream(path)]
    return len(records), sum(record.seconds for record in records)


def values(folder: Path, *numbers: int, without: tuple[str, ...] = ()) -> list[object]:
    results = Results(kept_records(folder, without=without))
    positions = results.find(key_array(b"".join(map(key, numbers))))
    found: list[object] = []
    for position, number in zip(positions.to_pylist(), results.records_of(positions).to_pylist(), strict=True):
        known = number is not None
        found.append(results.records[number].table()["v"][position - results.starts[number]].as_py() if known else None)
    return found


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four small streams are many, and five records."""
    monkeypatch.setattr(merge, "_MOST_STREAMS", 3)
    monkeypatch.setattr(merge, "_MOST_SMALL", 4)


def test_many_small_streams_become_one(few: None, tmp_path: Path) -> None:
    for run in range(1, 4):
        add(tmp_path, run, run, 10 + run)
    assert merged(tmp_path) == ["1", "2", "3"]
    add(tmp_path, 4, 4, 1, value=" again")
    kept = kept_records(tmp_path)
    assert merged(tmp_path) == ["4"]
    assert totals(*streams_in(tmp_path)) == (1, 2.0)
    assert values(tmp_path, 1, 2, 3, 4, 11, 12, 13, 14) == ["1 again", "2", "3", "4 again", "11", "12", "13", None]
    assert sorted(row for each in kept for row in each.table()["v"].to_pylist())[0] == "1"  # a reader has its view


def test_many_small_records_become_one(few: None, tmp_path: Path) -> None:
    add(tmp_path, 1, *range(100), one_by_one=True)
    assert are_scattered(kept_records(tmp_path))
    assert merged(tmp_path) == ["1"] and totals(*streams_in(tmp_path)) == (100, 50.0)
    assert merged(tmp_path, scattered=True) == ["1"] and totals(*streams_in(tmp_path)) == (1, 50.0)
    assert values(tmp_path, *range(100)) == [str(n) for n in range(100)]
    assert not are_scattered(kept_records(tmp_path))


def test_results_stay_apart_if_their_calls_have_read_other_files(few: None, tmp_path: Path) -> None:
    reads = {1: {"a": "x"}, 2: {"a": "x"}, 3: {"a": "y"}, 4: {}, 5: {}}
    for run, found in reads.items():
        add(tmp_path, run, run)
        if found:
            write_reads(tmp_path / f"{run:010}-{run:012x}.reads", found)
    assert merged(tmp_path) == ["2", "3", "5"]
    by_run = {name[:10]: found for name, found in files_read(tmp_path).items()}
    assert by_run == {"0000000002": {"a": "x"}, "0000000003": {"a": "y"}} and len(files_read(tmp_path)) == 2
    outdated = tuple(name for name, found in files_read(tmp_path).items() if found == {"a": "x"})
    assert values(tmp_path, 1, 2, 3, 4, 5, without=outdated) == [None, None, "3", "4", "5"]


def test_streams_of_runs_under_way_are_left_alone(few: None, tmp_path: Path) -> None:
    for run in range(1, 7):
        add(tmp_path, run, run)
    assert merged(tmp_path, f"{5:010}") == ["4", "5", "6"]
    for run in range(7, 9):
        add(tmp_path, run, run)
    assert merged(tmp_path) == ["8"] and values(tmp_path, 1, 5, 8) == ["1", "5", "8"]


def test_the_results_of_the_run_itself_stay_apart_as_they_may_be_ruled_out(few: None, tmp_path: Path) -> None:
    for run in (1, 2, 3, 4, 9):
        add(tmp_path, run, run)
    merge_streams(tmp_path, bool, f"{9:010}-")
    assert [path.name[:10] for path in streams_in(tmp_path)] == [f"{4:010}", f"{9:010}"]
    write_reads(tmp_path / f"{9:010}-.reads", {"": "its code was changed"})
    assert values(tmp_path, 1, 4, 9, without=tuple(files_read(tmp_path))) == ["1", "4", None]


def test_results_that_were_made_again_are_left_out(tmp_path: Path) -> None:
    add(tmp_path, 1, 1, 2)
    add(tmp_path, 2, 2, 3)
    add(tmp_path, 3, 1, 2, value=" new")
    assert merged(tmp_path) == ["1", "2", "3"]
    assert merged(tmp_path, replaced=True) == ["3"]
    assert sum(len(record.keys) for record in kept_records(tmp_path)) == 4
    assert values(tmp_path, 1, 2, 3) == ["1 new", "2 new", "3"]


def test_a_result_that_was_made_again_with_other_columns_stays_the_new_one(tmp_path: Path) -> None:
    add(tmp_path, 1, 1, 2, value="old")
    stream = StreamFile(tmp_path, f"{2:010}-{2:012x}")
    for number, table in ((3, pa.table({"v": ["3"]})), (1, pa.table({"v": [7]}))):
        stream.append(encoded([Result(key(number), Computed(table), 0.5)]))
    stream.close()
    assert merged(tmp_path, replaced=True) == ["2"]
    assert values(tmp_path, 1, 2, 3) == [7, "2old", "3"]


def test_damaged_results_are_left_out_and_do_not_hide_others(few: None, tmp_path: Path) -> None:
    for run in range(1, 5):
        add(tmp_path, run, run, 9)
    for path in streams_in(tmp_path)[1::2]:
        data = path.read_bytes()
        path.write_bytes(data[: data.rindex(b"9")] + b"x" + data[data.rindex(b"9") + 1 :])
    merged(tmp_path)
    assert values(tmp_path, 1, 2, 3, 4, 9) == ["1", None, "3", None, "9"]


def test_other_files_and_missing_folders_do_not_matter(few: None, tmp_path: Path) -> None:
    merge_streams(tmp_path / "missing", bool)
    for number in range(3):
        (tmp_path / f"{number}-x-y.arrows").write_bytes(b"of another version" * 10)
    assert len(merged(tmp_path, replaced=True)) == 3 and kept_records(tmp_path) == []


def test_streams_of_another_version_stay(few: None, tmp_path: Path) -> None:
    for run in range(1, 5):
        add(tmp_path, run, run)
    path = streams_in(tmp_path)[1]
    other = pa.ipc.open_stream(path.read_bytes()).read_all().replace_schema_metadata({"nfrun map": "3"})
    with pa.ipc.new_stream(path, other.schema) as writer:
        writer.write_table(other)
    assert merged(tmp_path, replaced=True) == ["1", "2", "4"]
    assert pa.ipc.open_stream(path.read_bytes()).read_all().equals(other)
