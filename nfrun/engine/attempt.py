"""Makes one attempt at one node: opens the inputs, runs the node, publishes the outputs and returns an `Outcome`.

The same code runs on threads and in worker processes. An error in a node becomes a failed `Outcome`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence, Set
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfrun.core.contracts import EVIDENCE, CheckResult
from nfrun.core.errors import Cause, error_text
from nfrun.core.events import ChecksStarted, Failure, NodeStarted, Outcome, OutputRef, nfrun_failure
from nfrun.core.file_source import FileSource
from nfrun.core.observation import Observation
from nfrun.core.pipeline import LAST_SECTIONS, NOTHING, NodeSpec, OutputId, Pipeline
from nfrun.core.values import field, frozen, replace
from nfrun.engine.attempt_inputs import AttemptInputs, OutputStore
from nfrun.engine.context_variables import keep_imported, run_apart
from nfrun.engine.gil_contention import GilContention
from nfrun.engine.granted_units import unit_variables
from nfrun.engine.output_checks import OutputChecks, absent_outputs, failure_of_checks
from nfrun.logs.node_logs import Logs, StreamLog, throttle_detached
from nfrun.logs.print_capture import current_attempt
from nfrun.nodes.base import GRACE_SECONDS, CancelToken, NodeError
from nfrun.nodes.folders import folder_of
from nfrun.nodes.registry import BUILT_IN, KINDS
from nfrun.system.checksums import FileChecksums, FileLook
from nfrun.system.kept_files import remove
from nfrun.system.native_threads import thread_variables
from nfrun.tables.formats import FormatError
from nfrun.watch.run_watch import RunWatch

if TYPE_CHECKING:
    import pyarrow as pa

    from nfrun.watch.process_state import ProcessState, StartState

# Runs a coroutine on an event loop to its end and returns its result.
RunCoroutine = Callable[[Coroutine[Any, Any, Any]], Any]
# Runs one attempt and returns its outcome. An executor makes a failure of what it raises: `nfrun_failure`.
RunAttempt = Callable[[NodeStarted, CancelToken, RunCoroutine], Outcome]
CANCELLED = Failure(Cause.CANCELLED, "Cancelled", "stopped")  # of an attempt that was told to stop
Progress = Callable[[str, float, float | None], None]
# Returns what imports a module for the nodes of a folder, "" for that of the pipeline; None: as usual in this process.
Importer = Callable[[str], Callable[[str], Any] | None]

_PROGRESS_SECONDS = 0.1  # at least, between two progress events of an attempt


@frozen
class AttemptRunner:
    """Makes attempts. Holds what all attempts of a run share; safe to call from several threads.

    `scratch` is the folder in which attempts get scratch folders. `environ` is the environment of the run: the
    process's with the file's `env` on top. `logs` receives what nodes print and log; `progress(node, done, total)`
    emits progress. `memo` is shared by all attempts, for values that kinds keep. `consumed_here` is
    `consumed`, needed where `pipeline` is only a part. A cancelled child process is killed after `grace` seconds.
    `importer` returns what imports the user's modules. Queries in this process may
    take `memory_share` of the memory that queries may take. `watch` sees what attempts open, and `process_state` what
    they change in the process; None if no node is expected to. `unshared` and `in_files` are those of `Placement`.
    `end_variables` are for the nodes that run last: they tell how the run ended. `started` is when the run started, in
    seconds since 1970.
    """

    pipeline: Pipeline
    store: OutputStore
    run_id: str
    scratch: Path
    environ: Mapping[str, str]
    logs: Logs = field(default_factory=Logs)
    progress: Progress = lambda node, done, total: None
    contention: GilContention = field(default_factory=GilContention)
    memo: dict[Any, Any] = field(default_factory=dict)
    consumed_here: Mapping[str, Sequence[OutputId]] | None = None
    grace: float = GRACE_SECONDS
    importer: Importer = lambda folder: None
    memory_share: float = 1.0
    process_state: ProcessState | None = None
    watch: RunWatch | None = None
    unshared: Set[str] = frozenset()
    in_files: Set[str] = frozenset()
    end_variables: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    started: float = field(default_factory=time.time)

    @property
    def evidence(self) -> Path:
        """The folder for rows that fail checks."""
        return self.scratch.parent / EVIDENCE

    @cached_property
    def folder(self) -> Path:
        """The folder of the pipeline."""
        return Path(self.pipeline.folder)

    @cached_property
    def consumed(self) -> Mapping[str, Sequence[OutputId]]:
        """The outputs that other nodes read or the file names under `outputs`, by the node that makes them."""
        if self.consumed_here is not None:
            return self.consumed_here
        found: dict[str, list[OutputId]] = {}
        read = (output for spec in self.pipeline.nodes.values() for item in spec.inputs for output in item.outputs)
        named = self.pipeline.outputs.values() if self.pipeline.names_outputs else ()
        for output in dict.fromkeys((*read, *named)):
            found.setdefault(output.node, []).append(output)
        return found

    def __call__(self, start: NodeStarted, cancel_token: CancelToken, run_coroutine: RunCoroutine) -> Outcome:
        """Make the attempt. Never raises: an error becomes a failure in the outcome.

        `run_coroutine` runs a coroutine on the executor's event loop.
        """
        attempt = _Attempt(self, start, cancel_token, run_coroutine)
        try:
            mark = (start.node, start.attempt, self.logs)
            if self.watch is not None:
                self.watch.running[mark] = None
            try:
                return run_apart(self.memo, attempt.make)
            finally:
                if self.watch is not None:
                    del self.watch.running[mark]
                self.logs.end(start.node, start.attempt)
                attempt.remove_scratch()
        except BaseException as error:  # in nfrun, after the node has ended
            failure = CANCELLED if cancel_token.cancelled else nfrun_failure(error, attempt.failure)
            return Outcome(start.node, start.attempt, failure)


class _Attempt:
    """One attempt: runs it, and is the `NodeContext` that the node's kind gets."""

    __slots__ = (
        "_checks", "_complete_sent", "_ended", "_folder", "_given", "_in_nfrun", "_inputs", "_made", "_progress_at",
        "_read_seconds", "_runner", "_start_state", "attempt", "cancel_token", "failure", "folder", "grace",
        "granted", "memo", "node", "run", "run_coroutine", "wrote",
    )  # fmt: skip

    def __init__(
        self, runner: AttemptRunner, start: NodeStarted, cancel_token: CancelToken, run_coroutine: RunCoroutine
    ) -> None:
        self._runner = runner
        self._folder: Path | None = None
        self._read_seconds = self._progress_at = 0.0
        self._complete_sent = self._ended = False
        self.wrote: dict[str, str] = {}
        self._in_nfrun = False  # whether an error now is one of nfrun's own code
        self._start_state: StartState | None = None
        self.failure: Failure | None = None
        self._checks: tuple[CheckResult, ...] = ()
        self._made = start.made if isinstance(start, ChecksStarted) else NOTHING  # only its checks are to be made
        self._given = start.inputs
        self.node: NodeSpec = runner.pipeline.spec_of(start.node)
        self._inputs = AttemptInputs(self.node, start.inputs, runner.store)
        self.attempt = start.attempt
        self.granted = start.granted or NOTHING
        self.run = runner.run_id
        self.folder = folder_of(self.node, runner.folder)
        self.grace = runner.grace
        self.memo = runner.memo
        self.cancel_token = cancel_token
        self.run_coroutine = run_coroutine

    def make(self) -> Outcome:
        spec, store, kind = self.node, self._runner.store, KINDS[self.node.kind]
        outputs: dict[str, OutputRef] = dict(self._made)
        publish_wait = 0.0
        clock = time.perf_counter
        current_attempt.set((spec.id, self.attempt, self._runner.logs))
        state = self._runner.process_state
        if state is not None:
            self._start_state = state.reset()
        self._runner.contention.begin()
        began = clock()
        try:
            results = {} if self._made else kind.run(self)
            duration = clock() - began
            self._in_nfrun = True
            if results and spec.section not in LAST_SECTIONS:  # nobody could read what these give
                self._publish(dict(results), outputs)
                duration += self._read_seconds
                publish_wait = clock() - began - duration
            self._check_outputs(outputs)
            if spec.contracts:
                self._make_checks(outputs)
                duration = clock() - began - publish_wait
        except BaseException as error:  # also SystemExit and the like: a node must not end the run
            duration = clock() - began
            self.failure, publish_wait = self._describe_failure(error), 0.0
        if self.failure is not None:
            for ref in outputs.values() if not self._made else ():
                store.discard(ref)
            outputs = {}
        self._ended = True
        changed = state.changed(self._start_state) if state is not None and self._start_state is not None else ()
        if waits := self._inputs.waits:
            duration = max(0.0, duration - sum(waits.values()))
        cpu, gil_wait = self._runner.contention.end()
        # Samples are rare, so a wait may belong to the attempt before: limit it. A process of its own needs no GIL;
        # only the thread that reads its output does.
        gil_wait = 0.0 if kind.is_process else min(gil_wait, max(0.0, duration - cpu))
        watch = self._runner.watch
        seen = self._observation(changed) if changed or self.wrote or (watch is not None and watch.seen) else None
        return Outcome(
            spec.id,
            self.attempt,
            self.failure,
            outputs,
            duration,
            publish_wait,
            waits,
            cpu,
            gil_wait,
            observation=seen,
            absent=absent_outputs(spec, self._checks) if self._checks else (),
            checks=self._checks,
        )

    # -- `NodeContext`, for the kind -------------------------------------------------------------------------------

    def begin(self, *, imported: bool = False) -> None:
        if imported:
            keep_imported(self.memo, current_attempt)
        if self._start_state is not None and self._runner.process_state is not None:
            self._start_state = self._runner.process_state.begin(self._start_state)

    @property
    def fsync(self) -> bool:
        return self._runner.store.fsync

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment of the run, with the node's threads, its units of budgets and its own variables on top."""
        node, runner = self.node, self._runner
        threads = thread_variables(node.cpus, runner.pipeline.env) if node.cpus > 1 else {}
        at_end = runner.end_variables if node.section in LAST_SECTIONS else {}
        units = unit_variables(self.granted, runner.environ)
        return {**runner.environ, **threads, **units, **node.env, **at_end}

    @property
    def run_scratch(self) -> Path:
        return self._runner.scratch

    @property
    def memory_share(self) -> float:
        return self._runner.memory_share

    @property
    def may_share_memory(self) -> bool:
        return self.node.id not in self._runner.unshared

    @property
    def import_module(self) -> Callable[[str], Any] | None:
        return self._runner.importer(self.node.folder)

    def has_input(self, name: str) -> bool:
        return self._inputs.has(name)

    def table(self, name: str) -> Any:
        return self._inputs.table(name)

    def file(self, name: str) -> Path:
        return self._inputs.file(name, self.scratch)

    def files(self, name: str) -> FileSource | None:
        return self._inputs.files(name)

    @property
    def stays_in_files(self) -> bool:
        return self.node.id in self._runner.in_files

    def look(self, path: Path) -> FileLook:
        watch = self._runner.watch
        return (FileChecksums() if watch is None else watch.checksums).look(path)

    def scratch(self) -> Path:
        if self._folder is None:
            from nfrun.engine.scratch_folder import make_scratch  # few attempts need it

            self._folder = make_scratch(self._runner.scratch, self.node.id, self.attempt)
        return self._folder

    def log(self, level: str, line: str) -> None:
        if self._is_active():
            self._runner.logs.log(self.node.id, self.attempt, level, line)

    def stream_log(self, stream: str) -> StreamLog:
        return self._runner.logs.of(self.node.id, self.attempt, stream)

    def progress(self, done: float, total: float | None = None) -> None:
        if not self._is_active():
            return
        now, complete = time.monotonic(), done == total
        if now - self._progress_at >= _PROGRESS_SECONDS or (complete and not self._complete_sent):
            self._progress_at, self._complete_sent = now, complete
            self._runner.progress(self.node.id, done, total)

    def _is_active(self) -> bool:
        """Whether the attempt may still emit logs and progress.

        False once it is detached, and for a thread that the node left running after the attempt has ended. Slows
        detached code down, so that it leaves the GIL to others.
        """
        if self._runner.logs.is_detached(self.node.id, self.attempt):
            throttle_detached()
            return False
        return not self._ended

    # -- private ---------------------------------------------------------------------------------------------------

    def remove_scratch(self) -> None:
        if self._folder is not None:
            remove(self._folder, ignore_errors=True)

    def _observation(self, changed: tuple[str, ...]) -> Observation | None:
        """Return the files and hosts that the attempt used, and the names of process state that it `changed`."""
        watch, state = self._runner.watch, self._runner.process_state
        seen = None if watch is None else watch.end(current_attempt.get())
        if not changed and not self.wrote:
            return seen
        seen = seen or Observation()
        obstacle = state.obstacle(changed) if state is not None and changed else ""
        return replace(seen, writes={**seen.writes, **self.wrote}, state=changed, obstacle=obstacle or seen.obstacle)

    def _timed(self, value: Any) -> Any:
        """Return the output, frozen. The time in which a reader makes its batches is duration, not publish wait."""
        import pyarrow as pa

        from nfrun.tables.ipc import strict_line

        if not isinstance(value, pa.RecordBatchReader):
            if self.node.kind in BUILT_IN:  # these return tables that nobody can change
                return value
            from nfrun.tables.frozen import frozen_output

            return frozen_output(value)

        def batches() -> Iterator[pa.RecordBatch]:
            while True:
                began = time.perf_counter()
                try:
                    batch = value.read_next_batch()
                except StopIteration:
                    return
                except BaseException:
                    self._in_nfrun = False  # the node makes the batches
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
        for output in self._runner.consumed.get(self.node.id, ()) if not self._made else ():
            if output not in outputs:
                what = KINDS[self.node.kind].missing_output(output.name)
                pipeline = self._runner.pipeline
                named = pipeline.names_outputs and output in pipeline.outputs.values()
                why = "'outputs' of the file names it" if named else f"other nodes read '{output}'"
                raise NodeError(f"it {what}, but {why}")

    def _publish(self, results: dict[str, Any], outputs: dict[str, OutputRef]) -> None:
        """Hand the results to the store, and add what refers to them to `outputs`."""
        store, moved = self._runner.store, KINDS[self.node.kind].moves_files(self.node)
        for output in [OutputId(self.node.id, name) for name in results]:
            # Popped, so that no reference here keeps a table alive after the store drops it.
            if isinstance(results[output.name], Path):
                path, type = results.pop(output.name), self.node.type_of(output.name)
                outputs[output] = store.publish_file(output, self.attempt, path, type, moved=moved)
            else:
                outputs[output] = store.publish(output, self.attempt, self._timed(results.pop(output.name)))

    def _make_checks(self, outputs: Mapping[str, OutputRef]) -> None:
        """Check the outputs against their contracts. A check that does not hold may be the failure of the attempt."""
        runner = self._runner
        checks = OutputChecks(self, runner.store.open, self._given, runner.started, runner.evidence, runner.folder)
        self._checks = checks.make(outputs)
        self.failure = failure_of_checks(self.node, self._checks)

    def _describe_failure(self, error: BaseException) -> Failure:
        if self.cancel_token.cancelled:
            return CANCELLED
        if (self._in_nfrun or self._inputs.is_broken) and not isinstance(error, NodeError | FormatError):
            return nfrun_failure(error)
        try:
            from nfrun.engine.failures import failure_of

            return failure_of(error, self.node, tuple(self._inputs.described()), self._runner.folder)
        except Exception as broken:
            return nfrun_failure(broken, Failure(Cause.NODE, type(error).__name__, error_text(error)))
