"""Finds out which node of a recorded run read what."""

from __future__ import annotations

from collections.abc import Mapping

from nfrun.core.plan import make_stages
from nfrun.core.values import frozen
from nfrun.history.journal import FinishedNode, UnfinishedNode
from nfrun.history.run_history import reader_digest

_INPUT, _NEEDS = "input ", "needs "  # begin the names of key inputs

DATA, ORDER = "data", "order"


@frozen
class ReadOutput:
    """An output that a node reads under a name; the name is "" where it is not recorded."""

    name: str
    output: str
    node: str


@frozen
class RecordedGraph:
    """The nodes of a run, what each reads, and for which nodes it waits without reading anything of them.

    `stages` has for each node the number of links in its longest chain of dependencies.
    """

    reads: Mapping[str, tuple[ReadOutput, ...]]
    waits_for: Mapping[str, tuple[str, ...]]
    stages: Mapping[str, int]

    def upstream(self, node: str) -> tuple[str, ...]:
        """Return the nodes that a node waits for, each once."""
        return tuple(dict.fromkeys([*(read.node for read in self.reads[node]), *self.waits_for[node]]))

    def edges(self) -> list[tuple[str, str, str]]:
        """Return all edges: the output, or the node that is waited for, then the node, and which of the two it is."""
        data = [(read.output, node, DATA) for node, reads in self.reads.items() for read in reads]
        return [
            *dict.fromkeys(data),
            *((name, node, ORDER) for node, names in self.waits_for.items() for name in names),
        ]


def graph_of(ends: Mapping[str, FinishedNode | UnfinishedNode]) -> RecordedGraph:
    """Return the graph of the nodes that have ended in a run, as far as their lines in the journal show it.

    A line has the content of what the node read. Of several outputs with this content, it is the one with the name of
    the input, or else the first.
    """
    makers: dict[str, list[tuple[str, str]]] = {}
    for end in ends.values():
        for output in end.outputs if isinstance(end, FinishedNode) else ():
            makers.setdefault(reader_digest(output), []).append((output.id, end.node))
    node_of = {output: node for found in makers.values() for output, node in found}
    reads: dict[str, tuple[ReadOutput, ...]] = {}
    waits_for: dict[str, tuple[str, ...]] = {}
    for name, end in ends.items():
        if isinstance(end, FinishedNode):
            reads[name] = tuple(_reads_of(end, makers))
            needed = [part[len(_NEEDS) :] for part in end.key_inputs if part.startswith(_NEEDS)]
        else:
            reads[name] = tuple([ReadOutput("", id, node_of[id]) for id in end.inputs if id in node_of])
            needed = []
        read = {found.node for found in reads[name]}
        waits_for[name] = tuple([need for need in needed if need in ends and need not in read])
    return RecordedGraph(reads, waits_for, stages_of(reads, waits_for))


def stages_of(reads: Mapping[str, tuple[ReadOutput, ...]], waits_for: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    """Return the stage of each node."""
    graph = {name: tuple(dict.fromkeys([*(r.node for r in found), *waits_for[name]])) for name, found in reads.items()}
    return {name: i for i, stage in enumerate(make_stages(graph)) for name in stage}


def _reads_of(end: FinishedNode, makers: Mapping[str, list[tuple[str, str]]]) -> list[ReadOutput]:
    found = []
    for part, digest in end.key_inputs.items():
        if part.startswith(_INPUT):
            name = part[len(_INPUT) :]
            same = [(output, node) for output, node in makers.get(digest, ()) if node != end.node]
            named = [(output, node) for output, node in same if name in (output, node)]
            found += [ReadOutput(name, output, node) for output, node in (named or same)[:1]]
    return found
