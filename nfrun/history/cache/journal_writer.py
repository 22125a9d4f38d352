"""Writes the journal of a run from its events, and holds back the end of each node until it is in the journal.

The line of a node is written once its outputs are on disk and its cache key is known. That may be later than its
`NodeFinished` event: the node's outputs and inputs may still be in the write queue.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from nfrun.core.contracts import CheckResult
from nfrun.core.errors import HandoffError
from nfrun.core.events import (
    NOT_SELECTED,
    STATUSES,
    AllNodesEnded,
    Event,
    NodeCancelled,
    NodeFailed,
    NodeFinished,
    NodeRetrying,
    NodeSkipped,
    NodeStarted,
    OutputPublished,
    OutputRef,
    OutputReleased,
    RunFinished,
)
from nfrun.core.pipeline import NOTHING, TABLE, NodeSpec, Pipeline, file_name
from nfrun.core.values import replace
from nfrun.history.cache.cache_key import ABSENT, CacheKeys, KeyInputs, cache_key, dependency_digest, with_files
from nfrun.history.cache.observed_files import ObservedFiles, handed_on_to
from nfrun.history.database import Journal
from nfrun.history.journal import (
    RUNS_LAST,
    FailedAttempt,
    FinishedOutput,
    NodeTimes,
    RecordedNode,
    reader_digest,
)
from nfrun.system.checksums import file_checksum

_RECORDED = (NodeFinished, OutputPublished, OutputReleased)
_UNFINISHED = {NodeFailed: "failed", NodeSkipped: "skipped", NodeCancelled: "cancelled"}
_Prerequisite = str | tuple[str, int]
_NOT_WRITTEN = "its outputs, or those of a node that it depends on, were not written"
_MANY = 1_000  # lines that are written at once


class JournalWriter:
    """Writes the journal. Its `admit` is the gate of the event dispatcher, which calls it from one thread.

    It admits a `NodeFinished` once the node's line is written, and behind it the events of the node's outputs. So a
    node whose end has been reported is not run again, even if the run is killed. All other events pass at once. A node
    that is still held back at the end of the run, as its outputs could not be written, is reported as cancelled.
    `reason(node)` says why a node runs. It writes no lines about nodes that are `left_out`, as they are not selected.
    Of some of them, and of nodes that read files again for others, earlier `results` are used.

    If a write fails, it calls `on_error(error)`, keeps the error in `error` and writes nothing more; from then on all
    events pass, so nodes are reported as finished that are not in the journal. `error` is None until then, and its
    message goes through `redact`. `warn` is called if a table that was made again is another one now. `end` is the end
    of the run as it is reported; None before. `made_on` has the worker of a cluster for each attempt, by its node and
    number.
    """

    def __init__(
        self,
        journal: Journal,
        pipeline: Pipeline,
        keys: CacheKeys,
        observed: ObservedFiles,
        redact: Callable[[str], str] = str,
        reason: Callable[[str], str] = lambda node: "",
        *,
        left_out: Collection[str] = (),
        results: Mapping[str, RecordedNode] = NOTHING,
        warn: Callable[[str], None] = print,
    ) -> None:
        self._journal = journal
        self._nodes = pipeline.nodes
        self._specs = {**pipeline.nodes, **pipeline.last_nodes}
        self._shown = frozenset(pipeline.outputs.values())
        self._outputs = pipeline.outputs
        self._shown_refs: dict[str, OutputRef] = {}
        self._keys = keys
        self._observed = observed
        self._redact = redact
        self._reason = reason
        self.warn = warn
        self.on_error: Callable[[Exception], None] = lambda error: None
        self._inputs: dict[str, Mapping[str, OutputRef]] = {}  # of nodes that have no line yet
        self._published: dict[tuple[str, int], OutputRef] = {}  # by id and attempt
        # Dependency digests of nodes that are in the journal, or not selected.
        self._written_keys: dict[str, str | None] = {name: dependency_digest(end) for name, end in results.items()}
        # The ended nodes that are not in the journal yet, and the events of their outputs.
        self._ended: dict[str, NodeFinished] = {}
        self._held: dict[str, list[Event]] = {}
        self._admitted: list[Event] = []
        # For each of these nodes its prerequisites, and for each missing prerequisite the nodes that wait for it. A
        # prerequisite is the id and attempt of an output, or the id of a node whose line must be written.
        self._prerequisites: dict[str, Iterator[_Prerequisite]] = {}
        self._waiting: dict[_Prerequisite, list[str]] = {}
        self._refused: dict[str, NodeFinished] = {}  # results whose checks failed, until their lines are written
        self._times = AttemptTimes()
        self.made_on: Mapping[tuple[str, int], str] = {}
        self._last = pipeline.last_nodes
        self._all_ended: AllNodesEnded | None = None  # it waits for the lines of all nodes
        # Whose lines are written with the next batch, or sooner if they are many.
        self._lines: list[RecordedNode] = []
        self._status = dict.fromkeys(left_out, NOT_SELECTED)  # of the nodes in the journal, by their last line
        self.error: Exception | None = None
        self.end: RunFinished | None = None

    def admit(self, events: list[Event]) -> list[Event]:
        """Write the lines that these events complete. Returns the events that the reporters get now."""
        self._admitted = []
        try:
            if not self.error:
                self._keys.refresh()  # one check of the source files serves all nodes that ended before it
        except Exception as error:
            self._fail(error)
        for event in events:
            if isinstance(event, RunFinished):
                self._end(event)
            elif isinstance(event, AllNodesEnded):
                self._all_ended = event  # passes once all nodes have their lines
            elif self._last and getattr(event, "node", None) in self._last:
                self._record_last(event)
                self._admitted.append(event)
            elif self.error or not isinstance(event, _RECORDED):
                if isinstance(event, NodeStarted):
                    if event.node in self._ended:  # it makes its table again, and only the line of that is written
                        del self._prerequisites[event.node]
                        self._times.forget(event.node)
                        self._admit((event.node,))
                    self._times.note(event)
                    self._inputs[event.node] = event.inputs
                elif isinstance(event, NodeRetrying):
                    self._times.note(event)
                elif isinstance(event, NodeFailed | NodeSkipped | NodeCancelled):
                    self._lines.append(self._unfinished_node(event))
                    if isinstance(event, NodeFailed) and not self.error:
                        self._record_refused(event)
                    if not isinstance(event, NodeCancelled) and event.tolerated:
                        self._written_keys[event.node] = ABSENT
                        self._write_ready(self._waiting.pop(event.node, []))
                self._admitted.append(event)
            else:
                try:
                    self._record(event)
                except Exception as error:  # a bug too: the events must still reach the reporters
                    self._fail(error)
        try:
            self._write_lines()
        except Exception as error:
            self._fail(error)
        if self._all_ended is not None and not self._ended:
            self._admitted.append(self._all_ended)
            self._all_ended = None
        return self._admitted

    def _record_last(self, event: Event) -> None:
        """Write the line of a node that runs when all others have ended. No run reuses it."""
        self._times.note(event)
        if isinstance(event, NodeFailed | NodeCancelled):
            self._lines.append(self._unfinished_node(event, RUNS_LAST))
        elif isinstance(event, NodeFinished) and not self.error:
            self._status[event.node] = "ok"
            of_times = {"attempts": event.attempt, "reason": RUNS_LAST, **self._times.finished(event)}
            self._lines.append(RecordedNode(event.node, "ok", duration=event.duration, **of_times))

    def _record_refused(self, failed: NodeFailed) -> None:
        """Write the line of a result that is kept although its checks failed, now or when its outputs are written."""
        found = self._observed.refused.get((failed.node, failed.attempt))
        if isinstance(found, RecordedNode):
            self._lines.append(reused_node(found, self._nodes[failed.node], 0.0, found.checks))
        elif found is not None:
            self._refused[failed.node] = found
            self._prerequisites[failed.node] = self._prerequisites_of(found)
            try:
                self._write_ready([failed.node])
            except Exception as error:  # a bug too: the events must still reach the reporters
                self._fail(error)

    def _record(self, event: NodeFinished | OutputPublished | OutputReleased) -> None:
        if isinstance(event, NodeFinished) and self._status.get(event.node) == NOT_SELECTED:
            self._admitted.append(event)
            return
        if isinstance(event, NodeFinished):
            self._ended[event.node] = event
            self._shown_refs |= {ref.id: ref for ref in event.outputs.values() if ref.id in self._shown}
            self._prerequisites[event.node] = self._prerequisites_of(event)
            self._write_ready([event.node])
            return
        node = event.ref.id.node
        if (node, event.ref.attempt) not in self._observed.refused:
            (self._held.setdefault(node, []) if node in self._ended else self._admitted).append(event)
        if isinstance(event, OutputPublished):
            key = event.ref.id, event.ref.attempt
            self._published[key] = event.ref
            self._write_ready(self._waiting.pop(key, []))

    def _end(self, event: RunFinished) -> None:
        """Write the last line. A run whose journal lacks a node does not end with `ok`."""
        lacking, self._ended = self._ended, {}
        cancelled = [NodeCancelled(ended.at, node, _NOT_WRITTEN) for node, ended in lacking.items()]
        self._admitted += cancelled
        self._admitted += [] if self._all_ended is None else [self._all_ended]
        self._all_ended = None
        self._lines += map(self._unfinished_node, cancelled)
        if gone := self._find_gone():
            event = replace(event.with_error(gone), error=str(gone))  # other errors follow from this one
        try:
            if not self.error:
                self._write_lines()
                if lacking and event.status == "ok":
                    raise LookupError(f"it lacks {', '.join(lacking)}")
                at, found = time.time(), list(self._status.values())
                counts = {status: found.count(status) for status in STATUSES}
                counts |= {status: found.count(status) for status in (NOT_SELECTED,) if status in found}
                self._journal.ended(event.status, at=at, duration=event.at, counts=counts, error=event.error)
        except Exception as error:
            self._fail(error)
        self.end = event.with_error(self.error) if self.error else event
        self._admitted.append(self.end)

    def _find_gone(self) -> HandoffError | None:
        """Return an error if the run's folder, the database, or the file of a shown output is not at its path."""
        gone = [*self._journal.gone()]
        for name, output in self._outputs.items():
            ref = self._shown_refs.get(output)
            if ref is None or ref.path is None or not (ref.checksum or (ref.id, ref.attempt) in self._published):
                continue  # it has not been written
            if not os.path.exists(ref.path):  # noqa: PTH110
                gone.append(f"{ref.path}, the file of the output '{name}',")
        if not gone:
            return None
        what = self._redact(f"{gone[0]} was removed or renamed while the run was under way")
        return HandoffError(what, FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)))

    def _fail(self, error: Exception) -> None:
        with suppress(Exception):
            self._write_lines()  # of other nodes
        if isinstance(error, OSError):
            what = f"cannot write {error.filename or self._journal.path}: {error.strerror or error}"
            self.error = HandoffError(self._redact(what), error)
        else:
            self.error = RuntimeError(self._redact(f"the journal is not complete: {type(error).__name__}: {error}"))
        self.on_error(self.error)
        self._admit(list(self._ended))

    def _admit(self, nodes: Iterable[str]) -> None:
        for node in nodes:
            self._admitted.append(self._ended.pop(node))
            self._admitted += self._held.pop(node, ())

    # -- prerequisites ---------------------------------------------------------------------------------------------

    def _prerequisites_of(self, end: NodeFinished) -> Iterator[_Prerequisite]:
        """Yield the missing prerequisites of the node's line, each until it is there."""
        spec = self._nodes[end.node]
        for ref in end.outputs.values() if not end.reused else ():
            while (ref.id, ref.attempt) not in self._published:
                yield ref.id, ref.attempt
        for node in spec.upstream:
            while node not in self._written_keys:
                yield node
        if not end.reused:  # for the digests: the lines above may be those of outputs without a file
            for ref in self._inputs.get(end.node, {}).values():
                while ref.digest is None and (ref.id, ref.attempt) not in self._published:
                    yield ref.id, ref.attempt

    def _write_ready(self, nodes: list[str]) -> None:
        """Write the lines of the nodes that have all prerequisites, then of the nodes that waited for these lines.

        A loop instead of recursion, because chains of nodes may be long.
        """
        while nodes:
            node = nodes.pop()
            if node not in self._prerequisites:
                continue  # it has ended twice, as its table was made again, and waited for something each time
            prerequisite = next(self._prerequisites[node], None)
            if prerequisite is not None:
                self._waiting.setdefault(prerequisite, []).append(node)
                continue
            del self._prerequisites[node]
            if node in self._refused:
                refused = self._finished_node(self._refused.pop(node))
                self._lines += [refused] if refused.key is not None else []
                continue
            finished = self._finished_node(self._ended[node])
            self._lines.append(finished)
            if len(self._lines) >= _MANY:
                self._write_lines()
            self._status[node] = finished.status
            self._inputs.pop(node, None)
            self._admit((node,))
            self._written_keys[node] = None if finished.key is None else dependency_digest(finished)
            nodes.extend(self._waiting.pop(node, ()))

    # -- journal entries -------------------------------------------------------------------------------------------

    def _finished_node(self, end: NodeFinished) -> RecordedNode:
        """Make the journal entry of a node. Raises OSError if the file of an output cannot be read."""
        spec = self._nodes[end.node]
        if end.reused:
            started = self._times.reused(end.node)
            return reused_node(self._observed.used[end.node], spec, started, end.checks)
        folder, refs = self._journal.folder, [(ref.id, ref.attempt) for ref in end.outputs.values()]
        outputs = tuple([finished_output(self._published[ref], folder, self._shown) for ref in refs])
        if (before := self._observed.made_again.get(spec.id)) is not None and spec.id not in self._observed.outdated:
            given = {output.id: reader_digest(output) for output in outputs}
            if any(given.get(output.id) != reader_digest(output) for output in before.outputs):
                self.warn(
                    f"the table of node '{spec.id}' was made again and differs from the one that was removed: say "
                    "'cache: true' to keep its tables, or 'cache: false' to run it each time"
                )
        if (key_inputs := self._key_inputs(spec)) is None:
            self._observed.on_uncertain(spec.id)
        self._observed.seen[spec.id] = seen = self._observed.code.complete(spec.id, self._observed.seen.get(spec.id))
        wrote = {**self._observed.wrote.get(spec.id, {}), **seen.writes}
        key = None if key_inputs is None else cache_key(key_inputs)
        return RecordedNode(
            end.node,
            "ok",
            key,
            key_inputs or {},
            outputs,
            wrote,
            end.duration,
            cached=spec.cache is True,
            reads=seen.reads,
            obstacle=seen.obstacle,
            attempts=end.attempt - (end.node in self._observed.used),
            reason=self._redact(self._reason(end.node)),
            of=spec.of,
            cell=spec.cell,
            checks=end.checks,
            map=end.map,
            **self._times.finished(end),
            **self._where(end.node, end.attempt),
        )

    def _unfinished_node(
        self, event: NodeFailed | NodeSkipped | NodeCancelled, reason: str | None = None
    ) -> RecordedNode:
        attempts, seconds, of_times = self._times.unfinished(event.node, event.at)
        self._status[event.node] = status = _UNFINISHED[type(event)]
        spec = self._specs[event.node]
        return RecordedNode(
            event.node,
            status,
            failure=getattr(event, "failure", None),
            attempts=attempts - (attempts > 0 and event.node in self._observed.used),  # the first one was a hit
            duration=getattr(event, "duration", seconds),
            because=getattr(event, "because", "") or getattr(event, "why", ""),
            reason=self._redact(self._reason(event.node)) if reason is None else reason,
            inputs=tuple(dict.fromkeys(output for item in spec.inputs for output in item.outputs)),
            of=spec.of,
            cell=spec.cell,
            **of_times,
            **self._where(event.node, attempts),
            **{name: getattr(event, name) for name in ("tolerated", "checks", "map") if hasattr(event, name)},
        )

    def _where(self, node: str, attempt: int) -> dict[str, Any]:
        """Return the fields of a node's line about the process that made an attempt at it."""
        if not self.made_on and node not in self._observed.memory:
            return {}
        return {"memory": self._observed.memory.get(node, 0), "worker": self.made_on.get((node, attempt), "")}

    def _write_lines(self) -> None:
        """Write the lines of nodes that have ended, with one write: most nodes of a large run may end at once."""
        nodes, self._lines = self._lines, []
        if nodes and not self.error:
            self._journal.add(*nodes)

    def _key_inputs(self, spec: NodeSpec) -> KeyInputs | None:
        """Return the key inputs, None where they cannot be determined, such as when a file changed during the run."""
        files = self._observed.inputs.recheck(spec, self._observed.wrote.get(spec.id, ()))
        if any(self._observed.inputs.recheck(source) is None for source in handed_on_to(spec, self._nodes)):
            return None  # the node may have read the old or the new file
        needs = {need: self._written_keys[need] for need in spec.needs}
        known = {need: key for need, key in needs.items() if key is not None}
        # If the code has changed since, the node may have run either the old or the new code.
        if files is None or len(known) < len(needs) or not self._keys.is_current(spec.id):
            return None
        refs = self._inputs.get(spec.id, {}).values()
        inputs = {ref.id: reader_digest(ref if ref.digest else self._published[ref.id, ref.attempt]) for ref in refs}
        return with_files(self._keys.key_inputs(spec.id, inputs=inputs, needs=known), files)


