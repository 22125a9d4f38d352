"""Small segments are put together: nothing is lost, and readers and writers are not disturbed."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from nfrun.rows import compaction
from nfrun.rows.compaction import compact, remove_replaced
from nfrun.rows.read_files import files_read, write_reads
from nfrun.rows.results import Results, kept_records
from nfrun.rows.row_keys import key_array
from nfrun.rows.segment_files import segment_totals, segments_in
from nfrun.rows.segments import SegmentFile, encoded


def key(number: int) -> bytes:
    return number.to_bytes(16, "little")


def add(folder: Path, run: int, *numbers: int, value: str = "", one_by_one: bool = False) -> SegmentFile:
    segment = SegmentFile(folder, f"{run:010}-{run:012x}")
    for group in [[n] for n in numbers] if one_by_one else [numbers]:
        table = pa.table({"v": [f"{n}{value}" for n in group]})
        segment.append(encoded(b"".join(map(key, group)), None, table, 0.5))
    segment.close()
    return segment


def values(folder: Path, *numbers: int, without: tuple[str, ...] = ()) -> list[str | None]:
    results = Results(kept_records(folder, without=without))
    positions = results.find(key_array(b"".join(map(key, numbers))))
    found: list[str | None] = []
    for position, number in zip(positions.to_pylist(), results.records_of(positions).to_pylist(), strict=True):
        known = number is not None
        found.append(results.records[number].table()["v"][position - results.starts[number]].as_py() if known else None)
    return found


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four small segments are many, and five records."""
    monkeypatch.setattr(compaction, "_MOST_SMALL", 3)
    monkeypatch.setattr(compaction, "_RECORDS", 4)


def test_many_small_segments_become_one(few: None, tmp_path: Path) -> None:
    for run in range(1, 4):
        add(tmp_path, run, run, 10 + run)
    compact(tmp_path)
    assert len(segments_in(tmp_path)) == 3
    add(tmp_path, 4, 4, 1, value=" again")
    kept = kept_records(tmp_path)
    compact(tmp_path)
    (one,) = segments_in(tmp_path)
    assert one.name.startswith("0000000004-") and segment_totals(one) == (1, 2.0)
    assert values(tmp_path, 1, 2, 3, 4, 11, 12, 13, 14) == ["1 again", "2", "3", "4 again", "11", "12", "13", None]
    assert sorted(row for each in kept for row in each.table()["v"].to_pylist())[0] == "1"  # a reader has its view


def test_a_segment_with_many_small_records_is_written_again(few: None, tmp_path: Path) -> None:
    add(tmp_path, 1, *range(100), one_by_one=True)
    add(tmp_path, 2, *range(200, 204), one_by_one=True)
    compact(tmp_path)
    assert [segment_totals(path) for path in segments_in(tmp_path)] == [(1, 50.0), (4, 2.0)]
    assert values(tmp_path, *range(100)) == [str(n) for n in range(100)]
    compact(tmp_path)
    assert [segment_totals(path)[0] for path in segments_in(tmp_path)] == [1, 4]


def test_results_stay_apart_if_their_calls_have_read_other_files(few: None, tmp_path: Path) -> None:
    reads = {1: {"a": "x"}, 2: {"a": "x"}, 3: {"a": "y"}, 4: {}, 5: {}}
    for run, found in reads.items():
        add(tmp_path, run, run)
        if found:
            write_reads(tmp_path / f"{run:010}-{run:012x}.reads", found)
    compact(tmp_path)
    names = [path.name[:10] for path in segments_in(tmp_path)]
    assert names == ["0000000002", "0000000003", "0000000005"]
    by_run = {name[:10]: found for name, found in files_read(tmp_path).items()}
    assert by_run == {"0000000002": {"a": "x"}, "0000000003": {"a": "y"}} and len(files_read(tmp_path)) == 2
    outdated = tuple(name for name, found in files_read(tmp_path).items() if found == {"a": "x"})
    assert values(tmp_path, 1, 2, 3, 4, 5, without=outdated) == [None, None, "3", "4", "5"]


def test_a_segment_that_is_being_written_is_left_alone(few: None, tmp_path: Path) -> None:
    for run in range(1, 5):
        add(tmp_path, run, run)
    writer = SegmentFile(tmp_path, "0000000005-a")
    writer.append(encoded(key(5), None, pa.table({"v": ["5"]}), 0.0))
    compact(tmp_path)
    assert [path.name[:10] for path in segments_in(tmp_path)] == ["0000000004", "0000000005"]
    writer.close()
    for run in range(6, 9):
        add(tmp_path, run, run)
    compact(tmp_path)
    assert len(segments_in(tmp_path)) == 1 and values(tmp_path, 1, 5) == ["1", "5"]


def test_segments_all_of_whose_results_were_made_again_are_removed(tmp_path: Path) -> None:
    add(tmp_path, 1, 1, 2)
    add(tmp_path, 2, 2, 3)
    add(tmp_path, 3, 1, 2, value=" new")
    remove_replaced(tmp_path, "0000000003-")
    assert [path.name[:10] for path in segments_in(tmp_path)] == ["0000000002", "0000000003"]
    assert values(tmp_path, 1, 2, 3) == ["1 new", "2 new", "3"]


def test_damaged_results_are_left_out(few: None, tmp_path: Path) -> None:
    for run in range(1, 5):
        add(tmp_path, run, run)
    path = segments_in(tmp_path)[1]
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    compact(tmp_path)
    assert values(tmp_path, 1, 2, 3, 4) == ["1", None, "3", "4"]


def test_other_files_and_missing_folders_do_not_matter(few: None, tmp_path: Path) -> None:
    compact(tmp_path / "missing")
    for number in range(5):
        (tmp_path / f"{number}-x-y.segment").write_bytes(b"of another version" * 10)
    compact(tmp_path)
    assert len(segments_in(tmp_path)) == 5
