"""Tests of the executor contract: one outcome per started attempt, and no call blocks that must not."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest
from single_thread import SingleThread
from toy_engine import toy_cluster

from nfrun.cluster.cluster import ClusterExecutor
from nfrun.core.errors import Cause
from nfrun.core.events import Failure, NodeStarted, Outcome
from nfrun.engine.attempt import RunAttempt
from nfrun.engine.executors.base import Executor, OnOutcome
from nfrun.engine.executors.threads import ThreadExecutor
from nfrun.nodes.base import CancelToken


def cluster(run_attempt: RunAttempt, on_outcome: OnOutcome) -> ClusterExecutor:
    """Make the executor of a cluster, over an engine whose workers are in this process."""
    return toy_cluster(run_attempt, on_outcome)[0]


# A new executor joins here, with a function that makes it.
EXECUTORS: list[Callable[[RunAttempt, OnOutcome], Executor]] = [ThreadExecutor, SingleThread, cluster]


class Trial:
    """An executor whose attempts call `do`. Collects the outcomes; `answers` are the attempts to make next."""

    def __init__(self, make: Callable[[RunAttempt, OnOutcome], Executor]) -> None:
        self.do: Callable[[NodeStarted, CancelToken, Any], Any] = lambda start, cancel_token, run_coroutine: None
        self.answers: SimpleQueue[NodeStarted | None] = SimpleQueue()
        self.outcomes: list[Outcome] = []
        self.threads: list[threading.Thread] = []
        self.told_on: list[threading.Thread] = []
        self._changed = threading.Condition()
        self.executor = make(self._run_attempt, self._on_outcome)

    def _run_attempt(self, start: NodeStarted, cancel_token: CancelToken, run_coroutine: Any) -> Outcome:
        self.threads.append(threading.current_thread())
        self.do(start, cancel_token, run_coroutine)
        return Outcome(start.node, start.attempt)

    def _on_outcome(self, outcome: Outcome) -> NodeStarted | None:
        with self._changed:
            self.outcomes.append(outcome)
            self.told_on.append(threading.current_thread())
            self._changed.notify_all()
            return None if self.answers.empty() else self.answers.get()

    def wait_for_outcomes(self, count: int) -> list[str]:
        """Wait for this many outcomes and return their nodes."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.outcomes) >= count, 10)
            return [outcome.node for outcome in self.outcomes]


@pytest.fixture(params=EXECUTORS)
def trial(request: pytest.FixtureRequest) -> Iterator[Trial]:
    trial = Trial(request.param)
    yield trial
    trial.executor.close()


def node(name: str, attempt: int = 1) -> NodeStarted:
    return NodeStarted(0.0, name, attempt)


def test_each_attempt_has_one_outcome(trial: Trial) -> None:
    names = [f"n{i}" for i in range(100)]
    for name in names:
        trial.executor.start(node(name))
    assert sorted(trial.wait_for_outcomes(100)) == sorted(names)
    trial.executor.start(node("last"))
    assert trial.wait_for_outcomes(101)[-1] == "last"


def test_the_attempt_that_on_outcome_returns_is_made_next_by_the_same_worker(trial: Trial) -> None:
    for name in "bcd":
        trial.answers.put(node(name))
    trial.executor.start(node("a"))
    assert trial.wait_for_outcomes(4) == ["a", "b", "c", "d"]
    assert len(set(trial.told_on)) == 1


def test_an_executor_says_how_many_slots_it_has_and_when_attempts_begin(trial: Trial) -> None:
    assert trial.executor.name
    assert isinstance(trial.executor.begins_at_once, bool)
    slots = trial.executor.capacity(0.0)
    assert slots is None or slots >= 0
    assert (trial.executor.capacity(1.0) is None) == (slots is None)


def test_start_does_not_block(trial: Trial) -> None:
    release = threading.Event()
    trial.do = lambda start, cancel_token, run_coroutine: release.wait(10)
    for i in range(20):
        trial.executor.start(node(f"n{i}"))
    assert trial.outcomes == []
    release.set()
    trial.wait_for_outcomes(20)


