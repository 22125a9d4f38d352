"""Makes one attempt at one node: opens the inputs, runs the node, publishes the outputs and returns an `Outcome`.

Makes the calls of mapped nodes, too, on threads and on the event loop. The same code runs on threads and in worker
processes. An error in a node becomes a failed `Outcome`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextvars import Context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfrun.core.calls import ORDER_SECONDS
from nfrun.core.contracts import BUILT_IN_CHECKS, SCHEMA, Check, CheckResult, Contract, failed_checks, row_text
from nfrun.core.errors import Cause, HandoffError, NodeError, error_text
from nfrun.core.events import (
    CallsEnded,
    CallStarted,
    ChecksStarted,
    Failure,
    MapOpened,
    MapStarted,
    NodeStarted,
    Outcome,
    OutputRef,
    nfrun_failure,
)
from nfrun.core.map_spec import KeptRows, OpenedMap, PiecePath
from nfrun.core.pipeline import LAST_SECTIONS, NOTHING, Input, NodeSpec, OutputId
from nfrun.core.text import ellipsize, file_stem
from nfrun.core.values import frozen, replace
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
from nfrun.nodes.registry import KINDS, kind_of
from nfrun.rows.open_map import CallsFailed, OpenMap
from nfrun.system.logs.print_capture import current_attempt

if TYPE_CHECKING:
    import pyarrow as pa

    from nfrun.engine.attempt_context import PieceSource
    from nfrun.rows.piece import Piece
    from nfrun.tables.contracts.finding import Finding

_SHOWN_ROWS, _SHOWN_COLUMNS = 5, 8
_LONGEST_NAME = 80
_NO_NAME = re.compile(r"[^\w.,=-]+")


class OutputChecks:
    """Makes the checks of an attempt. `given` has the outputs that the attempt may open.

    The failing rows are written into the folder for evidence, and places in code are told relative to that of the
    pipeline.
    """

    def __init__(self, context: AttemptContext, given: Mapping[str, OutputRef]) -> None:
        self._context, self._settings, self._given = context, context.settings, given
        self._files: set[str] = set()

    def make(self, outputs: Mapping[str, OutputRef]) -> tuple[CheckResult, ...]:
        """Return the results of all checks of these outputs. Raises NodeError for an output that is not there."""
        node = self._context.node
        results: list[CheckResult] = []
        for name, contract in node.contracts.items():
            ref = outputs.get(OutputId(node.id, name))
            if ref is None:
                of = f" of '{name}'" if name else ""
                raise NodeError(f"it handed on no table, and its 'schema' and 'checks'{of} are about one")
            results += self._of_output(ref, name, contract)
        return tuple(results)

    def _of_output(self, ref: OutputRef, name: str, contract: Contract) -> Iterator[CheckResult]:
        if contract.columns:
            problems = self._schema_problems(ref, contract.columns)
            yield CheckResult(SCHEMA, ref.id, "error", not problems, None, ref.rows, reason="; ".join(problems))
            if problems:
                return
        table = self._settings.store.open(ref) if contract.checks else None
        for check in contract.checks:
            yield self._result(check, ref, table, self._finding(check, name, table))

    def _schema_problems(self, ref: OutputRef, columns: Mapping[str, str]) -> list[str]:
        """Return the violations of its schema by an output. Opens no table in files if the ends of these show them."""
        from nfrun.tables.contracts.built_in import columns_without_nulls, problems_of_columns, schema_problems

        if ref.files is not None:
            from nfrun.tables.footers import null_counts, source_schema

            files = self._settings.store.files(ref)
            if (counts := null_counts(files, columns_without_nulls(columns))) is not None:
                return list(problems_of_columns(columns, source_schema(files), counts.__getitem__))
        return list(schema_problems(columns, self._settings.store.open(ref)))

    def _finding(self, check: Check, name: str, table: pa.Table) -> Finding:
        from nfrun.tables.contracts.built_in import make_check
        from nfrun.tables.contracts.finding import Finding

        if check.kind in BUILT_IN_CHECKS:
            return make_check(check, table, self._others(check, name, table), self._settings.started)
        from nfrun.nodes.user_checks import make_user_check

        try:
            return make_user_check(check, table, self._context)
        except HandoffError:
            raise
        except BaseException as error:  # also SystemExit and the like, as of a node
            if self._context.cancel_token.cancelled:
                raise
            return Finding(False, reason=" ".join(self._told(check, error).split()))

    def _told(self, check: Check, error: BaseException) -> str:
        """Return the message of an error of a check, and where in the user's code it was raised."""
        text, is_code = error_text(error), KINDS[check.kind].runs.calls_code
        if isinstance(error, NodeError):
            return f"{text} ({error.details})" if is_code and error.details else f"{text} {error.details}"
        from nfrun.engine.failures import user_place

        place = user_place(error, self._context.node, self._settings.folder) if is_code else ""
        return f"{type(error).__name__}: {text}" + (f" ({place})" if place else "")

    def _others(self, check: Check, name: str, table: pa.Table) -> dict[str, pa.Table | None]:
        """Return the tables that the columns of a check are compared with: this one, if the node refers to itself."""
        if check.kind != "references":
            return {}
        inputs = {item.name: item for item in self._context.node.references}
        found = {}
        for column in check.value:
            item = inputs.get(check.input_name(name, column))
            found[column] = table if item is None else self._referred(item)
        return found

    def _referred(self, item: Input) -> Any:
        read = item.read(self._given.__contains__)
        return self._settings.store.open(self._given[read[0]]) if read else None

    def _result(self, check: Check, ref: OutputRef, table: pa.Table, found: Finding) -> CheckResult:
        rows = table.num_rows
        ok = found.holds or (found.failing is not None and found.failing <= check.allowed(rows))
        evidence, path = found.evidence, None
        shown: tuple[Mapping[str, str], ...] = ()
        if evidence is not None and found.failing:
            shown = _shown(first_columns(evidence.slice(0, _SHOWN_ROWS), check))
            path = self._write(check, ref, evidence)
        return CheckResult(check.name, ref.id, check.severity, ok, found.failing, rows, path, found.reason, shown)

    def _write(self, check: Check, ref: OutputRef, evidence: pa.Table) -> str:
        from nfrun.tables.ipc import write_file

        stem = f"{file_stem(ref.id)}.{_NO_NAME.sub('_', check.name)[:_LONGEST_NAME]}"
        stem = f"{stem}-{check.index}" if stem.lower() in self._files else stem
        self._files.add(stem.lower())
        path = self._settings.evidence / f"{stem}.arrow"
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_file(evidence.combine_chunks(), path, fsync=self._context.fsync)
        return str(path)


