"""Holds the outputs of a run while they have readers, and decides which of them a node reads when some are absent.

An output is absent if its node failed and is allowed to, or was skipped for an absent input, or says so itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nfrun.core.events import Event, OutputRef, OutputReleased
from nfrun.core.pipeline import NOTHING, OutputId
from nfrun.core.plan import Node, Plan


class RunOutputs:
    """The outputs that have readers or are retained, and the nodes and outputs that are absent.

    `absent_nodes` maps each absent node to the node because of which it is absent: one that failed, or whose output is
    absent by itself.
    """

    def __init__(self, plan: Plan) -> None:
        self._retained = plan.retained
        self._readers: dict[str, int] = {}  # how many nodes that have not ended may read an output
        self._held: dict[str, OutputRef] = {}
        self._released: dict[str, OutputRef] = {}  # for nodes that run again
        self.absent_nodes: dict[str, str] = {}
        self._absent_outputs: dict[str, str] = {}  # of nodes that succeeded
        for node in plan.nodes.values():
            for output in node.reads:
                self._readers[output] = self._readers.get(output, 0) + 1

    def add(self, outputs: Mapping[str, OutputRef], absent: Sequence[OutputId] = ()) -> None:
        """Add the outputs of a node that succeeded, and those that are absent."""
        self._held.update(outputs)
        if self._absent_outputs:  # the node may have run before
            for output in outputs:
                self._absent_outputs.pop(output, None)
        for absent_output in absent:
            self._absent_outputs[absent_output] = absent_output.node

    def held(self) -> Mapping[str, OutputRef]:
        """Return the outputs that have not been released, by id."""
        return dict(self._held)

    def holds(self, ref: OutputRef) -> bool:
        """Return whether this is the output as its node made it last, and it has not been released."""
        return self._held.get(ref.id) == ref

    def inputs_of(self, node: Node) -> Mapping[str, OutputRef]:
        """Return the outputs that a node reads, by id."""
        if not node.reads:
            return NOTHING
        read: Sequence[str] = node.reads
        if node.inputs:
            read = [output for item in node.inputs for output in item.read(self._is_present)]
        return {output: self._held[output] for output in read if output in self._held}

    def cause_of_absence(self, node: Node) -> str | None:
        """Return the node that makes this one absent, None if all inputs that it needs are there.

        Call it when all nodes that it needs have ended.
        """
        if not node.inputs:
            return next(filter(None, map(self._cause, node.reads)), None)
        for item in node.inputs:
            if not item.optional and not item.read(self._is_present):
                return self._cause(item.outputs[-1])
        return None

    def _is_present(self, output: OutputId) -> bool:
        return output.node not in self.absent_nodes and output not in self._absent_outputs

    def _cause(self, output: OutputId) -> str | None:
        return self.absent_nodes.get(output.node) or self._absent_outputs.get(output)

    def end_reader(self, now: float, node: Node, events: list[Event]) -> None:
        """Record that a reader has ended, and release its inputs that have no reader left."""
        readers = self._readers
        for output in node.reads:
            readers[output] = left = readers[output] - 1
            if not left:
                self.release_unread(now, output, events)

    def add_reader(self, node: Node) -> None:
        """Count a node that runs again as a reader of its inputs."""
        for output in node.reads:
            self._readers[output] += 1
            if output in self._released:
                self._held[output] = self._released.pop(output)

    def release_unread(self, now: float, output: str, events: list[Event]) -> None:
        """Release an output that has no reader left and is not retained."""
        if output in self._held and not self._readers.get(output) and output not in self._retained:
            ref = self._released[output] = self._held.pop(output)
            events.append(OutputReleased(now, output, ref))
