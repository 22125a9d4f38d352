"""Tests of `JournalWriter`: it records a node once its key is known and its outputs are published."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_lines import lines_of

from nfrun.code.watch.attribution import Attribution
from nfrun.code.watch.run_watch import RunWatch
from nfrun.core.contracts import CheckResult
from nfrun.core.errors import Cause, HandoffError
from nfrun.core.events import (
    Event,
    Failure,
    Frame,
    NodeCancelled,
    NodeFailed,
    NodeFinished,
    NodeLogged,
    NodeRetrying,
    NodeSkipped,
    NodeStarted,
    OutputPublished,
    OutputRef,
    OutputReleased,
    RunFinished,
    event_name,
)
from nfrun.core.pipeline import Input, NodeSpec, OutputId, Pipeline
from nfrun.history import database_file
from nfrun.history.cache.cache_key import CacheKeys, cache_key
from nfrun.history.cache.journal_writer import JournalWriter
from nfrun.history.cache.observed_files import ObservedFiles
from nfrun.history.database import Journal, read_journal
from nfrun.history.journal import (
    FailedAttempt,
    FinishedOutput,
    JournalContents,
    NodeTimes,
    RecordedNode,
    RunHeader,
)
from nfrun.nodes.external_files import ExternalInputs
from nfrun.pipeline_file.references import parse_reference
from nfrun.system.checksums import file_checksum

FAILURE = Failure(Cause.NODE, "ValueError", "no", (Frame("s.py", 3, "f", "raise"),), "more", ("t: 1 row, n: int64",))


def node(name: str, *reads: str, needs: tuple[str, ...] = (), kind: str = "sql", body: str = "text") -> NodeSpec:
    inputs = tuple(Input(output, parse_reference(output)) for output in reads)
    return NodeSpec(name, kind, body, inputs, {}, (), needs, {}, cache=True if name == "cached" else None)


def run_folder(work: Path) -> Path:
    """Make the folder of a run in a work folder."""
    folder = work / "runs" / "1-20260101-000000"
    folder.mkdir(parents=True)
    return folder


class Trial:
    """A journal writer that gets made-up events of a run of some nodes."""

    def __init__(
        self, folder: Path, *specs: NodeSpec, reason: Callable[[str], str] = lambda node: "", shows: str = ""
    ) -> None:
        self.folder = run_folder(folder)
        nodes = {spec.id: spec for spec in specs}
        self.pipeline = Pipeline("p.yaml", str(folder), "p", "", {}, {}, nodes, {"shown": OutputId(shows)})
        self.keys = CacheKeys(self.pipeline)
        self.observed_files = ObservedFiles(
            ExternalInputs(folder),
            RunWatch(folder, folder / "work").files,
            Attribution((), lambda node: (), lambda module: None, lambda: (), Path()),
        )
        self.errors: list[Exception] = []
        self.admitted: list[Event] = []
        self.journal = Journal(self.folder)
        self.journal.started(RunHeader(self.folder.name, "p.yaml", 1))
        self.writer = JournalWriter(self.journal, self.pipeline, self.keys, self.observed_files, reason=reason)
        self.writer.on_error = self.errors.append

    def ref(self, name: str) -> OutputRef:
        path = self.folder / f"{name}.1.arrow"
        path.write_bytes(name.encode())
        return OutputRef(
            parse_reference(name),
            1,
            8,
            "n: int64",
            str(path),
            f"digest of {name}",
            1,
            path.stat().st_size,
            None,
            "traits",
        )

    def end(self, name: str, *, has_output: bool = True, reused: bool = False) -> NodeFinished:
        """Return the end of a node that has started. The digests of its inputs are not known yet."""
        read = [item.output for item in self.pipeline.nodes[name].inputs]
        inputs = {output: replace(self.ref(output), digest=None) for output in read}
        admitted = self.writer.admit([NodeStarted(0.0, name, 1, inputs)])
        self.admitted += [event for event in admitted if not isinstance(event, NodeStarted)]
        return NodeFinished(0.0, name, 1, {name: self.ref(name)} if has_output else {}, 0.5, reused=reused)

    def ended(self, name: str, *, has_output: bool = True, reused: bool = False) -> None:
        self.emit(self.end(name, has_output=has_output, reused=reused))

    def published(self, name: str) -> None:
        self.emit(OutputPublished(0.0, parse_reference(name), self.ref(name)))

    def released(self, name: str) -> None:
        self.emit(OutputReleased(0.0, name, self.ref(name)))

    def emit(self, *events: Event) -> None:
        self.admitted += self.writer.admit(list(events))

    @property
    def contents(self) -> JournalContents:
        return read_journal(self.folder)

    @property
    def reported(self) -> list[str]:
        """The events that the reporters have got, as `kind node`."""
        return [f"{event_name(type(e))} {getattr(e, 'node', getattr(e, 'output', ''))}".strip() for e in self.admitted]

    @property
    def nodes(self) -> list[str]:
        return [finished.node for finished in self.contents.finished]


def test_a_node_is_recorded_when_its_output_is_published(tmp_path: Path) -> None:
    trial = Trial(tmp_path, node("a"))
    trial.ended("a")
    assert trial.nodes == []
    trial.published("a")
    (finished,) = trial.contents.finished
    path = trial.folder / "a.1.arrow"
    output = FinishedOutput("a", 1, 8, "n: int64", "digest of a", 1, file_checksum(path), "a.1.arrow", "traits")
    key_inputs = dict(trial.keys.key_inputs("a", inputs={}, needs={}))
    assert finished == RecordedNode(
        "a",
        "ok",
        cache_key(key_inputs),
        key_inputs,
        (output,),
        {},
        0.5,
        folder=trial.folder,
        started=0.0,
        attempts=1,
        times=NodeTimes(0.0, 0.0, 0.0),
    )


def test_an_output_may_be_published_before_its_node_finishes(tmp_path: Path) -> None:
    trial = Trial(tmp_path, node("a"))
    trial.published("a")
    trial.ended("a")
    assert trial.nodes == ["a"]


def test_a_node_is_recorded_after_its_inputs_are_published(tmp_path: Path) -> None:
    trial = Trial(tmp_path, node("a"), node("b", "a"))
    trial.ended("a")
    trial.ended("b")
    trial.published("b")
    assert trial.nodes == []
    trial.published("a")
    assert sorted(trial.nodes) == ["a", "b"]
    b = next(finished for finished in trial.contents.finished if finished.node == "b")
    assert b.key_inputs["input a"] == "digest of a traits"


def test_a_node_is_recorded_after_the_nodes_that_it_needs(tmp_path: Path) -> None:
    trial = Trial(tmp_path, node("a"), node("b", needs=("a",)))
    trial.ended("a")
    trial.ended("b", has_output=False)
    assert trial.nodes == []
    trial.published("a")
    a, b = trial.contents.finished
    assert b.key_inputs["needs a"] == a.key


def test_a_node_without_outputs_is_recorded_at_once(tmp_path: Path) -> None:
    trial = Trial(tmp_path, node("cached"))
    trial.ended("cached", has_output=False)
    (finished,) = trial.contents.finished
    assert finished.outputs == ()
    assert finished.cached


def test_the_key_has_the_checksum_of_a_file_that_is_read(tmp_path: Path) -> None:
    trial = Trial(tmp_path, node("a", kind="read", body="x.csv"))
    (tmp_path / "x.csv").write_text("n\n1\n")
    checksum = file_checksum(tmp_path / "x.csv")
    trial.observed_files.inputs.snapshot(trial.pipeline.nodes["a"])
    trial.ended("a", has_output=False)
    (finished,) = trial.contents.finished
    assert finished.key_inputs["file x.csv"] == checksum


def test_a_file_changed_while_it_was_read_gives_no_key_to_its_node_and_dependents(tmp_path: Path) -> None:
    trial = Trial(tmp_path, node("a", kind="read", body="x.csv"), node("b", needs=("a",)))
    (tmp_path / "x.csv").write_text("n\n1\n")
    trial.observed_files.inputs.snapshot(trial.pipeline.nodes["a"])
    (tmp_path / "x.csv").write_text("n\n2\n")
    trial.ended("a", has_output=False)
    trial.ended("b", has_output=False)
    assert [(finished.node, finished.key) for finished in trial.contents.finished] == [("a", None), ("b", None)]


def test_code_changed_before_the_end_gives_no_key(tmp_path: Path) -> None:
    module = tmp_path / "journaled_steps.py"
    module.write_text("def one():\n    return 1\n")
    trial = Trial(tmp_path, *(node(name, kind="python", body="journaled_steps:one") for name in "abc"))
    for name in "abc":
        trial.keys.definition(name)
    a, b, c = (trial.end(name, has_output=False) for name in "abc")
    trial.emit(a)
    module.write_text("def one():\n    return 2\n")
    trial.emit(b, c)
    assert [finished.key is not None for finished in trial.contents.finished] == [True, False, False]


def test_a_reused_node_is_recorded_with_its_earlier_key(tmp_path: Path) -> None:
    trial = Trial(tmp_path, node("a", kind="read", body="x.csv"))
    checksum = file_checksum(str(trial.ref("a").path))
    before = FinishedOutput("a", 1, 8, "n: int64", "digest of a", 1, checksum, "a.3.arrow", "traits")
    trial.observed_files.used["a"] = RecordedNode(
        "a", "ok", "k", {"text": "t"}, (before,), {"w": "c"}, 9.0, folder=tmp_path / "old"
    )
    trial.ended("a", reused=True)
    (finished,) = trial.contents.finished
    assert finished == RecordedNode(
        "a", "reused", "k", {"text": "t"}, (before,), {"w": "c"}, 9.0, folder=trial.folder, started=0.0, home="old"
    )
    assert trial.reported == ["node_finished a"]


def again(trial: Trial, name: str) -> OutputRef:
    """Return the output of the second attempt at a node."""
    return replace(trial.ref(name), attempt=2)


def test_a_node_whose_table_was_made_again_is_recorded_twice(tmp_path: Path) -> None:
    trial = Trial(tmp_path, node("a"), node("b", "a"))
    warnings: list[str] = []
    trial.writer.warn = warnings.append
    before = FinishedOutput(OutputId("a"), 1, 8, "n: int64", "digest of a", 1, "c", "x", "traits", "earlier")
    used = RecordedNode("a", "ok", "k", {}, (before,), {})
    trial.observed_files.used["a"] = used
    trial.ended("a", reused=True)
    trial.observed_files.made_again["a"] = used
    ref = again(trial, "a")
    trial.emit(NodeStarted(0.0, "a", 2), NodeFinished(0.0, "a", 2, {"a": ref}))
    trial.emit(NodeStarted(0.0, "b", 1, {ref.id: replace(ref, digest=None)}), NodeFinished(0.0, "b", 1))
    assert trial.nodes == ["a"]
    trial.emit(OutputPublished(0.0, "a", replace(ref, checksum="c2")))
    first, b, second = trial.contents.finished
    assert trial.nodes == ["a", "b", "a"]
    assert [(end.reused, end.outputs[0].home) for end in (first, second)] == [(True, "earlier"), (False, "")]
    assert b.key_inputs["input a"] == "digest of a traits"
    assert warnings == []


def test_a_node_that_starts_again_before_its_line_is_written_has_the_line_of_the_second_end(tmp_path: Path) -> None:
    trial = Trial(tmp_path, node("a"), node("b", "a"))
    trial.observed_files.used["b"] = RecordedNode("b", "ok", "k", {}, (), {})
    trial.ended("a")
    trial.ended("b", reused=True)
    assert trial.nodes == []
    inputs = {OutputId("a"): replace(trial.ref("a"), digest=None)}
    assert trial.writer.admit([NodeStarted(3.0, "b", 2, inputs)])
    trial.published("a")
    assert trial.nodes == ["a"]
    trial.emit(NodeFinished(4.0, "b", 2, {"b": again(trial, "b")}), OutputPublished(4.0, "b", again(trial, "b")))
    trial.emit(RunFinished(5.0, "ok"))
    _, b = trial.contents.finished
    assert (b.reused, b.key_inputs.get("input a"), b.started, b.attempts) == (False, "digest of a traits", 3.0, 1)
    assert trial.contents.ending is not None
    assert trial.contents.ending.counts == {"ok": 2, "reused": 0, "failed": 0, "skipped": 0, "cancelled": 0}


def test_a_node_that_ran_twice_in_a_run_is_counted_once(tmp_path: Path) -> None:
    """As a source of which the table was not kept, and was read once more."""
    trial = Trial(tmp_path, node("a"))
    trial.ended("a")
    trial.published("a")
    ref = again(trial, "a")
    trial.emit(NodeStarted(1.0, "a", 2), NodeFinished(1.0, "a", 2, {"a": ref}), OutputPublished(1.0, "a", ref))
    trial.emit(RunFinished(2.0, "ok"))
    assert [end.attempts for end in trial.contents.finished] == [1, 2]
    assert trial.contents.ending is not None
    assert trial.contents.ending.counts == {"ok": 1, "reused": 0, "failed": 0, "skipped": 0, "cancelled": 0}


def test_a_reused_node_whose_table_cannot_be_made_again_is_counted_once(tmp_path: Path) -> None:
    trial = Trial(tmp_path, node("a"), node("b"))
    for name in "ab":
        trial.observed_files.used[name] = RecordedNode(name, "ok", "k", {}, (), {})
        trial.ended(name, has_output=False, reused=True)
    trial.emit(NodeStarted(0.0, "a", 2), NodeFailed(1.0, "a", 2, FAILURE), NodeCancelled(1.0, "b", "node 'a' failed"))
    trial.emit(RunFinished(2.0, "failed", cause=Cause.NODE))
    assert trial.contents.ending is not None
    assert trial.contents.ending.counts == {"ok": 0, "reused": 0, "failed": 1, "skipped": 0, "cancelled": 1}


def test_a_table_that_is_another_one_when_it_is_made_again_is_warned_about(tmp_path: Path) -> None:
    trial = Trial(tmp_path, node("a"))
    warnings: list[str] = []
    trial.writer.warn = warnings.append
    before = FinishedOutput(OutputId("a"), 1, 8, "n: int64", "another digest", 1, "c", "x", "traits", "earlier")
    trial.observed_files.made_again["a"] = RecordedNode("a", "ok", "k", {}, (before,), {})
    trial.ended("a")
    trial.published("a")
    assert warnings == [
        "the table of node 'a' was made again and differs from the one that was removed: say 'cache: true' to keep its "
        "tables, or 'cache: false' to run it each time"
    ]


def test_a_node_that_was_reused_before_keeps_the_run_in_which_it_ran(tmp_path: Path) -> None:
    trial = Trial(tmp_path, node("a"))
    trial.observed_files.used["a"] = RecordedNode(
        "a", "reused", "k", {}, (), {}, 9.0, folder=tmp_path / "second", attempts=2, reason="it is new", home="first"
    )
    trial.emit(NodeStarted(0.25, "a", 1))
    trial.ended("a", has_output=False, reused=True)
    (finished,) = trial.contents.finished
    assert (finished.home, finished.started, finished.attempts, finished.reason) == ("first", 0.25, 2, "")


def test_it_is_recorded_when_and_why_a_node_ran_and_which_outputs_are_shown(tmp_path: Path) -> None:
    trial = Trial(tmp_path, node("a"), reason=lambda name: f"why {name}", shows="a")
    trial.emit(NodeStarted(0.5, "a", 1), NodeRetrying(1.0, "a", 1, 0.5, FAILURE), NodeStarted(1.5, "a", 2))
    trial.emit(NodeFinished(2.0, "a", 2, {"a": trial.ref("a")}, 0.5))
    trial.published("a")
    (finished,) = trial.contents.finished
    assert (finished.started, finished.attempts, finished.reason, finished.duration) == (0.5, 2, "why a", 0.5)
    assert [output.shown for output in finished.outputs] == [True]


def test_the_times_of_all_attempts_are_recorded(tmp_path: Path) -> None:
    trial = Trial(tmp_path, node("a"))
    waits = {OutputId("x"): 0.25, OutputId("y"): 0.125}
    trial.emit(NodeStarted(0.5, "a", 1, queue_wait=0.5), NodeRetrying(1.0, "a", 1, 1.0, FAILURE, 0.5))
    trial.emit(NodeStarted(2.25, "a", 2, queue_wait=0.25))
    trial.emit(NodeFinished(4.0, "a", 2, {"a": trial.ref("a")}, 1.0, 0.375, waits, 0.75, 0.0625))
    trial.published("a")
    (finished,) = trial.contents.finished
    assert finished.times == NodeTimes(2.25, 4.0, 0.25, 0.375, 0.375, 0.75, 0.0625)
    assert finished.earlier == (FailedAttempt(0.5, 1.0, 1.0, 0.5, "ValueError: no"),)


def test_the_memory_and_the_worker_of_an_attempt_are_recorded(tmp_path: Path) -> None:
    trial = Trial(tmp_path, node("a"), node("b"), node("c"))
    trial.observed_files.memory["a"] = 12_000
    trial.writer.made_on = {("a", 1): "tcp://one", ("b", 1): "tcp://two", ("b", 2): "tcp://three"}
    trial.emit(*(NodeStarted(0.5, name, 1) for name in "abc"), NodeRetrying(1.0, "b", 1, 0.5, FAILURE))
    trial.emit(NodeStarted(1.5, "b", 2), NodeFailed(2.0, "b", 2, FAILURE))
    for name in "ac":
        trial.ended(name)
        trial.published(name)
    found = {end.node: (end.memory, end.worker) for end in (*trial.contents.finished, *trial.contents.unfinished)}
    assert found == {"a": (12_000, "tcp://one"), "b": (0, "tcp://three"), "c": (0, "")}


def test_nodes_that_did_not_finish_are_recorded_before_it_is_reported(tmp_path: Path) -> None:
    names = [f"n{number}" for number in range(12)]
    inputs = (Input("x", OutputId("n0"), alternative=OutputId("n1")), Input("y", OutputId("n0")))
    nodes = [*map(node, names), replace(node("s"), inputs=inputs), node("c"), node("r")]
    trial = Trial(tmp_path, *nodes, reason=lambda name: f"why {name}")
    trial.emit(*(NodeStarted(0.5, name, 1) for name in (*names, "r")))
    events = [NodeFailed(1.5, name, 1, FAILURE, 1.0) for name in names]
    trial.emit(*events, NodeSkipped(1.5, "s", "n0"), NodeCancelled(1.5, "c", "node 'n0' failed"))
    times = NodeTimes(0.5, 1.5, 0.0)
    failed = [
        RecordedNode(
            name, "failed", failure=FAILURE, attempts=1, started=0.5, duration=1.0, reason=f"why {name}", times=times
        )
        for name in names
    ]
    skipped = RecordedNode("s", "skipped", because="n0", reason="why s", inputs=("n0", "n1"))
    cancelled = RecordedNode("c", "cancelled", because="node 'n0' failed", reason="why c")
    assert list(trial.contents.unfinished) == [*failed, skipped, cancelled]
    trial.emit(NodeCancelled(2.5, "r", "cancelled"), RunFinished(3.0, "failed", cause=Cause.NODE))
    running = trial.contents.unfinished[-1]
    times = NodeTimes(0.5, 2.5, 0.0)
    assert running == RecordedNode(
        "r",
        "cancelled",
        failure=None,
        attempts=1,
        started=0.5,
        duration=2.0,
        because="cancelled",
        reason="why r",
        times=times,
    )
    ending = trial.contents.ending
    assert ending is not None
    assert (ending.status, ending.duration) == ("failed", 3.0)
    assert ending.counts == {"ok": 0, "reused": 0, "failed": 12, "skipped": 1, "cancelled": 2}


def refused(trial: Trial, name: str) -> NodeFailed:
    """Let an attempt end whose check failed, and keep its output. Returns the event of its failure."""
    check = CheckResult("rows: 2", OutputId(name), "error", ok=False, key="key")
    trial.observed_files.refused[name, 1] = replace(trial.end(name), checks=(check,))
    return NodeFailed(0.5, name, 1, Failure(Cause.CHECK, "", "failed its check"), checks=(check,))


def test_a_result_whose_check_failed_has_a_line_of_its_own_that_is_no_end(tmp_path: Path) -> None:
    trial = Trial(tmp_path, node("a"), node("b", "a"))
    failed = refused(trial, "b")
    trial.emit(failed)
    assert trial.reported == ["node_failed b"]
    trial.published("b")
    trial.ended("a")
    trial.published("a")
    assert "output_published b" not in trial.reported
    assert (trial.nodes, [end.status for end in trial.contents.unfinished]) == (["a"], ["failed"])
    _, *lines = lines_of(trial.folder)
    assert [(line["event"], line["node"]) for line in lines] == [
        *(("unfinished", "b"), ("finished", "a"), ("refused", "b"))
    ]
    assert (lines[2]["outputs"][0]["file"], lines[2]["key"] is None) == ("b.1.arrow", False)


def test_a_run_need_not_have_the_line_of_a_result_whose_check_failed(tmp_path: Path) -> None:
    trial = Trial(tmp_path, node("a"))
    trial.emit(refused(trial, "a"), RunFinished(1.0, "failed"))
    assert trial.reported == ["node_failed a", "run_finished"], "it was never written"
    assert trial.contents.ended == "failed"


def test_a_result_whose_check_failed_while_its_code_changed_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a\n1\n")
    trial = Trial(tmp_path, node("a", kind="read", body="in.csv"))
    failed = refused(trial, "a")
    trial.observed_files.inputs.snapshot(trial.pipeline.nodes["a"])
    (tmp_path / "in.csv").write_text("a\n2\n")
    trial.emit(failed)
    trial.published("a")
    assert trial.contents.refused == ()


def test_nodes_that_did_not_finish_are_written_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = Trial(tmp_path, *map(node, "abc"))
    transaction, written = database_file.transaction, []
    monkeypatch.setattr(database_file, "transaction", lambda db: written.append(db) or transaction(db))
    trial.emit(*(NodeSkipped(1.0, name, "x") for name in "abc"))
    assert len(written) == 1
    assert len(trial.contents.unfinished) == 3


def test_a_failure_that_cannot_be_written_is_reported_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial(tmp_path, node("a"))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(trial.journal, "add", full)
    trial.emit(NodeFailed(1.0, "a", 1, FAILURE))
    assert trial.reported == ["node_failed a"]
    assert [str(error) for error in trial.errors] == [f"cannot write {tmp_path}/history.db: No space left on device"]


def test_the_end_of_the_run_is_recorded(tmp_path: Path) -> None:
    trial = Trial(tmp_path, node("a"))
    trial.emit(RunFinished(1.0, "failed"))
    assert trial.contents.ended == "failed"


def test_a_write_error_is_reported_once_and_stops_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = Trial(tmp_path, node("a"), node("b"))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(trial.journal, "add", full)
    trial.ended("a", has_output=False)
    trial.ended("b", has_output=False)
    message = f"cannot write {tmp_path}/history.db: No space left on device"
    (error,) = trial.errors
    assert isinstance(error, HandoffError)
    assert (str(error), error.errno) == (message, errno.ENOSPC)
    assert trial.writer.error is error


def test_the_end_of_a_node_is_reported_when_it_is_in_the_journal(tmp_path: Path) -> None:
    trial = Trial(tmp_path, node("a"), node("b", "a"), node("c", needs=("b",)))
    trial.emit(trial.end("a"), NodeLogged(0.0, "b", "stdout", "hello"), trial.end("b"))
    trial.ended("c", has_output=False)
    trial.released("b")
    trial.published("b")
    assert trial.nodes == []
    assert trial.reported == ["node_logged b"]
    trial.published("a")
    assert sorted(trial.nodes) == ["a", "b", "c"]
    assert sorted(trial.reported[1:]) == [
        "node_finished a",
        "node_finished b",
        "node_finished c",
        "output_published a",
        "output_published b",
        "output_released b",
    ]
    b = [text for text in trial.reported if text.endswith("ed b")]
    assert b == ["node_logged b", "node_finished b", "output_released b", "output_published b"]
    trial.released("a")
    assert trial.reported[-1] == "output_released a"


def test_after_a_write_error_all_ends_are_reported_and_the_run_is_not_ok(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial(tmp_path, node("a"), node("b"), node("c"))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    trial.ended("a")
    monkeypatch.setattr(trial.journal, "add", full)
    trial.ended("b", has_output=False)
    trial.published("a")
    trial.ended("c")
    assert trial.reported == ["node_finished b", "node_finished a", "output_published a", "node_finished c"]
    trial.emit(RunFinished(1.0, "ok"))
    assert trial.admitted[-1] == RunFinished(1.0, "failed", str(trial.writer.error), Cause.IO)
    assert trial.contents.ended == ""


def test_a_bug_in_the_journal_keeps_no_events_from_the_reporters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial(tmp_path, node("a"))

    def bug(*_: object) -> None:
        raise LookupError("oh")

    monkeypatch.setattr(trial.journal, "add", bug)
    trial.ended("a", has_output=False)
    assert trial.reported == ["node_finished a"]
    assert [str(error) for error in trial.errors] == ["the journal is not complete: LookupError: oh"]


def test_a_run_whose_journal_lacks_a_node_is_not_ok(tmp_path: Path) -> None:
    trial = Trial(tmp_path, node("a"))
    trial.ended("a")
    trial.emit(RunFinished(1.0, "ok"))
    assert trial.reported == ["node_cancelled a", "run_finished"]
    (end,) = (event for event in trial.admitted if isinstance(event, RunFinished))
    message = "the journal is not complete: LookupError: it lacks a"
    assert (end.status, end.error, end.cause) == ("failed", message, Cause.INTERNAL)


def test_a_run_whose_journal_cannot_be_ended_is_not_ok(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = Trial(tmp_path, node("a"))

    def full(*_: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(trial.journal, "ended", full)
    trial.emit(RunFinished(1.0, "ok"))
    message = f"cannot write {tmp_path}/history.db: No space left on device"
    assert trial.admitted == [RunFinished(1.0, "failed", message, Cause.IO)]


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_node_that_is_not_in_the_journal_at_the_end_is_reported_as_cancelled(tmp_path: Path, status: str) -> None:
    """Such as a node whose output could not be written, and one that reads it."""
    trial = Trial(tmp_path, node("a"), node("b", "a"))
    trial.ended("a")
    trial.released("a")
    trial.ended("b", has_output=False)
    trial.emit(RunFinished(1.0, status))
    why = "its outputs, or those of a node that it depends on, were not written"
    assert trial.admitted == [NodeCancelled(0.0, "a", why), NodeCancelled(0.0, "b", why), RunFinished(1.0, status)]
    assert (trial.nodes, trial.contents.ended) == ([], status)


@pytest.mark.parametrize("reused", [False, True])
def test_a_node_is_recorded_and_reported_after_the_nodes_that_it_depends_on(tmp_path: Path, reused: bool) -> None:
    """Also when the output that it reads is on the disk, but another of the same node is not."""
    a, b = replace(node("a"), outputs=("small", "big")), node("b", "a.small")
    trial = Trial(tmp_path, a, b)
    trial.observed_files.used["b"] = RecordedNode("b", "ok", "k", {}, (), {})
    trial.emit(NodeFinished(0.0, "a", 1, {id: replace(trial.ref(id), id=id) for id in a.output_ids}))
    trial.published(OutputId("a", "small"))
    trial.ended("b", has_output=False, reused=reused)
    assert (trial.nodes, trial.reported) == ([], [])
    trial.published(OutputId("a", "big"))
    assert trial.nodes == ["a", "b"]
    assert [text for text in trial.reported if text.startswith("node")] == ["node_finished a", "node_finished b"]


@pytest.mark.parametrize(
    ("end", "reported"),
    [
        (RunFinished(1.0, "failed", "", Cause.NODE), RunFinished(1.0, "failed", "FULL", Cause.IO)),
        (RunFinished(1.0, "failed", "a bug", Cause.INTERNAL), RunFinished(1.0, "failed", "a bug", Cause.INTERNAL)),
        (RunFinished(1.0, "cancelled"), RunFinished(1.0, "failed", "FULL", Cause.IO)),
    ],
)
def test_the_gravest_cause_counts_if_the_journal_cannot_be_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: RunFinished, reported: RunFinished
) -> None:
    trial = Trial(tmp_path)

    def full(*_: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(trial.journal, "ended", full)
    trial.emit(end)
    message = reported.error.replace("FULL", f"cannot write {tmp_path}/history.db: No space left on device")
    assert trial.admitted == [trial.writer.end] == [replace(reported, error=message)]


def test_a_bug_in_the_check_of_the_code_keeps_no_events_from_the_reporters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial(tmp_path, node("a"), node("b"))

    def bug() -> None:
        raise LookupError("oh")

    trial.ended("a")
    monkeypatch.setattr(trial.keys, "refresh", bug)
    trial.ended("b")
    trial.emit(RunFinished(1.0, "ok"))
    assert trial.reported == ["node_finished a", "node_finished b", "run_finished"]
    message = "the journal is not complete: LookupError: oh"
    assert [str(error) for error in trial.errors] == [message]
    assert trial.admitted[-1] == RunFinished(1.0, "failed", message, Cause.INTERNAL)


@given(st.randoms(use_true_random=False), st.integers(1, 12))
def test_in_any_order_of_events_every_node_is_recorded_once_and_not_too_early(chance: object, count: int) -> None:
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
        # A node ends after the nodes that it depends on. Its output may be published at any time.
        ends, published = list(names), list(names)
        chance.shuffle(published)
        ended: set[str] = set()
        published_nodes: set[str] = set()
        while ends or published:
            if ends and (not published or chance.random() < 0.5):
                trial.ended(ends[0])
                ended.add(ends.pop(0))
            else:
                published_nodes.add(published[-1])
                trial.published(published.pop())
            assert [f"node_finished {name}" for name in trial.nodes] == [
                text for text in trial.reported if text.startswith("node_f")
            ]
            for recorded in trial.nodes:
                spec = trial.pipeline.nodes[recorded]
                assert recorded in ended & published_nodes
                assert published_nodes >= {item.output for item in spec.inputs}
            for i, recorded in enumerate(trial.nodes):
                assert set(trial.nodes[:i]) >= set(trial.pipeline.nodes[recorded].upstream)
        assert sorted(trial.nodes) == sorted(names)
        assert len(trial.reported) == 2 * count
