"""What every executor keeps to: each attempt that was started is settled once, and nobody waits who must not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from nfrun.core.events import NodeStarted, Outcome
from nfrun.engine.executors.base import Executor, OnOutcome, RunAttempt
from nfrun.engine.executors.threads import ThreadExecutor
from nfrun.nodes.base import CancelToken


class Single:
    """The simplest one there is: a single thread that makes one attempt after the other."""

    def __init__(self, work: RunAttempt, settle: OnOutcome) -> None:
        self._work, self._settle = work, settle
        self._queue: SimpleQueue[NodeStarted | None] = SimpleQueue()
        self._lock = threading.Condition()
        self._stops: dict[tuple[str, int], CancelToken] = {}
        threading.Thread(target=self._serve, daemon=True).start()

    def start(self, attempt: NodeStarted) -> None:
        self._queue.put(attempt)

    def stop(self, node: str, attempt: int) -> None:
        threading.Thread(target=self._stop_of((node, attempt)).cancel, daemon=True).start()

    def close(self, patience: float = 0.0) -> None:
        self._queue.put(None)
        with self._lock:
            self._lock.wait_for(lambda: not any(stop.killable for stop in self._stops.values()), patience)
            left = list(self._stops.values())
        for stop in left:
            stop.kill()

    def _stop_of(self, key: tuple[str, int]) -> CancelToken:
        with self._lock:
            return self._stops.setdefault(key, CancelToken())

    def _serve(self) -> None:
        while attempt := self._queue.get():
            following: NodeStarted | None = attempt
            while following:
                key = (following.node, following.attempt)
                try:
                    outcome = self._work(following, self._stop_of(key), asyncio.run)
                except BaseException as error:
                    outcome = Outcome(*key, lost=f"its worker broke down: {type(error).__name__}: {error}")
                with self._lock:
                    self._stops.pop(key, None)
                    self._lock.notify_all()
                following = self._settle(outcome)


EXECUTORS: list[Callable[[RunAttempt, OnOutcome], Executor]] = [ThreadExecutor, Single]


class Trial:
    """An executor whose work is `do(start, stop, wait)` and whose outcomes are kept; `answers` are given to it next."""

    def __init__(self, make: Callable[[RunAttempt, OnOutcome], Executor]) -> None:
        self.do: Callable[[NodeStarted, CancelToken, Any], Any] = lambda start, stop, wait: None
        self.answers: SimpleQueue[NodeStarted | None] = SimpleQueue()
        self.outcomes: list[Outcome] = []
        self.threads: list[threading.Thread] = []
        self._settled = threading.Condition()
        self.executor = make(self._work, self._settle)

    def _work(self, start: NodeStarted, stop: CancelToken, wait: Any) -> Outcome:
        self.threads.append(threading.current_thread())
        self.do(start, stop, wait)
        return Outcome(start.node, start.attempt)

    def _settle(self, outcome: Outcome) -> NodeStarted | None:
        with self._settled:
            self.outcomes.append(outcome)
            self._settled.notify_all()
            return None if self.answers.empty() else self.answers.get()

    def settled(self, count: int) -> list[str]:
        """The nodes of so many outcomes, once they are there."""
        with self._settled:
            assert self._settled.wait_for(lambda: len(self.outcomes) >= count, 10)
            return [outcome.node for outcome in self.outcomes]


@pytest.fixture(params=EXECUTORS)
def trial(request: pytest.FixtureRequest) -> Iterator[Trial]:
    trial = Trial(request.param)
    yield trial
    trial.executor.close()


def node(name: str, attempt: int = 1) -> NodeStarted:
    return NodeStarted(0.0, name, attempt)


def test_each_attempt_is_settled_once(trial: Trial) -> None:
    names = [f"n{i}" for i in range(100)]
    for name in names:
        trial.executor.start(node(name))
    assert sorted(trial.settled(100)) == sorted(names)
    trial.executor.start(node("last"))
    assert trial.settled(101)[-1] == "last"


def test_what_settle_answers_is_made_next_by_the_same_worker(trial: Trial) -> None:
    for name in "bcd":
        trial.answers.put(node(name))
    trial.executor.start(node("a"))
    assert trial.settled(4) == ["a", "b", "c", "d"]
    assert len(set(trial.threads)) == 1


def test_start_never_blocks_not_even_out_of_settle(trial: Trial) -> None:
    held = threading.Event()
    trial.do = lambda start, stop, wait: held.wait(10)
    for i in range(20):
        trial.executor.start(node(f"n{i}"))
    assert trial.outcomes == []
    held.set()
    trial.settled(20)


def test_a_worker_that_breaks_down_is_told_as_lost(trial: Trial) -> None:
    def work(start: NodeStarted, stop: CancelToken, wait: Any) -> None:
        if start.node == "bad":
            raise SystemExit("a bug")

    trial.do = work
    trial.executor.start(node("bad"))
    trial.settled(1)
    assert trial.outcomes[0].lost == "its worker broke down: SystemExit: a bug"
    trial.executor.start(node("good"))
    assert trial.settled(2) == ["bad", "good"]
    assert trial.outcomes[1].lost is None


def test_a_stop_reaches_the_attempt_it_is_for(trial: Trial) -> None:
    begun, stopped = threading.Event(), threading.Event()
    seen = {}

    def work(start: NodeStarted, stop: CancelToken, wait: Any) -> None:
        if start.attempt == 1:
            with stop.on_cancel(stopped.set):
                begun.set()
                assert stopped.wait(10)
        seen[start.attempt] = stop.cancelled

    trial.do = work
    trial.executor.start(node("n"))
    assert begun.wait(10)
    trial.executor.stop("other", 1)
    trial.executor.stop("n", 2)  # not under way yet
    assert not stopped.is_set()
    trial.executor.stop("n", 1)
    trial.settled(1)
    trial.executor.stop("n", 1)  # over
    trial.executor.start(node("n", 3))
    trial.settled(2)
    assert seen == {1: True, 3: False}


def test_a_stop_does_not_wait_for_what_it_calls(trial: Trial) -> None:
    begun, held = threading.Event(), threading.Event()

    def work(start: NodeStarted, stop: CancelToken, wait: Any) -> None:
        with stop.on_cancel(lambda: held.wait(10)):
            begun.set()
            assert held.wait(10)

    trial.do = work
    trial.executor.start(node("n"))
    assert begun.wait(10)
    trial.executor.stop("n", 1)
    held.set()
    trial.settled(1)


def test_close_does_not_wait_for_what_does_not_end(trial: Trial) -> None:
    begun, held = threading.Event(), threading.Event()
    trial.do = lambda start, stop, wait: (begun.set(), held.wait(10))
    trial.executor.start(node("n"))
    assert begun.wait(10)
    trial.executor.close(100.0)
    assert trial.outcomes == []
    held.set()
    assert trial.settled(1) == ["n"]


@pytest.mark.parametrize("patience", [0.0, 0.01])
def test_close_kills_what_can_be_killed(trial: Trial, patience: float) -> None:
    begun, killed = threading.Event(), threading.Event()

    def work(start: NodeStarted, stop: CancelToken, wait: Any) -> None:
        with stop.on_cancel(lambda: None, killed.set):
            begun.set()
            assert killed.wait(10)

    trial.do = work
    trial.executor.start(node("n"))
    assert begun.wait(10)
    trial.executor.close(patience)
    assert killed.is_set()
    trial.settled(1)


def test_close_gives_patience_to_what_ends_by_itself(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, looked = threading.Event(), threading.Event()
    killed: list[str] = []
    killable: Any = CancelToken.killable

    def look(stop: CancelToken) -> bool:
        looked.set()
        return bool(killable.fget(stop))

    def work(start: NodeStarted, stop: CancelToken, wait: Any) -> None:
        with stop.on_cancel(lambda: None, lambda: killed.append("killed")):
            begun.set()
            assert looked.wait(10)  # it ends while `close` waits, not before

    monkeypatch.setattr(CancelToken, "killable", property(look))
    trial.do = work
    trial.executor.start(node("n"))
    assert begun.wait(10)
    closing = threading.Thread(target=trial.executor.close, args=(1000.0,), daemon=True)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()
    trial.settled(1)
    assert killed == []


def test_coroutines_run_to_their_end(trial: Trial) -> None:
    came: list[Any] = []

    async def well() -> int:
        await asyncio.sleep(0)
        return 1

    async def badly() -> int:
        raise ValueError("no")

    def work(start: NodeStarted, stop: CancelToken, wait: Any) -> None:
        came.append(wait(well()))
        with pytest.raises(ValueError, match="no"):
            wait(badly())

    trial.do = work
    trial.executor.start(node("n"))
    trial.settled(1)
    assert came == [1]
    assert trial.outcomes[0].lost is None


# ------------------------------------------------------------------ of threads alone


class Counted:
    """A queue that tells how often somebody came to take something out."""

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


def test_threads_work_at_once_and_are_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    trial, queue = Trial(ThreadExecutor), Counted()
    monkeypatch.setattr(trial.executor, "_queue", queue)
    together = threading.Barrier(8)
    trial.do = lambda start, stop, wait: together.wait(10)
    for i in range(8):
        trial.executor.start(node(f"a{i}"))
    trial.settled(8)
    assert queue.called(16)  # all of them are back and wait for more
    for i in range(8):
        trial.executor.start(node(f"b{i}"))
    trial.settled(16)
    assert len(set(trial.threads)) == 8
    assert queue.called(24)
    one_more = threading.Barrier(9)
    trial.do = lambda start, stop, wait: one_more.wait(10)
    for i in range(9):  # no two of them count on the same thread
        trial.executor.start(node(f"c{i}"))
    trial.settled(25)
    assert len(set(trial.threads)) == 9
    assert [o.lost for o in trial.outcomes] == [None] * 25
    trial.executor.close()


def test_threads_end_when_it_is_closed() -> None:
    trial = Trial(ThreadExecutor)
    for i in range(5):
        trial.executor.start(node(f"n{i}"))
    trial.settled(5)
    trial.executor.close()
    for thread in set(trial.threads):
        thread.join(10)
        assert not thread.is_alive()
