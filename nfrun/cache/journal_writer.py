"""Writes the journal of a run from its events.

The line of a node is written once its outputs are on disk and its cache key is known. That may be later than its
`NodeFinished` event: the node's outputs and inputs may still be in the write queue.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace

from nfrun.cache.cache_key import CacheKeys, cache_key, reader_digest
from nfrun.cache.cached_attempts import ObservedFiles
from nfrun.cache.journal import FinishedNode, FinishedOutput, Journal
from nfrun.core.errors import HandoffError
from nfrun.core.events import Event, NodeFinished, OutputPublished, OutputRef, RunFinished
from nfrun.core.pipeline import NodeSpec, Pipeline
from nfrun.system.checksums import file_checksum


class JournalWriter:
    """A reporter that writes the journal. The event dispatcher calls it from one thread.

    If a write fails, it calls `on_error(error)` once, keeps the error in `error` and writes nothing more. `error` is
    None until then.
    """

    name = "of the journal"
    event_types = (NodeFinished, OutputPublished, RunFinished)

    def __init__(
        self,
        journal: Journal,
        pipeline: Pipeline,
        keys: CacheKeys,
        observed: ObservedFiles,
        on_error: Callable[[HandoffError], None],
    ) -> None:
        self._journal = journal
        self._nodes = pipeline.nodes
        self._keys = keys
        self._observed = observed
        self._on_error = on_error
        self._published: dict[str, OutputRef] = {}
        self._ended: dict[str, NodeFinished] = {}
        self._written_keys: dict[str, str | None] = {}  # of nodes that are in the journal
        # For each ended node that is not in the journal yet its prerequisites, and for each missing prerequisite the
        # nodes that wait for it. A prerequisite is an output id, or a colon and the id of a node whose key is needed.
        self._prerequisites: dict[str, Iterator[str]] = {}
        self._waiting: dict[str, list[str]] = {}
        self.error: HandoffError | None = None

    def wake(self) -> None:
        """Prepare for the next batch of events; called by the event dispatcher."""
        # One check of the source files serves all nodes that ended before it.
        self._keys.refresh()

    def event(self, event: Event) -> None:
        """Write the lines that this event completes. Does not raise OSError, see `error`."""
        if self.error:
            return
        try:
            if isinstance(event, NodeFinished):
                self._ended[event.node] = event
                self._prerequisites[event.node] = self._prerequisites_of(event)
                self._write_ready([event.node])
            elif isinstance(event, OutputPublished):
                self._published[event.output] = event.ref
                self._write_ready(self._waiting.pop(event.output, []))
            elif isinstance(event, RunFinished):
                self._journal.ended(event.status)
        except OSError as error:
            what = f"cannot write {error.filename or self._journal.path}: {error.strerror or error}"
            self.error = HandoffError(what, error)
            self._on_error(self.error)

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    # -- prerequisites ---------------------------------------------------------------------------------------------

    def _prerequisites_of(self, end: NodeFinished) -> Iterator[str]:
        """Yield the missing prerequisites of the node's line, each checked only when it is its turn."""
        spec = self._nodes[end.node]
        for output, ref in end.outputs.items():
            if ref.path is not None and output not in self._published:
                yield output
        if end.reused:
            return
        for item in spec.inputs:
            if item.output not in self._published:
                yield item.output
        for need in spec.needs:
            if need not in self._written_keys:
                yield f":{need}"

    def _write_ready(self, nodes: list[str]) -> None:
        """Write the lines of the nodes that have all prerequisites, then of the nodes that waited for their keys.

        A loop instead of recursion, because chains of nodes may be long.
        """
        while nodes:
            node = nodes.pop()
            prerequisite = next(self._prerequisites[node], None)
            if prerequisite is not None:
                self._waiting.setdefault(prerequisite, []).append(node)
                continue
            del self._prerequisites[node]
            finished = self._finished(self._ended.pop(node))
            self._journal.finished(finished)
            self._written_keys[node] = finished.key
            nodes.extend(self._waiting.pop(f":{node}", ()))

    # -- journal entries -------------------------------------------------------------------------------------------

    def _finished(self, end: NodeFinished) -> FinishedNode:
        """Make the journal entry of a node. Raises OSError if the file of an output cannot be read."""
        spec = self._nodes[end.node]
        used = self._observed.used.get(end.node) if end.reused else None
        if used is not None:
            outputs = tuple(self._reused(output, end.outputs[output.id]) for output in used.outputs)
            return FinishedNode(
                end.node, used.key, used.key_inputs, outputs, used.wrote, used.duration, True, spec.cache is True
            )
        outputs = tuple(self._output(self._published[output]) for output in end.outputs)
        key_inputs = self._key_inputs(spec)
        wrote = self._observed.wrote.get(spec.id, {})
        key = None if key_inputs is None else cache_key(key_inputs)
        return FinishedNode(end.node, key, key_inputs or {}, outputs, wrote, end.duration, cached=spec.cache is True)

    def _key_inputs(self, spec: NodeSpec) -> dict[str, str] | None:
        """Return the key inputs, None where they cannot be determined, such as when a file changed during the run."""
        files = self._observed.inputs.recheck(spec)
        needs = {need: self._written_keys[need] for need in spec.needs}
        known = {need: key for need, key in needs.items() if key is not None}
        # If the code has changed since, the node may have run either the old or the new code.
        if files is None or len(known) < len(needs) or not self._keys.is_current(spec.id):
            return None
        inputs = {item.output: reader_digest(self._published[item.output]) for item in spec.inputs}
        return dict(self._keys.key_inputs(spec.id, inputs=inputs, needs=known, files=files))

    def _output(self, ref: OutputRef) -> FinishedOutput:
        path = ref.path or ""
        file = path.rpartition(os.sep)[2]
        checksum = ref.checksum or file_checksum(path)
        digest, size, schema_digest = ref.digest or "", ref.size or 0, ref.schema_digest or ""
        return FinishedOutput(ref.id, ref.rows, ref.bytes, ref.schema, digest, size, checksum, file, schema_digest)

    def _reused(self, output: FinishedOutput, ref: OutputRef) -> FinishedOutput:
        file = None if ref.path is None else ref.path.rpartition(os.sep)[2]
        return replace(output, file=file)