def first_columns(table: pa.Table, check: Check) -> pa.Table:
    """Return a few columns of a table: first those that the check is about."""
    value = check.value
    named = [value] if isinstance(value, str) else list(value) if isinstance(value, Mapping | Sequence) else []
    names = table.schema.names
    first = [names.index(name) for name in named if name in names]
    return table.select([*first, *(i for i in range(len(names)) if i not in first)][:_SHOWN_COLUMNS])


def _shown(table: pa.Table) -> tuple[Mapping[str, str], ...]:
    from nfrun.tables.python_values import values_of

    columns = [
        ["null" if value is None else ellipsize(str(value), 40) for value in values_of(c)] for c in table.columns
    ]
    return tuple([dict(zip(table.schema.names, row, strict=True)) for row in zip(*columns, strict=True)])


def absent_outputs(node: NodeSpec, results: Sequence[CheckResult]) -> tuple[OutputId, ...]:
    """Return the outputs that are absent, since a check with `severity: skip` does not hold."""
    skipped = {result.output for result in results if result.severity == "skip" and not result.ok}
    return tuple(output for output in node.output_ids if output in skipped)


def failure_of_checks(node: NodeSpec, results: Sequence[CheckResult]) -> Failure | None:
    """Return the failure of a node if one of its checks with `severity: error` does not hold, None if all hold."""
    failed = failed_checks(results)
    if not failed:
        return None
    first, *others = failed
    details = list(_details(first))
    for result in others:
        details += [f"also its check {_what(node, result)}", *_details(result)]
    subject = "does not have its schema" if first.name == SCHEMA and not first.shown else "failed its check"
    what = f"{_of(node, first)}: {first.reason}" if first.name == SCHEMA else f" {_what(node, first)}"
    return Failure(Cause.CHECK, "", f"{subject}{what}", details="\n".join(details))


