"""Streams: what is written is read again; what is torn or damaged is not."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from nfrun.core.errors import HandoffError
from nfrun.rows.recorder import ResultWriter
from nfrun.rows.results import Results, kept_records, read_stream
from nfrun.rows.returned import Computed
from nfrun.rows.row_keys import key_array
from nfrun.rows.stream_files import streams_in
from nfrun.rows.streams import START, Result, StreamFile, encoded


def key(number: int) -> bytes:
    return number.to_bytes(16, "little")


def record(*numbers: int, counts: list[int] | None = None) -> bytes:
    rows = [n for n, count in zip(numbers, counts or [1] * len(numbers), strict=True) for _ in range(count)]
    table = pa.table({"n": rows, "t": [str(n) for n in rows]})
    found = Computed(table, None if counts is None else tuple(counts))
    return encoded([Result(b"".join(map(key, numbers)), found, 0.5)]).to_pybytes()


def written(folder: Path, *records: bytes, name: str = "0000000001-a") -> Path:
    stream = StreamFile(folder, name)
    for each in records:
        stream.append(each)
    stream.close()
    return streams_in(folder, name)[-1]


def there(folder: Path, *numbers: int) -> list[int]:
    """Those of the numbers whose result is found, and is right."""
    results = Results(kept_records(folder))
    positions = results.find(key_array(b"".join(map(key, numbers)))).to_pylist()
    found = []
    for number, position in zip(numbers, positions, strict=True):
        if position is not None:
            (place,) = results.records_of(pa.array([position])).to_pylist()
            assert results.records[place].table()["n"][position - results.starts[place]].as_py() == number
            found.append(number)
    return found


def test_records_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = written(tmp_path, record(1, 2, 3), record(4, 5, counts=[2, 0]), record())
    first, second, third = read_stream(path)
    assert (first.keys.to_pylist(), first.counts) == ([key(1), key(2), key(3)], None)
    assert second.counts is not None
    assert (second.keys.to_pylist(), second.counts.to_pylist()) == ([key(4), key(5)], [2, 0])
    assert first.table().to_pydict() == {"n": [1, 2, 3], "t": ["1", "2", "3"]}
    assert second.table()["n"].to_pylist() == [4, 4]
    assert not third.table().num_rows and all(each.is_intact() for each in (first, second, third))
    assert [each.seconds for each in (first, second, third)] == [0.5] * 3
    assert path.stat().st_mode & 0o777 == 0o600


def test_any_arrow_program_reads_a_stream(tmp_path: Path) -> None:
    path = written(tmp_path, record(1, 2, 3), record(4))
    table = pa.ipc.open_stream(path.read_bytes()).read_all()
    assert table["keys"].to_pylist() == [b"".join(map(key, (1, 2, 3))), key(4)]
    assert [pa.ipc.open_stream(rows.as_buffer()).read_all().num_rows for rows in table["rows"]] == [3, 1]


def test_a_torn_tail_is_dropped_wherever_it_is_torn(tmp_path: Path) -> None:
    whole = written(tmp_path / "a", record(1), record(2), record(3)).read_bytes()
    ends = [len(START) + sum(len(record(n)) for n in range(1, last + 1)) for last in range(4)]
    folder = tmp_path / "b"
    folder.mkdir()
    for size in {*range(0, len(whole), 37), *ends, *(end - 1 for end in ends), *(end + 1 for end in ends[:-1])}:
        (folder / "0000000001-a.arrows").write_bytes(whole[:size])
        assert there(folder, 1, 2, 3) == [n for n in (1, 2, 3) if ends[n] <= size]


def test_damage_never_gives_a_wrong_result(tmp_path: Path) -> None:
    path = written(tmp_path, record(1, 2), record(3, counts=[1]), record(4))
    whole, chance, missed = path.read_bytes(), random.Random(7), 0
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        missed += 4 - len(there(tmp_path, 1, 2, 3, 4))  # `there` compares what is found
    assert missed > 300


def test_other_files_and_other_versions_are_ignored(tmp_path: Path) -> None:
    path = written(tmp_path, record(1))
    other = pa.ipc.open_stream(path.read_bytes()).read_all().replace_schema_metadata({"nfrun map": "3"})
    with pa.ipc.new_stream(tmp_path / "0000000001-b.arrows", other.schema) as writer:
        writer.write_table(other)
    for ending in ("arrows", "segment"):
        (tmp_path / f"0000000001-c.{ending}").write_bytes(os.urandom(500))
        (tmp_path / f"0000000001-d.{ending}").touch()
    (tmp_path / "0000000001-e.arrows.partial").write_bytes(path.read_bytes())
    assert there(tmp_path, 1) == [1] and len(kept_records(tmp_path)) == 1
    assert kept_records(tmp_path / "missing") == []


def test_of_two_results_that_of_the_later_run_counts(tmp_path: Path) -> None:
    for run, value in (("0000000009", "old"), ("0000000010", "new"), ("0000000010", "newer in the run")):
        made = encoded([Result(key(1), Computed(pa.table({"v": [value]})), 0.0)])
        StreamFile(tmp_path, f"{run}-a").append(made)
    results = Results(kept_records(tmp_path))
    (position,) = results.find(key_array(key(1))).to_pylist()
    assert results.records[position].table()["v"].to_pylist()[0].startswith("new")
    assert len(kept_records(tmp_path, without=("0000000010",))) == 1


def test_a_damaged_result_gives_way_to_another_one(tmp_path: Path) -> None:
    first = written(tmp_path, record(1), record(1, 2))
    damaged = bytearray(first.read_bytes())
    damaged[damaged.index(b"n", len(START))] ^= 1  # in the rows of the first record
    first.write_bytes(damaged)
    assert there(tmp_path, 1, 2) == [1, 2]


# ------------------------------------------------------------------ the writer


def computed(*values: Any, name: str = "v") -> Computed:
    return Computed(pa.table({name: list(values)}))


def test_results_that_arrive_together_become_one_record(tmp_path: Path) -> None:
    writer = ResultWriter(StreamFile(tmp_path, "0000000001-a"))
    with writer._writing:  # the thread waits until all have been added
        for number in range(100):
            writer.add(key(number), computed(number), 0.25)
        writer.add(key(100), computed("x", name="other"), 0.0)
        writer.add(key(101), Computed(pa.table({"v": [1, 2]}), (2,)), 0.0)
    writer.close()
    records = kept_records(tmp_path)
    assert 3 <= len(records) <= 6 and sum(len(each.keys) for each in records) == 102
    assert sum(each.seconds for each in records) == 25.0


def test_results_are_written_soon_without_more_of_them(tmp_path: Path) -> None:
    writer = ResultWriter(StreamFile(tmp_path, "0000000001-a"))
    writer.add(key(1), computed(1), 0.0)
    thread = writer._thread
    assert thread is not None
    while not kept_records(tmp_path):
        assert thread.is_alive()
    writer.close()
    assert not thread.is_alive()


@pytest.mark.parametrize("at_once", [True, False])
def test_large_results_are_written_by_those_who_add_them(at_once: bool, tmp_path: Path) -> None:
    writer = ResultWriter(StreamFile(tmp_path, "0000000001-a"), at_once=at_once)
    writer.add(key(1), computed(1 if at_once else "x" * (5 << 20)), 0.0)
    assert len(kept_records(tmp_path)) == 1
    writer.close()


def test_an_error_is_told_and_the_next_result_goes_to_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = ResultWriter(StreamFile(tmp_path / "s", "0000000001-a"), at_once=True)
    writer.add(key(1), computed(1), 0.0)
    write = os.write

    def full(file: int, data: Any) -> int:
        if len(data) > 500:
            return write(file, data[:100])
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(HandoffError, match=f"^cannot write to {tmp_path}/s: No space left on device$") as error:
            writer.add(key(2), computed(2), 0.0)
        assert error.value.errno == errno.ENOSPC
    writer.add(key(3), computed(3), 0.0)
    writer.close()
    assert len(streams_in(tmp_path / "s")) == 2
    assert sorted(each.keys[0].as_py() for each in kept_records(tmp_path / "s")) == [key(1), key(3)]


def test_an_error_in_the_background_is_told_by_the_next_call(tmp_path: Path) -> None:
    (tmp_path / "s").touch()  # no folder
    writer = ResultWriter(StreamFile(tmp_path / "s", "0000000001-a"))
    writer.add(key(1), computed(1), 0.0)
    thread = writer._thread
    while writer._error is None:
        assert thread is not None and thread.is_alive()
    with pytest.raises(HandoffError, match=f"^cannot write to {tmp_path}/s: File exists$"):
        writer.flush()
    writer.close()


def test_results_of_calls_that_were_given_up_are_dropped(tmp_path: Path) -> None:
    writer = ResultWriter(StreamFile(tmp_path, "0000000001-a"))
    writer.close()
    writer.add(key(1), computed(1), 0.0)
    writer.close()
    assert kept_records(tmp_path) == []
