"""An executor that is not part of nfrun, for tests of what an executor has to do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue

from nfrun.core.events import NodeStarted, nfrun_failure
from nfrun.engine.attempt import RunAttempt
from nfrun.engine.executors.base import OnOutcome
from nfrun.nodes.base import CancelToken


class SingleThread:
    """The simplest executor: a single thread that makes one attempt after the other. The others have not begun."""

    name = "single"
    begins_at_once = False
    own: tuple[str, ...] = ()

    def __init__(
        self,
        run_attempt: RunAttempt,
        on_outcome: OnOutcome,
        on_begun: Callable[[str, int, int], None] = lambda node, attempt, call: None,
    ) -> None:
        self._work, self._on_outcome, self._on_begun = run_attempt, on_outcome, on_begun
        self._queue: SimpleQueue[NodeStarted | None] = SimpleQueue()
        self._lock = threading.Condition()
        self._stops: dict[tuple[str, int, int], CancelToken] = {}
        threading.Thread(target=self._serve, name="single", daemon=True).start()

    def capacity(self, now: float) -> float | None:
        return None

    def start(self, attempt: NodeStarted) -> None:
        self._queue.put(attempt)

    def stop(self, node: str, attempt: int, call: int = 0, grace: float = 0.0) -> None:
        threading.Thread(target=self._stop_of((node, attempt, call)).cancel, daemon=True).start()

    def close(self, grace: float = 0.0) -> None:
        self._queue.put(None)
        with self._lock:
            self._lock.wait_for(lambda: not any(cancel_token.killable for cancel_token in self._stops.values()), grace)
            left = list(self._stops.values())
        for cancel_token in left:
            cancel_token.kill()

    def _stop_of(self, key: tuple[str, int, int]) -> CancelToken:
        with self._lock:
            return self._stops.setdefault(key, CancelToken())

    def _serve(self) -> None:
        while attempt := self._queue.get():
            following: NodeStarted | None = attempt
            while following:
                key = following.key
                self._on_begun(*key)
                try:
                    outcome = self._work(following, self._stop_of(key), asyncio.run)
                except BaseException as error:
                    outcome = following.outcome(nfrun_failure(error))
                with self._lock:
                    self._stops.pop(key, None)
                    self._lock.notify_all()
                following = self._on_outcome(outcome)