def _of(node: NodeSpec, result: CheckResult) -> str:
    return f" of '{result.output}'" if len(node.outputs) > 1 else ""


def _what(node: NodeSpec, result: CheckResult) -> str:
    return f"'{result.name}'{_of(node, result)}: {result.text}"


def _details(result: CheckResult) -> Iterator[str]:
    for row in result.shown[1:]:
        yield f"  {row_text(row)}"
    if result.path is not None and (result.failing or 0) > 1:
        yield f"  {result.path}"


# Runs one attempt and returns its outcome. An executor makes a failure of what it raises: `nfrun_failure`.
RunAttempt = Callable[[NodeStarted, CancelToken, RunCoroutine], Outcome]


@frozen
class AttemptRunner(AttemptSettings):
    """Makes attempts. Safe to call from several threads."""

    def __call__(self, start: NodeStarted, cancel_token: CancelToken, run_coroutine: RunCoroutine) -> Outcome:
        """Make the attempt. Never raises: an error becomes a failure in the outcome.

        `run_coroutine` runs a coroutine on the executor's event loop.
        """
        if isinstance(start, CallStarted):
            return _make_calls(self, start, cancel_token, run_coroutine)
        attempt = _Attempt(self, start, cancel_token, run_coroutine)
        try:
            mark = (start.node, start.attempt, self.logs)
            if self.watch is not None:
                self.watch.running[mark] = None
            try:
                return new_context(self.memo).run(attempt.make)
            finally:
                if start.key[:2] not in self.open_maps:  # the calls of an open map belong to the attempt
                    if self.watch is not None:
                        del self.watch.running[mark]
                    self.logs.end(start.node, start.attempt)
                    attempt.remove_scratch()
        except BaseException as error:  # in nfrun, after the node has ended
            failure = CANCELLED if cancel_token.cancelled else nfrun_failure(error, attempt.failure)
            return Outcome(start.node, start.attempt, failure)

    def call_on_loop(
        self, start: NodeStarted, cancel_token: CancelToken
    ) -> tuple[Coroutine[Any, Any, Outcome], Context]:
        """Return the coroutine that makes a call on the event loop and gives its outcome, and its context variables."""
        assert isinstance(start, CallStarted)
        return _call_on_loop(self, start, cancel_token), _context_of(self, start)


