"""Hears of a run by its events and writes its journal: a node has finished when its key and its outputs are known.

That is later than its end: its outputs and inputs may still be on their way to the disk. Decides nothing about the run;
what it cannot write it tells once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace

from nfrun.cache.cache_key import CacheKeys, cache_key, reader_digest
from nfrun.cache.cached_attempts import ObservedFiles
from nfrun.cache.journal import FinishedNode, FinishedOutput, Journal
from nfrun.core.events import Event, NodeFinished, OutputPublished, OutputRef, RunFinished
from nfrun.core.pipeline import NodeSpec, Pipeline
from nfrun.system.checksums import file_checksum


class JournalWriter:
    """A report that writes. `broken(message)` is told when that fails, after which nothing more is written; the message
    is in `error` then."""

    name = "of the journal"
    event_types = (NodeFinished, OutputPublished, RunFinished)

    def __init__(
        self,
        journal: Journal,
        pipeline: Pipeline,
        keys: CacheKeys,
        observed: ObservedFiles,
        on_error: Callable[[str], None],
    ) -> None:
        self._journal = journal
        self._nodes = pipeline.nodes
        self._keys = keys
        self._observed = observed
        self._on_error = on_error
        self._published: dict[str, OutputRef] = {}
        self._ended: dict[str, NodeFinished] = {}
        self._key: dict[str, str | None] = {}  # of nodes whose end is written
        # For each node that has ended what is still missing, and for each thing that is missing who waits for it. A
        # thing is an output's id, or a node's with a colon before it, whose key is meant.
        self._missing: dict[str, Iterator[str]] = {}
        self._waiting: dict[str, list[str]] = {}
        self.error = ""

    def wake(self) -> None:
        # One look at the code counts for all nodes that had ended before it.
        self._keys.refresh()

    def event(self, event: Event) -> None:
        if self.error:
            return
        try:
            if isinstance(event, NodeFinished):
                self._ended[event.node] = event
                self._missing[event.node] = self._missing_of(event)
                self._look_at([event.node])
            elif isinstance(event, OutputPublished):
                self._published[event.output] = event.ref
                self._look_at(self._waiting.pop(event.output, []))
            elif isinstance(event, RunFinished):
                self._journal.ended(event.status)
        except OSError as error:
            self.error = f"cannot write {error.filename or self._journal.path}: {error.strerror or error}"
            self._on_error(self.error)

    def close(self) -> None:
        self._journal.close()

    # -- what is missing -------------------------------------------------------------------------------------------

    def _missing_of(self, end: NodeFinished) -> Iterator[str]:
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
            if need not in self._key:
                yield f":{need}"

    def _look_at(self, nodes: list[str]) -> None:
        """Write the ends of the nodes that miss nothing, and of those that waited for that. A loop, for long chains."""
        while nodes:
            node = nodes.pop()
            thing = next(self._missing[node], None)
            if thing is not None:
                self._waiting.setdefault(thing, []).append(node)
                continue
            del self._missing[node]
            finished = self._finished(self._ended.pop(node))
            self._journal.finished(finished)
            self._key[node] = finished.key
            nodes.extend(self._waiting.pop(f":{node}", ()))

    # -- what is written -------------------------------------------------------------------------------------------

    def _finished(self, end: NodeFinished) -> FinishedNode:
        """Raises OSError where an output's file cannot be read."""
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
        files = self._observed.inputs.recheck(spec)
        needs = {need: self._key[need] for need in spec.needs}
        known = {need: key for need, key in needs.items() if key is not None}
        # Code that was changed since may have been imported before or after that.
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
