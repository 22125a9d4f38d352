"""Keeps what the function returned for a piece, and writes it to a stream: in the background, or at once."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from xxhash import xxh3_64_digest

from nfrun.core.errors import HandoffError
from nfrun.core.map_spec import PiecePath
from nfrun.core.values import frozen
from nfrun.rows.piece import Piece
from nfrun.rows.returned import Computed, PlainRows, computed_by_type, computed_rows, plain_rows, together
from nfrun.rows.row_keys import KEY_BYTES
from nfrun.rows.stream_files import READS, CallNotes, ReadFiles
from nfrun.rows.streams import Result, StreamFile, encoded, join_results
from nfrun.tables.ipc import open_file
from nfrun.tables.stored_form import frozen as frozen_table
from nfrun.tables.stored_form import read_all

if TYPE_CHECKING:
    from nfrun.code.watch.run_watch import RunWatch

_DELAY = 0.03  # seconds; a result is on disk 50 ms after its call has ended
_MOST_BYTES = 4 << 20  # that wait to be written
_CHECKSUM_BYTES = 8  # before records that another machine sends


@frozen
class WorkerData:
    """The data with which a worker process computes pieces of a mapped node.

    `input` is the path of the Arrow IPC file of the mapped input. `folder` and `files` are where streams go, and how
    their names begin. `reads` are the files that count for the results already, as in `ReadFiles`. If they are `sent`,
    results are not written there, but taken for the process of the run, and so is what the calls have read.
    """

    input: str
    folder: str
    files: str
    explode: bool
    reads: Mapping[str, str]
    sent: bool = False


class ResultWriter:
    """Writes results of pieces to a stream, or to what stands in for one. Thread-safe.

    With `explode`, a row gives several.

    With `at_once`, a result is on disk when `add` returns. Otherwise results that arrive within 30 ms become one
    record, so that results of single rows take little space. If much waits, `add` writes it, so that the memory is
    bounded. Nothing is synced: results survive the end of the process, not that of the machine.
    """

    def __init__(self, file: StreamFile | SentRecords, *, explode: bool = False, at_once: bool = False) -> None:
        self._file, self._explode, self._at_once = file, explode, at_once
        self._waiting: list[tuple[bytes, Computed | PlainRows, float]] = []
        self._waiting_bytes = 0
        self._error: HandoffError | None = None
        self._closed = False
        self._change = threading.Condition()
        self._writing = threading.Lock()  # held while the file is written; taken before `_change`
        self._thread: threading.Thread | None = None

    def record(self, piece: Piece, value: Any, seconds: float = 0.0) -> None:
        """Keep what the function returned for a piece: a table or reader if it takes the table.

        `seconds` is how long the call took. Raises ReturnedError if the value does not fit the rows, FormatError, and
        HandoffError if a result cannot be written.
        """
        if not piece.row_wise:
            table = read_all(value) if isinstance(value, pa.RecordBatchReader) else frozen_table(value)
            self.add(piece.keys, Computed(table, (table.num_rows,)), seconds)
        elif not piece.rows:
            table = computed_rows(value, 0, explode=self._explode).table
            self.add(piece.keys, Computed(table, (table.num_rows,)), seconds)
        elif not self._explode and (plain := plain_rows(value, piece.rows)) is not None:
            self.add(piece.keys, plain, seconds)
        else:
            parts = computed_by_type(value, piece.rows, explode=self._explode)
            for rows, computed in parts:
                self.add(_keys_of(piece, rows), computed, seconds / len(parts))

    def note(self, key: bytes) -> None:
        """Keep a key that stands for no rows. Raises HandoffError."""
        self.add(key, Computed(pa.table({}), (0,)), 0.0)

    def add(self, keys: bytes, computed: Computed | PlainRows, seconds: float) -> None:
        """Write the result of a call: the keys of its units, their rows, and the seconds that it took.

        Raises HandoffError, also for an earlier result that could not be written.
        """
        with self._change:
            self._raise_error()
            if self._closed:
                return  # of a call that was given up
            self._waiting.append((keys, computed, seconds))
            self._waiting_bytes += computed.nbytes
            is_full = self._at_once or self._waiting_bytes > _MOST_BYTES
            if not is_full:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="nfrun-map-results", daemon=True)
                    self._thread.start()
                if len(self._waiting) == 1:  # later ones wait with it: each wake-up takes the GIL
                    self._change.notify()
        if is_full:
            self.flush()

    def add_records(self, records: bytes) -> None:
        """Write results of calls that another machine has made, as `SentRecords` gave them. Raises HandoffError."""
        checksum, data = records[:_CHECKSUM_BYTES], records[_CHECKSUM_BYTES:]
        if xxh3_64_digest(data) != checksum:
            raise HandoffError("the results of a call were damaged on their way")
        with self._writing:
            if not self._closed:
                self._file.append(data)

    def flush(self) -> None:
        """Write all results that were added. Raises HandoffError."""
        with self._writing:
            with self._change:
                waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
            if waiting:
                self._file.append(encoded(join_results(_results(waiting))))
        with self._change:
            self._raise_error()

    def close(self) -> None:
        """Write the rest, and close the file. Raises HandoffError."""
        with self._change:
            self._closed = True
            self._change.notify()
        try:
            self.flush()
        finally:
            if self._thread is not None:
                self._thread.join()
            with self._writing:
                self._file.close()

    def _raise_error(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _run(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: bool(self._waiting) or self._closed)
                if self._closed:
                    return
                until = time.monotonic() + _DELAY
                self._change.wait_for(lambda: self._closed, max(0.0, until - time.monotonic()))
            try:
                self.flush()
            except HandoffError as error:
                with self._change:
                    self._error = error


def _keys_of(piece: Piece, rows: Sequence[int]) -> bytes:
    """Return the keys of some rows of a piece, by their indices; of all rows for none."""
    keys = piece.keys
    return b"".join([keys[KEY_BYTES * i : KEY_BYTES * (i + 1)] for i in rows]) if rows else keys


class SentRecords:
    """Records of results that are kept in memory until they are taken, in place of a `StreamFile`."""

    def __init__(self) -> None:
        self._records: list[pa.Buffer] = []

    def append(self, records: pa.Buffer) -> None:
        """Keep records."""
        self._records.append(records)

    def take(self) -> bytes:
        """Return all records since the last time, behind their checksum, for `ResultWriter.add_records`."""
        taken, self._records = b"".join(self._records), []
        return xxh3_64_digest(taken) + taken if taken else b""

    def close(self) -> None:
        """Drop the records."""
        self._records.clear()


class WorkerMap(CallNotes):
    """The pieces of a mapped input in a worker process, which gets those of an order by `take`.

    It has the methods of `OpenMap` by which calls are made, and what those of the last order have used. A result is in
    a stream of its own when `record` returns, so that nothing is sent to the run's process, unless it is taken by
    `take_records`. `on_piece` is called with the piece of each call. Raises HandoffError if the input cannot be
    mapped.
    """

    def __init__(
        self,
        data: WorkerData,
        inputs: Mapping[str, Any],
        watch: RunWatch | None = None,
        on_piece: Callable[[Piece], object] = lambda piece: None,
    ) -> None:
        # The first table that a process makes of values takes a hundred times as long: that shall not delay the first
        # result.
        encoded([Result(b"", Computed(together([PlainRows((("", str),), (("",),))])), 0.0)])
        self.inputs = inputs
        self._on_piece = on_piece
        self._order: Mapping[PiecePath, Piece] = {}
        self._whole = open_file(Path(data.input))
        self.take_records: Callable[[], bytes] = bytes
        reads: ReadFiles | None = None
        file: StreamFile | SentRecords
        if data.sent:
            file = sent = SentRecords()
            self.take_records = sent.take
        else:
            files, folder = f"{data.files}-{os.urandom(6).hex()}", Path(data.folder)
            reads = ReadFiles(folder / f"{files}{READS}", data.reads)
            file = StreamFile(folder, files)
        results = ResultWriter(file, explode=data.explode, at_once=True)
        self.record, self.close = results.record, results.close
        super().__init__((lambda *found: None) if reads is None else reads.add, watch)

    def take(self, order: Mapping[PiecePath, Piece]) -> None:
        """Begin an order of calls for these pieces."""
        self._order = order
        self.clear()

    def piece(self, path: PiecePath) -> Piece:
        piece = self._order[path]
        self._on_piece(piece)
        return piece

    def table(self, piece: Piece) -> pa.Table:
        """Return the rows of a piece, as a view of the file if they are adjacent."""
        return piece.table(self._whole)


def _results(waiting: Iterable[tuple[bytes, Computed | PlainRows, float]]) -> list[Result]:
    """Return the results as tables: of plain rows with the same columns, one."""
    found: list[Result] = []
    groups: dict[tuple[tuple[str, type], ...], list[tuple[bytes, PlainRows, float]]] = {}
    for keys, computed, seconds in waiting:
        if isinstance(computed, PlainRows):
            groups.setdefault(computed.kinds, []).append((keys, computed, seconds))
        else:
            found.append(Result(keys, computed, seconds))
    for group in groups.values():
        table = together([plain for _, plain, _ in group])
        found.append(Result(b"".join([keys for keys, *_ in group]), Computed(table), sum(each[2] for each in group)))
    return found
