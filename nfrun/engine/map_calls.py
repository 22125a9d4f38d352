"""Makes the calls of mapped nodes, on threads and on the event loop."""

from __future__ import annotations

import time
from contextvars import Context
from typing import TYPE_CHECKING, Any

from nfrun.core.calls import ORDER_SECONDS
from nfrun.core.errors import Cause, NodeError
from nfrun.core.events import CallStarted, Failure, Outcome, nfrun_failure
from nfrun.core.map_spec import KeptRows, OpenedMap, PiecePath
from nfrun.core.values import replace
from nfrun.engine.attempt_context import (
    CANCELLED,
    AttemptContext,
    AttemptSettings,
    RunCoroutine,
    new_context,
    with_settings_kept,
)
from nfrun.nodes.base import CancelToken
from nfrun.nodes.mapped_run import open_work
from nfrun.nodes.registry import KINDS
from nfrun.rows.open_map import CallsFailed, OpenMap
from nfrun.rows.piece import Piece
from nfrun.rows.returned import ReturnedError, WrongLength
from nfrun.system.logs.print_capture import current_attempt

if TYPE_CHECKING:
    from nfrun.engine.attempt_context import PieceSource


class CallContext(AttemptContext):
    """The `NodeContext` of one call: `attempt` counts the calls for its piece. Its progress is that of the rows."""

    __slots__ = ("_has_begun", "_key")

    def __init__(
        self, settings: AttemptSettings, start: CallStarted, cancel_token: CancelToken, run_coroutine: RunCoroutine
    ) -> None:
        super().__init__(settings, start, cancel_token, run_coroutine)
        self.attempt = start.tries
        self._key = start.key
        self._has_begun = False

    def begin(self, *, imported: bool = False) -> None:
        """Count the timeout of the call from now: the function is imported, and an instance of a class is made."""
        super().begin(imported=imported)
        self._has_begun = True
        if self.node.timeout is not None or self._key[2] == 1:  # others may wait for the first one
            self.settings.on_begun(*self._key)

    def progress(self, done: float, total: float | None = None) -> None:
        """Do nothing: the rows of all calls together are the progress of the node."""

    def describe_failure(self, error: BaseException) -> Failure:
        """Return the failure; no row is to blame if the function cannot be imported, or its class not be made."""
        failure = super().describe_failure(error)
        return failure if self._has_begun else replace(failure, is_certain=True)


def make_calls(
    settings: AttemptSettings, start: CallStarted, cancel_token: CancelToken, run_coroutine: RunCoroutine
) -> Outcome:
    """Make the calls of an order on this thread, until one fails or it has taken long enough.

    Never raises: an error becomes a failure in the outcome.
    """
    open_map, state = settings.open_maps[start.node, start.attempt], settings.process_state
    settings.contention.begin()
    began = time.perf_counter()
    made, failure = 0, None
    for path in start.pieces:
        context = CallContext(settings, start, cancel_token, run_coroutine)
        failure = context_of(settings, start).run(_call, context, open_map, path)
        if failure is not None:
            break
        made += 1
        is_spent = state is not None and state.spent
        if is_spent or cancel_token.cancelled or time.perf_counter() - began > ORDER_SECONDS:
            break
    duration = time.perf_counter() - began
    cpu, gil_wait = settings.contention.end()
    open_map.used(cpu, min(gil_wait, max(0.0, duration - cpu)))
    return start.outcome(failure, duration=duration, made=made)


async def make_call_on_loop(settings: AttemptSettings, start: CallStarted, cancel_token: CancelToken) -> Outcome:
    """Make a call of a coroutine function on the event loop of this thread. Never raises."""
    open_map = settings.open_maps[start.node, start.attempt]
    context = CallContext(settings, start, cancel_token, _refuse)
    maps = KINDS[context.node.kind].maps
    assert maps is not None and maps.call_async is not None
    failure: Failure | None = None
    began = time.perf_counter()
    try:
        piece = open_map.piece(start.pieces[0])
        value = await maps.call_async(context, open_map.table(piece), open_map.inputs)
        _record(context, open_map, piece, value, time.perf_counter() - began)
    except CallsFailed as failed:
        failure = failed.failure
    except BaseException as error:
        failure = context.describe_failure(error)
    finally:
        context.has_ended = True
        context.remove_scratch()
    return start.outcome(failure, duration=time.perf_counter() - began)


def context_of(settings: AttemptSettings, start: CallStarted) -> Context:
    """Return the context variables for a call."""
    found = new_context(settings.memo)
    found.run(current_attempt.set, (start.node, start.attempt, settings.logs))
    return found


def _call(context: CallContext, open_map: PieceSource, path: PiecePath) -> Failure | None:
    """Make a call for a piece, in context variables of its own. Returns why it failed."""
    settings, failure = context.settings, None
    state = settings.process_state
    if state is not None:
        state.reset()
    began = time.perf_counter()
    try:
        piece = open_map.piece(path)
        maps = KINDS[context.node.kind].maps
        assert maps is not None
        table, inputs = open_map.table(piece), open_map.inputs
        value = with_settings_kept(settings.memo, lambda: maps.call(context, table, inputs))
        _record(context, open_map, piece, value, time.perf_counter() - began)
    except CallsFailed as failed:
        failure = failed.failure
    except BaseException as error:  # also SystemExit and the like: a node must not end the run
        failure = context.describe_failure(error)
    try:
        context.has_ended = True
        context.remove_scratch()
    except BaseException as error:
        failure = CANCELLED if context.cancel_token.cancelled else nfrun_failure(error, failure)
    return failure


def _record(context: CallContext, open_map: PieceSource, piece: Piece, value: Any, seconds: float) -> None:
    """Keep what a function returned for a piece, and what calls have used until now. Raises NodeError, HandoffError.

    What they used comes first: it decides for how long the result can be used again.
    """
    context.in_nfrun = True
    if (seen := context.observation()) is not None:
        open_map.note(seen)
    open_map.note_shared()
    try:
        open_map.record(piece, value, seconds)
    except WrongLength as error:  # fewer rows in a call may have as many by chance
        certain = piece.rows > 1
        raise CallsFailed(Failure(Cause.NODE, "", str(error), details=error.details, is_certain=certain)) from None
    except ReturnedError as error:
        raise NodeError(str(error), error.details) from None


def _refuse(coroutine: Any) -> Any:
    coroutine.close()
    raise RuntimeError("a coroutine is awaited on the event loop")


def open_map(context: AttemptContext, kept: KeptRows | None) -> OpenedMap:
    """Cut the input of a mapped node into pieces, and look up which have results. Raises as `open_work` does."""
    began = time.perf_counter()
    node, settings = context.node, context.settings
    for key in [key for key in list(settings.open_maps) if key[0] == node.id]:  # of an attempt whose input was gone
        settings.open_maps.pop(key).close()
    work, inputs = open_work(context, kept)
    opened = OpenMap(node, work, inputs, began, context.remove_scratch, settings.watch)
    settings.open_maps[node.id, context.logged] = opened
    is_async = node.map is not None and node.map.form is not None and node.map.form.is_async
    return OpenedMap(work, work.rows, work.reused, is_async)
