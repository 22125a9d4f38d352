"""Keeps the calls of one mapped node: those that run, those that are to be made again, and what has failed."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from nfrun.core.errors import Cause
from nfrun.core.events import Failure, OutputRef
from nfrun.core.map_counts import FailedCall, MapCounts, OpenedMap, PiecePath
from nfrun.core.map_spec import MapSpec
from nfrun.core.pipeline import NOTHING, Retry
from nfrun.core.retries import FINAL, delay_after

MOST_RUNNING = 4096  # calls of one node, even if they take nothing of any resource
_LOST_BUDGET = 1  # a worker that dies costs its piece one more call
_PROGRESS_SECONDS = 0.1  # at least, between two reports of progress


class Calls:
    """The calls of one attempt at a mapped node. Pieces that were not called yet are only counted.

    `running` has the piece and the number of its tries by the number of the call. `waiting` has the pieces in back-off,
    with the time when it is over. `failure` is why the node fails: the call for `bad_piece`, or no single one. Then
    nothing is called but the halves of earlier pieces, so that the first bad row among them is told. `seed` makes the
    jitter of delays repeatable. `inputs` are the outputs that the node reads.
    """

    def __init__(
        self, opened: OpenedMap, spec: MapSpec, retry: Retry, seed: str, inputs: Mapping[str, OutputRef] = NOTHING
    ) -> None:
        self.opened = opened
        self.inputs = inputs
        self._pieces = opened.pieces
        self._count = opened.pieces.count
        self._spec = spec
        self._retry = retry
        self._seed = seed
        self._next = 0
        self._again: deque[PiecePath] = deque()  # halves, and pieces whose back-off is over
        self._failures: dict[PiecePath, int] = {}
        self._losses: dict[PiecePath, int] = {}
        self._earlier: dict[PiecePath, int] = {}  # of halves: the calls for the pieces that they were part of
        self._started = 0
        self._done_rows = opened.reused
        self._failed_rows = 0
        self._told_at = float("-inf")
        self._is_held = False  # until a call that failed, as one for any piece would, is made again
        self.running: dict[int, tuple[PiecePath, int]] = {}
        self.waiting: dict[PiecePath, float] = {}
        self.failed: list[FailedCall] = []
        self.failure: Failure | None = None
        self.bad_piece: PiecePath = ()
        self.is_queued = False  # whether the node stands in the ready queue

    @property
    def can_start(self) -> bool:
        """Whether another call may start now."""
        has_piece = bool(self._again) or (self._next < self._count and not self._is_held)
        return has_piece and len(self.running) < MOST_RUNNING

    @property
    def has_ended(self) -> bool:
        """Whether no call runs, and none is to be made."""
        return not self.running and not self.waiting and not self._again and self._next >= self._count

    @property
    def counts(self) -> MapCounts:
        """The rows and calls so far."""
        return MapCounts(self.opened.rows, self.opened.reused, self._failed_rows, self._started)

    def start(self) -> tuple[int, PiecePath, int]:
        """Start the next call. Returns its number, its piece, and the number of tries for the piece, from 1."""
        if self._again:
            piece = self._again.popleft()
        else:
            piece = (self._next,)
            self._next += 1
        self._started += 1
        tries = self._failures.get(piece, 0) + self._losses.get(piece, 0) + 1
        self.running[self._started] = (piece, tries)
        return self._started, piece, tries

    def resume(self, piece: PiecePath) -> None:
        """Call a piece again, whose back-off is over."""
        del self.waiting[piece]
        self._again.append(piece)

    def stop(self) -> None:
        """Start no other call."""
        self._stop_behind(())

    def end(self, now: float, call: int, failure: Failure | None, *, is_stopped: bool) -> PiecePath | None:
        """End a call. Returns its piece if that is in back-off now.

        If the run `is_stopped`, nothing is called again, and a call that was told to stop has not failed.
        """
        piece, tries = self.running.pop(call)
        self._is_held = failure is not None and failure.is_certain
        if failure is None:
            if tries > 1 or len(piece) > 1:
                self._forget(piece)
            self._done_rows += self._pieces.rows_of(piece)
        elif is_stopped and failure.cause in (Cause.CANCELLED, Cause.TIMEOUT):
            return None
        elif failure.cause in FINAL:
            self._fail(failure)
        elif self.failure is None or (piece < self.bad_piece and not is_stopped):
            delay = None if is_stopped else self._delay(piece, failure)
            if delay is not None and (self.failure is None or not delay):
                self.waiting[piece] = now + delay
                return piece
            self._give_up(piece, tries, failure, is_stopped=is_stopped)
        return None

    def progress(self, now: float) -> tuple[int, MapCounts] | None:
        """Return how many rows have their result or their error, and the counts, if it is time to report them."""
        if now - self._told_at < _PROGRESS_SECONDS and not self.has_ended:
            return None
        self._told_at = now
        return self._done_rows, self.counts

    def _delay(self, piece: PiecePath, failure: Failure) -> float | None:
        """Count a failed call. Returns the seconds until the next call for the piece, None if there is none."""
        if failure.cause is Cause.LOST:
            self._losses[piece] = losses = self._losses.get(piece, 0) + 1
            return 0.0 if losses <= _LOST_BUDGET else None
        self._failures[piece] = failures = self._failures.get(piece, 0) + 1
        if len(piece) > 1 and not failure.is_certain:
            return None  # each half is tried once
        return delay_after(failures, failure, self._retry, f"{self._seed}:{piece[0]}:{failures}")

    def _give_up(self, piece: PiecePath, tries: int, failure: Failure, *, is_stopped: bool) -> None:
        """Call the halves of a piece whose calls have failed, or count its rows as failed."""
        calls = self._forget(piece) + tries
        if failure.is_certain:
            self._fail(failure)
            return
        # A server that asks for a long pause has nothing against single rows.
        if not is_stopped and failure.retry_after is None and self._pieces.can_halve(piece):
            for half in ((*piece, 1), (*piece, 0)):
                self._again.appendleft(half)
                self._earlier[half] = calls
            return
        rows = self._pieces.rows_of(piece)
        self._failed_rows += rows
        self._done_rows += rows
        if not self._spec.collects:
            self.failure, self.bad_piece = failure, piece
            self._stop_behind(piece)
            return
        self.failed.append(FailedCall(piece, failure.type, failure.message, calls))
        if self._spec.is_past(self._failed_rows, self.opened.rows):
            self._fail(failure)

    def _forget(self, piece: PiecePath) -> int:
        """Forget the calls for a piece. Returns how many there were for those that it is a half of."""
        self._failures.pop(piece, None)
        self._losses.pop(piece, None)
        return self._earlier.pop(piece, 0)

    def _fail(self, failure: Failure) -> None:
        """Let the node fail, for another reason than a piece."""
        self.failure = self.failure or failure
        self.stop()

    def _stop_behind(self, piece: PiecePath) -> None:
        """Start no other call but for halves of pieces before this one."""
        self._next = self._count
        self._again = deque(half for half in self._again if len(half) > 1 and half < piece)
        self.waiting.clear()
