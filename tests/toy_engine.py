"""An engine without a cluster: its workers are names in this process. For tests of what an engine has to do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from nfrun.cluster.base import Cluster, RemoteWorker
from nfrun.cluster.cluster import ClusterExecutor
from nfrun.cluster.wire import Ended, HostConfig, Told, from_text, to_text
from nfrun.core.events import nfrun_failure
from nfrun.core.pipeline import NodeSpec, Pipeline
from nfrun.engine.attempt import AttemptRunner, RunAttempt
from nfrun.engine.executors.base import ExecutorContext, OnOutcome, Placement
from nfrun.nodes.base import CancelToken
from nfrun.system.logs.node_logs import Logs


class ToyEngine:
    """Makes each attempt on a thread of this process, by what it has in place of `nfrun.cluster.hosted`."""

    name = "toy"

    def __init__(self, hosted: Any, run: str, workers: Sequence[RemoteWorker]) -> None:
        self.hosted: Any = hosted
        self.on_gone: Callable[[str], object] = lambda why: None
        self.placed: dict[str, str] = {}  # the worker of each attempt that has begun, by token
        self.needs: list[Mapping[str, float]] = []  # of each attempt
        self._run = run
        self._workers = {worker.address: worker for worker in workers}
        self._submitted: dict[str, Any] = {}  # those that wait or are under way, by token
        self._lock = threading.RLock()
        self._is_closed = False

    def workers(self) -> Sequence[RemoteWorker]:
        return list(self._workers.values())

    def submit(
        self,
        token: str,
        name: str,
        needs: Mapping[str, float],
        on_begin: Callable[[str, tuple[int, ...]], object],
        on_message: Callable[[str], object],
        on_end: Callable[[str | None, str], object],
    ) -> None:
        self.needs.append(needs)
        self._submitted[token] = SimpleNamespace(
            needs=needs, begin=on_begin, on_message=on_message, on_end=on_end, worker=""
        )
        self._place()

    def tell(self, token: str, order: str) -> None:
        if (own := self._submitted.get(token)) is not None and own.worker in self._workers:
            self.hosted.start(self._run, token, order, own.on_message, lambda text: self._end(token, text, ""))

    def forget(self, token: str) -> None:
        self._end(token, None, "")

    def stop(self, token: str, kill: bool) -> None:
        if token not in self.placed:
            self._end(token, None, "")
        threading.Thread(target=self.hosted.stop, args=(self._run, token, kill), daemon=True).start()

    def ask(self, worker: str, question: str, seconds: float) -> str:
        return self.hosted.ask(question)  # type: ignore[no-any-return]

    def close(self, seconds: float = 2.0) -> Sequence[str]:
        if not self._is_closed:
            self._is_closed = True
            self._submitted.clear()
            return self.hosted.end(self._run)  # type: ignore[no-any-return]
        return ()

    def join(self, worker: RemoteWorker) -> None:
        """Let a worker join."""
        self._workers[worker.address] = worker
        self._place()

    def leave(self, address: str) -> None:
        """Let a worker vanish, with its attempts."""
        del self._workers[address]
        for token in [token for token, own in self._submitted.items() if own.worker == address]:
            self._end(token, None, f"its worker {address} has left the cluster")

    def vanish(self) -> None:
        """Let the whole cluster vanish."""
        self._workers.clear()
        self._submitted.clear()
        self.on_gone("the toy is gone")

    def _place(self) -> None:
        """Let attempts begin for which a worker has a thread, and all that they need."""
        with self._lock:
            for token, own in list(self._submitted.items()):
                fitting = [worker for worker in self._workers.values() if not own.worker and self._fits(worker, own)]
                if fitting:
                    own.worker = self.placed[token] = min(fitting, key=lambda worker: len(self._on(worker))).address
                    units = range(len(self._on(self._workers[own.worker])) - 1, 99)
                    own.begin(own.worker, tuple(units[: int(own.needs.get("gpu", 0))]))

    def _on(self, worker: RemoteWorker) -> list[Any]:
        return [own for own in self._submitted.values() if own.worker == worker.address]

    def _fits(self, worker: RemoteWorker, own: Any) -> bool:
        running = self._on(worker)
        return len(running) < worker.threads and all(
            sum(each.needs.get(name, 0.0) for each in running) + amount <= worker.resources.get(name, 0.0)
            for name, amount in own.needs.items()
        )

    def _end(self, token: str, text: str | None, why: str) -> None:
        with self._lock:
            own = self._submitted.pop(token, None)
        if own is not None:
            own.on_end(text, why)
            self._place()


class AnyNodes(dict[str, NodeSpec]):
    """Nodes of any name, beside those that are given."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> NodeSpec:
        return NodeSpec(name, "python", "m:f", (), {}, (), (), {})


class ToyHosted:
    """Makes attempts in this process, by a function in place of a host. `orders` are those that it got."""

    def __init__(self, run_attempt: RunAttempt) -> None:
        self.orders: list[Any] = []
        self.ended = False
        self.messages: list[str] = []  # what it tells when it ends
        self._run_attempt = run_attempt
        self._tokens: dict[str, CancelToken] = {}

    def start(
        self, run: str, token: str, order: str, send: Callable[[str], object], on_end: Callable[[str], object]
    ) -> None:
        self.send = send
        threading.Thread(target=lambda: on_end(self.make(order, send)), name="toy", daemon=True).start()

    def make(self, order: str, send: Callable[[str], object]) -> str:
        found = from_text(order)
        self.orders.append(found)
        send(to_text(Told(found.token, "begun")))
        token = self._tokens.setdefault(found.token, CancelToken())
        try:
            outcome = self._run_attempt(found.order.start, token, asyncio.run)
        except BaseException as error:
            outcome = found.order.start.outcome(nfrun_failure(error))
        return to_text(Ended(found.token, outcome))

    def stop(self, run: str, token: str, kill: bool) -> None:
        cancel_token = self._tokens.setdefault(token, CancelToken())
        cancel_token.kill() if kill else cancel_token.cancel()

    def end(self, run: str) -> list[str]:
        self.ended = True
        return self.messages


def toy_cluster(
    run_attempt: RunAttempt,
    on_outcome: OnOutcome,
    workers: Sequence[RemoteWorker] = (RemoteWorker("a", 16), RemoteWorker("b", 16)),
    nodes: Mapping[str, NodeSpec] = {},
    on_begun: Callable[[str, int, int], None] = lambda node, attempt, call: None,
    on_error: Callable[[Exception], object] = lambda error: None,
    logs: Logs | None = None,
    uses_all: bool = True,
    warn: Callable[[str], object] = lambda message: None,
    has_secrets: bool = False,
) -> tuple[ClusterExecutor, ToyEngine]:
    """Make the executor of a cluster whose workers are in this process: `run_attempt` is called there."""
    pipeline = Pipeline("p.yaml", "/", "p", "", {}, {}, AnyNodes(nodes), {})
    store: Any = SimpleNamespace(fsync=False, stored=lambda ref: ref, register_file=lambda ref: ref)
    runner = AttemptRunner(pipeline, store, "r", Path("/nonexistent"), {}, logs or Logs(), on_begun=on_begun)
    folder, placement = Path("/nonexistent"), Placement(dict.fromkeys(nodes, "toy"))
    context = ExecutorContext(runner, lambda made: made, store, folder, 4, placement, [], on_error)
    engine = ToyEngine(ToyHosted(run_attempt), "r", workers)
    config = HostConfig("r", "r", pipeline, "/")
    cluster = Cluster(engine, config, store, uses_all, warn, has_secrets, tell=warn)
    return ClusterExecutor(cluster, context, on_outcome), engine
