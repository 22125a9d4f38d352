"""One attempt at one node, wherever it runs: open the inputs, do the work, hand on the outputs, tell what came of it.

Knows the kinds and the store, not who asked nor what comes next. Whatever a node does, an `Outcome` comes back.
"""

from __future__ import annotations

import asyncio
import errno
import importlib
import os
import shutil
import sys
import sysconfig
import tempfile
import time
import traceback
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from nfrun.errors import HandoffError
from nfrun.events import Failure, Frame, NodeStarted, Outcome, Ref
from nfrun.formats import FormatError
from nfrun.handoff import Store
from nfrun.kinds import KINDS
from nfrun.kinds.kind import Job, NodeError, Stop
from nfrun.spec import NodeSpec, Pipeline

current_node: ContextVar[str] = ContextVar("current_node", default="")

Wait = Callable[[Coroutine[Any, Any, Any]], Any]
Log = Callable[[str, str, str], None]
Progress = Callable[[str, float, float | None], None]

_MOST_FRAMES = 12
_MOST_TEXT = 4_000
_PROGRESS_SECONDS = 0.1


@dataclass(frozen=True)
class Work:
    """What all attempts of a run share.

    `environ` is the environment of the run, the file's `env` laid over the process's. `log(node, level, line)` and
    `progress(node, done, total)` go to the reports.
    """

    pipeline: Pipeline
    store: Store
    run_id: str
    scratch: Path
    environ: Mapping[str, str]
    log: Log = lambda node, level, line: None
    progress: Progress = lambda node, done, total: None

    @cached_property
    def read(self) -> frozenset[str]:
        """The ids of the outputs that some node reads."""
        return frozenset(item.output for spec in self.pipeline.nodes.values() for item in spec.inputs)

    def __call__(self, start: NodeStarted, stop: Stop, wait: Wait) -> Outcome:
        """Make the attempt. `wait` runs a coroutine on the executor's event loop. Never raises."""
        attempt = _Attempt(self, start, stop, wait)
        token = current_node.set(start.node)
        try:
            return attempt.make()
        finally:
            current_node.reset(token)
            _end_lines(start.node)
            attempt.clean()


@dataclass
class _Attempt:
    work: Work
    start: NodeStarted
    stop: Stop
    wait: Wait
    opened: dict[str, float] = field(default_factory=dict)
    folder: Path | None = None
    reading: float = 0.0

    @property
    def spec(self) -> NodeSpec:
        return self.work.pipeline.nodes[self.start.node]

    @cached_property
    def output_of(self) -> Mapping[str, str]:
        """The id of the output that each input reads."""
        return {item.name: item.output for item in self.spec.inputs}

    def make(self) -> Outcome:
        began = time.perf_counter()
        outputs: dict[str, Ref] = {}
        published = 0.0
        failure = None
        try:
            results = dict(KINDS[self.spec.kind].run(self.job()))
            took = time.perf_counter() - began
            self.complete(results)
            for name in list(results):
                output = f"{self.spec.id}.{name}" if name else self.spec.id
                # Taken out, so that nothing here keeps a table alive that the store lets go of.
                outputs[output] = self.work.store.publish(output, self.start.attempt, self.counted(results.pop(name)))
            took += self.reading
            published = time.perf_counter() - began - took
        except BaseException as error:  # SystemExit and the like too: a node never ends the run
            took = time.perf_counter() - began
            failure = self.failure(error)
        if failure is not None:
            for ref in outputs.values():
                self.work.store.release(ref)
            outputs = {}
        waited = sum(self.opened.values())
        return Outcome(
            node=self.start.node,
            attempt=self.start.attempt,
            failure=failure,
            outputs=outputs,
            took=max(0.0, took - waited),
            published=published,
            opened=self.opened,
        )

    def counted(self, value: Any) -> Any:
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
                    self.reading += time.perf_counter() - began
                yield batch

        return pa.RecordBatchReader.from_batches(value.schema, batches())

    def job(self) -> Job:
        spec, report = self.spec, self.work.progress
        last = 0.0

        def progress(done: float, total: float | None = None) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= _PROGRESS_SECONDS or done == total:
                last = now
                report(spec.id, done, total)

        return Job(
            node=spec,
            attempt=self.start.attempt,
            run=self.work.run_id,
            folder=Path(self.work.pipeline.folder),
            environ={**self.work.environ, **spec.env},
            table=lambda name: self.timed(name, self.work.store.open),
            file=lambda name: self.timed(name, self.work.store.file),
            scratch=self.scratch,
            stop=self.stop,
            wait=self.wait,
            log=lambda level, line: self.work.log(spec.id, level, line),
            progress=progress,
        )

    def timed(self, name: str, take: Callable[[Ref], Any]) -> Any:
        """An input, with the seconds waited for it kept under the output's id."""
        output = self.output_of[name]
        ref = self.start.inputs.get(output)
        if ref is None:
            raise NodeError(f"the input '{name}' has no data: '{output}' handed nothing on")
        began = time.perf_counter()
        try:
            return take(ref)
        finally:
            self.opened[output] = self.opened.get(output, 0.0) + time.perf_counter() - began

    def complete(self, results: Mapping[str, Any]) -> None:
        """Raises NodeError if an output is missing that some node reads."""
        read = self.work.read
        for output, name in zip(self.spec.output_ids, self.spec.outputs or ("",), strict=True):
            if name not in results and output in read:
                how = {"run": "wrote nothing to $NFRUN_OUTPUT" + (f"_{name}" if name else "")}
                what = how.get(self.spec.kind, "returned None")
                raise NodeError(f"it {what}, but other nodes read '{output}'")

    def scratch(self) -> Path:
        if self.folder is None:
            self.work.scratch.mkdir(parents=True, exist_ok=True)
            self.folder = Path(tempfile.mkdtemp(prefix=f"{self.spec.id}.{self.start.attempt}.", dir=self.work.scratch))
        return self.folder

    def clean(self) -> None:
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def failure(self, error: BaseException) -> Failure:
        inputs = tuple(
            f"{item.name}: {ref.rows:,} row{'' if ref.rows == 1 else 's'}, {ref.schema}"
            for item in self.spec.inputs
            if (ref := self.start.inputs.get(item.output))
        )
        if self.stop.requested:
            return Failure("cancelled", "Cancelled", "stopped")
        if isinstance(error, NodeError):
            return Failure("error", "", _text(error), details=error.details, inputs=inputs)
        if isinstance(error, FormatError):
            return Failure("error", "", _text(error), inputs=inputs)
        if isinstance(error, HandoffError):
            return Failure("io", "", _text(error), inputs=inputs)
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        files = self.spec.kind in ("read", "write") and isinstance(error, OSError)
        kind = "io" if full or (files and isinstance(error, PermissionError)) else "error"
        if files:  # nobody's code but ours is to be seen there
            return Failure(kind, type(error).__name__, _text(error), inputs=inputs)
        frames = user_frames(error, Path(self.work.pipeline.folder))
        notes = [str(note) for note in getattr(error, "__notes__", [])]
        details = "\n".join([*notes, *(f"caused by {type(e).__name__}: {_text(e)}" for e in _causes(error))])
        return Failure(kind, type(error).__name__, _text(error), frames, details, inputs)


