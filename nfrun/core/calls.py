"""Keeps track of the calls of one mapped node: which run, which are retried, and which have failed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from nfrun.core.errors import Cause
from nfrun.core.events import CallOutcome, Failure, OutputRef
from nfrun.core.map_spec import FailedCall, MapCounts, MapSpec, OpenedMap, PiecePath
from nfrun.core.pipeline import NOTHING, Retry
from nfrun.core.retries import FINAL, delay_after

MOST_RUNNING = 4096  # calls of one node, even if they take nothing of any resource
_LOST_BUDGET = 1  # a worker that dies costs its piece one more call
_PROGRESS_SECONDS = 0.1  # at least, between two reports of progress
ORDER_SECONDS = 0.01  # after that no other call of an order begins: what is left of it is ordered again
_MOST_PIECES = 256  # of an order
_SHARE = 2  # an order has at most the pieces that are left, divided by this and by the orders under way


class Calls:
    """The calls of one attempt at a mapped node. Pieces that were not called yet are only counted.

    An order has one call, or several for pieces that are called for the first time, if calls are short: then handing
    them on would take as long as they do. If calls are made `alone`, it has always one. `running` has the pieces and
    the number of tries by the number of the order. `waiting` has the pieces in back-off, with the time when it is over.
    `failure` is why the node fails: the call for `bad_piece`, or no single one. Then nothing is called but earlier
    pieces of orders, and halves of such, so that the first bad row among them is told. `seed` makes the jitter of
    delays repeatable. `inputs` are the outputs that the node reads. If they are `is_cold`, one call runs alone until it
    has begun.
    """

    def __init__(
        self,
        opened: OpenedMap,
        spec: MapSpec,
        retry: Retry,
        seed: str,
        inputs: Mapping[str, OutputRef] = NOTHING,
        *,
        alone: bool = True,
        is_cold: bool = False,
    ) -> None:
        self.opened = opened
        self.inputs = inputs
        self._pieces = opened.pieces
        self._count = opened.pieces.count
        self._spec = spec
        self._retry = retry
        self._seed = seed
        self._alone = alone
        self.is_cold = is_cold
        self._next = 0
        self._again: deque[PiecePath] = deque()  # halves, and pieces whose back-off is over
        self._left: deque[PiecePath] = deque()  # of orders that have ended before these were called
        self._bound: PiecePath | None = None  # no piece from this one on is called
        self._orders = 0
        self._recent = 0.0, 0.0  # the seconds of orders and their calls; each order halves what earlier ones count
        self._failures: dict[PiecePath, int] = {}
        self._losses: dict[PiecePath, int] = {}
        self._earlier: dict[PiecePath, int] = {}  # of halves: the calls for the pieces that they were part of
        self._called = 0
        self._busy = 0.0  # seconds of all orders
        self._done_rows = opened.reused
        self._failed_rows = 0
        self._told_at = float("-inf")
        self._held_by: PiecePath | None = None  # until a call that failed, as one for any piece would, is made again
        self.running: dict[int, tuple[tuple[PiecePath, ...], int]] = {}
        self.waiting: dict[PiecePath, float] = {}
        self.failed: list[FailedCall] = []
        self.failure: Failure | None = None
        self.bad_piece: PiecePath = ()
        self.lacking: dict[str, OutputRef] = {}  # outputs that are gone, by id
        self.is_queued = False  # whether the node stands in the ready queue

    @property
    def can_start(self) -> bool:
        """Whether another order may start now."""
        has_piece = bool(self._again) or (self._uncalled > 0 and self._held_by is None)
        return has_piece and len(self.running) < (1 if self.is_cold else MOST_RUNNING)

    @property
    def has_ended(self) -> bool:
        """Whether no call runs, and none is to be made."""
        return not self.running and not self.waiting and not self._again and not self._uncalled

    @property
    def _uncalled(self) -> int:
        """The number of pieces that are to be called and were not."""
        return len(self._left) + self._count - self._next

    @property
    def counts(self) -> MapCounts:
        """The rows and calls so far."""
        return MapCounts(self.opened.rows, self.opened.reused, self._failed_rows, self._called, self._busy)

    def start(self) -> tuple[int, tuple[PiecePath, ...], int]:
        """Start the next order. Returns its number, its pieces, and the number of tries for a piece, from 1."""
        tries = 1
        if self._again:
            piece = self._again.popleft()
            tries += self._failures.get(piece, 0) + self._losses.get(piece, 0)
            pieces: tuple[PiecePath, ...] = (piece,)
        else:
            pieces = self._take(self._size())
        self._orders += 1
        self._called += len(pieces)
        self.running[self._orders] = (pieces, tries)
        return self._orders, pieces, tries

    def begun(self) -> None:
        """Let several calls run at once: the function is imported, and the instance that calls share is made."""
        self.is_cold = False

    def resume(self, piece: PiecePath) -> None:
        """Call a piece again, whose back-off is over."""
        del self.waiting[piece]
        self._again.append(piece)

    def stop(self) -> None:
        """Start no other call."""
        self._stop_behind(())

    def end(self, now: float, outcome: CallOutcome, *, is_stopped: bool) -> PiecePath | None:
        """End an order. Returns the piece of its last call if that is in back-off now.

        If the run `is_stopped`, nothing is called again, and a call that was told to stop has not failed.
        """
        pieces, tries = self.running.pop(outcome.call)
        self._busy += outcome.duration
        failure = outcome.failure
        if len(pieces) > 1 and failure is not None and failure.cause is Cause.LOST and outcome.made is None:
            self._call_alone(pieces)
            return None
        made = outcome.made if outcome.made is not None else 0 if failure is not None else len(pieces)
        self._put_back(pieces[made + (failure is not None) :])
        self._recent = self._recent[0] / 2 + outcome.duration, self._recent[1] / 2 + made + (failure is not None)
        for piece in pieces[:made]:
            if tries > 1 or len(piece) > 1:
                self._forget(piece)
            self._done_rows += self._pieces.rows_of(piece)
        self.is_cold = self.is_cold and failure is not None and failure.is_certain
        if failure is None:
            self._held_by = None
            return None
        if failure.is_certain and self._held_by not in (None, pieces[made]) and tries == 1 and not is_stopped:
            self._left.extendleft(self._before_bound(pieces[made : made + 1]))
            return None  # one call finds out whether the next ones fail, too
        in_backoff = self._fail_piece(now, pieces[made], tries, failure, is_stopped=is_stopped)
        self._held_by = in_backoff if failure.is_certain else None
        return in_backoff

    def lack(self, call: int, lacking: Iterable[OutputRef]) -> None:
        """End an order that could not be made, since outputs that it reads are gone. No other order starts."""
        pieces, _ = self.running.pop(call)
        self._called -= len(pieces)
        self.lacking.update({ref.id: ref for ref in lacking})
        self.stop()

    def progress(self, now: float) -> tuple[int, MapCounts] | None:
        """Return how many rows have their result or their error, and the counts, if it is time to report them."""
        if now - self._told_at < _PROGRESS_SECONDS and not self.has_ended:
            return None
        self._told_at = now
        return self._done_rows, self.counts

    def _take(self, most: int) -> tuple[PiecePath, ...]:
        """Return the next pieces that were not called."""
        if self._left:
            return tuple([self._left.popleft() for _ in range(min(most, len(self._left)))])
        first, self._next = self._next, self._next + most
        return tuple([(i,) for i in range(first, self._next)])

    def _size(self) -> int:
        """Return how many pieces the next order gets: as many as are called in some milliseconds.

        It gets few if the last calls took long or if few are left, so that no slot waits for what another one has.
        """
        seconds, calls = self._recent
        if self._alone or not seconds:
            return 1
        share = self._uncalled // (_SHARE * (len(self.running) + 1))
        return max(1, min(round(ORDER_SECONDS * calls / seconds), share, _MOST_PIECES))

    def _put_back(self, pieces: Sequence[PiecePath]) -> None:
        """Take back pieces of an order that were not called."""
        self._called -= len(pieces)
        self._left.extendleft(reversed(self._before_bound(pieces)))

    def _call_alone(self, pieces: Sequence[PiecePath]) -> None:
        """Call each piece of an order alone: its worker was lost, and it is not known in which call."""
        self._called -= len(pieces) - 1
        self._again.extend(self._before_bound(pieces))

    def _before_bound(self, pieces: Iterable[PiecePath]) -> list[PiecePath]:
        return [piece for piece in pieces if self._bound is None or piece < self._bound]

    def _fail_piece(
        self, now: float, piece: PiecePath, tries: int, failure: Failure, *, is_stopped: bool
    ) -> PiecePath | None:
        """End a call that failed. Returns its piece if that is in back-off now."""
        if is_stopped and failure.cause in (Cause.CANCELLED, Cause.TIMEOUT):
            return None
        if failure.cause in FINAL:
            self._fail(failure)
        elif self.failure is None or (piece < self.bad_piece and not is_stopped):
            delay = None if is_stopped else self._delay(piece, failure)
            if delay is not None and (self.failure is None or not delay):
                self.waiting[piece] = now + delay
                return piece
            self._give_up(piece, tries, failure, is_stopped=is_stopped)
        return None

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
        """Start no other call but for halves of pieces before this one, and for such pieces of orders."""
        self._bound = piece if self._bound is None else min(piece, self._bound)
        self._next = self._count
        self._left = deque(self._before_bound(self._left))
        self._again = deque(half for half in self._again if len(half) > 1 and half < piece)
        self.waiting.clear()