def test_an_attempt_that_raises_is_an_internal_failure(trial: Trial) -> None:
    def run_attempt(start: NodeStarted, cancel_token: CancelToken, run_coroutine: Any) -> None:
        if start.node == "bad":
            raise SystemExit("a bug")

    trial.do = run_attempt
    trial.executor.start(node("bad"))
    trial.wait_for_outcomes(1)
    bug = "this is a bug in nfrun, please report it"
    assert trial.outcomes[0].failure == Failure(Cause.INTERNAL, "SystemExit", "a bug", details=bug)
    trial.executor.start(node("good"))
    assert trial.wait_for_outcomes(2) == ["bad", "good"]
    assert trial.outcomes[1].failure is None


def test_stop_reaches_only_its_attempt(trial: Trial) -> None:
    begun, stopped = threading.Event(), threading.Event()
    seen = {}

    def run_attempt(start: NodeStarted, cancel_token: CancelToken, run_coroutine: Any) -> None:
        if start.attempt == 1:
            with cancel_token.on_cancel(stopped.set):
                begun.set()
                assert stopped.wait(10)
        seen[start.attempt] = cancel_token.cancelled

    trial.do = run_attempt
    trial.executor.start(node("n"))
    assert begun.wait(10)
    trial.executor.stop("other", 1)
    trial.executor.stop("n", 2)  # not started yet
    assert not stopped.is_set()
    trial.executor.stop("n", 1)
    trial.wait_for_outcomes(1)
    trial.executor.stop("n", 1)  # already over
    trial.executor.start(node("n", 3))
    trial.wait_for_outcomes(2)
    assert seen == {1: True, 3: False}


def test_stop_does_not_wait_for_cancel_callbacks(trial: Trial) -> None:
    begun, release = threading.Event(), threading.Event()

    def run_attempt(start: NodeStarted, cancel_token: CancelToken, run_coroutine: Any) -> None:
        with cancel_token.on_cancel(lambda: release.wait(10)):
            begun.set()
            assert release.wait(10)

    trial.do = run_attempt
    trial.executor.start(node("n"))
    assert begun.wait(10)
    trial.executor.stop("n", 1)
    release.set()
    trial.wait_for_outcomes(1)


@pytest.mark.parametrize("trial", EXECUTORS[:2], indirect=True)  # those whose attempts cannot be killed
def test_close_does_not_wait_for_a_stuck_attempt(trial: Trial) -> None:
    begun, release = threading.Event(), threading.Event()
    trial.do = lambda start, cancel_token, run_coroutine: (begun.set(), release.wait(10))
    trial.executor.start(node("n"))
    assert begun.wait(10)
    trial.executor.close(100.0)
    assert trial.outcomes == []
    release.set()
    assert trial.wait_for_outcomes(1) == ["n"]


@pytest.mark.parametrize("grace", [0.0, 0.01])
def test_close_kills_attempts_that_can_be_killed(trial: Trial, grace: float) -> None:
    begun, killed = threading.Event(), threading.Event()

    def run_attempt(start: NodeStarted, cancel_token: CancelToken, run_coroutine: Any) -> None:
        with cancel_token.on_cancel(lambda: None, killed.set):
            begun.set()
            assert killed.wait(10)

    trial.do = run_attempt
    trial.executor.start(node("n"))
    assert begun.wait(10)
    trial.executor.close(grace)
    assert killed.wait(10)
    trial.wait_for_outcomes(1)


