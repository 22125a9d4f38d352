"""Records what the function returned for a piece, in the process that called it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from nfrun.core.values import frozen
from nfrun.rows.piece import Piece
from nfrun.rows.plain_rows import PlainRows, plain_rows, together
from nfrun.rows.read_files import ENDING as READS
from nfrun.rows.read_files import ReadFiles
from nfrun.rows.returned import Computed, computed_by_type, computed_rows
from nfrun.rows.row_keys import KEY_BYTES
from nfrun.rows.segments import encoded
from nfrun.rows.writer import ResultWriter, SentResults
from nfrun.tables.ipc import open_file
from nfrun.tables.stored_form import frozen as frozen_table
from nfrun.tables.stored_form import read_all


class Recorder:
    """Writes results of pieces to a segment of its own. With `explode`, a row gives several. Thread-safe."""

    def __init__(self, explode: bool, writer: ResultWriter | SentResults) -> None:
        self._explode, self._writer = explode, writer

    def record(self, piece: Piece, value: Any, seconds: float = 0.0) -> None:
        """Keep what the function returned for a piece: a table or reader if it takes the table.

        `seconds` is how long the call took. Raises ReturnedError if the value does not fit the rows, FormatError, and
        HandoffError if a result cannot be written.
        """
        if not piece.row_wise:
            table = read_all(value) if isinstance(value, pa.RecordBatchReader) else frozen_table(value)
            self._writer.add(piece.keys, Computed(table, (table.num_rows,)), seconds)
        elif not piece.rows:
            table = computed_rows(value, 0, explode=self._explode).table
            self._writer.add(piece.keys, Computed(table, (table.num_rows,)), seconds)
        elif not self._explode and (plain := plain_rows(value, piece.rows)) is not None:
            self._writer.add(piece.keys, plain, seconds)
        else:
            parts = computed_by_type(value, piece.rows, explode=self._explode)
            for rows, computed in parts:
                self._writer.add(_keys_of(piece, rows), computed, seconds / len(parts))

    def note(self, key: bytes) -> None:
        """Keep a key that stands for no rows. Raises HandoffError."""
        self._writer.add(key, Computed(pa.table({}), (0,)), 0.0)

    def flush(self) -> None:
        """Write all results. Raises HandoffError."""
        self._writer.flush()

    def close(self) -> None:
        """Write all results and close the segment. Raises HandoffError."""
        self._writer.close()


def _keys_of(piece: Piece, rows: Sequence[int]) -> bytes:
    """Return the keys of some rows of a piece, by their indices; of all rows for none."""
    keys = piece.keys
    return b"".join([keys[KEY_BYTES * i : KEY_BYTES * (i + 1)] for i in rows]) if rows else keys


@frozen
class WorkerData:
    """What a worker process needs to compute pieces of a mapped node.

    `input` is the path of the Arrow IPC file of the mapped input. `folder` and `files` are where segments go, and how
    their names begin. `reads` are the files that count for the results already, as in `ReadFiles`. If they are `sent`,
    results are not written there, but taken for the process of the run, and so is what the calls have read.
    """

    input: str
    folder: str
    files: str
    explode: bool
    reads: Mapping[str, str]
    sent: bool = False

    def open(self) -> WorkerPieces:
        """Map the input. Raises HandoffError."""
        # The first table that a process makes of values takes a hundred times as long: that shall not delay the first
        # result.
        encoded(b"", None, together([PlainRows((("", str),), (("",),))]), 0.0)
        whole = open_file(Path(self.input))
        if self.sent:
            results = SentResults()
            return WorkerPieces(whole, Recorder(self.explode, results), lambda reads, obstacle: None, results.take)
        files, folder = f"{self.files}-{os.urandom(6).hex()}", Path(self.folder)
        reads = ReadFiles(folder / f"{files}{READS}", self.reads)
        writer = ResultWriter(folder, files, at_once=True)
        return WorkerPieces(whole, Recorder(self.explode, writer), reads.add)


class WorkerPieces:
    """The input of a mapped node in a worker process, and a segment of its own for results.

    A result is in the segment when `record` returns, so that nothing is sent to the run's process, unless it is taken
    by `take_records`.
    """

    def __init__(
        self,
        whole: pa.Table,
        recorder: Recorder,
        note_reads: Callable[[Mapping[str, str], str], None],
        take_records: Callable[[], bytes] = bytes,
    ) -> None:
        self._whole = whole
        self.note_reads = note_reads
        self.take_records = take_records
        self.record = recorder.record
        self.close = recorder.close

    def table(self, piece: Piece) -> pa.Table:
        """Return the rows of a piece, as a view of the file if they are adjacent."""
        return piece.table(self._whole)