def _end_lines(node: str) -> None:
    """What the node began to print is a line now."""
    for stream in (sys.stdout, sys.stderr):
        end_line = getattr(stream, "end_line", None)  # those of nfrun.prints have it, and the run may have none
        if end_line is not None:
            end_line(node)


def user_frames(error: BaseException, folder: Path) -> tuple[Frame, ...]:
    """The frames of an error's traceback that are the user's, and the last one wherever it is.

    None of nfrun's own, of the import system, nor of compiled modules, which have no source to show. Files in the
    pipeline's folder are shown relative to it. A syntax error points at its place.
    """
    libraries = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")})
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not _is_machinery(f.filename)]
    theirs = [f for f in frames if not f.filename.startswith(libraries)]
    if theirs and frames[-1] is not theirs[-1]:
        theirs.append(frames[-1])
    shown = theirs or frames
    if len(shown) > _MOST_FRAMES:  # a recursion: both its ends tell more than its middle
        shown = shown[: _MOST_FRAMES // 2] + shown[-_MOST_FRAMES // 2 :]
    found = [Frame(_shown(f.filename, folder), f.lineno or 0, f.name, _clean(f.line or "")) for f in shown]
    if isinstance(error, SyntaxError) and error.filename:
        found.append(Frame(_shown(error.filename, folder), error.lineno or 0, "<module>", _clean(error.text or "")))
    return tuple(found)


def _is_machinery(file: str) -> bool:
    hidden = (f"{Path(__file__).parent}{os.sep}", f"{Path(importlib.__file__).parent}{os.sep}", "<frozen ")
    return file.startswith(hidden) or file.endswith((".pyx", ".pxi"))


def _clean(line: str) -> str:
    return line.strip().encode(errors="backslashreplace").decode()


def _shown(file: str, folder: Path) -> str:
    return str(Path(file).relative_to(folder)) if Path(file).is_relative_to(folder) else file


def _causes(error: BaseException) -> list[BaseException]:
    """What led to the error, nearest first, and the members of a group."""
    causes = list(error.exceptions[:3]) if isinstance(error, BaseExceptionGroup) else []
    step: BaseException | None = error
    while step is not None and len(causes) < 3:
        step = step.__cause__ or (None if step.__suppress_context__ else step.__context__)
        if step is not None:
            causes.append(step)
    return causes


def _text(error: BaseException) -> str:
    try:
        text = str(error) or ("" if isinstance(error, asyncio.CancelledError) else type(error).__name__)
    except BaseException as broken:
        text = f"<its message cannot be shown: {type(broken).__name__}>"
    if isinstance(error, SystemExit):
        text = f"the node called sys.exit({'' if error.code is None else text})"
    text = text.encode(errors="backslashreplace").decode()  # half a character, which no report can write
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}… ({len(text):,} characters)"
