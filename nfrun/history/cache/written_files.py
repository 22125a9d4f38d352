"""Tells which files nodes have written outside of the work folder, in earlier runs and in this one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property

from nfrun.core.pipeline import NodeSpec, ancestors
from nfrun.history.run_history import RunHistory


class WrittenFiles:
    """Which node writes which file. `wrote` fills up with the files of this run.

    `read_history` reads the journals of earlier runs. It is called when they are first needed. Most runs never need
    them.
    """

    def __init__(
        self,
        nodes: Mapping[str, NodeSpec],
        read_history: Callable[[], RunHistory],
        wrote: Mapping[str, Mapping[str, str]],
    ) -> None:
        self._nodes = nodes
        self._read_history = read_history
        self._wrote = wrote
        self._before: dict[str, set[str]] = {}
        self._by_node: dict[str, set[str]] = {}

    @cached_property
    def _history(self) -> RunHistory:
        return self._read_history()

    def by_node(self, node: str) -> set[str]:
        """Return the files that a node has written in earlier runs."""
        if node not in self._by_node:
            self._by_node[node] = _names(end.wrote for end in self._history.that_wrote(node))
        return self._by_node[node]

    def by_others(self, spec: NodeSpec) -> set[str]:
        """Return the files that are written by other nodes for which this one does not wait.

        It depends on timing whether a pattern of this node finds such a file.
        """
        before = self._before.get(spec.id)
        if before is None:
            before = self._before[spec.id] = {spec.id, *ancestors(spec.id, self._nodes)}
        others = [name for name in self._nodes if name not in before]
        last = (next(iter(self._history.of_node(name)), None) for name in others)
        return _names([end.wrote for end in last if end is not None] + [self._wrote.get(name, {}) for name in others])


def _names(wrote: Iterable[Iterable[str]]) -> set[str]:
    return {os.path.normpath(name) for files in wrote for name in files}
