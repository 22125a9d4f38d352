"""Makes attempts by orders to another process, for worker processes and for the workers of a cluster alike.

The input of a mapped node is opened in the process of the run, and its results are put together there. Only its calls
go elsewhere.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from nfrun.core.errors import HandoffError
from nfrun.core.events import CallStarted, ChecksStarted, MapOpened, NodeStarted, Outcome, OutputRef
from nfrun.core.pipeline import NodeSpec, OutputId
from nfrun.core.values import replace
from nfrun.engine.attempt import AttemptRunner
from nfrun.engine.attempt_context import RunCoroutine
from nfrun.engine.executors.worker import AttemptOrder, CallOrder
from nfrun.nodes.base import CancelToken
from nfrun.rows.open_map import OpenMap

if TYPE_CHECKING:
    from nfrun.rows.recorder import WorkerData
    from nfrun.tables.store import TableStore


class OrderedAttempts(ABC):
    """Makes attempts by orders. An executor can use it in place of `runner`. Safe to call from several threads."""

    def __init__(self, runner: AttemptRunner, store: TableStore) -> None:
        self._runner, self._store = runner, store
        self._maps: dict[tuple[str, int], tuple[AttemptOrder, WorkerData]] = {}  # mapped nodes, by node and attempt

    def __call__(self, start: NodeStarted, cancel_token: CancelToken, run_coroutine: RunCoroutine) -> Outcome:
        """Make the attempt elsewhere. A worker that is lost gives a failure with the cause LOST.

        One that cannot be started gives the cause IO or PERMISSION. Raises HandoffError if a table cannot be handed on.
        """
        if isinstance(start, CallStarted):
            open_map = self._runner.open_maps[start.key[:2]]
            assert isinstance(open_map, OpenMap)
            return self._make_calls(self._call_order(start, open_map), open_map, cancel_token)
        if self._runner.pipeline.spec_of(start.node).map is not None and not isinstance(start, ChecksStarted):
            return self._open_or_end(start, cancel_token, run_coroutine)
        input_waits: dict[OutputId, float] = {}
        try:
            outcome = self._registered(self._make_attempt(self._order(start, input_waits), cancel_token))
        finally:
            self._runner.logs.end(start.node, start.attempt)
        for output, seconds in outcome.input_waits.items():
            input_waits[output] = input_waits.get(output, 0.0) + seconds
        return replace(outcome, input_waits=input_waits)

    def _order(self, start: NodeStarted, input_waits: dict[OutputId, float]) -> AttemptOrder:
        """Return the order. Waits for the inputs, and adds the seconds waited to `input_waits`. Raises HandoffError."""
        runner = self._runner
        spec, inputs = runner.pipeline.nodes[start.node], dict[str, OutputRef]()
        for output, ref in start.inputs.items():
            began = time.perf_counter()
            inputs[output] = self._sent(ref, spec)
            input_waits[ref.id] = time.perf_counter() - began
        consumed, start = runner.consumed.get(spec.id, ()), replace(start, inputs=inputs)
        return AttemptOrder(spec, start, consumed, spec.id in runner.unshared, spec.id in runner.in_files)

    @abstractmethod
    def _sent(self, ref: OutputRef, spec: NodeSpec) -> OutputRef:
        """Return an input of a node as an order has it. Waits until it can be read there. Raises HandoffError."""

    @abstractmethod
    def _make_attempt(self, order: AttemptOrder, cancel_token: CancelToken) -> Outcome:
        """Make an attempt. Raises HandoffError."""

    def _registered(self, outcome: Outcome) -> Outcome:
        """Register the outputs of an attempt in the store. If one fails, discards them all and raises HandoffError."""
        try:
            registered = {output: self._store.register_file(ref) for output, ref in outcome.outputs.items()}
        except HandoffError:
            for ref in outcome.outputs.values():
                self._store.discard(ref)
            raise
        return replace(outcome, outputs=registered)

    @abstractmethod
    def _make_calls(self, order: CallOrder, open_map: OpenMap, cancel_token: CancelToken) -> Outcome:
        """Make calls of a mapped node's function. Their results go into `open_map`."""

    @abstractmethod
    def _mapped_input(self, spec: NodeSpec, start: NodeStarted) -> str:
        """Return where workers find the mapped input: a path, or an address in the store. Raises HandoffError."""

    def _open_or_end(self, start: NodeStarted, cancel_token: CancelToken, run_coroutine: RunCoroutine) -> Outcome:
        """Open the input of a mapped node in this process, or put the results of its calls together."""
        outcome = self._runner(start, cancel_token, run_coroutine)
        if not isinstance(outcome, MapOpened):
            self._maps.pop(start.key[:2], None)
            return outcome
        spec = self._runner.pipeline.spec_of(start.node)
        assert spec.map is not None
        read = {output for item in spec.inputs if item.name != spec.map.over for output in item.outputs}
        whole = replace(start, inputs={output: ref for output, ref in start.inputs.items() if output in read})
        open_map = self._runner.open_maps[start.key[:2]]
        assert isinstance(open_map, OpenMap)
        open_map.note_shared()
        data = open_map.work.for_worker(self._mapped_input(spec, start))
        self._maps[start.key[:2]] = self._order(whole, {}), data
        return replace(outcome, opened=replace(outcome.opened, on_loop=False))

    def _call_order(self, start: CallStarted, open_map: OpenMap) -> CallOrder:
        opened, data = self._maps[start.key[:2]]
        start = replace(start, inputs=opened.start.inputs)
        pieces = tuple([open_map.piece(path) for path in start.pieces])
        return CallOrder(opened.node, start, (), opened.unshared, opened.in_files, pieces=pieces, data=data)
