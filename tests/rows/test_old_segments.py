"""Results that nfrun 0.1 has left in segments are found, and written as a stream by the next run that computes rows."""

from __future__ import annotations

import struct
from pathlib import Path

import pyarrow as pa
import pytest
from xxhash import xxh3_64_intdigest

from nfrun.core.map_spec import KeptRows, MapSpec
from nfrun.rows.merge import merge_streams
from nfrun.rows.results import Results, kept_records
from nfrun.rows.row_keys import key_array, row_keys
from nfrun.rows.stream_files import write_reads
from nfrun.rows.work import MapWork

START = b"nfrun map segment 1\n".ljust(64, b"\0")


def old_record(keys: bytes, table: pa.Table, counts: list[int] | None = None) -> bytes:
    """A record as nfrun 0.1 has written it."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body, head = sink.getvalue().to_pybytes(), keys + struct.pack(f"<{len(counts or ())}q", *counts or ())
    body, head = body + bytes(-len(body) % 64), head + bytes(-len(head) % 64)
    sizes = len(keys) // 16, table.num_rows, len(head), len(body)
    start = struct.pack("<4sIQQQQdQ", b"rows", counts is not None, *sizes, 0.5, xxh3_64_intdigest(body))
    return start + struct.pack("<Q", xxh3_64_intdigest(start + head)) + head + body


def keys(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(16, "little") for number in numbers)


def test_segments_are_read_until_they_are_torn(tmp_path: Path) -> None:
    first = old_record(keys(1, 2), pa.table({"v": ["a", "b"]}))
    second = old_record(keys(3, 4), pa.table({"v": [1, 2, 3]}), [0, 3])
    path = tmp_path / "0000000001-a.segment"
    path.write_bytes(START + first + second)
    one, two = kept_records(tmp_path)
    assert (one.table().to_pydict(), one.counts, one.seconds) == ({"v": ["a", "b"]}, None, 0.5)
    assert two.counts is not None and two.counts.to_pylist() == [0, 3]
    assert one.is_intact() and two.is_intact() and two.keys.equals(key_array(keys(3, 4)))
    for size in range(0, len(START + first + second), 7):
        path.write_bytes((START + first + second)[:size])
        assert len(kept_records(tmp_path)) == (size >= len(START + first))


@pytest.mark.parametrize("place", [3, 70, 64 + 70, -70])
def test_a_damaged_record_is_not_used(place: int, tmp_path: Path) -> None:
    data = bytearray(START + old_record(keys(1), pa.table({"v": ["a"]})))
    data[place] ^= 1
    (tmp_path / "0000000001-a.segment").write_bytes(data)
    assert Results(kept_records(tmp_path)).find(key_array(keys(1))).null_count == 1


def test_no_row_is_computed_again_and_the_next_run_writes_all_as_streams(tmp_path: Path) -> None:
    table = pa.table({"n": [1, 2, 3]})
    rows = row_keys(table, ["n"]).buffers()[1].to_pybytes()
    (tmp_path / "0000000001-a-b.segment").write_bytes(START + old_record(rows[:32], pa.table({"v": ["a", "b"]})))
    write_reads(tmp_path / "0000000001-a.reads", {"f": "1"})
    opened = MapWork(table, MapSpec("x"), ("n",), KeptRows(str(tmp_path), "0000000002", ended="0000000002"), name="v")
    assert opened.reused == 2
    opened.record(opened.piece((0,)), ["c"])
    assert opened.joined().read_all()["v"].to_pylist() == ["a", "b", "c"]
    opened.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names[:2] == ["0000000001-a-b.arrows", "0000000001-a.reads"] and len(names) == 3
    again = MapWork(table, MapSpec("x"), ("n",), KeptRows(str(tmp_path), "0000000003"), name="v")
    assert again.reused == 3


def test_a_kill_while_segments_become_a_stream_loses_nothing(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        row = old_record(keys(number), pa.table({"v": [f"{number}"]}))
        (tmp_path / f"{number:010}-a.segment").write_bytes(START + row)
    last = tmp_path / f"{3:010}-a.segment"
    before = last.read_bytes()
    merge_streams(tmp_path, bool)
    last.write_bytes(before)  # killed after the stream was written, and the others removed
    merge_streams(tmp_path, bool)
    assert [path.name for path in tmp_path.iterdir()] == [last.with_suffix(".arrows").name]
    assert Results(kept_records(tmp_path)).find(key_array(keys(1, 2, 3))).null_count == 0
