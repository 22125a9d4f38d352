"""When the journal tells that a node has finished: once all of its key is known and its outputs are in place."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfrun.cache.cache_key import CacheKeys, cache_key
from nfrun.cache.cached_attempts import ObservedFiles
from nfrun.cache.journal import FinishedNode, FinishedOutput, Journal, JournalContents, read_journal
from nfrun.cache.journal_writer import JournalWriter
from nfrun.core.events import Event, NodeFinished, OutputPublished, OutputRef, RunFinished
from nfrun.core.pipeline import Input, NodeSpec, Pipeline
from nfrun.nodes.external_files import ExternalInputs
from nfrun.system.checksums import file_checksum


def node(name: str, *reads: str, needs: tuple[str, ...] = (), kind: str = "sql", body: str = "text") -> NodeSpec:
    inputs = tuple(Input(output, output.partition(".")[0], output) for output in reads)
    return NodeSpec(name, kind, body, inputs, {}, (), needs, {}, cache=True if name == "cached" else None)


class Trial:
    """The journaling of a run of some nodes, whose events are made up."""

    def __init__(self, folder: Path, *specs: NodeSpec) -> None:
        self.folder = folder
        self.pipeline = Pipeline("p.yaml", str(folder), "p", "", {}, {}, {spec.id: spec for spec in specs}, {})
        self.keys = CacheKeys(self.pipeline)
        self.notes = ObservedFiles(ExternalInputs(folder))
        self.broken: list[str] = []
        self.journal = Journal(folder)
        self.journaling = JournalWriter(self.journal, self.pipeline, self.keys, self.notes, self.broken.append)

    def ref(self, name: str) -> OutputRef:
        path = self.folder / f"{name}.1.arrow"
        path.write_bytes(name.encode())
        return OutputRef(name, 1, 8, "n: int64", str(path), f"digest of {name}", 1, path.stat().st_size, None, "traits")

    def ended(self, name: str, *, gave: bool = True, reused: bool = False) -> None:
        outputs = {name: self.ref(name)} if gave else {}
        self.tell(NodeFinished(0.0, name, 1, outputs, 0.5, reused=reused))

    def published(self, name: str) -> None:
        self.tell(OutputPublished(0.0, name, self.ref(name)))

    def tell(self, event: Event) -> None:
        self.journaling.event(event)

    @property
    def told(self) -> JournalContents:
        return read_journal(self.folder)

    @property
    def nodes(self) -> list[str]:
        return [finished.node for finished in self.told.finished]


def test_a_node_has_finished_when_its_output_is_in_place(tmp_path: Path) -> None:
    trial = Trial(tmp_path, node("a"))
    trial.ended("a")
    assert trial.nodes == []
    trial.published("a")
    (finished,) = trial.told.finished
    path = tmp_path / "a.1.arrow"
    output = FinishedOutput("a", 1, 8, "n: int64", "digest of a", 1, file_checksum(path), "a.1.arrow", "traits")
    parts = dict(trial.keys.key_inputs("a", inputs={}, needs={}, files={}))
    assert finished == FinishedNode("a", cache_key(parts), parts, (output,), {}, 0.5, folder=tmp_path)


def test_the_output_may_be_in_place_first(tmp_path: Path) -> None:
    trial = Trial(tmp_path, node("a"))
    trial.published("a")
    trial.ended("a")
    assert trial.nodes == ["a"]


def test_the_digest_of_an_input_is_waited_for(tmp_path: Path) -> None:
    trial = Trial(tmp_path, node("a"), node("b", "a"))
    trial.ended("a")
    trial.ended("b")
    trial.published("b")
    assert trial.nodes == []
    trial.published("a")
    assert sorted(trial.nodes) == ["a", "b"]
    b = next(finished for finished in trial.told.finished if finished.node == "b")
    assert b.key_inputs["input a"] == "digest of a traits"


def test_the_key_of_what_a_node_needs_is_waited_for(tmp_path: Path) -> None:
    trial = Trial(tmp_path, node("a"), node("b", needs=("a",)))
    trial.ended("a")
    trial.ended("b", gave=False)
    assert trial.nodes == []
    trial.published("a")
    a, b = trial.told.finished
    assert b.key_inputs["needs a"] == a.key


def test_nodes_without_outputs_finish_at_once(tmp_path: Path) -> None:
    trial = Trial(tmp_path, node("cached"))
    trial.ended("cached", gave=False)
    (finished,) = trial.told.finished
    assert finished.outputs == ()
    assert finished.cached


def test_what_was_read_has_its_checksum_in_the_key(tmp_path: Path) -> None:
    trial = Trial(tmp_path, node("a", kind="read", body="x.csv"))
    (tmp_path / "x.csv").write_text("n\n1\n")
    checksum = file_checksum(tmp_path / "x.csv")
    trial.notes.inputs.snapshot(trial.pipeline.nodes["a"])
    trial.ended("a", gave=False)
    (finished,) = trial.told.finished
    assert finished.key_inputs["file x.csv"] == checksum


def test_what_was_changed_while_it_was_read_gives_no_key_nor_does_what_depends_on_it(tmp_path: Path) -> None:
    trial = Trial(tmp_path, node("a", kind="read", body="x.csv"), node("b", needs=("a",)))
    (tmp_path / "x.csv").write_text("n\n1\n")
    trial.notes.inputs.snapshot(trial.pipeline.nodes["a"])
    (tmp_path / "x.csv").write_text("n\n2\n")
    trial.ended("a", gave=False)
    trial.ended("b", gave=False)
    assert [(finished.node, finished.key) for finished in trial.told.finished] == [("a", None), ("b", None)]


def test_code_that_was_changed_before_the_end_gives_no_key_and_is_looked_at_once_for_all_that_have_ended(
    tmp_path: Path,
) -> None:
    module = tmp_path / "journaled_steps.py"
    module.write_text("def one():\n    return 1\n")
    trial = Trial(tmp_path, *(node(name, kind="python", body="journaled_steps:one") for name in "abc"))
    for name in "abc":
        trial.keys.definition(name)
    trial.journaling.wake()
    trial.ended("a", gave=False)
    module.write_text("def one():\n    return 2\n")
    trial.ended("b", gave=False)  # had ended when the others were looked at
    trial.journaling.wake()
    trial.ended("c", gave=False)
    assert [finished.key is not None for finished in trial.told.finished] == [True, True, False]


def test_what_was_reused_is_told_as_it_was(tmp_path: Path) -> None:
    trial = Trial(tmp_path, node("a", kind="read", body="x.csv"))
    before = FinishedOutput("a", 1, 8, "n: int64", "digest of a", 1, "c", "a.3.arrow")
    trial.notes.used["a"] = FinishedNode("a", "k", {"text": "t"}, (before,), {"w": "c"}, 9.0, folder=tmp_path / "old")
    trial.ended("a", reused=True)
    assert trial.nodes == []
    trial.published("a")
    (finished,) = trial.told.finished
    here = FinishedOutput("a", 1, 8, "n: int64", "digest of a", 1, "c", "a.1.arrow")
    assert finished == FinishedNode("a", "k", {"text": "t"}, (here,), {"w": "c"}, 9.0, reused=True, folder=tmp_path)


def test_the_end_of_the_run_is_told(tmp_path: Path) -> None:
    trial = Trial(tmp_path, node("a"))
    trial.tell(RunFinished(1.0, "failed"))
    assert trial.told.ended == "failed"


def test_what_cannot_be_written_is_told_once_and_no_more_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial(tmp_path, node("a"), node("b"))

    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(trial.journal, "finished", full)
    trial.ended("a", gave=False)
    trial.ended("b", gave=False)
    message = f"cannot write {tmp_path}/journal.jsonl: No space left on device"
    assert trial.broken == [message]
    assert trial.journaling.error == message


@given(st.randoms(use_true_random=False), st.integers(1, 12))
def test_in_whatever_order_events_come_every_node_is_told_once_and_none_too_early(chance: object, count: int) -> None:
    import random
    import tempfile

    assert isinstance(chance, random.Random)
    names = [f"n{i}" for i in range(count)]
    specs = []
    for i, name in enumerate(names):
        before = names[:i]
        reads = chance.sample(before, min(len(before), chance.randrange(3)))
        needs = [other for other in chance.sample(before, min(len(before), 2)) if other not in reads]
        specs.append(node(name, *reads, needs=tuple(needs)))
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(Path(folder), *specs)
        # A node ends after those it depends on; when its output is published nobody knows.
        ends, published = list(names), list(names)
        chance.shuffle(published)
        ended: set[str] = set()
        placed: set[str] = set()
        while ends or published:
            if ends and (not published or chance.random() < 0.5):
                trial.ended(ends[0])
                ended.add(ends.pop(0))
            else:
                placed.add(published[-1])
                trial.published(published.pop())
            for told in trial.nodes:
                spec = trial.pipeline.nodes[told]
                assert told in ended & placed
                assert placed >= {item.output for item in spec.inputs}
        assert sorted(trial.nodes) == sorted(names)
