"""Finds the results of a run that were made of a table which has been made again since, and is another one now."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from nfrun.core.events import NodeStarted, OutputRef
from nfrun.core.pipeline import NodeSpec, OutputId


class OutdatedResults:
    """The results that no node may read any more, so that no node reads two versions of a table. Thread-safe.

    A node that draws without a seed gives another table when a removed one is made again. Some results may have been
    made of the old one by then: reused or computed. `again` has the nodes that run again although they have ended.
    `lost` has the reader digests of outputs that this run has made, and that are gone, by id and node.
    """

    def __init__(self, nodes: Mapping[str, NodeSpec]) -> None:
        self._nodes = nodes
        self.again: set[str] = set()
        self.lost: dict[str, dict[OutputId, str]] = {}
        self._lock = threading.Lock()
        self._changes = 0  # how many tables have become other ones
        self._newest: dict[str, int] = {}  # the attempts that made these tables, by node
        self._after: dict[str, int] = {}  # the last change that concerns a node: that of a table behind which it is
        self._begun: dict[str, int] = {}  # how many changes there had been when a node started

    def begin(self, start: NodeStarted) -> tuple[OutputRef, ...]:
        """Record that an attempt starts, unless inputs of it are outdated. Returns these."""
        node, before = start.node, self._begun.get(start.node, 0)
        self._begun[node] = self._changes  # first, so that a change that comes now counts for this attempt
        if node not in self._after:
            return ()
        with self._lock:
            outdated = tuple(ref for ref in start.inputs.values() if self._is_outdated(ref))
            if outdated:
                self._begun[node] = before
        return outdated

    def _is_outdated(self, ref: OutputRef) -> bool:
        node = ref.id.node
        return ref.attempt < self._newest.get(node, 0) or self._begun.get(node, 0) < self._after.get(node, 0)

    def may_differ(self, node: str) -> bool:
        """Return whether the node depends on a table whose content has changed in this run."""
        return node in self._after

    def replaced(self, node: str, attempt: int) -> None:
        """Record that this attempt gave a node another table than its readers have had so far."""
        readers: dict[str, list[str]] = {}
        for name, spec in self._nodes.items():
            for made_by in dict.fromkeys(output.node for item in spec.inputs for output in item.outputs):
                readers.setdefault(made_by, []).append(name)
        with self._lock:
            self._changes += 1
            self._newest[node] = attempt
            left = [node]
            seen = {node}
            while left:
                for reader in readers.get(left.pop(), ()):
                    if reader not in seen:
                        seen.add(reader)
                        self._after[reader] = self._changes
                        left.append(reader)