class _Attempt(AttemptContext):
    """One attempt: runs it, and is the `NodeContext` that the node's kind gets."""

    def __init__(
        self, settings: AttemptSettings, start: NodeStarted, cancel_token: CancelToken, run_coroutine: RunCoroutine
    ) -> None:
        super().__init__(settings, start, cancel_token, run_coroutine)
        self._start = start
        self._read_seconds = 0.0
        self._opened: OpenedMap | None = None
        self._closed: OpenMap | None = None
        self._checks: tuple[CheckResult, ...] = ()
        self._made = start.made if isinstance(start, ChecksStarted) else NOTHING  # only its checks are to be made

    def make(self) -> Outcome:
        spec, kind = self.node, kind_of(self.node)
        outputs: dict[str, OutputRef] = dict(self._made)
        publish_wait = 0.0
        clock = time.perf_counter
        current_attempt.set((spec.id, self.attempt, self.settings.logs))
        if (state := self.settings.process_state) is not None:
            state.reset()
        self.settings.contention.begin()
        began = clock()
        try:
            results = {} if self._made else self._results() if spec.map is None else self._map_results()
            duration = clock() - began
            self.in_nfrun = True
            if results and spec.section not in LAST_SECTIONS:  # nobody could read what these give
                self._publish(dict(results), outputs)
                duration += self._read_seconds
                publish_wait = clock() - began - duration
            if self._opened is None:
                self._check_outputs(outputs)
                if spec.contracts:
                    self._make_checks(outputs)
                    duration = clock() - began - publish_wait
        except CallsFailed as failed:
            duration, self.failure = clock() - began, failed.failure
        except BaseException as error:  # also SystemExit and the like: a node must not end the run
            duration = clock() - began
            self.failure, publish_wait = self.describe_failure(error), 0.0
        if self.failure is not None:
            outputs = self._left_of(outputs, self.failure)
        self.has_ended = self._opened is None
        if waits := self.inputs.waits:
            duration = max(0.0, duration - sum(waits.values()))
        cpu, gil_wait = self.settings.contention.end()
        # Samples are rare, so a wait may belong to the attempt before: limit it. A process of its own needs no GIL;
        # only the thread that reads its output does.
        gil_wait = 0.0 if kind.runs.is_process else min(gil_wait, max(0.0, duration - cpu))
        if self._opened is not None:
            return MapOpened(spec.id, self.attempt, opened=self._opened)
        if self.failure is not None and self.inputs.lost:  # whatever the node made of that error
            return Outcome(spec.id, self.attempt, lacking=tuple(self.inputs.lost))
        outcome = Outcome(
            spec.id,
            self.attempt,
            self.failure,
            outputs,
            duration,
            publish_wait,
            waits,
            cpu,
            gil_wait,
            observation=self.observation(),
            absent=absent_outputs(spec, self._checks) if self._checks else (),
            checks=self._checks,
        )
        return outcome if self._closed is None else self._closed.outcome(outcome)

    def _left_of(self, outputs: dict[str, OutputRef], failure: Failure) -> dict[str, OutputRef]:
        """Discard the outputs of an attempt that failed, but for those that only failed a check: they may be kept."""
        if failure.cause is Cause.CHECK:
            return {} if self._made else outputs  # those that were there before are no outputs of this attempt
        for ref in outputs.values() if not self._made else ():
            self.settings.store.discard(ref)
        return {}

    def _results(self) -> Mapping[str, Any]:
        return with_settings_kept(self.settings.memo, lambda: kind_of(self.node).runs.run(self))

    def _map_results(self) -> Mapping[str, Any]:
        """Open the input of a mapped node, which gives no results, or put the results of its calls together."""
        if isinstance(self._start, CallsEnded):
            opened = self.settings.open_maps.pop(self._start.key[:2])
            assert isinstance(opened, OpenMap)
            self._closed = opened
            kind = kind_of(self.node)
            assert kind.maps is not None
            unnamed = "ScriptFailed" if kind.runs.is_process else "WrongResult"  # what nfrun itself has told
            return opened.results(self._start, kind.maps.join, unnamed)
        self._opened = _opened_map(self, self._start.kept if isinstance(self._start, MapStarted) else None)
        return {}

    def _timed(self, value: Any) -> Any:
        """Return the output. The time in which a reader makes its batches is duration, not publish wait."""
        import pyarrow as pa

        from nfrun.tables.ipc import strict_line

        if not isinstance(value, pa.RecordBatchReader):
            return value

        def batches() -> Iterator[pa.RecordBatch]:
            while True:
                began = time.perf_counter()
                try:
                    batch = value.read_next_batch()
                except StopIteration:
                    return
                except BaseException:
                    self.in_nfrun = False  # the node makes the batches
                    raise
                finally:
                    self._read_seconds += time.perf_counter() - began
                if not batch.schema.equals(value.schema):
                    raise NodeError(
                        "it returned a reader with a batch that does not fit the reader's schema",
                        details=f"schema: {strict_line(value.schema)}\nbatch: {strict_line(batch.schema)}",
                    )
                yield batch

        return pa.RecordBatchReader.from_batches(value.schema, batches())

    def _check_outputs(self, outputs: Mapping[str, OutputRef]) -> None:
        """Raise NodeError if an output is missing that a node reads or the file names."""
        for output in self.settings.consumed.get(self.node.id, ()) if not self._made else ():
            if output not in outputs:
                pipeline = self.settings.pipeline
                named = pipeline.names_outputs and output in pipeline.outputs.values()
                why = "'outputs' of the file names it" if named else "other nodes read it"
                hint = "a function returns its outputs, a script writes them to $NFRUN_OUTPUT"
                raise NodeError(f"it has not made '{output}', but {why}", hint)

    def _publish(self, results: dict[str, Any], outputs: dict[str, OutputRef]) -> None:
        """Hand the results to the store, and add what refers to them to `outputs`."""
        store, moved = self.settings.store, kind_of(self.node).outside.moves_files(self.node)
        for output in [OutputId(self.node.id, name) for name in results]:
            # Popped, so that no reference here keeps a table alive after the store drops it.
            if isinstance(results[output.name], Path):
                path, type = results.pop(output.name), self.node.type_of(output.name)
                outputs[output] = store.publish_file(output, self.attempt, path, type, moved=moved)
            else:
                outputs[output] = store.publish(output, self.attempt, self._timed(results.pop(output.name)))

    def _make_checks(self, outputs: Mapping[str, OutputRef]) -> None:
        """Check the outputs against their contracts. A check that does not hold may be the failure of the attempt."""
        self._checks = OutputChecks(self, self._start.inputs).make(outputs)
        self.failure = failure_of_checks(self.node, self._checks)