class AttemptTimes:
    """The attempts at nodes that have not ended. A node whose fields are taken is forgotten."""

    def __init__(self) -> None:
        # When the first and the last attempt started, the number of the last, and how long that was queued.
        self._starts: dict[str, tuple[float, float, int, float]] = {}
        self._failed: dict[str, list[FailedAttempt]] = {}

    def note(self, event: Event) -> None:
        """Note that an attempt starts, or that it failed and another one follows."""
        if isinstance(event, NodeStarted):
            known = self._starts.get(event.node)
            self._starts[event.node] = known[0] if known else event.at, event.at, event.attempt, event.queue_wait
        elif isinstance(event, NodeRetrying):
            _, started, _, queued = self._starts[event.node]
            started, at, delay, queued = _rounded(started, event.at, event.delay, queued)
            failed = FailedAttempt(started, at, delay, queued, event.failure.error)
            self._failed.setdefault(event.node, []).append(failed)

    def forget(self, node: str) -> None:
        """Forget a node that runs again, since its table is to be made again."""
        del self._starts[node]
        self._failed.pop(node, None)

    def reused(self, node: str) -> float:
        """Return when the attempt at a node started that was a cache hit."""
        return self._starts.pop(node, (0.0,))[0]

    def finished(self, end: NodeFinished) -> dict[str, Any]:
        """Return the fields `started`, `times` and `earlier` of the line of a node that has finished."""
        waits = sum(end.input_waits.values()), end.publish_wait, end.cpu, end.gil_wait
        self._starts.setdefault(end.node, (0.0, 0.0, 0, 0.0))
        return self.unfinished(end.node, end.at, *waits)[2]

    def unfinished(self, node: str, at: float, *waits: float) -> tuple[int, float, dict[str, Any]]:
        """Return the attempts at a node that did not finish, the seconds of the last one, and the same fields."""
        if node not in self._starts:
            return 0, 0.0, {}
        first, last, attempts, queued = self._starts.pop(node)
        times = NodeTimes(*_rounded(last, at, queued, *waits))
        return attempts, at - last, {"started": first, "times": times, "earlier": tuple(self._failed.pop(node, ()))}


