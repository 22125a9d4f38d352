"""Which files nodes have written: in earlier runs, and in this one."""

from __future__ import annotations

from entries_of_nodes import EntriesOfNodes

from nfrun.core.pipeline import Input, NodeSpec, OutputId
from nfrun.history.cache.observed_files import WrittenFiles
from nfrun.history.journal import RecordedNode


def node(name: str, *reads: str, needs: tuple[str, ...] = ()) -> NodeSpec:
    return NodeSpec(name, "run", "x", tuple(Input(other, OutputId(other)) for other in reads), {}, (), needs, {})


class History(EntriesOfNodes):
    def __init__(self, **wrote: tuple[str, ...]) -> None:
        self.wrote = wrote

    def of_node(self, node: str) -> list[RecordedNode]:
        return [RecordedNode(node, "ok", "k", {}, (), {name: "c"}) for name in self.wrote.get(node, ())]


def test_files_of_a_node_and_of_others() -> None:
    nodes = {spec.id: spec for spec in (node("a"), node("b", "a"), node("c", needs=("b",)), node("d"), node("e", "c"))}
    history = History(a=("a1", "./a2"), b=("b1",), d=("d1", "d2"), e=("e1",))
    written = WrittenFiles(nodes, history, {"d": {"d3": "c"}, "c": {"c1": "c"}})  # type: ignore[arg-type]
    assert written.by_node("a") == {"a1", "a2"}
    assert written.by_others(nodes["c"]) == {"d1", "d3", "e1"}, "of earlier runs the last one counts"
    assert written.by_others(nodes["a"]) == {"b1", "c1", "d1", "d3", "e1"}
