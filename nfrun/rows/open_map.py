"""Holds a mapped node from the opening of its input until the results of its calls are put together."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nfrun.core.errors import Cause
from nfrun.core.events import CallsEnded, Failure, Outcome
from nfrun.core.map_spec import ERRORS, MapCounts, PiecePath
from nfrun.core.observation import merged
from nfrun.core.pipeline import NodeSpec
from nfrun.core.retries import FINAL
from nfrun.core.values import replace
from nfrun.rows.stream_files import CallNotes
from nfrun.tables.contracts.type_names import OTHERS

if TYPE_CHECKING:
    from nfrun.code.watch.run_watch import RunWatch
    from nfrun.rows.work import MapWork


class CallsFailed(Exception):
    """Calls of a mapped node failed, so that the node fails. `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class OpenMap(CallNotes):
    """The pieces of a mapped input, and what its calls have used. Thread-safe.

    `inputs` are the other inputs of the node, as a whole, by name. `began` is when the input was opened, by the
    performance counter. `on_close` is called when the results are no longer read.
    """

    def __init__(
        self,
        node: NodeSpec,
        work: MapWork,
        inputs: Mapping[str, Any],
        began: float,
        on_close: Callable[[], object] = lambda: None,
        watch: RunWatch | None = None,
    ) -> None:
        super().__init__(work.note_reads, watch, node.id)
        self._node = node
        self._on_close = on_close
        self.work = work
        self.table = work.table
        self.record, self.add_records = work.record, work.add_records
        self.piece = work.piece
        self.inputs = inputs
        self._began = began
        self._counts: MapCounts | None = None

    def results(self, order: CallsEnded, join: Callable[[NodeSpec, Any], Any], unnamed: str) -> Mapping[str, Any]:
        """Return the outputs by name when all calls have ended. Raises CallsFailed, HandoffError, and as `join` does.

        `join(node, rows)` is that of the kind. `unnamed` is the type of an error that has no name of its own.
        """
        self._counts = order.counts
        work, spec = self.work, self._node.map
        assert spec is not None
        self.note_shared()
        for failed in order.failed:
            work.fail(work.piece(failed.piece), failed.type or unnamed, failed.message, failed.attempts)
        if order.failure is not None:
            raise CallsFailed(self._failure(order, order.failure))
        name = self._node.output_ids[0].name
        found: dict[str, Any] = {name: self._with_schema(name, join(self._node, work.joined()), order.counts)}
        if spec.collects:
            found[ERRORS] = work.errors()
        return found

    def outcome(self, outcome: Outcome) -> Outcome:
        """Return the outcome of the node with what its calls have used, and close the files with their results."""
        self.close()
        seen = merged([*self._observed, *([outcome.observation] if outcome.observation else [])])
        seconds = time.perf_counter() - self._began - outcome.publish_wait
        return replace(
            outcome,
            duration=max(outcome.duration, seconds),
            cpu=outcome.cpu + self.cpu,
            gil_wait=outcome.gil_wait + self.gil_wait,
            observation=seen,
            map=self._counts,
        )

    def close(self) -> None:
        """Write all results. Raises HandoffError."""
        self.work.close()
        self._on_close()

    def _with_schema(self, name: str, reader: Any, counts: MapCounts) -> Any:
        """Return the rows of the result; if there are none, with all columns of the schema that the file gives.

        A function of single rows was not called then, or has failed each time, or has given no row for any.
        """
        contract, spec = self._node.contracts.get(name), self._node.map
        assert spec is not None
        may_have_rows = counts.rows > counts.failed and not spec.explode
        if contract is None or may_have_rows or {*contract.columns} <= {*reader.schema.names, OTHERS}:
            return reader
        from nfrun.tables.contracts.column_types import with_columns_of

        table = reader.read_all()
        return table if table.num_rows else with_columns_of(contract.columns, table)

    def _failure(self, order: CallsEnded, failure: Failure) -> Failure:
        """Return the failure of the node: that of the call, with the rows that it is about."""
        spec, counts = self._node.map, order.counts
        assert spec is not None
        if failure.cause in FINAL or failure.is_certain:
            return failure
        if spec.collects:
            what = f"{counts.failed:,} of {counts.rows:,} rows failed, and 'max_failed' lets {_share(spec.max_failed)}"
            first = min(order.failed, key=lambda failed: failed.piece)
            rows, sample = self._rows(first.piece)
            text = f"{first.type}: {first.message}" if first.type and first.message else first.type or first.message
            return Failure(Cause.NODE, "", what, details=f"the first: {rows}: {text}{sample and f' ({sample})'}")
        rows, sample = self._rows(order.piece)
        return replace(failure, rows=rows, sample=sample)

    def _rows(self, path: PiecePath) -> tuple[str, str]:
        """Return which rows a piece has, and the values that the function names of the first of them."""
        work, piece = self.work, self.work.piece(path)
        if not piece.rows:
            return "the call for no rows", ""
        first, sample = work.row_text(piece)
        if (spec := self._node.map) is not None and spec.by and not spec.parts:
            return f"group {sample}", ""
        of = f"of {work.rows:,}"
        if piece.rows == 1:
            return f"row {first:,} {of}", sample
        return f"{piece.rows:,} rows {of}, from row {first:,} on,", sample


def _share(most: int | float) -> str:
    return f"{most:,}" if isinstance(most, int) else f"{most * 100:g} %"
