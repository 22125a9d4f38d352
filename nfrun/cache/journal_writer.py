"""Hears of a run by its events and writes its journal: a node has finished when its key and its outputs are known.

That is later than its end: its outputs and inputs may still be on their way to the disk. Decides nothing about the run;
what it cannot write it tells once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace

from nfrun.cache.cache_key import Keys, key_of, same_for_readers
from nfrun.cache.cached_attempts import Notes
from nfrun.cache.journal import Finished, Journal, Output
from nfrun.core.events import Event, NodeFinished, OutputPublished, Ref, RunFinished
from nfrun.core.pipeline import NodeSpec, Pipeline
from nfrun.system.checksums import file_checksum


class Journaling:
    """A report that writes. `broken(message)` is told when that fails, after which nothing more is written; the message
    is in `error` then."""

    name = "of the journal"
    hears = (NodeFinished, OutputPublished, RunFinished)

    def __init__(
        self, journal: Journal, pipeline: Pipeline, keys: Keys, notes: Notes, broken: Callable[[str], None]
    ) -> None:
        self._journal = journal
        self._nodes = pipeline.nodes
        self._keys = keys
        self._notes = notes
        self._broken = broken
        self._published: dict[str, Ref] = {}
        self._ended: dict[str, NodeFinished] = {}
        self._key: dict[str, str | None] = {}  # of nodes whose end is written
        # For each node that has ended what is still missing, and for each thing that is missing who waits for it. A
        # thing is an output's id, or a node's with a colon before it, whose key is meant.
        self._missing: dict[str, Iterator[str]] = {}
        self._waiting: dict[str, list[str]] = {}
        self.error = ""

    def wake(self) -> None:
        # One look at the code counts for all nodes that had ended before it.
        self._keys.look_again()

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
            self._broken(self.error)

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

    def _finished(self, end: NodeFinished) -> Finished:
        """Raises OSError where an output's file cannot be read."""
        spec = self._nodes[end.node]
        used = self._notes.used.get(end.node) if end.reused else None
        if used is not None:
            outputs = tuple(self._reused(output, end.outputs[output.id]) for output in used.outputs)
            return Finished(end.node, used.key, used.parts, outputs, used.wrote, used.took, True, spec.cache is True)
        outputs = tuple(self._output(self._published[output]) for output in end.outputs)
        parts = self._parts(spec)
        wrote = self._notes.wrote.get(spec.id, {})
        key = None if parts is None else key_of(parts)
        return Finished(end.node, key, parts or {}, outputs, wrote, end.took, cached=spec.cache is True)

    def _parts(self, spec: NodeSpec) -> dict[str, str] | None:
        files = self._notes.reads.after(spec)
        needs = {need: self._key[need] for need in spec.needs}
        known = {need: key for need, key in needs.items() if key is not None}
        # Code that was changed since may have been imported before or after that.
        if files is None or len(known) < len(needs) or not self._keys.holds(spec.id):
            return None
        inputs = {item.output: same_for_readers(self._published[item.output]) for item in spec.inputs}
        return dict(self._keys.parts(spec.id, inputs=inputs, needs=known, files=files))

    def _output(self, ref: Ref) -> Output:
        path = ref.path or ""
        file = path.rpartition(os.sep)[2]
        checksum = ref.checksum or file_checksum(path)
        digest, size, traits = ref.digest or "", ref.size or 0, ref.traits or ""
        return Output(ref.id, ref.rows, ref.bytes, ref.schema, digest, size, checksum, file, traits)

    def _reused(self, output: Output, ref: Ref) -> Output:
        file = None if ref.path is None else ref.path.rpartition(os.sep)[2]
        return replace(output, file=file)
