"""Defines the orders for a mapped node and its calls. They go to the engine only, and to no reporter."""

from __future__ import annotations

from nfrun.core.events import Failure, NodeStarted
from nfrun.core.map_counts import FailedCall, MapCounts, PiecePath
from nfrun.core.map_spec import KeptRows
from nfrun.core.values import frozen


@frozen
class MapStarted(NodeStarted):
    """Orders the input of a mapped node to be opened. `kept` has results of earlier runs, None to keep nothing."""

    kept: KeptRows | None = None


@frozen
class CallStarted(NodeStarted):
    """Orders calls of a mapped node's function, one after the other: one for each of these pieces of its input.

    `call` counts the orders of the attempt from 1, and `tries` the calls for a piece: of several, it is the first for
    each. With `on_loop` the call is a coroutine, and the only one.
    """

    call: int = 0
    pieces: tuple[PiecePath, ...] = ()
    tries: int = 1
    on_loop: bool = False

    @property
    def key(self) -> tuple[str, int, int]:
        return self.node, self.attempt, self.call


@frozen
class CallsEnded(NodeStarted):
    """Orders the results of a mapped node's calls to be put together.

    `failed` are the calls whose rows are handed on as errors. With a `failure` the node
    fails: that of the call for `piece`, or of no single one.
    """

    counts: MapCounts = MapCounts(0)
    failed: tuple[FailedCall, ...] = ()
    failure: Failure | None = None
    piece: PiecePath = ()
