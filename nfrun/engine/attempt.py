"""One attempt at one node, wherever it runs: open the inputs, do the work, hand on the outputs, tell what came of it.

Knows the kinds and the store, not who asked nor what comes next. Whatever a node does, an `Outcome` comes back.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from nfrun.core.errors import HandoffError
from nfrun.core.events import Failure, NodeStarted, Outcome, OutputRef
from nfrun.core.pipeline import NodeSpec, Pipeline
from nfrun.engine.gil_contention import GilContention
from nfrun.logs.node_logs import Logs, StreamLog, throttle_detached
from nfrun.logs.print_capture import current_attempt
from nfrun.nodes.base import GRACE_SECONDS, CancelToken, NodeError
from nfrun.nodes.registry import kind_of

RunCoroutine = Callable[[Coroutine[Any, Any, Any]], Any]
Progress = Callable[[str, float, float | None], None]

_PROGRESS_SECONDS = 0.1


class OutputStore(Protocol):
    """Where outputs are handed on: `nfrun.tables.store.TableStore`, or what stands in for it in another process."""

    fsync: bool

    def publish(self, output: str, attempt: int, value: Any) -> OutputRef: ...

    def open(self, ref: OutputRef) -> Any: ...

    def file(self, ref: OutputRef) -> Path: ...

    def discard(self, ref: OutputRef) -> None: ...


@dataclass(frozen=True)
class AttemptRunner:
    """What all attempts of a run share.

    `environ` is the environment of the run, the file's `env` laid over the process's. `logs` takes what nodes print and
    log, `progress(node, done, total)` goes to the reports. `wanted` are the ids of outputs that are read, where
    `pipeline` is only a part. A child process that was told to stop is killed `grace` seconds later.
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
    consumed_here: frozenset[str] | None = None
    grace: float = GRACE_SECONDS

    @cached_property
    def folder(self) -> Path:
        """What the paths of the pipeline are relative to."""
        return Path(self.pipeline.folder)

    @cached_property
    def consumed(self) -> frozenset[str]:
        """The ids of the outputs that some node reads."""
        if self.consumed_here is not None:
            return self.consumed_here
        return frozenset(item.output for spec in self.pipeline.nodes.values() for item in spec.inputs)

    def __call__(self, start: NodeStarted, cancel_token: CancelToken, run_coroutine: RunCoroutine) -> Outcome:
        """Make the attempt. `wait` runs a coroutine on the executor's event loop. Never raises."""
        attempt = _Attempt(self, start, cancel_token, run_coroutine)
        token = current_attempt.set((start.node, start.attempt))
        try:
            return attempt.make()
        finally:
            current_attempt.reset(token)
            self.logs.end(start.node, start.attempt)
            attempt.clean()


