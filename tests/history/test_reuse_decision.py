"""Tests of reuse decisions on made-up run histories: which nodes are reused, and why the others run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from entries_of_nodes import EntriesOfNodes

from nfrun.core.pipeline import Input, NodeSpec, OutputId, Pipeline
from nfrun.core.plan import plan_of
from nfrun.history.cache.cache_key import CacheKeys, cache_key, dependency_digest, with_files
from nfrun.history.cache.observed_files import ObservedFiles
from nfrun.history.cache.reuse_decision import ReuseDecider, ReuseDecision
from nfrun.history.journal import FinishedOutput, RecordedNode
from nfrun.pipeline_file.references import parse_reference


def node(name: str, *reads: str, needs: tuple[str, ...] = (), kind: str = "sql", **more: Any) -> NodeSpec:
    inputs = tuple(Input(f"i{i}", parse_reference(output)) for i, output in enumerate(reads))
    return NodeSpec(
        name, kind, more.pop("body", f"text of {name}"), inputs, {}, more.pop("outputs", ()), needs, {}, **more
    )


class Trial(EntriesOfNodes):
    """A pipeline after one complete run, and what is left of that run."""

    def __init__(self, *specs: NodeSpec, shown: tuple[str, ...] = ()) -> None:
        self.pipeline = Pipeline(
            "p.yaml", "/nowhere", "p", "", {}, {}, {s.id: s for s in specs}, {name: OutputId(name) for name in shown}
        )
        self.files: dict[str, Path] = {}
        self.opened: list[str] = []
        self.sources: dict[str, Mapping[str, str] | None] = {
            s.id: {s.body: "1"} if s.kind == "read" else {} for s in specs
        }
        self.written = {s.body: "1" for s in specs}  # the files that nodes write
        self.finished: dict[str, RecordedNode] = {}
        keys = CacheKeys(self.pipeline)
        for stage in plan_of(self.pipeline).stages:
            for name in stage:
                spec = self.pipeline.nodes[name]
                key_inputs = keys.key_inputs(
                    name,
                    inputs={item.output: f"digest of {item.output} traits" for item in spec.inputs},
                    needs={need: dependency_digest(self.finished[need]) for need in spec.needs},
                )
                key_inputs = with_files(key_inputs, self.sources[name] or {} if spec.kind == "read" else {})
                outputs = tuple(
                    FinishedOutput(id, 1, 8, "n: int64", f"digest of {id}", 1, "", schema_digest="traits")
                    for id in spec.output_ids
                )
                wrote = {spec.body: "1"} if spec.kind == "write" else {}
                self.finished[name] = RecordedNode(name, "ok", cache_key(key_inputs), key_inputs, outputs, wrote)
                self.files |= {id: Path(id) for id in spec.output_ids}

    # -- the methods of a run history -------------------------------------------------------------------------------

    def of_node(self, name: str) -> list[RecordedNode]:
        return [self.finished[name]] if name in self.finished else []

    def find(self, finished: RecordedNode, output: str) -> FinishedOutput | None:
        self.opened.append(output)
        return finished.output(output) if output in self.files else None

    # -- the methods of the files of a run --------------------------------------------------------------------------

    def snapshot(self, spec: NodeSpec) -> Mapping[str, str] | None:
        return self.sources[spec.id]

    def obstacle(self, spec: NodeSpec) -> str:
        return "it cannot be checked"

    def now(self, names: Iterable[str], *, recheck: bool = False) -> Mapping[str, str]:
        return {name: self.written.get(name, "") for name in names}

    # ----------------------------------------------------------------------------------------------------------------

    def change(self, name: str, **what: Any) -> None:
        nodes = {**self.pipeline.nodes, name: replace(self.pipeline.nodes[name], **what)}
        self.pipeline = replace(self.pipeline, nodes=nodes)

    def lose(self, *outputs: str) -> None:
        for output in outputs:
            del self.files[output]

    def decide(self, *force: str) -> dict[str, ReuseDecision]:
        return ReuseDecider(
            self.pipeline,
            plan_of(self.pipeline),
            CacheKeys(self.pipeline),
            self,  # type: ignore[arg-type]
            ObservedFiles(self, self, self),  # type: ignore[arg-type]
            force=force,
        ).decide()

    def why(self, *force: str) -> dict[str, str]:
        """Return the reasons of the nodes that run."""
        return {name: decision.reason for name, decision in self.decide(*force).items() if decision.hit is None}


def chain(*names: str, **more: Any) -> list[NodeSpec]:
    return [node(name, *names[max(0, i - 1) : i], **more) for i, name in enumerate(names)]


def test_without_changes_nothing_runs_and_only_shown_outputs_are_opened() -> None:
    trial = Trial(*chain("a", "b", "c"), shown=("c",))
    assert trial.why() == {}
    assert trial.opened == ["c"]


def test_a_removed_file_does_not_matter_if_no_node_needs_it() -> None:
    trial = Trial(*chain("a", "b", "c"), shown=("c",))
    trial.lose("a", "b")
    assert trial.why() == {}


def test_a_node_runs_if_a_shown_output_is_missing() -> None:
    trial = Trial(*chain("a", "b", "c"), shown=("c",))
    trial.lose("c")
    assert trial.why() == {"c": "its table is made again, as the run shows it"}
    assert trial.opened == ["c", "b"]


def test_a_node_runs_if_its_output_is_missing_and_a_reader_runs() -> None:
    trial = Trial(*chain("a", "b", "c", "d"), shown=("d",))
    trial.lose("a", "b", "c")
    trial.change("d", body="another")
    assert trial.why() == {
        "a": "its table is made again, as 'b' reads it",
        "b": "its table is made again, as 'c' reads it",
        "c": "its table is made again, as 'd' reads it",
        "d": "its text changed",
    }
    decisions = trial.decide()
    assert [decisions[name].made_again for name in "abcd"] == [*(trial.finished[name] for name in "abc"), None]


def test_a_node_that_reads_a_node_that_runs_is_pending() -> None:
    trial = Trial(*chain("a", "b", "c"), node("other"), shown=("c", "other"))
    trial.change("b", body="another")
    decisions = trial.decide()
    assert trial.why() == {"b": "its text changed", "c": "it reads 'b', which runs"}
    assert (decisions["b"].pending, decisions["c"].pending) == (False, True)
    assert trial.opened == ["other", "a"] * 2


def test_what_depends_on_a_table_that_is_made_again_stays_reused_if_that_is_unchanged() -> None:
    """Otherwise one reader would use its old output and another its new one."""
    b, d, e = node("b", "a"), node("d", "b"), node("e", needs=("b",))
    trial = Trial(node("a"), b, node("c", "a"), d, e, node("f"), shown=("b", "c", "f"))
    trial.lose("a")
    trial.change("c", body="another")
    assert trial.why() == {"a": "its table is made again, as 'c' reads it", "c": "its text changed"}
    decisions = trial.decide()
    assert {name for name, decision in decisions.items() if decision.pending} == {"b", "d", "e"}
    assert all(decisions[name].hit is trial.finished[name] for name in "bdef")


def test_a_pending_node_has_no_table_made_again_before_it_surely_runs() -> None:
    trial = Trial(node("a"), node("b"), node("c", "a", "b"), shown=("c",))
    trial.lose("b")
    trial.change("a", body="another")
    assert trial.why() == {"a": "its text changed", "c": "it reads 'a', which runs"}
    trial.change("c", body="another")
    assert trial.why()["b"] == "its table is made again, as 'c' reads it"


def test_needs_without_data_leaves_nothing_pending() -> None:
    trial = Trial(node("a"), node("b", needs=("a",)), node("c", "b", needs=("a",)))
    trial.change("a", body="another")
    assert trial.why() == {"a": "its text changed", "b": "it needs 'a', which runs", "c": "it reads 'b', which runs"}
    assert not any(decision.pending for decision in trial.decide().values())


def test_a_node_that_never_finished_runs() -> None:
    trial = Trial(*chain("a", "b"))
    del trial.finished["b"]
    assert trial.why() == {"b": "it has not finished in any run that is kept"}
    assert trial.opened == ["a"]


def test_a_node_finished_without_a_key_runs_again() -> None:
    trial = Trial(*chain("a", "b"))
    trial.finished["a"] = replace(trial.finished["a"], key=None, key_inputs={})
    assert trial.why() == {"a": "its code or inputs changed while it last ran", "b": "it reads 'a', which runs"}
    trial.change("a", body="select 2")
    assert trial.why()["a"] == "its code or inputs changed while it last ran"
    keyed = Trial(*chain("a", "b")).finished["a"]
    trial.of_node = lambda name: [trial.finished["a"], keyed]  # type: ignore[method-assign]
    assert trial.why()["a"] == "its text changed", "since the last time that is known"


def test_files_that_are_read_are_compared_by_content() -> None:
    trial = Trial(node("a", kind="read", body="x.csv"))
    trial.sources["a"] = {"x.csv": "2"}
    assert trial.why() == {"a": "the file x.csv changed"}
    trial.sources["a"] = {"x.csv": "1", "y.csv": "1"}
    assert trial.why() == {"a": "the file y.csv is new"}
    trial.sources["a"] = None
    assert trial.why() == {"a": "it cannot be checked"}


def test_a_write_node_runs_if_its_file_has_changed() -> None:
    trial = Trial(node("a"), node("w", "a", kind="write", body="x.csv"), shown=("w",))
    assert trial.why() == {}
    trial.written["x.csv"] = ""
    assert trial.why() == {"w": "the file x.csv, which it wrote, is gone or has changed"}


def test_a_node_runs_if_a_newly_read_output_was_not_recorded() -> None:
    trial = Trial(node("a", cache=True), node("b"))
    trial.finished["a"] = replace(trial.finished["a"], outputs=())
    assert trial.why() == {}
    trial.change("b", inputs=(Input("i0", OutputId("a")),))
    assert trial.why() == {"a": "its earlier run lacks an output that is read now", "b": "it reads 'a', which runs"}


def test_a_shown_output_that_was_not_recorded_is_not_required() -> None:
    trial = Trial(node("a", cache=True), shown=("a",))
    trial.finished["a"] = replace(trial.finished["a"], outputs=())
    assert trial.why() == {}


def test_a_node_that_gave_no_output_runs_for_its_effect_and_so_do_those_that_need_it() -> None:
    trial = Trial(node("a"), node("b", needs=("a",)), node("c"))
    trial.finished["a"] = replace(trial.finished["a"], outputs=())
    assert trial.why() == {"a": "it gave no output, so it runs for its effect", "b": "it needs 'a', which runs"}
    trial.change("a", cache=True)
    assert trial.why() == {}


def test_only_some_outputs_of_a_node_may_be_needed() -> None:
    trial = Trial(node("a", outputs=("x", "y")), node("b", "a.y"), shown=("b",))
    trial.lose("a.x")
    trial.change("b", body="another")
    assert trial.why() == {"b": "its text changed"}
    assert trial.opened == ["a.y"]


def test_which_nodes_may_be_reused() -> None:
    trial = Trial(node("a", cache=True), node("b", cache=False), node("c"))
    assert trial.why() == {"b": "it has 'cache: false'"}
    assert trial.why("a", "b") == {"a": "--force", "b": "--force"}


def test_a_node_that_reads_a_forced_node_is_pending() -> None:
    trial = Trial(node("a"), node("b", "a"))
    decisions = trial.decide("a")
    assert decisions["a"] == ReuseDecision("--force")
    assert decisions["b"] == ReuseDecision("it reads 'a', which runs", pending=True)


def test_a_long_chain_is_decided_without_recursion_errors() -> None:
    trial = Trial(*chain(*(f"n{i}" for i in range(2_000))), shown=("n1999",))
    trial.lose(*(f"n{i}" for i in range(1_999)))
    assert trial.why() == {}
    trial.change("n1999", body="another")
    assert len(trial.why()) == 2_000


# -- files that code opened --------------------------------------------------------------------------------------------


def read_by(trial: Trial, name: str, **more: Any) -> None:
    """Let the entry of the node say that its code opened two files, of which one was missing."""
    entry = trial.finished[name]
    trial.finished[name] = replace(entry, reads={"a.csv": "1", "b.csv": ""}, **more)
    trial.written |= {"a.csv": "1", "b.csv": ""}


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        ({}, None),
        ({"a.csv": "2"}, "the file a.csv changed"),
        ({"a.csv": ""}, "the file a.csv is gone"),
        ({"b.csv": "1"}, "the file b.csv is new"),
        ({"a.csv": "", "b.csv": "1"}, "the file b.csv is new, the file a.csv is gone"),
    ],
)
def test_a_node_runs_if_a_file_that_its_code_opened_has_changed(now: Mapping[str, str], reason: str | None) -> None:
    trial = Trial(node("a"))
    read_by(trial, "a")
    trial.written |= now
    assert trial.why() == ({} if reason is None else {"a": reason})


def test_an_obstacle_runs_a_node_unless_it_has_cache_true() -> None:
    trial = Trial(node("a"), node("b", cache=True))
    read_by(trial, "a", obstacle="it connects to example.com")
    read_by(trial, "b", obstacle="it connects to example.com")
    assert trial.why() == {"a": "it connects to example.com"}
    trial.written["a.csv"] = "2"
    assert trial.why() == {"a": "the file a.csv changed", "b": "the file a.csv changed"}


def test_an_obstacle_of_the_last_run_rules_out_older_results_with_the_same_files() -> None:
    trial = Trial(node("a"))
    older = trial.finished["a"]
    read_by(trial, "a", obstacle="it connects to example.com")
    entries = [trial.finished["a"], older]
    trial.of_node = lambda name: entries  # type: ignore[method-assign]
    assert trial.why() == {"a": "it connects to example.com"}
    trial.written["a.csv"] = "2"  # the last run took another way through the code
    assert trial.why() == {}


def test_a_node_runs_if_a_node_that_it_needs_has_read_another_file() -> None:
    trial = Trial(node("a"), node("b", needs=("a",)))
    entry = trial.finished["a"]
    trial.finished["a"] = replace(entry, reads={"a.csv": "1"})
    trial.written["a.csv"] = "1"
    assert trial.why() == {"b": "what 'a' depends on changed"}


def test_a_node_that_gave_no_output_runs_whatever_older_runs_gave() -> None:
    trial = Trial(node("a"))
    newer = replace(trial.finished["a"], outputs=())
    trial.of_node = lambda name: [newer, trial.finished["a"]]  # type: ignore[method-assign]
    assert trial.why() == {"a": "it gave no output, so it runs for its effect"}


def test_all_entries_with_the_key_are_tried() -> None:
    trial = Trial(node("a"))
    older = replace(trial.finished["a"], reads={"a.csv": "1"})
    newer = replace(trial.finished["a"], reads={"a.csv": "2"})
    trial.of_node = lambda name: [newer, older]  # type: ignore[method-assign]
    trial.written["a.csv"] = "1"
    assert trial.decide()["a"].hit is older
    trial.written["a.csv"] = "3"
    assert trial.why() == {"a": "the file a.csv changed"}