def test_close_does_not_kill_an_attempt_that_ends_within_the_grace(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, looked = threading.Event(), threading.Event()
    killed: list[str] = []
    killable: Any = CancelToken.killable

    def look(cancel_token: CancelToken) -> bool:
        looked.set()
        return bool(killable.fget(cancel_token))

    def run_attempt(start: NodeStarted, cancel_token: CancelToken, run_coroutine: Any) -> None:
        with cancel_token.on_cancel(lambda: None, lambda: killed.append("killed")):
            begun.set()
            assert looked.wait(10)  # the attempt ends while `close` waits, not before

    monkeypatch.setattr(CancelToken, "killable", property(look))
    trial.do = run_attempt
    trial.executor.start(node("n"))
    assert begun.wait(10)
    close_thread = threading.Thread(target=trial.executor.close, args=(1000.0,), daemon=True)
    close_thread.start()
    close_thread.join(10)
    assert not close_thread.is_alive()
    trial.wait_for_outcomes(1)
    assert killed == []


def test_run_coroutine_returns_or_raises_the_result(trial: Trial) -> None:
    results: list[Any] = []

    async def well() -> int:
        await asyncio.sleep(0)
        return 1

    async def badly() -> int:
        raise ValueError("no")

    def run_attempt(start: NodeStarted, cancel_token: CancelToken, run_coroutine: Any) -> None:
        results.append(run_coroutine(well()))
        with pytest.raises(ValueError, match="no"):
            run_coroutine(badly())

    trial.do = run_attempt
    trial.executor.start(node("n"))
    trial.wait_for_outcomes(1)
    assert results == [1]
    assert trial.outcomes[0].failure is None


# ------------------------------------------------------------------ the thread executor


class Starts:
    """Replaces `Thread.start`: raises as Python does at a limit, but for the first `allowed` threads of nfrun."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, allowed: int) -> None:
        self.allowed = allowed
        start = threading.Thread.start

        def start_or_refuse(thread: threading.Thread) -> None:
            if thread.name.startswith("nfrun"):
                self.allowed -= 1
                if self.allowed < 0:
                    raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", start_or_refuse)


NO_THREAD = Failure(Cause.IO, "", "no thread could be started: can't start new thread", errno=errno.EAGAIN)


def test_attempts_wait_for_the_only_thread_if_no_other_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    trial, release = Trial(ThreadExecutor), threading.Event()
    trial.do = lambda start, cancel_token, run_coroutine: release.wait(10)
    Starts(monkeypatch, 1)
    for name in "abc":
        trial.executor.start(node(name))
    assert trial.outcomes == []
    trial.answers.put(node("d"))  # comes after those that have waited longer
    release.set()
    assert trial.wait_for_outcomes(4) == ["a", "b", "c", "d"]
    assert [outcome.failure for outcome in trial.outcomes] == [None] * 4
    assert len(set(trial.threads)) == 1
    trial.executor.close()


def test_a_thread_that_can_be_started_again_takes_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    trial, release, together = Trial(ThreadExecutor), threading.Event(), threading.Barrier(3)
    do = {"a": lambda: release.wait(10)}
    trial.do = lambda start, cancel_token, run_coroutine: do.get(start.node, lambda: together.wait(10))()
    starts = Starts(monkeypatch, 1)
    trial.executor.start(node("a"))
    trial.executor.start(node("b"))
    starts.allowed = 2
    trial.executor.start(node("c"))
    together.wait(10)
    assert sorted(trial.wait_for_outcomes(2)) == ["b", "c"]
    release.set()
    trial.wait_for_outcomes(3)
    trial.executor.close()


def test_an_attempt_fails_if_there_is_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    trial, starts = Trial(ThreadExecutor), Starts(monkeypatch, 0)
    for name in ("b", "c"):
        trial.answers.put(node(name))
    trial.executor.start(node("a"))
    assert [(outcome.node, outcome.failure) for outcome in trial.outcomes] == [(n, NO_THREAD) for n in "abc"]
    starts.allowed = 1
    trial.executor.start(node("d"))
    trial.wait_for_outcomes(4)
    assert trial.outcomes[3].failure is None
    trial.executor.close()


def test_an_attempt_does_not_wait_for_a_thread_that_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    trial, release = Trial(ThreadExecutor), threading.Event()
    trial.do = lambda start, cancel_token, run_coroutine: release.wait(10)
    Starts(monkeypatch, 1)
    trial.executor.start(node("stuck"))
    trial.executor.start(node("waits"))
    assert trial.outcomes == []
    trial.executor.stop("stuck", 1)
    assert [(outcome.node, outcome.failure) for outcome in trial.outcomes] == [("waits", NO_THREAD)]
    trial.executor.start(node("late"))
    assert trial.wait_for_outcomes(2) == ["waits", "late"]
    release.set()
    assert trial.wait_for_outcomes(3) == ["waits", "late", "stuck"]
    trial.executor.start(node("again"))  # the thread is free
    assert trial.wait_for_outcomes(4)[3] == "again"
    assert trial.outcomes[3].failure is None
    trial.executor.close()


def test_an_attempt_is_stopped_even_if_no_thread_can_be_started_for_that(monkeypatch: pytest.MonkeyPatch) -> None:
    trial, begun, stopped = Trial(ThreadExecutor), threading.Event(), threading.Event()

    def run_attempt(start: NodeStarted, cancel_token: CancelToken, run_coroutine: Any) -> None:
        with cancel_token.on_cancel(stopped.set):
            begun.set()
            assert stopped.wait(10)

    trial.do = run_attempt
    Starts(monkeypatch, 1)
    trial.executor.start(node("a"))
    assert begun.wait(10)
    trial.executor.stop("a", 1)
    trial.wait_for_outcomes(1)
    assert trial.outcomes[0].failure is None
    trial.executor.close()


def test_a_coroutine_fails_if_the_event_loop_gets_no_thread_and_a_later_one_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trial, results = Trial(ThreadExecutor), []

    async def add() -> int:
        return 1 + 1

    trial.do = lambda start, cancel_token, run_coroutine: results.append(run_coroutine(add()))
    starts = Starts(monkeypatch, 1)
    trial.executor.start(node("a"))
    trial.wait_for_outcomes(1)
    assert trial.outcomes[0].failure == NO_THREAD
    starts.allowed = 2  # the thread of the first attempt may not be idle yet
    trial.executor.start(node("b"))
    trial.wait_for_outcomes(2)
    assert results == [2]
    trial.executor.close()


class CountingQueue:
    """A queue that counts the calls of `get`."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[NodeStarted | None] = SimpleQueue()
        self._change = threading.Condition()
        self._calls = 0
        self.put = self._queue.put

    def get(self) -> NodeStarted | None:
        with self._change:
            self._calls += 1
            self._change.notify_all()
        return self._queue.get()

    def called(self, times: int) -> bool:
        with self._change:
            return self._change.wait_for(lambda: self._calls >= times, 10)


def test_threads_work_in_parallel_and_are_reused(monkeypatch: pytest.MonkeyPatch) -> None:
    trial, queue = Trial(ThreadExecutor), CountingQueue()
    monkeypatch.setattr(trial.executor, "_queue", queue)
    together = threading.Barrier(8)
    trial.do = lambda start, cancel_token, run_coroutine: together.wait(10)
    for i in range(8):
        trial.executor.start(node(f"a{i}"))
    trial.wait_for_outcomes(8)
    assert queue.called(16)  # all threads wait for more work
    for i in range(8):
        trial.executor.start(node(f"b{i}"))
    trial.wait_for_outcomes(16)
    assert len(set(trial.threads)) == 8
    assert queue.called(24)
    one_more = threading.Barrier(9)
    trial.do = lambda start, cancel_token, run_coroutine: one_more.wait(10)
    for i in range(9):  # the executor must not count on one idle thread twice
        trial.executor.start(node(f"c{i}"))
    trial.wait_for_outcomes(25)
    assert len(set(trial.threads)) == 9
    assert [o.failure for o in trial.outcomes] == [None] * 25
    trial.executor.close()


def test_threads_end_after_close() -> None:
    trial = Trial(ThreadExecutor)
    for i in range(5):
        trial.executor.start(node(f"n{i}"))
    trial.wait_for_outcomes(5)
    trial.executor.close()
    for thread in set(trial.threads):
        thread.join(10)
        assert not thread.is_alive()


def test_a_closed_executor_makes_no_attempt_that_follows() -> None:
    trial = Trial(ThreadExecutor)
    begun, release = threading.Event(), threading.Event()

    def run_attempt(start: NodeStarted, cancel_token: CancelToken, run_coroutine: Any) -> None:
        begun.set()
        release.wait(10)

    trial.do = run_attempt
    trial.answers.put(node("b"))
    trial.executor.start(node("a"))
    assert begun.wait(10)
    trial.executor.close()
    release.set()
    trial.wait_for_outcomes(2)
    assert len(trial.threads) == 1
    assert [o.failure and o.failure.cause for o in trial.outcomes] == [None, Cause.CANCELLED]
