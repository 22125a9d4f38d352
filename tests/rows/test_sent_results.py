"""Tests of results of calls that another machine has made: they are sent as records, and added to a stream."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from nfrun.core.errors import HandoffError
from nfrun.core.observation import Observation
from nfrun.rows.piece import Piece
from nfrun.rows.recorder import ResultWriter, SentRecords, WorkerData, WorkerMap
from nfrun.rows.results import Results, kept_records
from nfrun.rows.row_keys import key_array
from nfrun.rows.streams import StreamFile
from nfrun.tables.ipc import write_file

KEYS = [bytes([i]) * 16 for i in range(4)]


def records() -> bytes:
    """The results of two calls, of which the second gives rows of two types."""
    sent = SentRecords()
    writer = ResultWriter(sent, at_once=True)
    writer.record(Piece(KEYS[0], 0, 1), [{"n": 1}])
    writer.record(Piece(b"".join(KEYS[1:3]), 1, 3), [{"n": 2}, {"n": "3"}])
    return sent.take()


def test_sent_results_are_found_like_those_of_this_machine(tmp_path: Path) -> None:
    writer = ResultWriter(StreamFile(tmp_path, "1-a"))
    writer.add_records(records())
    writer.record(Piece(KEYS[3], 3, 4), [{"n": 4}])
    writer.close()
    found = Results(kept_records(tmp_path))
    assert found.find(key_array(b"".join(KEYS))).null_count == 0
    assert len(list(tmp_path.iterdir())) == 1, "all are in one stream"


def test_results_are_taken_once() -> None:
    sent = SentRecords()
    ResultWriter(sent, at_once=True).record(Piece(KEYS[0], 0, 1), [{"n": 1}])
    assert sent.take()
    assert sent.take() == b""


@pytest.mark.parametrize("damage", [lambda data: data[:-8], lambda data: data + b"x", lambda data: b"x" * len(data)])
def test_damaged_records_are_refused(tmp_path: Path, damage: object) -> None:
    writer = ResultWriter(StreamFile(tmp_path, "1-a"))
    assert callable(damage)
    with pytest.raises(HandoffError, match="the results of a call were damaged on their way"):
        writer.add_records(damage(records()))
    assert not list(tmp_path.iterdir())


def test_a_flipped_bit_in_the_rows_is_seen(tmp_path: Path) -> None:
    data = bytearray(records())
    place = data.rindex((2).to_bytes(8, "little"))
    data[place] ^= 4
    with pytest.raises(HandoffError):
        ResultWriter(StreamFile(tmp_path, "1-a")).add_records(bytes(data))


def test_results_of_a_call_that_was_given_up_come_too_late(tmp_path: Path) -> None:
    writer = ResultWriter(StreamFile(tmp_path, "1-a"))
    writer.close()
    writer.add_records(records())
    assert not list(tmp_path.iterdir())


def test_the_worker_of_a_cluster_writes_no_results(tmp_path: Path) -> None:
    write_file(pa.table({"n": [1, 2]}), tmp_path / "input.arrow")
    data = WorkerData(str(tmp_path / "input.arrow"), str(tmp_path / "nowhere"), "x", False, {}, sent=True)
    pieces = WorkerMap(data, {})
    piece = Piece(KEYS[0] + KEYS[1], 0, 2)
    pieces.record(piece, {"m": pieces.table(piece)["n"]}, 0.5)
    pieces.note(Observation({"f.txt": "1"}))
    assert pieces.take_records()
    pieces.close()
    assert not (tmp_path / "nowhere").exists()
