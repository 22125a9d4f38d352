"""Runs attempts on a cluster, over any engine: `ClusterExecutor`."""

from __future__ import annotations

from collections.abc import Mapping

from nfrun.engine.cluster.addresses import is_private
from nfrun.engine.cluster.attempts import RemoteAttempts
from nfrun.engine.cluster.base import PER_WORKER, Cluster
from nfrun.engine.cluster.slots import WorkerSlots
from nfrun.engine.executors.base import ExecutorContext, OnOutcome
from nfrun.engine.executors.threads import ThreadExecutor

_TOLD_SECONDS = 5.0  # without workers, until it is said


class ClusterExecutor(ThreadExecutor):
    """Runs each attempt on a worker of the cluster, while a thread waits for its outcome."""

    begins_at_once = False

    def __init__(self, cluster: Cluster, context: ExecutorContext, on_outcome: OnOutcome) -> None:
        self.name = cluster.engine.name
        self._engine = cluster.engine
        self._slots = WorkerSlots(
            lambda: [w for w in cluster.engine.workers() if not cluster.has_secrets or is_private(w.address)]
        )
        self._attempts = RemoteAttempts(cluster, context, self._slots)
        self.own = {name: self._slots.most(name) for name in PER_WORKER if name != "cpu" or cluster.uses_all}
        self._warn = cluster.warn
        self._left_at: float | None = None  # when the last worker left, in seconds since the run began
        self._is_told = False
        super().__init__(context.with_cache(self._attempts), on_outcome)

    def capacity(self, now: float) -> float | None:
        """Return the number of slots of all workers that there are now."""
        slots = self._slots.amount("cpu")
        if slots:
            self._left_at = None
        elif self._left_at is None:
            self._left_at = now
        elif now - self._left_at >= _TOLD_SECONDS and not self._is_told:
            self._is_told = True
            self._warn("the cluster has no workers any more: the run waits until some join")
        return slots

    def amounts(self, now: float) -> Mapping[str, float]:
        """Return what all workers have of `PER_WORKER` now, but for their slots."""
        return {name: self._slots.amount(name) for name in PER_WORKER if name != "cpu"}

    def close(self, grace: float = 0.0) -> None:
        """End all attempts, those that are under way after `grace` seconds, and the hosts of the run."""
        super().close(grace)
        self._attempts.close()
        self._engine.close()
