"""Records which files the nodes of a run read and wrote, which results were reused, and why others will not be."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from nfrun.code.watch.attribution import Attribution
from nfrun.code.watch.run_watch import RunWatch
from nfrun.code.watch.seen_files import RecordedFiles
from nfrun.core.events import NodeFinished
from nfrun.core.observation import Observation
from nfrun.core.pipeline import TABLE, NodeSpec, Pipeline, ancestors
from nfrun.core.values import field, mutable
from nfrun.history.cache.cache_key import CacheKeys
from nfrun.history.journal import RecordedNode
from nfrun.history.run_history import RunHistory
from nfrun.nodes.external_files import ExternalInputs
from nfrun.nodes.folders import folders_of
from nfrun.nodes.registry import kind_of
from nfrun.system.file_search import inner_folder


@mutable
class ObservedFiles:
    """The files that the nodes of a run read and wrote, and the results that it reuses.

    `inputs` has the checksums of the files that the pipeline file names, and `files` takes those of files that code
    opened. `used` are the journal entries of cache hits, by node, and `made_again` those of nodes that run only because
    a table of theirs was removed, or counts as removed as it is `outdated`; `reasons` says why they run. `wrote` are
    the checksums of the files that nodes wrote outside of the run, by node and file name. `seen` has the observation of
    the last attempt at each node, and `code` adds to it the files and hosts of code that nodes share.
    `refused` are the results of attempts whose checks failed, by node and attempt: those that are kept, as the attempt
    made them, or as an earlier run did. `on_uncertain(node)` is called for a node that has ended, if its code or a file
    that it names may have changed while it ran. `memory` has the peak of the worker processes of nodes, in bytes.
    """

    inputs: ExternalInputs
    files: RecordedFiles
    code: Attribution
    used: dict[str, RecordedNode] = field(default_factory=dict)
    made_again: dict[str, RecordedNode] = field(default_factory=dict)
    outdated: set[str] = field(default_factory=set)
    reasons: dict[str, str] = field(default_factory=dict)
    wrote: dict[str, Mapping[str, str]] = field(default_factory=dict)
    seen: dict[str, Observation] = field(default_factory=dict)
    refused: dict[tuple[str, int], NodeFinished | RecordedNode] = field(default_factory=dict)
    on_uncertain: Callable[[str], None] = lambda node: None
    memory: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of_run(cls, pipeline: Pipeline, keys: CacheKeys, watch: RunWatch, history: RunHistory) -> ObservedFiles:
        """Make the record of a run that has made no attempt yet."""
        folder, inner = Path(pipeline.folder), folders_of(pipeline.nodes.values())
        env = {name: value for name, value in pipeline.env.items() if name not in pipeline.redacted_env}
        observed = cls(
            ExternalInputs(folder, watch.work, env, watch.checksums),
            watch.files,
            Attribution(
                pipeline.nodes, keys.reached, keys.file_of, watch.take, folder, [inner_folder(folder, i) for i in inner]
            ),
        )
        watch.attributed = observed.code.shared_with
        observed.inputs.code_facts = lambda spec: keys.facts(spec.id)
        observed.inputs.counts = watch.counts
        observed.inputs.written_files = WrittenFiles(pipeline.nodes, history, observed.wrote)
        return observed

    def obstacle(self, spec: NodeSpec) -> str:
        """Return why the result of a node cannot be reused: what it did when it ran, or a file that it names."""
        seen = self.seen.get(spec.id)
        return (seen.obstacle if seen is not None else "") or self.inputs.obstacle(spec)


def handed_on_to(spec: NodeSpec, nodes: Mapping[str, NodeSpec]) -> Iterator[NodeSpec]:
    """Yield the nodes that hand on files of the user's which a node reads where they are."""
    for item in spec.inputs:
        for output in item.outputs if item.type != TABLE else ():
            maker = nodes[output.node]
            if kind_of(maker).outside.hands_on:
                yield from handed_on_to(maker, nodes)
            elif kind_of(maker).outside.is_source(maker):
                yield maker


class WrittenFiles:
    """Knows which node writes which file. `wrote` fills up with the files of this run."""

    def __init__(
        self, nodes: Mapping[str, NodeSpec], history: RunHistory, wrote: Mapping[str, Mapping[str, str]]
    ) -> None:
        self._nodes, self._history, self._wrote = nodes, history, wrote
        self._before: dict[str, set[str]] = {}
        self._by_node: dict[str, set[str]] = {}

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
        last = map(self._history.last, others)
        return _names([end.wrote for end in last if end is not None] + [self._wrote.get(name, {}) for name in others])


def _names(wrote: Iterable[Iterable[str]]) -> set[str]:
    return {os.path.normpath(name) for files in wrote for name in files}
