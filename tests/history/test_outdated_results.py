"""Which results are outdated once a table was made again as another one: those that were made of the old one."""

from __future__ import annotations

from nfrun.core.events import NodeStarted, OutputRef
from nfrun.core.pipeline import Input, NodeSpec, OutputId
from nfrun.history.cache.cached_attempts import OutdatedResults

READS = {"m": "", "r": "m", "k": "r", "s": "m", "j": "ks", "x": "", "y": "x"}


def ref(node: str, attempt: int = 1) -> OutputRef:
    return OutputRef(OutputId(node), 1, 8, "x: int64", attempt=attempt)


class Trial:
    def __init__(self) -> None:
        self.results = OutdatedResults(
            {
                name: NodeSpec(name, "sql", "select", tuple(Input(n, OutputId(n)) for n in reads), {}, (), (), {})
                for name, reads in READS.items()
            }
        )

    def begin(self, node: str, *inputs: OutputRef, attempt: int = 1) -> list[str]:
        found = self.results.begin(NodeStarted(0.0, node, attempt, {item.id: item for item in inputs}))
        return [f"{item.id}.{item.attempt}" for item in found]


def test_nothing_is_outdated_before_a_table_is_another_one() -> None:
    trial = Trial()
    for name, reads in READS.items():
        assert trial.begin(name, *map(ref, reads)) == []
        assert not trial.results.may_differ(name)


def test_what_was_made_of_the_old_table_is_outdated_until_it_is_made_again() -> None:
    trial = Trial()
    for name in "mrk":
        assert trial.begin(name, *map(ref, READS[name])) == []
    assert trial.begin("m", attempt=2) == []
    trial.results.replaced("m", 2)
    assert [name for name in READS if trial.results.may_differ(name)] == ["r", "k", "s", "j"]
    assert trial.begin("s", ref("m", 2)) == []
    assert trial.begin("j", ref("k"), ref("s")) == ["k.1"]
    assert trial.begin("k", ref("r"), attempt=2) == ["r.1"]
    assert trial.begin("j", ref("k"), ref("s")) == ["k.1"], "it has not begun again yet"
    assert trial.begin("r", ref("m", 2), attempt=2) == []
    trial.results.replaced("r", 2)
    assert trial.begin("j", ref("k"), ref("s")) == ["k.1"]
    assert trial.begin("k", ref("r", 2), attempt=2) == []
    trial.results.replaced("k", 2)
    assert trial.begin("j", ref("k", 2), ref("s")) == []
    assert trial.begin("y", ref("x")) == []


def test_a_node_that_was_started_with_the_old_table_does_not_begin_with_it() -> None:
    trial = Trial()
    trial.begin("m")
    trial.results.replaced("m", 2)
    assert trial.begin("r", ref("m")) == ["m.1"]
    assert trial.begin("r", ref("m", 2)) == []


def test_a_node_that_was_under_way_with_the_old_table_is_outdated() -> None:
    trial = Trial()
    trial.begin("m")
    assert trial.begin("r", ref("m")) == []
    trial.results.replaced("m", 2)  # while `r` runs
    assert trial.begin("k", ref("r")) == ["r.1"]
