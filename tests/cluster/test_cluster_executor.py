"""Tests of attempts on a cluster, over an engine without one: where they are placed, and what is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest
from toy_engine import ToyEngine, toy_cluster

from nfrun.cluster import cluster as cluster_module
from nfrun.cluster.base import RemoteWorker
from nfrun.cluster.cluster import ClusterExecutor
from nfrun.cluster.wire import Told, to_text
from nfrun.core.errors import Cause, ClusterError
from nfrun.core.events import NodeStarted, Outcome
from nfrun.core.pipeline import NodeSpec
from nfrun.core.values import replace
from nfrun.nodes.base import CancelToken
from nfrun.system.logs.node_logs import Logs


def node(name: str = "n", **settings: Any) -> NodeSpec:
    return NodeSpec(name, "python", "m:f", (), {}, (), (), {}, **settings)


class Trial:
    """A cluster without a network. Attempts block until `go` if they are in `held`."""

    def __init__(self, *workers: RemoteWorker, nodes: tuple[NodeSpec, ...] = (), **settings: Any) -> None:
        self.outcomes: SimpleQueue[Outcome] = SimpleQueue()
        self.begun: SimpleQueue[tuple[str, int, int]] = SimpleQueue()
        self.errors: list[Exception] = []
        self.lines: list[tuple[str, str, str]] = []
        self.held: set[str] = set()
        self.go = threading.Event()
        found: tuple[ClusterExecutor, ToyEngine] = toy_cluster(
            self._make,
            self._on_outcome,
            workers or (RemoteWorker("a", 1), RemoteWorker("b", 1)),
            {spec.id: spec for spec in nodes},
            lambda *key: self.begun.put(key),
            self.errors.append,
            Logs(lambda *line: self.lines.append(line)),
            **settings,
        )
        self.executor, self.engine = found

    def start(self, *names: str) -> None:
        for name in names:
            self.executor.start(NodeStarted(0.0, name, 1))

    def outcome(self) -> Outcome:
        return self.outcomes.get(timeout=10)

    def await_begun(self, count: int) -> list[str]:
        return sorted(self.begun.get(timeout=10)[0] for _ in range(count))

    def await_waiting(self, count: int) -> None:
        until = time.monotonic() + 10
        while len(self.executor._attempts.waiting) < count and time.monotonic() < until:
            time.sleep(0.01)

    def _on_outcome(self, outcome: Outcome) -> None:
        self.outcomes.put(outcome)

    def _make(self, start: NodeStarted, token: CancelToken, run_coroutine: Any) -> Outcome:
        if start.node in self.held:
            with token.on_cancel(self.go.set):
                assert self.go.wait(10)
        return Outcome(start.node, start.attempt)


Make = Callable[..., Trial]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Trial] = []

    def make(*workers: RemoteWorker, **settings: Any) -> Trial:
        made.append(Trial(*workers, **settings))
        return made[-1]

    yield make
    for trial in made:
        trial.go.set()
        trial.executor.close()
        assert trial.engine.hosted.ended


def test_attempts_are_spread_over_the_workers_as_far_as_these_have_room(make: Make) -> None:
    trial = make()
    trial.held = {"x", "y", "z"}
    trial.start("x", "y", "z")
    begun = trial.await_begun(2)
    assert sorted(trial.engine.placed.values()) == ["a", "b"]
    assert trial.begun.empty()
    trial.go.set()
    assert sorted(trial.outcome().node for _ in range(3)) == ["x", "y", "z"]
    assert sorted([*begun, *trial.await_begun(1)]) == ["x", "y", "z"]


def test_an_attempt_can_be_stopped_and_killed_before_its_worker_may_have_begun_it(make: Make) -> None:
    trial = make()
    submit: Any = trial.engine.submit
    stopped: list[bool] = []

    def look(*order: Any) -> None:
        (token,) = trial.executor._cancel_tokens.values()
        assert token.killable
        token.cancel()  # the worker does not know the attempt yet
        submit(*order)

    trial.engine.submit = look  # type: ignore[method-assign]
    trial.engine.stop = lambda token, kill: stopped.append(kill)  # type: ignore[method-assign]
    trial.start("x")
    assert trial.outcome().failure is None
    assert stopped == [False] * 3, "it is told again when the engine knows it, and when the worker does"


def test_twice_as_many_attempts_as_threads_and_some_more_are_under_way(make: Make) -> None:
    trial = make(RemoteWorker("a", 1))
    assert trial.executor.capacity(0.0) == 66
    trial.engine.join(RemoteWorker("b", 2))
    assert trial.executor.capacity(0.0) == 70
    trial.engine.leave("a")
    trial.engine.leave("b")
    assert trial.executor.capacity(0.0) == 64, "a cluster grows for tasks that wait"


def test_an_attempt_is_lost_with_its_worker_and_the_others_are_not(make: Make) -> None:
    trial = make()
    trial.held = {"x", "y"}
    trial.start("x", "y")
    trial.await_begun(2)
    trial.engine.leave("a")
    lost = trial.outcome()
    assert lost.failure is not None
    assert (lost.failure.cause, lost.failure.message) == (Cause.LOST, "its worker a has left the cluster")
    trial.go.set()
    assert trial.outcome().failure is None


def test_an_attempt_on_a_worker_that_does_not_answer_ends_and_this_is_told_once(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "_KILL_SECONDS", 0.0)
    told: list[str] = []
    trial = make(RemoteWorker("a", 4), warn=told.append)
    attempts = trial.executor._attempts
    attempts._runner = replace(attempts._runner, grace=0.0)
    trial.held, trial.engine.stop = {"x", "y"}, lambda token, kill: None  # type: ignore[method-assign]
    trial.start("x", "y")
    trial.await_begun(2)
    trial.executor.stop("x", 1)
    trial.executor.stop("y", 1)
    assert trial.outcome().failure is not None
    assert trial.outcome().failure is not None
    assert told == ["worker a does not answer"]


def test_secrets_go_to_no_worker_to_which_they_would_travel_in_the_open(make: Make) -> None:
    trial = make(RemoteWorker("tcp://far:1", 1), has_secrets=True)
    trial.start("x")
    failure = trial.outcome().failure
    assert failure is not None
    assert failure.message == (
        "the pipeline has secrets, and worker tcp://far:1 sends what it gets as plain text: use TLS (tls://)"
    )
    assert trial.engine.hosted.orders == []


def test_the_run_ends_once_when_the_cluster_is_gone_and_its_attempts_are_cancelled(make: Make) -> None:
    trial = make()
    trial.held = {"x", "y", "z"}  # two of them begin
    trial.start("x", "y", "z")
    trial.await_begun(2)
    trial.engine.vanish()
    assert [(type(error), str(error)) for error in trial.errors] == [(ClusterError, "the toy is gone")]
    for name in "xyz":  # as the run does for the error
        trial.executor.stop(name, 1)
    assert {trial.outcome().failure.cause for _ in range(3)} == {Cause.CANCELLED}  # type: ignore[union-attr]


def test_an_attempt_needs_what_its_node_takes_and_workers_declare(make: Make) -> None:
    told: list[str] = []
    amounts = {"gpu": 1.0, "memory": 6.0}
    nodes = node("large", cpu=8.0, amounts=amounts), node("larger", cpu=9.0), node("small", cpu=0.1)
    trial = make(RemoteWorker("a", 2, {"gpu": 2.0}), nodes=nodes, warn=told.append)
    assert trial.executor.own == ("cpu", "memory", "gpu")
    trial.start("large")
    trial.outcome()
    trial.start("small")
    trial.outcome()
    trial.engine.join(RemoteWorker("b", 4, {"cpu": 4.0, "memory": 8.0, "gpu": 2.0}))
    for name in ("large", "larger", "small"):
        trial.start(name)
        trial.outcome()
    assert trial.engine.needs == [
        *({"gpu": 1.0}, {}),
        *({"cpu": 4.0, "memory": 6.0, "gpu": 1.0}, {"cpu": 4.0}, {"cpu": 0.1}),
    ]
    assert told == ["node 'large' takes 8 of 'cpu', and no worker declares any: it gets a thread"]
    order, *_ = trial.engine.hosted.orders
    assert (order.order.start.granted, order.variables["CUDA_VISIBLE_DEVICES"]) == ({"gpu": (0,)}, "0")


def test_a_cluster_without_workers_is_told_once(make: Make) -> None:
    told: list[str] = []
    trial = make(RemoteWorker("a", 1), warn=told.append)
    trial.engine.leave("a")
    trial.executor.capacity(0.0)
    trial.start("x")
    trial.await_waiting(1)
    for now in (1.0, 5.9, 6.0, 7.0):
        trial.executor.capacity(now)
        assert bool(told) == (now >= 6.0)
    trial.engine.join(RemoteWorker("b", 1))
    assert trial.outcome().node == "x"
    assert told == ["the cluster has no workers: the run waits until some join"]


def test_nodes_that_wait_for_what_no_worker_has_are_told_once_and_take_no_room(make: Make) -> None:
    told: list[str] = []
    nodes = node("x", amounts={"gpu": 2.0, "memory": 8e9}), node("small", amounts={"gpu": 1.0}), node("plain")
    trial = make(RemoteWorker("b", 1, {"gpu": 2.0, "memory": 1e9}), nodes=nodes, warn=told.append)
    trial.engine.join(RemoteWorker("c", 1, {"gpu": 1.0, "memory": 9e9}))
    assert trial.executor.capacity(0.0) == 68
    trial.start("x")
    trial.await_waiting(1)
    assert trial.executor.capacity(1.0) == 69
    trial.held = {"small", "plain"}
    trial.start("small", "plain")
    assert trial.await_begun(2) == ["plain", "small"]
    for now in (1.1, 5.9):
        trial.executor.capacity(now)
    assert told == []
    for now in (6.1, 6.2):
        assert trial.executor.capacity(now) == 69
    assert told == ["node 'x' takes 8 GB of 'memory' and 2 of 'gpu', and no worker has that: it waits until one joins"]
    trial.executor.stop("x", 1)
    trial.go.set()
    assert sorted(trial.outcome().node for _ in range(3)) == ["plain", "small", "x"]


def test_what_hosts_tell_at_the_end_is_told() -> None:
    told: list[str] = []
    trial = Trial(warn=told.append)
    trial.engine.hosted.messages = ["nfrun: close() of an instance failed: ValueError: x"]
    trial.executor.close()
    assert told == ["nfrun: close() of an instance failed: ValueError: x"]


def test_a_given_number_of_jobs_counts_for_workers_too(make: Make) -> None:
    assert make(uses_all=False).executor.own == ("memory", "gpu")


def test_an_end_that_cannot_be_read_is_a_lost_attempt(make: Make) -> None:
    trial = make()
    trial.engine.hosted.make = lambda order, send: '{"version": 99, "value": null}'
    trial.start("x")
    failure = trial.outcome().failure
    assert failure is not None
    assert (failure.cause, failure.message) == (Cause.LOST, "a message has version 99, and this nfrun has 1")


def test_prints_and_lines_are_passed_on_and_what_cannot_be_read_is_not(make: Make) -> None:
    trial = make()
    trial.held = {"x"}
    trial.start("x")
    trial.await_begun(1)
    (token,) = trial.engine.placed
    send = trial.engine.hosted.send
    send("nonsense")
    send(to_text(Told(token, "printed", ("stdout", b"out\n"))))
    send(to_text(Told(token, "logged", (("info", "one"), ("warning", "two")))))
    trial.go.set()
    assert trial.outcome().failure is None
    assert trial.lines == [("x", "stdout", "out"), ("x", "info", "one"), ("x", "warning", "two")]