class _CallContext(AttemptContext):
    """The `NodeContext` of one call: `attempt` counts the calls for its piece. Its progress is that of the rows."""

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


def _make_calls(
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
        context = _CallContext(settings, start, cancel_token, run_coroutine)
        failure = _context_of(settings, start).run(_call, context, open_map, path)
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


async def _call_on_loop(settings: AttemptSettings, start: CallStarted, cancel_token: CancelToken) -> Outcome:
    """Make a call of a coroutine function on the event loop of this thread. Never raises."""
    open_map = settings.open_maps[start.node, start.attempt]
    context = _CallContext(settings, start, cancel_token, _refuse)
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


def _context_of(settings: AttemptSettings, start: CallStarted) -> Context:
    """Return the context variables for a call."""
    found = new_context(settings.memo)
    found.run(current_attempt.set, (start.node, start.attempt, settings.logs))
    return found


def _call(context: _CallContext, open_map: PieceSource, path: PiecePath) -> Failure | None:
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


def _record(context: _CallContext, open_map: PieceSource, piece: Piece, value: Any, seconds: float) -> None:
    """Keep what a function returned for a piece, and what calls have used until now. Raises NodeError, HandoffError.

    What they used comes first: it decides for how long the result can be used again.
    """
    context.in_nfrun = True
    if (seen := context.observation()) is not None:
        open_map.note(seen)
    open_map.note_shared()
    try:
        open_map.record(piece, value, seconds)
    except Exception as error:
        from nfrun.rows.returned import ReturnedError, WrongLength  # it imports Arrow

        if isinstance(error, WrongLength):  # fewer rows in a call may have as many by chance
            certain = piece.rows > 1
            raise CallsFailed(Failure(Cause.NODE, "", str(error), details=error.details, is_certain=certain)) from None
        if isinstance(error, ReturnedError):
            raise NodeError(str(error), error.details) from None
        raise


def _refuse(coroutine: Any) -> Any:
    coroutine.close()
    raise RuntimeError("a coroutine is awaited on the event loop")


def _opened_map(context: AttemptContext, kept: KeptRows | None) -> OpenedMap:
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
