"""Tests of `CachedAttempts`: on a hit the outputs are those of an earlier run, on a miss it runs the attempt."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from entries_of_nodes import EntriesOfNodes

from nfrun.code.watch.attribution import Attribution
from nfrun.code.watch.run_watch import RunWatch
from nfrun.core.errors import Cause, HandoffError
from nfrun.core.events import Failure, NodeStarted, Outcome, OutputRef, nfrun_failure
from nfrun.core.pipeline import Input, NodeSpec, OutputId, Pipeline
from nfrun.history.cache.cache_key import CacheKeys, cache_key
from nfrun.history.cache.cached_attempts import CachedAttempts, OutdatedResults
from nfrun.history.cache.kept_rows import RowFolders
from nfrun.history.cache.observed_files import ObservedFiles
from nfrun.history.cache.reuse_decision import ReuseDecision
from nfrun.history.journal import FinishedOutput, RecordedNode, reader_digest
from nfrun.history.work_dir import WorkDir
from nfrun.nodes.base import CancelToken
from nfrun.nodes.external_files import ExternalInputs, external_outputs
from nfrun.system.checksums import bytes_checksum
from nfrun.tables.store import TableStore

A = NodeSpec("a", "sql", "select", (), {}, (), (), {})
B = NodeSpec("b", "sql", "select", (Input("t", OutputId("a")),), {}, (), (), {})
W = NodeSpec("w", "write", "out.csv", (Input("t", OutputId("a")),), {}, (), (), {})
TABLE = pa.table({"n": [1, 2, 3]})


class FakeHistory(EntriesOfNodes):
    """A history of runs: finished nodes that tests add by hand, and the files of their outputs."""

    def __init__(self) -> None:
        self.finished: list[RecordedNode] = []
        self.files: dict[str, Path] = {}

    def of_node(self, node: str) -> list[RecordedNode]:
        return [finished for finished in self.finished if finished.node == node]

    def forget(self, finished: RecordedNode) -> None: ...

    def find(self, finished: RecordedNode, output: str) -> FinishedOutput | None:
        found, path = finished.output(output), self.files.get(output)
        return None if found is None or path is None else replace(found, file=path.name, home=path.parent.name)


class Trial:
    def __init__(self, path: Path) -> None:
        self.path = path
        shown = {"b": OutputId("b")}
        self.pipeline = Pipeline("p.yaml", str(path), "p", "", {}, {}, {s.id: s for s in (A, B, W)}, shown)
        self.store = TableStore(path / "now", mode="auto", persistent=True)
        self.keys = CacheKeys(self.pipeline)
        self.observed_files = ObservedFiles(
            ExternalInputs(path),
            RunWatch(path, path / "work").files,
            Attribution((), lambda node: (), lambda module: None, lambda: (), Path()),
        )
        self.history = FakeHistory()
        self.attempts: list[tuple[str, int]] = []
        self.lost: tuple[OutputRef, ...] = ()  # what each attempt finds not to be there
        self.gives: dict[str, OutputRef] = {}
        (path / "now").mkdir()

    def run_attempt(self, start: NodeStarted, cancel_token: CancelToken, run_coroutine: object) -> Outcome:
        self.attempts.append((start.node, start.attempt))
        if start.node == "w":
            (self.path / "out.csv").write_text("new")
        return Outcome(start.node, start.attempt, lacking=self.lost, outputs=self.gives)

    def add_finished(
        self, spec: NodeSpec, digests: Mapping[str, str], wrote: Mapping[str, str] | None = None
    ) -> RecordedNode:
        """Add a finished node of an earlier run, whose inputs had these digests."""
        folder = self.path / f"earlier-{len(self.history.finished)}"
        before = TableStore(folder, mode="mmap", persistent=True)
        folder.mkdir()
        ref = before.publish(OutputId(spec.id), 1, TABLE)
        before.close()
        key_inputs = dict(self.keys.key_inputs(spec.id, inputs=digests, needs={}))
        outputs = (
            FinishedOutput(
                OutputId(spec.id), ref.rows, ref.bytes, ref.schema, ref.digest or "", ref.size or 0, "c", "x"
            ),
        )
        self.history.files[spec.id] = Path(ref.path or "")
        finished = RecordedNode(
            spec.id, "ok", cache_key(key_inputs), key_inputs, outputs, wrote or {}, 7.0, folder=folder
        )
        self.history.finished.append(finished)
        return finished

    def attempt(
        self,
        node: str,
        decision: ReuseDecision | None,
        *,
        attempt: int = 1,
        inputs: Mapping[str, OutputRef] | None = None,
    ) -> Outcome:
        cached_attempts = self.cached_attempts(node, decision)
        return cached_attempts(NodeStarted(0.0, node, attempt, inputs or {}), CancelToken(), lambda coroutine: None)

    def cached_attempts(self, node: str, decision: ReuseDecision | None) -> CachedAttempts:
        decisions = {name: ReuseDecision("it runs") for name in self.pipeline.nodes}
        if decision is None:
            del decisions[node]
        else:
            decisions[node] = decision
        found = self.made(decisions)
        self.outdated = found.outdated
        return found

    def made(self, decisions: Mapping[str, ReuseDecision]) -> CachedAttempts:
        history: Any = self.history
        of_run = self.keys, self.observed_files
        rows = RowFolders(WorkDir(self.path), "p.yaml", 1, *of_run, lambda node: False)
        found = CachedAttempts(self.pipeline, *of_run, rows, history=history, decisions=decisions)
        found.run_attempt, found.store = self.run_attempt, self.store  # type: ignore[assignment]
        return found

    def known(
        self, decision: ReuseDecision, attempt: int = 1, outdated: OutdatedResults | None = None
    ) -> Outcome | None:
        """Return what is known of an attempt at `b` without making it."""
        found = self.made({"b": decision})
        found.outdated = outdated or found.outdated
        return found.known(NodeStarted(0.0, "b", attempt, {}))


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    trial = Trial(tmp_path)
    yield trial
    trial.store.close()


def test_a_miss_runs_the_attempt(trial: Trial) -> None:
    for decision in (ReuseDecision("it is not cached"), None):
        assert not trial.attempt("a", decision).reused
    assert trial.attempts == [("a", 1), ("a", 1)]
    assert trial.observed_files.used == {}


def earlier_file(trial: Trial, node: str) -> Path:
    return trial.path / "earlier-0" / f"{node}.1.arrow"


def test_a_hit_that_was_decided_before_the_run_is_known_without_an_attempt(trial: Trial) -> None:
    decision = ReuseDecision("", trial.add_finished(B, {"a": "d"}))
    assert trial.known(decision) == trial.attempt("b", decision)
    assert list(trial.observed_files.used) == ["b"]


def test_other_attempts_are_to_be_made(trial: Trial) -> None:
    finished = trial.add_finished(B, {"a": "d"})
    outdated = OutdatedResults(trial.pipeline.nodes)
    outdated.replaced("a", 2)
    assert trial.known(ReuseDecision("it runs")) is None
    assert trial.known(ReuseDecision("", finished, pending=True)) is None
    assert trial.known(ReuseDecision("", finished), attempt=2) is None
    assert trial.known(ReuseDecision("", finished), outdated=outdated) is None
    assert trial.observed_files.used == {}


def test_a_hit_has_the_file_where_it_is(trial: Trial) -> None:
    finished = trial.add_finished(B, {"a": "d"})
    outcome = trial.attempt("b", ReuseDecision("", finished))
    assert (outcome.reused, outcome.failure, trial.attempts) == (True, None, [])
    ref = outcome.outputs["b"]
    assert ref.path == str(earlier_file(trial, "b"))
    assert not trial.store.holds(ref)  # nobody has read it
    assert trial.store.open(trial.store.register_file(ref)).equals(TABLE)
    (output,) = finished.outputs
    used = replace(finished, outputs=(replace(output, file="b.1.arrow", home="earlier-0", shown=True),))
    assert trial.observed_files.used == {"b": used}
    assert list((trial.path / "now").iterdir()) == []
    trial.store.discard(ref)
    trial.store.flushed()
    assert earlier_file(trial, "b").exists()


def test_a_hit_opens_no_file_that_no_node_needs(trial: Trial) -> None:
    finished = trial.add_finished(A, {})
    del trial.history.files["a"]
    outcome = trial.attempt("a", ReuseDecision("", finished))
    assert outcome.reused
    assert outcome.outputs["a"].path is None
    assert not trial.store.holds(outcome.outputs["a"])


def test_an_attempt_that_reads_a_hit_gets_its_file(trial: Trial) -> None:
    inputs = trial.attempt("a", ReuseDecision("", trial.add_finished(A, {}))).outputs
    outcome = trial.attempt("w", ReuseDecision("it runs"), inputs=inputs)
    assert (outcome.lacking, trial.attempts) == ((), [("w", 1)])
    assert trial.store.open(inputs["a"]).equals(TABLE)


def test_an_attempt_whose_input_was_removed_lacks_it_and_does_not_run(trial: Trial) -> None:
    inputs = trial.attempt("a", ReuseDecision("", trial.add_finished(A, {}))).outputs
    del trial.history.files["a"]
    outcome = trial.attempt("w", ReuseDecision("it runs"), inputs=inputs)
    assert (outcome.lacking, trial.attempts) == (tuple(inputs.values()), [])
    finished = trial.observed_files.used["a"]
    trial.attempt("a", ReuseDecision("", finished), attempt=2)
    assert trial.attempts == [("a", 2)]
    assert trial.observed_files.made_again == {"a": finished}


def test_a_table_that_was_made_again_is_taken_from_this_run(trial: Trial) -> None:
    removed = trial.attempt("a", ReuseDecision("", trial.add_finished(A, {}))).outputs
    del trial.history.files["a"]
    assert trial.attempt("w", ReuseDecision("it runs"), inputs=removed).lacking
    again = trial.store.wait_digest(trial.store.publish(OutputId("a"), 2, TABLE))
    trial.store.release(again)
    assert not trial.store.holds(again)  # its reader has ended, and another one that reads it starts
    outcome = trial.attempt("w", ReuseDecision("it runs"), inputs={"a": again})
    assert (outcome.lacking, trial.attempts) == ((), [("w", 1)]), "else it would be made again and again"
    assert trial.store.open(again).equals(TABLE)


def test_a_file_that_may_not_be_opened_fails_the_node_that_reads_it_with_permission_error(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(errno.EACCES, "Failed to open local file. Detail: …")

    ref = trial.attempt("a", ReuseDecision("", trial.add_finished(A, {}))).outputs["a"]
    monkeypatch.setattr(pa, "memory_map", refuse)
    with pytest.raises(HandoffError) as caught:
        trial.attempt("b", ReuseDecision("its code changed"), inputs={"a": ref})
    message = "cannot open a.1.arrow: Permission denied"
    assert nfrun_failure(caught.value) == Failure(Cause.PERMISSION, "PermissionError", message, errno=errno.EACCES)


def test_a_second_attempt_ignores_the_cache(trial: Trial) -> None:
    outcome = trial.attempt("a", ReuseDecision("", trial.add_finished(A, {})), attempt=2)
    assert not outcome.reused
    assert trial.attempts == [("a", 2)]


# -- decisions that are pending until the inputs are known


def input_of(trial: Trial, table: pa.Table = TABLE) -> tuple[Mapping[str, OutputRef], str]:
    """Return the output of 'a' in this run, and its digest."""
    ref = trial.store.publish(OutputId("a"), 1, table)
    return {"a": ref}, reader_digest(trial.store.wait_digest(ref))


def test_a_pending_node_is_reused_if_its_inputs_are_unchanged(trial: Trial) -> None:
    inputs, digest = input_of(trial)
    finished = trial.add_finished(B, {"a": digest})
    outcome = trial.attempt("b", ReuseDecision("it reads 'a', which runs", pending=True), inputs=inputs)
    assert outcome.reused
    assert trial.store.open(trial.store.register_file(outcome.outputs["b"])).equals(TABLE)
    assert trial.observed_files.used["b"].key == finished.key


@pytest.mark.parametrize(
    ("table", "pending"), [(pa.table({"n": [1, 2, 4]}), True), (pa.table({"m": [1, 2, 3]}), True), (TABLE, False)]
)
def test_changed_inputs_or_a_decision_to_run_mean_an_attempt(trial: Trial, table: pa.Table, pending: bool) -> None:
    _, digest = input_of(trial)
    trial.add_finished(B, {"a": digest})
    ref = trial.store.publish(OutputId("a"), 2, table)
    assert not trial.attempt("b", ReuseDecision("why", pending=pending), inputs={"a": ref}).reused
    assert trial.attempts == [("b", 1)]


def test_a_node_with_a_changed_definition_waits_for_no_digest(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, digest = input_of(trial)
    trial.add_finished(replace(B, id="b"), {"a": digest})
    nodes = {**trial.pipeline.nodes, "b": replace(B, body="select other")}
    trial.pipeline = replace(trial.pipeline, nodes=nodes)
    trial.keys = CacheKeys(trial.pipeline)

    def digest_of(ref: OutputRef) -> OutputRef:
        raise AssertionError("nobody should wait for it")

    monkeypatch.setattr(trial.store, "wait_digest", digest_of)
    assert not trial.attempt("b", ReuseDecision("why", pending=True), inputs=inputs).reused


def test_a_pending_node_runs_if_the_file_of_an_output_that_the_run_shows_is_missing(trial: Trial) -> None:
    inputs, digest = input_of(trial)
    trial.add_finished(B, {"a": digest})
    del trial.history.files["b"]
    assert not trial.attempt("b", ReuseDecision("why", pending=True), inputs=inputs).reused


def test_a_pending_node_runs_if_an_input_is_missing(trial: Trial) -> None:
    _, digest = input_of(trial)
    trial.add_finished(B, {"a": digest})
    assert not trial.attempt("b", ReuseDecision("why", pending=True), inputs={}).reused


def test_a_write_node_runs_again_if_its_file_has_changed(trial: Trial) -> None:
    inputs, digest = input_of(trial)
    (trial.path / "out.csv").write_text("as it was")
    trial.add_finished(W, {"a": digest}, external_outputs(W, trial.path))
    decision = ReuseDecision("it reads 'a', which runs", pending=True)
    assert trial.attempt("w", decision, inputs=inputs).reused
    (trial.path / "out.csv").write_text("touched by somebody")
    assert not trial.attempt("w", decision, inputs=inputs).reused
    assert trial.observed_files.wrote == {"w": external_outputs(W, trial.path)}
    assert (trial.path / "out.csv").read_text() == "new"


def test_a_pending_node_runs_if_a_file_that_its_code_opened_has_changed(trial: Trial) -> None:
    inputs, digest = input_of(trial)
    (trial.path / "data.csv").write_text("1")
    finished = trial.add_finished(B, {"a": digest})
    trial.history.finished[:] = [replace(finished, reads={"data.csv": bytes_checksum(b"1")})]
    decision = ReuseDecision("it reads 'a', which runs", pending=True)
    assert trial.attempt("b", decision, inputs=inputs).reused
    (trial.path / "data.csv").write_text("2")
    assert not trial.attempt("b", decision, inputs=inputs).reused


def test_a_pending_node_with_an_obstacle_is_reused_with_cache_true_only(trial: Trial) -> None:
    inputs, digest = input_of(trial)
    trial.history.finished[:] = [replace(trial.add_finished(B, {"a": digest}), obstacle="it connects to a.com")]
    assert not trial.attempt("b", ReuseDecision("why", pending=True), inputs=inputs).reused
    trial.pipeline = replace(trial.pipeline, nodes={**trial.pipeline.nodes, "b": replace(B, cache=True)})
    assert trial.attempt("b", ReuseDecision("why", pending=True), inputs=inputs).reused


def test_a_pending_node_that_gave_no_output_runs_for_its_effect(trial: Trial) -> None:
    inputs, digest = input_of(trial)
    trial.history.finished.append(replace(trial.add_finished(B, {"a": digest}), outputs=()))
    del trial.history.finished[0]
    assert not trial.attempt("b", ReuseDecision("why", pending=True), inputs=inputs).reused
    trial.pipeline = replace(trial.pipeline, nodes={**trial.pipeline.nodes, "b": replace(B, cache=True)})
    assert trial.attempt("b", ReuseDecision("why", pending=True), inputs=inputs).reused


def test_a_failed_write_is_not_recorded(trial: Trial) -> None:
    def fail(start: NodeStarted, cancel_token: CancelToken, run_coroutine: object) -> Outcome:
        return Outcome(start.node, start.attempt, Failure(Cause.NODE, "", "no"))

    trial.run_attempt = fail  # type: ignore[method-assign]
    trial.attempt("w", ReuseDecision("why"))
    assert trial.observed_files.wrote == {}


def test_an_input_that_is_taken_away_each_time_fails_the_node(trial: Trial) -> None:
    ref = OutputRef(OutputId("a"), 1, 8, "n: int64", digest="d", stored="file:///shared/7f/data/a.arrow")

    trial.lost = (replace(ref, attempt=7),)  # as it was sent to a worker
    attempts = trial.cached_attempts("w", None)
    start = NodeStarted(0.0, "w", 1, {"a": ref})
    trial.store.register_file(ref)
    found = [attempts(start, CancelToken(), lambda coroutine: None) for _ in range(3)]
    assert [outcome.lacking for outcome in found] == [(ref,), (ref,), ()]
    failure = found[-1].failure
    assert failure is not None and failure.cause is Cause.IO
    what = "'a' was removed from file:///shared/7f/data/a.arrow 3 times while the run was under way"
    assert failure.message == what


@pytest.mark.parametrize("table", [TABLE, TABLE.slice(1)])
def test_what_was_made_of_a_lost_output_stays_if_that_is_made_again_as_it_was(trial: Trial, table: pa.Table) -> None:
    attempts = trial.cached_attempts("b", None)

    def attempt(node: str, number: int, inputs: Mapping[str, OutputRef]) -> Outcome:
        return attempts(NodeStarted(0.0, node, number, inputs), CancelToken(), lambda coroutine: None)

    a = OutputId("a")
    trial.gives = {a: trial.store.publish(a, 1, TABLE)}
    attempt("a", 1, {})
    trial.lost, trial.gives = (trial.gives[a],), {}
    assert attempt("b", 1, {a: trial.lost[0]}).lacking == trial.lost
    trial.lost, trial.gives = (), {a: trial.store.publish(a, 2, table)}
    attempt("a", 2, {})
    assert trial.outdated.may_differ("b") is (table is not TABLE)
