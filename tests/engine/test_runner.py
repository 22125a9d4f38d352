"""Tests of the runner with threads and a store: failures, timeouts, cancelling, and bugs that must not hang it."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from io import FileIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from random_seeds import seeds
from single_thread import SingleThread

import nfrun.tables.output_files
from bench.random_plans import random_plan
from bench.simulation import simulate
from nfrun.core.errors import Cause, HandoffError
from nfrun.core.events import (
    AttemptStopped,
    Event,
    Failure,
    NodeCancelled,
    NodeFailed,
    NodeFinished,
    NodeRetrying,
    NodeSkipped,
    NodeStarted,
    Outcome,
    OutputPublished,
    OutputRef,
    OutputReleased,
    RunFinished,
    event_name,
)
from nfrun.core.pipeline import Retry
from nfrun.core.plan import Node, Plan, make_plan
from nfrun.engine.executors.base import Executor, OnOutcome
from nfrun.engine.executors.threads import ThreadExecutor
from nfrun.engine.runner import KnownOutcome, Runner
from nfrun.nodes.base import CancelToken
from nfrun.tables.store import TableStore

MODES = ("auto", "mmap", "memory")
TABLE = pa.table({"n": [1, 2, 3]})
AT_ONCE = Retry(max=1, delay=0.0)
LONG = 1000.0

Do = Callable[["Trial", NodeStarted, CancelToken], Failure | None]


def ok(trial: Trial, start: NodeStarted, cancel_token: CancelToken) -> Failure | None:
    return None


def error(text: str = "no") -> Failure:
    return Failure(Cause.NODE, "ValueError", text)


@dataclass
class Trial:
    """One run on threads with a store. Each attempt opens its inputs, calls `do` and publishes its output."""

    folder: Path
    plan: Plan
    do: Do = ok
    keep_going: bool = False
    grace: float = LONG
    mode: str = "auto"
    budget: int | None = None
    table: pa.Table = field(default_factory=lambda: TABLE)
    placement: dict[str, str] = field(default_factory=dict)
    others: dict[str, Callable[[OnOutcome], Executor]] = field(default_factory=dict)
    on_wake: Callable[[], object] = lambda: None
    known: KnownOutcome = lambda start: None
    closed_with: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.events: list[Event] = []
        self.changed = threading.Condition()
        self.run = Runner(
            self.plan,
            self.emit,
            placement=self.placement,
            keep_going=self.keep_going,
            grace=self.grace,
            on_wake=lambda late: self.on_wake(),
        )
        self.folder.mkdir(exist_ok=True)
        self.store = TableStore(
            self.folder / "run",
            mode=self.mode,
            retained=self.plan.retained,
            budget=self.budget,
            on_published=self.run.output_published,
            on_error=self.run.abort,
        )
        self.results: list[Any] = []

    def emit(self, event: Event) -> None:
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()

    def until(self, kind: type[Event], node: str, attempt: int = 1) -> None:
        """Wait until there is such an event."""

        def has_event() -> bool:
            return any(
                isinstance(e, kind)
                and getattr(e, "node", getattr(e, "output", "")) == node
                and getattr(e, "attempt", attempt) == attempt
                for e in self.events
            )

        with self.changed:
            assert self.changed.wait_for(has_event, 10), (kind, node, self.event_names())

    def work(self, start: NodeStarted, cancel_token: CancelToken, run_coroutine: Any) -> Outcome:
        for ref in start.inputs.values():
            assert self.store.open(ref).equals(self.table)
        failure = self.do(self, start, cancel_token)
        if failure is not None:
            return Outcome(start.node, start.attempt, failure)
        try:
            ref = self.store.publish(start.node, start.attempt, self.table)
        except HandoffError as broken:
            return Outcome(start.node, start.attempt, Failure(Cause.IO, "HandoffError", str(broken)))
        return Outcome(start.node, start.attempt, outputs={start.node: ref})

    def make_executor(self, on_outcome: Any) -> ThreadExecutor:
        executor = ThreadExecutor(self.work, on_outcome)
        close = executor.close

        def closing(grace: float = 0.0) -> None:
            self.closed_with.append(grace)
            close(0.0)

        executor.close = closing  # type: ignore[method-assign]
        return executor

    def go(self) -> RunFinished:
        end = self.run.go({"thread": self.make_executor, **self.others}, self.store, self.known)
        assert self.events[-1] is end
        self.store.close()
        return end

    def begin(self) -> threading.Thread:
        """Runner on a thread; its result goes to `results`."""

        def run() -> None:
            try:
                self.results.append(self.go())
            except BaseException as error:
                self.results.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def end(self, thread: threading.Thread) -> Any:
        thread.join(20)
        assert self.results, self.event_names()
        return self.results[0]

    def event_names(self) -> list[str]:
        """Return the events as `kind node`."""
        return [
            f"{event_name(type(e))} {getattr(e, 'node', getattr(e, 'output', ''))}".strip() for e in list(self.events)
        ]

    def of(self, kind: type[Event]) -> list[str]:
        return [getattr(e, "node", getattr(e, "output", "")) for e in self.events if isinstance(e, kind)]

    def files(self) -> list[str]:
        folder = self.folder / "run"
        return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


def chain(*nodes: Node, retained: tuple[str, ...] = (), slots: int = 4) -> Plan:
    return make_plan(nodes, retained, slots)


def reader(name: str, *reads: str, **more: Any) -> Node:
    return Node(name, reads, reads=reads, **more)


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """The event that a stuck node waits for; set at the end of the test."""
    event = threading.Event()
    yield event
    event.set()


def stuck(release: threading.Event, *nodes: str, after: Failure | None = None) -> Do:
    """The first attempt at these nodes hangs."""

    def do(trial: Trial, start: NodeStarted, cancel_token: CancelToken) -> Failure | None:
        if start.node in nodes and start.attempt == 1:
            assert release.wait(20)
            return after
        return None

    return do


# ------------------------------------------------------------------ success, failures, retries


def test_known_outcomes_are_applied_on_the_thread_that_starts_their_nodes(tmp_path: Path) -> None:
    """Only `c` is made by the executor; long chains of known outcomes need no stack."""
    names = ["a", "b", "c", *(f"k{i}" for i in range(3000))]
    made: list[str] = []
    asked: list[tuple[str, bool]] = []

    def do(trial: Trial, start: NodeStarted, cancel_token: CancelToken) -> None:
        made.append(start.node)

    def known(start: NodeStarted) -> Outcome | None:
        asked.append((start.node, threading.current_thread() is threading.main_thread()))
        return None if start.node == "c" else Outcome(start.node, start.attempt, reused=True)

    nodes = [Node("a"), *(Node(name, needs=(need,)) for need, name in itertools.pairwise(names))]
    trial = Trial(tmp_path, chain(*nodes), do, known=known)
    assert trial.go().status == "ok"
    assert made == ["c"]
    assert asked[:3] == [("a", True), ("b", True), ("c", True)]
    # The thread that ended `c` applies the others, unless the main thread holds the lock: on a busy machine it may.
    assert [name for name, _ in asked] == names
    assert trial.of(NodeFinished) == names


def test_a_run_emits_events_in_order(tmp_path: Path) -> None:
    trial = Trial(tmp_path, chain(Node("a"), reader("b", "a"), retained=("b",)), mode="mmap")
    assert trial.go().status == "ok"
    assert trial.event_names() == [
        "run_started",
        "node_started a",
        "node_finished a",
        "output_published a",
        "node_started b",
        "node_finished b",
        "output_published b",
        "output_released a",
        "run_finished",
    ]
    assert trial.files() == ["b.1.arrow"]
    assert trial.run.detached == 0
    assert trial.closed_with == [LONG]


def test_a_run_without_nodes_is_ok(tmp_path: Path) -> None:
    assert Trial(tmp_path, chain()).go().status == "ok"


def test_after_a_failure_no_node_starts(tmp_path: Path) -> None:
    def do(trial: Trial, start: NodeStarted, cancel_token: CancelToken) -> Failure | None:
        return error() if start.node == "a" else None

    plan = chain(Node("a", estimated_duration=2.0), Node("b"), reader("c", "a"), retained=("b",), slots=1)
    trial = Trial(tmp_path, plan, do)
    assert trial.go().status == "failed"
    assert trial.of(NodeFailed) == ["a"]
    assert sorted(trial.of(NodeSkipped) + trial.of(NodeCancelled)) == ["b", "c"]
    assert trial.of(NodeStarted) == ["a"]
    assert trial.files() == []


def test_with_keep_going_only_dependents_are_skipped(tmp_path: Path) -> None:
    def do(trial: Trial, start: NodeStarted, cancel_token: CancelToken) -> Failure | None:
        return error() if start.node == "a" else None

    plan = chain(Node("a"), Node("b"), reader("c", "a"), reader("d", "b"), retained=("d",))
    trial = Trial(tmp_path, plan, do, keep_going=True)
    assert trial.go().status == "failed"
    assert (trial.of(NodeFailed), trial.of(NodeSkipped), sorted(trial.of(NodeFinished))) == (["a"], ["c"], ["b", "d"])
    assert trial.files() == ["d.1.arrow"]


def test_a_node_is_tried_again_after_its_back_off(tmp_path: Path) -> None:
    def do(trial: Trial, start: NodeStarted, cancel_token: CancelToken) -> Failure | None:
        return error(str(start.attempt)) if start.attempt < 3 else None

    retry = Retry(max=2, delay=0.01, backoff=2.0, jitter=0.0)
    trial = Trial(tmp_path, chain(Node("a", retry=retry), retained=("a",)), do)
    assert trial.go().status == "ok"
    pauses = [e for e in trial.events if isinstance(e, NodeRetrying)]
    assert [(e.attempt, e.delay, e.failure.message) for e in pauses] == [(1, 0.01, "1"), (2, 0.02, "2")]
    starts = [e.at for e in trial.events if isinstance(e, NodeStarted)]
    assert all(later - pause.at >= pause.delay for pause, later in zip(pauses, starts[1:], strict=True))
    assert trial.files() == ["a.3.arrow"]


def test_an_error_in_an_attempt_itself_is_internal_and_not_tried_again(tmp_path: Path) -> None:
    def do(trial: Trial, start: NodeStarted, cancel_token: CancelToken) -> Failure | None:
        raise SystemExit("a bug")

    trial = Trial(tmp_path, chain(Node("a", retry=Retry(max=3))), do)
    end = trial.go()
    assert (end.status, end.cause) == ("failed", Cause.INTERNAL)
    assert trial.of(NodeRetrying) == []
    (failed,) = (e for e in trial.events if isinstance(e, NodeFailed))
    assert (failed.failure.cause, failed.failure.type, failed.failure.message) == (
        Cause.INTERNAL,
        "SystemExit",
        "a bug",
    )


# ------------------------------------------------------------------ threads that cannot be started


def refuse_threads(monkeypatch: pytest.MonkeyPatch, allowed: int) -> None:
    """Let `Thread.start` fail as at a limit of the system, but for the first workers."""
    start = threading.Thread.start
    workers = itertools.count(1)

    def start_or_refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("nfrun-worker") and next(workers) > allowed:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_or_refuse)


def test_a_run_goes_on_with_the_threads_that_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_threads(monkeypatch, 1)
    nodes = [Node(f"n{i}") for i in range(20)]
    trial = Trial(tmp_path, chain(*nodes, reader("last", *(node.name for node in nodes)), retained=("last",)))
    assert trial.go().status == "ok"
    assert len(trial.of(NodeFinished)) == 21


@pytest.mark.parametrize("keep_going", [False, True])
def test_a_run_without_any_thread_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep_going: bool) -> None:
    refuse_threads(monkeypatch, 0)
    nodes = [Node(f"n{i}") for i in range(2000)]  # many, so that no step of a node is nested in that of another
    trial = Trial(tmp_path, chain(*nodes, reader("last", "n0")), keep_going=keep_going)
    end = trial.go()
    assert (end.status, end.cause) == ("failed", Cause.IO)
    assert len(trial.of(NodeFailed)) == (2000 if keep_going else 4)
    failures = {event.failure.message for event in trial.events if isinstance(event, NodeFailed)}
    assert failures == {"no thread could be started: can't start new thread"}


# ------------------------------------------------------------------ timeouts


def test_a_stuck_node_is_detached_at_its_timeout(tmp_path: Path, release: threading.Event) -> None:
    trial = Trial(tmp_path, chain(Node("a", timeout=0.01), reader("b", "a")), stuck(release, "a"))
    assert trial.go().status == "failed"
    (end,) = (e for e in trial.events if isinstance(e, NodeFailed))
    assert (end.failure.cause, end.failure.message) == (Cause.TIMEOUT, "took longer than its timeout of 0.01 s")
    assert trial.run.detached == 1
    assert trial.files() == []


def test_a_late_outcome_is_ignored_and_leaves_no_file(tmp_path: Path, release: threading.Event) -> None:
    """The first attempt hangs. It publishes after the second attempt has finished, while another node runs."""
    late = threading.Event()

    def do(trial: Trial, start: NodeStarted, cancel_token: CancelToken) -> Failure | None:
        if start.node == "other":
            assert late.wait(10)
        elif start.attempt == 1:
            clock[0] += 1.0
            assert release.wait(10)
        return None

    plan = chain(Node("a", timeout=0.5, retry=AT_ONCE), Node("other"), retained=("a", "other"))
    trial = Trial(tmp_path, plan, do, mode="mmap")
    clock = [0.0]  # set by the test: the second attempt cannot time out
    trial.run.now = lambda: clock[0]  # type: ignore[method-assign]
    applied = threading.Event()
    real = trial.run._on_outcome

    def on_outcome(outcome: Outcome) -> NodeStarted | None:
        following = real(outcome)
        if (outcome.node, outcome.attempt) == ("a", 1):
            applied.set()
        return following

    trial.run._on_outcome = on_outcome  # type: ignore[method-assign]
    thread = trial.begin()
    trial.until(NodeFinished, "a", 2)
    assert trial.run.detached == 1
    release.set()
    assert applied.wait(10)
    late.set()
    assert trial.end(thread).status == "ok"
    published = [e.ref.attempt for e in trial.events if isinstance(e, OutputPublished) and e.output == "a"]
    assert published == [2]
    assert trial.files() == ["a.2.arrow", "other.1.arrow"]
    assert trial.run.detached == 0


@pytest.mark.parametrize("mode", MODES)
def test_an_outcome_after_the_end_of_the_run_leaves_no_file(
    tmp_path: Path, release: threading.Event, mode: str
) -> None:
    ended = threading.Event()
    trial = Trial(tmp_path, chain(Node("a", timeout=0.01), retained=("a",)), stuck(release, "a"), mode=mode)
    work = trial.work

    def last(start: NodeStarted, cancel_token: CancelToken, run_coroutine: Any) -> Outcome:
        try:
            return work(start, cancel_token, run_coroutine)
        finally:
            ended.set()

    trial.work = last  # type: ignore[method-assign]
    assert trial.go().status == "failed"
    release.set()
    assert ended.wait(10)
    assert trial.files() == []


def test_a_node_is_retried_after_a_timeout(tmp_path: Path, release: threading.Event) -> None:
    clock = [0.0]  # set by the test: the third attempt cannot time out

    def do(trial: Trial, start: NodeStarted, cancel_token: CancelToken) -> Failure | None:
        if start.attempt == 3:
            return None
        clock[0] += 1.0
        assert release.wait(20)
        return error()

    trial = Trial(tmp_path, chain(Node("a", timeout=0.5, retry=replace(AT_ONCE, max=3)), slots=1), do)
    trial.run.now = lambda: clock[0]  # type: ignore[method-assign]
    assert trial.go().status == "ok"
    assert trial.of(AttemptStopped) == ["a", "a"]
    assert trial.run.detached == 2


# ------------------------------------------------------------------ cancelling


def test_a_cancelled_run_waits_for_its_nodes_within_the_grace(tmp_path: Path) -> None:
    def do(trial: Trial, start: NodeStarted, cancel_token: CancelToken) -> Failure | None:
        stopped = threading.Event()
        with cancel_token.on_cancel(stopped.set):
            assert stopped.wait(10)
        return Failure(Cause.CANCELLED, "Cancelled", "stopped")

    trial = Trial(tmp_path, chain(Node("a"), reader("b", "a"), retained=("a",)), do)
    thread = trial.begin()
    trial.until(NodeStarted, "a")
    trial.run.cancel("Ctrl-C")
    assert trial.end(thread).status == "cancelled"
    assert sorted(trial.of(NodeCancelled)) == ["a", "b"]
    assert trial.run.detached == 0
    assert trial.files() == []


def test_a_node_that_ends_well_after_a_cancel_is_finished(tmp_path: Path, release: threading.Event) -> None:
    trial = Trial(tmp_path, chain(Node("a"), reader("b", "a"), retained=("a",)), stuck(release, "a"))
    thread = trial.begin()
    trial.until(NodeStarted, "a")
    trial.run.cancel("Ctrl-C")
    trial.until(AttemptStopped, "a")
    release.set()
    assert trial.end(thread).status == "cancelled"
    assert (trial.of(NodeFinished), trial.of(NodeCancelled)) == (["a"], ["b"])
    assert trial.files() == ["a.1.arrow"]


def test_after_the_grace_stuck_nodes_are_detached(tmp_path: Path, release: threading.Event) -> None:
    trial = Trial(tmp_path, chain(Node("a"), Node("b")), stuck(release, "a", "b"), grace=0.01)
    thread = trial.begin()
    trial.until(NodeStarted, "a")
    trial.until(NodeStarted, "b")
    trial.run.cancel("Ctrl-C")
    assert trial.end(thread).status == "cancelled"
    assert trial.of(NodeCancelled) == ["a", "b"]
    assert trial.run.detached == 2
    assert trial.closed_with == [0.0]


def test_a_second_cancel_ends_the_run_at_once(tmp_path: Path, release: threading.Event) -> None:
    trial = Trial(tmp_path, chain(Node("a")), stuck(release, "a"))
    thread = trial.begin()
    trial.until(NodeStarted, "a")
    trial.run.cancel("Ctrl-C")
    trial.run.cancel("Ctrl-C")
    assert trial.end(thread).status == "cancelled"
    assert trial.run.detached == 1


def test_a_cancel_before_the_first_node_does_not_hang(tmp_path: Path) -> None:
    trial = Trial(tmp_path, chain(Node("a"), reader("b", "a"), reader("c", "b")))
    trial.run.cancel("SIGTERM")
    assert trial.go().status in ("ok", "cancelled")


def block_writes(monkeypatch: pytest.MonkeyPatch, release: threading.Event) -> threading.Event:
    begun, real = threading.Event(), nfrun.tables.output_files.write_file

    def write(value: Any, path: Path, *rest: Any, **more: Any) -> Any:
        begun.set()
        assert release.wait(20)
        return real(value, path, *rest, **more)

    monkeypatch.setattr(nfrun.tables.output_files, "write_file", write)
    return begun


def test_a_second_cancel_does_not_wait_for_the_disk(
    tmp_path: Path, release: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = block_writes(monkeypatch, release)
    trial = Trial(tmp_path, chain(Node("a"), retained=("a",)))
    thread = trial.begin()
    trial.until(NodeFinished, "a")
    assert begun.wait(10)
    trial.run.cancel("Ctrl-C")
    trial.run.cancel("Ctrl-C")
    assert trial.end(thread).status == "cancelled"
    assert trial.run.detached == 1
    release.set()
    assert trial.store.flushed(10)
    assert trial.files() == []


def test_the_run_ends_after_its_retained_outputs_are_written(
    tmp_path: Path, release: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = block_writes(monkeypatch, release)
    trial = Trial(tmp_path, chain(Node("a"), retained=("a",)))
    thread = trial.begin()
    trial.until(NodeFinished, "a")
    assert begun.wait(10)
    assert not trial.of(RunFinished)
    release.set()
    assert trial.end(thread).status == "ok"
    assert trial.event_names()[-2:] == ["output_published a", "run_finished"]


# ------------------------------------------------------------------ errors outside of nodes


def test_an_outcome_of_an_unknown_node_raises(tmp_path: Path) -> None:
    trial = Trial(tmp_path, chain(Node("a")))
    trial.work = lambda start, cancel_token, run_coroutine: Outcome("nobody", 1)  # type: ignore[method-assign]
    with pytest.raises(ValueError, match=r"^attempt 1 of node 'nobody' is not under way$"):
        trial.go()


def test_a_second_outcome_of_an_attempt_raises(tmp_path: Path, release: threading.Event) -> None:
    trial = Trial(tmp_path, chain(Node("a"), Node("b")), stuck(release, "b"))
    thread = trial.begin()
    trial.until(NodeFinished, "a")
    assert trial.run._on_outcome(Outcome("a", 1)) is None
    assert isinstance(trial.end(thread), ValueError)


@pytest.mark.parametrize("nodes", [(Node("a"), Node("b", ("a",))), (Node("a"), Node("b"))])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_after_an_exception_no_node_starts(
    tmp_path: Path, release: threading.Event, nodes: tuple[Node, ...], error: type[BaseException]
) -> None:
    threads: list[threading.Thread] = []
    cancelled = threading.Event()

    def do(trial: Trial, start: NodeStarted, cancel_token: CancelToken) -> Failure | None:
        threads.append(threading.current_thread())
        with cancel_token.on_cancel(cancelled.set):
            return stuck(release, "a")(trial, start, cancel_token)

    def interrupt() -> None:
        if threads:
            raise error

    trial = Trial(tmp_path, chain(*nodes, slots=1), do, keep_going=True, on_wake=interrupt)
    with pytest.raises(error):
        trial.go()
    assert cancelled.wait(10)
    release.set()
    threads[0].join(10)
    assert not threads[0].is_alive()
    assert (len(threads), trial.of(NodeStarted), trial.run.detached) == (1, ["a"], 0)


def test_an_error_of_the_store_fails_the_run(tmp_path: Path) -> None:
    def do(trial: Trial, start: NodeStarted, cancel_token: CancelToken) -> Failure | None:
        stopped = threading.Event()
        with cancel_token.on_cancel(stopped.set):
            trial.run.abort(HandoffError("the disk is gone"))
            assert stopped.wait(10)
        trial.run.abort(HandoffError("and gone"))  # this is no second cancel: the node keeps its grace
        read = threading.Event()
        trial.run._requests.put(read.set)
        assert read.wait(10)
        return None

    trial = Trial(tmp_path, chain(Node("a"), reader("b", "a")), do)
    end = trial.go()
    assert (end.status, end.error, end.cause) == ("failed", "the disk is gone", Cause.IO)
    assert (trial.of(NodeFinished), trial.of(NodeCancelled)) == (["a"], ["b"])


@pytest.mark.parametrize("mode", ["auto", "mmap"])
def test_a_full_disk_fails_the_run_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr("nfrun.tables.ipc._created", lambda path: FileIO("/dev/full", "w"))
    trial = Trial(tmp_path, chain(Node("a"), retained=("a",)), mode=mode)
    end = trial.go()
    assert end.status == "failed"
    if mode == "auto":  # the background writer finds it out
        assert end.error == "cannot write the output 'a' (24 bytes): No space left on device"
        assert trial.of(NodeFinished) == ["a"]
    else:
        (failed,) = (e for e in trial.events if isinstance(e, NodeFailed))
        assert (failed.failure.cause, failed.failure.message) == (
            "io",
            "cannot write the output 'a' (24 bytes): No space left on device",
        )
    assert trial.of(OutputPublished) == []
    assert trial.files() == []


@pytest.mark.parametrize("mode", MODES)
def test_an_output_is_published_after_its_node_has_finished(tmp_path: Path, mode: str) -> None:
    """Even if the writer is faster than the node. Attempts that do not count publish nothing."""
    trial = Trial(tmp_path, chain(Node("a", retry=AT_ONCE), retained=("a",)), mode=mode)

    def work(start: NodeStarted, cancel_token: CancelToken, run_coroutine: Any) -> Outcome:
        ref = trial.store.publish("a", start.attempt, TABLE)
        assert trial.store.flushed(10)
        if start.attempt == 2:
            return Outcome("a", 2, outputs={"a": ref})
        trial.store.discard(ref)
        return Outcome("a", 1, error())

    trial.work = work  # type: ignore[method-assign]
    assert trial.go().status == "ok"
    assert trial.event_names()[-3:] == ["node_finished a", "output_published a", "run_finished"]
    assert [e.ref.attempt for e in trial.events if isinstance(e, OutputPublished)] == [2]


@pytest.mark.parametrize("mode", MODES)
def test_outputs_of_an_attempt_whose_checks_failed_are_discarded_unless_somebody_has_kept_them(
    tmp_path: Path, mode: str
) -> None:
    trial = Trial(tmp_path, chain(Node("a"), retained=("a",)), mode=mode)

    def work(start: NodeStarted, cancel_token: CancelToken, run_coroutine: Any) -> Outcome:
        ref = trial.store.publish("a", start.attempt, TABLE)
        return Outcome("a", 1, Failure(Cause.CHECK, "", "failed its check"), {"a": ref})

    trial.work = work  # type: ignore[method-assign]
    assert trial.go().status == "failed"
    assert (trial.of(OutputPublished), trial.files()) == ([], [])


class Idle:
    """An executor that makes no attempts."""

    name = "idle"
    begins_at_once = True

    def capacity(self, now: float) -> float | None:
        return None

    def start(self, attempt: NodeStarted) -> None:
        pass

    def stop(self, node: str, attempt: int) -> None:
        pass

    def close(self, grace: float = 0.0) -> None:
        pass


def test_an_outcome_that_arrives_while_the_lock_is_released_is_applied(tmp_path: Path) -> None:
    trial = Trial(tmp_path, chain(Node("a"), Node("b")))
    run = trial.run

    class Lock:
        """A lock during whose release another outcome arrives."""

        def __init__(self) -> None:
            self.acquire = lock.acquire

        def release(self) -> None:
            run._lock = lock
            assert run._on_outcome(Outcome("b", 1)) is None  # left to the thread that has the lock
            lock.release()

    def end_both() -> None:
        run._lock = Lock()  # type: ignore[assignment]
        run._on_outcome(Outcome("a", 1))
        ended.extend(trial.of(NodeFinished))

    lock = run._lock
    ended: list[str] = []
    trial.make_executor = lambda on_outcome: Idle()  # type: ignore[assignment, method-assign, return-value]
    run._requests.put(end_both)  # runs on the thread of the run, which applies the left outcome only after it
    assert trial.end(trial.begin()).status == "ok"
    assert ended == ["a", "b"]


# ------------------------------------------------------------------ several executors


def on_single_thread(trial: Trial, *nodes: str) -> None:
    """Place the nodes on an executor that makes one attempt after the other."""
    trial.placement.update(dict.fromkeys(nodes, "single"))
    trial.others["single"] = lambda on_outcome: SingleThread(trial.work, on_outcome, trial.run.begun)


def test_each_node_runs_on_its_executor(tmp_path: Path) -> None:
    ran: dict[str, str] = {}

    def do(trial: Trial, start: NodeStarted, cancel_token: CancelToken) -> Failure | None:
        ran[start.node] = threading.current_thread().name.partition("-")[0]
        return None

    nodes = [Node("a"), reader("b", "a"), reader("c", "b"), reader("d", "c"), reader("e", "d"), Node("f"), Node("g")]
    trial = Trial(tmp_path, chain(*nodes), do)
    on_single_thread(trial, "b", "d", "e", "g")
    assert trial.go().status == "ok"
    assert ran == {name: "single" if name in "bdeg" else "nfrun" for name in "abcdefg"}


def test_an_attempt_that_waits_longer_than_its_timeout_before_it_begins_does_not_time_out(tmp_path: Path) -> None:
    waited = threading.Event()

    def do(trial: Trial, start: NodeStarted, cancel_token: CancelToken) -> Failure | None:
        assert start.node == "b" or waited.wait(10)
        return None

    def on_wake() -> None:
        if trial.run.now() > 0.25:
            waited.set()

    trial = Trial(tmp_path, chain(Node("a", estimated_duration=9.0), Node("b", timeout=0.05)), do, on_wake=on_wake)
    on_single_thread(trial, "a", "b")
    assert trial.go().status == "ok"
    assert trial.of(NodeStarted) == ["a", "b"], "both were started before one had ended"
    assert trial.of(AttemptStopped) == []


def test_an_attempt_times_out_after_it_has_begun(tmp_path: Path) -> None:
    def do(trial: Trial, start: NodeStarted, cancel_token: CancelToken) -> Failure | None:
        stopped = threading.Event()
        with cancel_token.on_cancel(stopped.set):
            assert stopped.wait(10)
        return None

    trial = Trial(tmp_path, chain(Node("a", timeout=0.01)), do)
    on_single_thread(trial, "a")
    assert trial.go().status == "failed"
    assert trial.of(AttemptStopped) == trial.of(NodeFailed) == ["a"]


class Elastic(ThreadExecutor):
    """Threads, but only as many as there are slots."""

    slots = 0.0

    def capacity(self, now: float) -> float | None:
        return self.slots


def test_nodes_wait_for_the_slots_of_their_executor(tmp_path: Path) -> None:
    pairs, free = threading.Barrier(2), threading.Semaphore(2)
    seen: list[list[str]] = []

    def do(trial: Trial, start: NodeStarted, cancel_token: CancelToken) -> Failure | None:
        if start.node != "here":
            assert free.acquire(blocking=False), "more run at once than there are slots"
            pairs.wait(10)
            free.release()
        return None

    def on_wake() -> None:
        if not seen:
            seen.append(trial.of(NodeStarted))
            executors[0].slots = 2.0

    def make(on_outcome: OnOutcome) -> Elastic:
        executors.append(Elastic(trial.work, on_outcome))
        return executors[0]

    executors: list[Elastic] = []
    names = ["a", "b", "c", "d", "e", "f"]
    trial = Trial(
        tmp_path,
        chain(*map(Node, names), Node("here"), slots=8),
        do,
        placement=dict.fromkeys(names, "elastic"),
        others={"elastic": make},
        on_wake=on_wake,
    )
    assert trial.go().status == "ok"
    assert seen == [["here"]], "without slots only the node on another executor starts"


# ------------------------------------------------------------------ random plans


def random_failure(seed: int, start: NodeStarted) -> Failure | None:
    chance = random.Random(f"{seed}:{start.node}:{start.attempt}").random()
    return error() if chance < 0.15 else None


ENDS = {NodeFinished: "ok", NodeFailed: "failed", NodeSkipped: "skipped", NodeCancelled: "cancelled"}


def ends(events: list[Event]) -> dict[str, str]:
    found: dict[str, str] = {}
    for event in events:
        if type(event) in ENDS:
            name = event.node  # type: ignore[union-attr]
            assert name not in found, f"{name} ends twice"
            found[name] = ENDS[type(event)]
    return found


def small_plan(seed: int) -> Plan:
    plan = random_plan(seed, random.Random(seed).randint(1, 14), slots=1 + seed % 4, reach=6)
    nodes = [replace(n, retry=replace(n.retry, delay=0.0)) for n in plan.nodes.values()]
    return make_plan(nodes, plan.retained, plan.slots)


@pytest.mark.parametrize("part", seeds(1, 5))
@pytest.mark.parametrize("mode", MODES)
def test_random_runs_end_as_in_the_simulation(tmp_path: Path, mode: str, part: int) -> None:
    for seed in range(40 * part, 40 * part + 40):
        plan = small_plan(seed)

        def do(trial: Trial, start: NodeStarted, cancel_token: CancelToken, seed: int = seed) -> Failure | None:
            return random_failure(seed, start)

        def simulate_attempt(start: NodeStarted, seed: int = seed) -> Outcome:
            failure = random_failure(seed, start)
            outputs = {} if failure else {start.node: OutputRef(start.node, 0, 0, "")}
            return Outcome(start.node, start.attempt, failure, outputs=outputs, duration=1.0)

        keep_going = seed % 4 != 0
        trial = Trial(tmp_path / f"{seed}", plan, do, keep_going=keep_going, mode=mode, budget=30)
        end = trial.end(trial.begin())
        assert isinstance(end, RunFinished), (seed, end)
        simulated = simulate(plan, simulate_attempt, keep_going=keep_going)
        found = ends(trial.events)
        assert set(found) == set(plan.nodes)
        assert trial.store._write_queue.bytes == 0
        if keep_going:  # otherwise the end depends on which nodes run at the first failure
            assert end.status == simulated[-1].status  # type: ignore[union-attr]
            assert found == ends(simulated), seed
            released = sorted(trial.of(OutputReleased))
            assert released == sorted(e.output for e in simulated if isinstance(e, OutputReleased)), seed
        last = {e.node: e.attempt for e in trial.events if isinstance(e, NodeFinished)}
        retained_files = sorted(f"{name}.{last[name]}.arrow" for name in plan.retained if name in last)
        assert trial.files() == ([] if mode == "memory" else retained_files), seed
        published = {e.output for e in trial.events if isinstance(e, OutputPublished)}
        assert published >= {name for name in plan.retained if name in last}, seed


def test_cancelled_random_runs_end(tmp_path: Path) -> None:
    for seed in range(20):
        plan = small_plan(seed)
        when = random.Random(seed).randint(1, 5)
        calls = iter(range(1, 1000))

        def do(
            trial: Trial, start: NodeStarted, cancel_token: CancelToken, calls: Any = calls, when: int = when
        ) -> Failure | None:
            if next(calls) == when:
                trial.run.cancel("Ctrl-C")
            return None

        trial = Trial(tmp_path / f"{seed}", plan, do, mode=MODES[seed % 3], budget=30)
        end = trial.end(trial.begin())
        assert isinstance(end, RunFinished), (seed, end)
        found = ends(trial.events)
        assert set(found) == set(plan.nodes)
        assert "failed" not in found.values()
        left = {name.split(".")[0] for name in trial.files()}
        assert left <= set(plan.retained), seed