class _Attempt:
    """The `Job` that a kind is given, and what becomes of it."""

    __slots__ = (
        "_complete_told", "_ended", "_folder", "_reading", "_runner", "_start", "_told", "attempt", "cancel_token",
        "folder", "grace", "input_waits", "memo", "node", "run", "run_coroutine",
    )  # fmt: skip

    def __init__(
        self, runner: AttemptRunner, start: NodeStarted, cancel_token: CancelToken, run_coroutine: RunCoroutine
    ) -> None:
        self._runner = runner
        self._start = start
        self._folder: Path | None = None
        self._reading = 0.0
        self._told = 0.0
        self._complete_told = False
        self._ended = False
        self.input_waits: dict[str, float] = {}
        self.node: NodeSpec = runner.pipeline.nodes[start.node]
        self.attempt = start.attempt
        self.run = runner.run_id
        self.folder = runner.folder
        self.grace = runner.grace
        self.memo = runner.memo
        self.cancel_token = cancel_token
        self.run_coroutine = run_coroutine

    def make(self) -> Outcome:
        spec, store = self.node, self._runner.store
        outputs: dict[str, OutputRef] = {}
        publish_wait, failure = 0.0, None
        clock = time.perf_counter
        self._runner.contention.begin()
        began = clock()
        try:
            results = kind_of(spec.kind).run(self)
            duration = clock() - began
            if results:
                results = dict(results)
                for name in list(results):
                    output = f"{spec.id}.{name}" if name else spec.id
                    # Taken out, so that nothing here keeps a table alive that the store lets go of.
                    outputs[output] = store.publish(output, self.attempt, self._counted(results.pop(name)))
                duration += self._reading
                publish_wait = clock() - began - duration
            self._complete(outputs)
        except BaseException as error:  # SystemExit and the like too: a node never ends the run
            duration = clock() - began
            failure = self._failure(error)
            for ref in outputs.values():
                store.discard(ref)
            outputs, publish_wait = {}, 0.0
        self._ended = True
        if self.input_waits:
            duration = max(0.0, duration - sum(self.input_waits.values()))
        cpu, gil_wait = self._runner.contention.end()
        # Looks are rare: one may have been for the attempt before. A script waits for no lock, only who listens to it.
        gil_wait = 0.0 if spec.kind == "run" else min(gil_wait, max(0.0, duration - cpu))
        return Outcome(
            spec.id, self.attempt, failure, None, outputs, duration, publish_wait, self.input_waits, cpu, gil_wait
        )

    # -- what a kind is offered ------------------------------------------------------------------------------------

    @property
    def fsync(self) -> bool:
        return self._runner.store.fsync

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment of the run, the node's own laid over it."""
        return {**self._runner.environ, **self.node.env}

    def table(self, name: str) -> Any:
        ref, began = self._input(name), time.perf_counter()
        try:
            return self._runner.store.open(ref)
        finally:
            self._waited(ref, time.perf_counter() - began)

    def file(self, name: str) -> Path:
        ref, began = self._input(name), time.perf_counter()
        try:
            return self._runner.store.file(ref)
        finally:
            self._waited(ref, time.perf_counter() - began)

    def scratch(self) -> Path:
        if self._folder is None:
            import tempfile

            try:
                self._runner.scratch.mkdir(parents=True, exist_ok=True)
                self._folder = Path(
                    tempfile.mkdtemp(prefix=f"{self.node.id}.{self.attempt}.", dir=self._runner.scratch)
                )
            except OSError as error:
                what = f"cannot make a folder for the node '{self.node.id}' in {self._runner.scratch}"
                raise HandoffError(f"{what}: {error.strerror}") from error
        return self._folder

    def log(self, level: str, line: str) -> None:
        if self._counts():
            self._runner.logs.log(self.node.id, self.attempt, level, line)

    def stream_log(self, stream: str) -> StreamLog:
        return self._runner.logs.of(self.node.id, self.attempt, stream)

    def progress(self, done: float, total: float | None = None) -> None:
        if not self._counts():
            return
        now, complete = time.monotonic(), done == total
        if now - self._told >= _PROGRESS_SECONDS or (complete and not self._complete_told):
            self._told, self._complete_told = now, complete
            self._runner.progress(self.node.id, done, total)

    def _counts(self) -> bool:
        """Whether anybody wants to hear of it. If not, it was given up, or a thread goes on that it has left behind."""
        if self._runner.logs.is_detached(self.node.id, self.attempt):
            throttle_detached()
            return False
        return not self._ended

    # -- the rest --------------------------------------------------------------------------------------------------

    def clean(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _input(self, name: str) -> OutputRef:
        for item in self.node.inputs:
            if item.name == name:
                break
        ref = self._start.inputs.get(item.output)
        if ref is None:
            raise NodeError(f"the input '{name}' has no data: '{item.output}' handed nothing on")
        return ref

    def _waited(self, ref: OutputRef, seconds: float) -> None:
        self.input_waits[ref.id] = self.input_waits.get(ref.id, 0.0) + seconds

    def _counted(self, value: Any) -> Any:
        """The output; of a reader, what it takes to make each batch counts as work, not as waiting for the store."""
        import pyarrow as pa

        if not isinstance(value, pa.RecordBatchReader):
            return value

        def batches() -> Iterator[pa.RecordBatch]:
            while True:
                began = time.perf_counter()
                try:
                    batch = value.read_next_batch()
                except StopIteration:
                    return
                finally:
                    self._reading += time.perf_counter() - began
                yield batch

        return pa.RecordBatchReader.from_batches(value.schema, batches())

    def _complete(self, outputs: Mapping[str, OutputRef]) -> None:
        """Raises NodeError if an output is missing that some node reads."""
        read = self._runner.consumed
        for output in self.node.output_ids:
            if output in read and output not in outputs:
                name = output.partition(".")[2]
                how = {"run": "wrote nothing to $NFRUN_OUTPUT" + (f"_{name}" if name else "")}
                what = how.get(self.node.kind, "returned None")
                raise NodeError(f"it {what}, but other nodes read '{output}'")

    def _failure(self, error: BaseException) -> Failure:
        from nfrun.engine.failures import failure_of

        if self.cancel_token.cancelled:
            return Failure("cancelled", "Cancelled", "stopped")
        inputs = tuple(
            f"{item.name}: {ref.rows:,} row{'' if ref.rows == 1 else 's'}, {ref.schema}"
            for item in self.node.inputs
            if (ref := self._start.inputs.get(item.output))
        )
        return failure_of(error, self.node, inputs, self.folder)