def _rounded(*seconds: float) -> list[float]:
    """Return times with whole microseconds: fractions of these are long in a line, and mean nothing."""
    return [round(time, 6) for time in seconds]


def reused_node(used: RecordedNode, spec: NodeSpec, started: float, checks: tuple[CheckResult, ...]) -> RecordedNode:
    """Return the entry of a node with the result of an earlier run, whose entry is `used`."""
    return replace(
        used,
        status="reused",
        cached=spec.cache is True,
        started=started,
        reason="",
        home=used.home or (used.folder.name if used.folder is not None else ""),
        of=spec.of,
        cell=spec.cell,
        checks=checks,
        times=None,
        earlier=(),
        memory=0,
        worker="",
    )


def finished_output(ref: OutputRef, folder: Path, shown: Collection[str]) -> FinishedOutput:
    """Return the entry of an output. `folder` is that of the run, and `shown` are the outputs that it shows.

    Raises OSError if the file of the output cannot be read.
    """
    file = None if ref.path is None else ref.path.rpartition(os.sep)[2]
    if ref.type != TABLE and Path(ref.path or "") != folder / file_name(ref.id, ref.attempt, ref.type):
        file = None  # it is a source of the user's, or the output of another node
    # There is none if the store could not read the file: this raises that error.
    checksum = (ref.checksum or "") if file is None or ref.is_remote else ref.checksum or file_checksum(ref.path or "")
    return FinishedOutput(
        ref.id,
        ref.rows,
        ref.bytes,
        ref.schema,
        ref.digest or "",
        ref.size or 0,
        checksum,
        file,
        ref.schema_digest or "",
        shown=ref.id in shown,
        type=ref.type,
        stored=(ref.stored or "") if ref.is_remote else "",
    )
