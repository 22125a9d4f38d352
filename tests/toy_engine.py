"""An engine without a cluster: its workers are names in this process. For tests of what an engine has to do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from nfrun.engine.cluster.base import TAKEN, RemoteWorker


class Hosted(Protocol):
    """What `nfrun.engine.cluster.hosted` has."""

    def make(self, order: str, send: Callable[[str], object], is_wanted: Callable[[], bool]) -> str: ...
    def stop(self, run: str, token: str, kill: bool) -> None: ...
    def ask(self, question: str) -> str: ...
    def end(self, run: str) -> None: ...


class ToyEngine:
    """Makes each attempt on a thread of this process, by what it has in place of `hosted`."""

    name = "toy"

    def __init__(self, hosted: Any, run: str, workers: Sequence[RemoteWorker]) -> None:
        self.hosted: Hosted = hosted
        self.on_gone: Callable[[str], object] = lambda why: None
        self.placed: dict[str, str] = {}  # the worker of each attempt, by token
        self._run = run
        self._workers = {worker.address: worker for worker in workers}
        self._on_end: dict[str, Callable[[str | None, str], object]] = {}
        self._lock = threading.Lock()
        self._is_closed = False

    def workers(self) -> Sequence[RemoteWorker]:
        return list(self._workers.values())

    def submit(
        self,
        token: str,
        worker: str,
        order: str,
        shares: bool,
        on_message: Callable[[str], object],
        on_end: Callable[[str | None, str], object],
    ) -> None:
        self.placed[token] = worker
        self._on_end[token] = on_end

        def make() -> None:
            if worker in self._workers:
                on_message(TAKEN)
                self._end(token, self.hosted.make(order, on_message, lambda: token in self._on_end), "")

        threading.Thread(target=make, name="toy", daemon=True).start()

    def stop(self, token: str, kill: bool) -> None:
        threading.Thread(target=self.hosted.stop, args=(self._run, token, kill), daemon=True).start()

    def ask(self, question: str, seconds: float) -> Mapping[str, str]:
        return {address: self.hosted.ask(question) for address in self._workers}

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._on_end.clear()
            self.hosted.end(self._run)

    def join(self, worker: RemoteWorker) -> None:
        """Let a worker join."""
        self._workers[worker.address] = worker

    def leave(self, address: str) -> None:
        """Let a worker vanish, with its attempts."""
        del self._workers[address]
        for token in [token for token, worker in self.placed.items() if worker == address]:
            self._end(token, None, f"its worker {address} has left the cluster")

    def vanish(self) -> None:
        """Let the whole cluster vanish."""
        self._workers.clear()
        self._on_end.clear()
        self.on_gone("the toy is gone")

    def _end(self, token: str, text: str | None, why: str) -> None:
        with self._lock:
            on_end = self._on_end.pop(token, None)
        if on_end is not None:
            on_end(text, why)
