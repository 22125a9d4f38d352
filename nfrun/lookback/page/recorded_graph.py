"""Finds out which node of a recorded run read what."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from graphlib import CycleError

from nfrun.core.pipeline import OutputId
from nfrun.core.plan import make_stages
from nfrun.core.values import frozen
from nfrun.history.journal import FinishedNode, UnfinishedNode
from nfrun.history.run_history import reader_digest
from nfrun.history.run_plan import PlannedNode

_INPUT, _NEEDS = "input ", "needs "  # begin the names of key inputs

DATA, ORDER = "data", "order"


@frozen
class ReadOutput:
    """An output that a node reads under a name; the name is "" where it is not recorded."""

    name: str
    output: OutputId
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
    makers: dict[str, list[OutputId]] = {}
    for end in ends.values():
        for output in end.outputs if isinstance(end, FinishedNode) else ():
            makers.setdefault(reader_digest(output), []).append(output.id)
    made: dict[str, OutputId] = {output: output for found in makers.values() for output in found}
    reads: dict[str, tuple[ReadOutput, ...]] = {}
    waits_for: dict[str, tuple[str, ...]] = {}
    for name, end in ends.items():
        if isinstance(end, FinishedNode):
            reads[name] = tuple(_reads_of(end, makers))
            needed = [part[len(_NEEDS) :] for part in end.key_inputs if part.startswith(_NEEDS)]
        else:
            reads[name] = tuple([ReadOutput("", made[id], made[id].node) for id in end.inputs if id in made])
            needed = []
        read = {found.node for found in reads[name]}
        waits_for[name] = tuple([need for need in needed if need in ends and need not in read])
    return RecordedGraph(reads, waits_for, stages_of(reads, waits_for))


def planned_graph(planned: Mapping[str, PlannedNode], nodes: Collection[str]) -> RecordedGraph:
    """Return the graph of these nodes as the plan of their run has it."""
    made: dict[str, OutputId] = {
        output: output for name, node in planned.items() for output in node.output_ids if name in nodes
    }
    reads: dict[str, tuple[ReadOutput, ...]] = {}
    waits_for: dict[str, tuple[str, ...]] = {}
    for name in nodes:
        node = planned.get(name)
        if node is None:
            reads[name], waits_for[name] = (), ()
            continue
        found = [
            ReadOutput(given, made[output], made[output].node)
            for given, outputs in node.inputs.items()
            for output in outputs
            if output in made
        ]
        read = {each.node for each in found}
        needs = [*node.needs, *(made[output].node for output in node.references if output in made)]
        reads[name] = tuple(found)
        waits_for[name] = tuple(dict.fromkeys([need for need in needs if need in nodes and need not in read]))
    last = {name for name in nodes if name in planned and planned[name].runs_last}
    stages = stages_of(reads, waits_for)
    behind = 1 + max((stage for name, stage in stages.items() if name not in last), default=-1)
    return RecordedGraph(reads, waits_for, {**stages, **dict.fromkeys(last, behind)})


def stages_of(reads: Mapping[str, tuple[ReadOutput, ...]], waits_for: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    """Return the stage of each node. They are all 0 where nodes seem to wait for each other, as contents were equal."""
    graph = {name: tuple(dict.fromkeys([*(r.node for r in found), *waits_for[name]])) for name, found in reads.items()}
    try:
        return {name: i for i, stage in enumerate(make_stages(graph)) for name in stage}
    except CycleError:
        return dict.fromkeys(reads, 0)


def _reads_of(end: FinishedNode, makers: Mapping[str, list[OutputId]]) -> list[ReadOutput]:
    found = []
    for part, digest in end.key_inputs.items():
        if part.startswith(_INPUT):
            name = part[len(_INPUT) :]
            same = [output for output in makers.get(digest, ()) if output.node != end.node]
            named = [output for output in same if name in (output, output.node)]
            found += [ReadOutput(name, output, output.node) for output in (named or same)[:1]]
    return found
