"""When an attempt is made and when an earlier end is handed on in its place."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from nfrun.cache.cache_key import CacheKeys, cache_key, reader_digest
from nfrun.cache.cached_attempts import CachedAttempts, ObservedFiles
from nfrun.cache.journal import FinishedNode, FinishedOutput
from nfrun.cache.reuse_decision import ReuseDecision
from nfrun.core.events import Failure, NodeStarted, Outcome, OutputRef
from nfrun.core.pipeline import Input, NodeSpec, Pipeline
from nfrun.nodes.base import CancelToken
from nfrun.nodes.external_files import ExternalInputs, external_outputs
from nfrun.tables.store import TableStore

A = NodeSpec("a", "sql", "select", (), {}, (), (), {})
B = NodeSpec("b", "sql", "select", (Input("t", "a", "a"),), {}, (), (), {})
W = NodeSpec("w", "write", "out.csv", (Input("t", "a", "a"),), {}, (), (), {})
TABLE = pa.table({"n": [1, 2, 3]})


class Earlier:
    """What earlier runs have left: ends by hand, and the files of their outputs."""

    def __init__(self) -> None:
        self.finished: list[FinishedNode] = []
        self.files: dict[str, Path] = {}

    def with_key(self, key: str) -> list[FinishedNode]:
        return [finished for finished in self.finished if finished.key == key]

    def of_node(self, node: str) -> list[FinishedNode]:
        return [finished for finished in self.finished if finished.node == node]

    def find_file(self, finished: FinishedNode, output: str) -> Path | None:
        return self.files.get(output)


class Trial:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.pipeline = Pipeline("p.yaml", str(path), "p", "", {}, {}, {s.id: s for s in (A, B, W)}, {})
        self.store = TableStore(path / "now", mode="auto", persistent=True)
        self.keys = CacheKeys(self.pipeline)
        self.notes = ObservedFiles(ExternalInputs(path))
        self.past = Earlier()
        self.made: list[tuple[str, int]] = []
        (path / "now").mkdir()

    def make(self, start: NodeStarted, stop: CancelToken, wait: object) -> Outcome:
        self.made.append((start.node, start.attempt))
        if start.node == "w":
            (self.path / "out.csv").write_text("new")
        return Outcome(start.node, start.attempt)

    def earlier(
        self, spec: NodeSpec, digests: Mapping[str, str], wrote: Mapping[str, str] | None = None
    ) -> FinishedNode:
        """An end of the node in an earlier run, whose inputs had these digests."""
        before = TableStore(self.path / f"earlier-{len(self.past.finished)}", mode="mmap", persistent=True)
        (self.path / f"earlier-{len(self.past.finished)}").mkdir()
        ref = before.publish(spec.id, 1, TABLE)
        before.close()
        parts = dict(self.keys.key_inputs(spec.id, inputs=digests, needs={}, files={}))
        outputs = ()
        if spec.kind != "write":
            outputs = (
                FinishedOutput(spec.id, ref.rows, ref.bytes, ref.schema, ref.digest or "", ref.size or 0, "c", "x"),
            )
            self.past.files[spec.id] = Path(ref.path or "")
        finished = FinishedNode(spec.id, cache_key(parts), parts, outputs, wrote or {}, 7.0)
        self.past.finished.append(finished)
        return finished

    def attempt(
        self,
        node: str,
        choice: ReuseDecision | None,
        *,
        attempt: int = 1,
        inputs: Mapping[str, OutputRef] | None = None,
    ) -> Outcome:
        choices = {name: ReuseDecision("it runs") for name in self.pipeline.nodes}
        if choice is None:
            del choices[node]
        else:
            choices[node] = choice
        recall = CachedAttempts(
            self.make,  # type: ignore[arg-type]
            self.pipeline,
            self.store,
            self.keys,
            self.path / "now",
            self.notes,
            history=self.past,  # type: ignore[arg-type]
            decisions=choices,
        )
        return recall(NodeStarted(0.0, node, attempt, inputs or {}), CancelToken(), lambda coroutine: None)


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    trial = Trial(tmp_path)
    yield trial
    trial.store.close()


def test_what_runs_is_made(trial: Trial) -> None:
    for choice in (ReuseDecision("it is not cached"), None):
        assert not trial.attempt("a", choice).reused
    assert trial.made == [("a", 1), ("a", 1)]
    assert trial.notes.used == {}


def test_what_was_chosen_is_handed_on_under_a_name_of_this_run(trial: Trial) -> None:
    finished = trial.earlier(A, {})
    outcome = trial.attempt("a", ReuseDecision("", finished, {"a": trial.past.files["a"]}))
    assert (outcome.reused, outcome.failure, trial.made) == (True, None, [])
    ref = outcome.outputs["a"]
    assert ref.path == str(trial.path / "now" / "a.1.arrow")
    assert Path(ref.path).samefile(trial.past.files["a"])
    assert trial.store.open(ref).equals(TABLE)
    assert trial.notes.used == {"a": finished}


def test_data_that_nobody_needs_is_not_taken(trial: Trial) -> None:
    outcome = trial.attempt("a", ReuseDecision("", trial.earlier(A, {}), {}))
    assert outcome.reused
    assert outcome.outputs["a"].path is None
    assert list((trial.path / "now").iterdir()) == []


def test_where_there_are_no_links_the_file_is_copied(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*paths: object, **more: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    finished = trial.earlier(A, {})
    monkeypatch.setattr(os, "link", refuse)
    ref = trial.attempt("a", ReuseDecision("", finished, {"a": trial.past.files["a"]})).outputs["a"]
    path = Path(ref.path or "")
    assert not path.samefile(trial.past.files["a"])
    assert path.stat().st_mode & 0o777 == 0o444
    assert trial.store.open(ref).equals(TABLE)
    assert [entry.name for entry in path.parent.iterdir()] == ["a.1.arrow"]


def test_a_file_that_cannot_be_taken_fails_the_node_as_what_it_is(trial: Trial) -> None:
    finished = trial.earlier(A, {})
    outcome = trial.attempt("a", ReuseDecision("", finished, {"a": trial.path / "gone"}))
    size = finished.outputs[0].size
    assert outcome.failure == Failure(
        "io", "", f"cannot reuse the output 'a' ({size:,} bytes): No such file or directory"
    )


def test_a_file_that_may_not_be_opened_is_a_matter_of_permission(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(errno.EACCES, "Failed to open local file. Detail: …")

    finished = trial.earlier(A, {})
    monkeypatch.setattr(pa, "memory_map", refuse)
    outcome = trial.attempt("a", ReuseDecision("", finished, {"a": trial.past.files["a"]}))
    assert outcome.failure == Failure("io", "PermissionError", "cannot open a.1.arrow: Permission denied")


def test_a_second_attempt_is_made(trial: Trial) -> None:
    outcome = trial.attempt("a", ReuseDecision("", trial.earlier(A, {}), {}), attempt=2)
    assert not outcome.reused
    assert trial.made == [("a", 2)]


# -- what could not be decided before


def input_of(trial: Trial, table: pa.Table = TABLE) -> tuple[Mapping[str, OutputRef], str]:
    """What 'a' has given in this run, and its digest."""
    ref = trial.store.publish("a", 1, table)
    return {"a": ref}, reader_digest(trial.store.wait_digest(ref))


def test_inputs_that_turned_out_as_they_were_change_nothing(trial: Trial) -> None:
    inputs, digest = input_of(trial)
    finished = trial.earlier(B, {"a": digest})
    outcome = trial.attempt("b", ReuseDecision("it reads 'a', which runs", pending=True), inputs=inputs)
    assert outcome.reused
    assert trial.store.open(outcome.outputs["b"]).equals(TABLE)
    assert trial.notes.used == {"b": finished}


@pytest.mark.parametrize(
    ("table", "open_"), [(pa.table({"n": [1, 2, 4]}), True), (pa.table({"m": [1, 2, 3]}), True), (TABLE, False)]
)
def test_other_inputs_or_no_leave_to_reuse_mean_an_attempt(trial: Trial, table: pa.Table, open_: bool) -> None:
    _, digest = input_of(trial)
    trial.earlier(B, {"a": digest})
    ref = trial.store.publish("a", 2, table)
    assert not trial.attempt("b", ReuseDecision("why", pending=open_), inputs={"a": ref}).reused
    assert trial.made == [("b", 1)]


def test_a_node_that_was_defined_otherwise_waits_for_no_digest(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, digest = input_of(trial)
    trial.earlier(replace(B, id="b"), {"a": digest})
    nodes = {**trial.pipeline.nodes, "b": replace(B, body="select other")}
    trial.pipeline = trial.pipeline.with_nodes(nodes)
    trial.keys = CacheKeys(trial.pipeline)

    def digest_of(ref: OutputRef) -> OutputRef:
        raise AssertionError("nobody should wait for it")

    monkeypatch.setattr(trial.store, "wait_digest", digest_of)
    assert not trial.attempt("b", ReuseDecision("why", pending=True), inputs=inputs).reused


def test_without_its_file_it_runs(trial: Trial) -> None:
    inputs, digest = input_of(trial)
    trial.earlier(B, {"a": digest})
    del trial.past.files["b"]
    assert not trial.attempt("b", ReuseDecision("why", pending=True), inputs=inputs).reused


def test_an_input_that_gave_nothing_means_an_attempt(trial: Trial) -> None:
    _, digest = input_of(trial)
    trial.earlier(B, {"a": digest})
    assert not trial.attempt("b", ReuseDecision("why", pending=True), inputs={}).reused


def test_a_file_that_was_written_has_to_be_there_still(trial: Trial) -> None:
    inputs, digest = input_of(trial)
    (trial.path / "out.csv").write_text("as it was")
    trial.earlier(W, {"a": digest}, external_outputs(W, trial.path))
    choice = ReuseDecision("it reads 'a', which runs", pending=True)
    assert trial.attempt("w", choice, inputs=inputs).reused
    (trial.path / "out.csv").write_text("touched by somebody")
    assert not trial.attempt("w", choice, inputs=inputs).reused
    assert trial.notes.wrote == {"w": external_outputs(W, trial.path)}
    assert (trial.path / "out.csv").read_text() == "new"


def test_a_write_that_failed_is_not_noted(trial: Trial) -> None:
    def fail(start: NodeStarted, stop: CancelToken, wait: object) -> Outcome:
        return Outcome(start.node, start.attempt, Failure("error", "", "no"))

    trial.make = fail  # type: ignore[method-assign]
    trial.attempt("w", ReuseDecision("why"))
    assert trial.notes.wrote == {}
