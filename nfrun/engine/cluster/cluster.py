"""Runs attempts on a cluster, over any engine: `ClusterExecutor`."""

from __future__ import annotations

from collections.abc import Mapping

from nfrun.engine.cluster.addresses import is_private
from nfrun.engine.cluster.attempts import RemoteAttempts
from nfrun.engine.cluster.base import PER_WORKER, Cluster
from nfrun.engine.cluster.slots import WorkerSlots
from nfrun.engine.executors.base import ExecutorContext, OnOutcome
from nfrun.engine.executors.threads import ThreadExecutor

_CLOSE_SECONDS = 2.0  # for the hosts to end, at least
_TOLD_SECONDS = 5.0  # without workers, until it is said


class ClusterExecutor(ThreadExecutor):
    """Runs each attempt on a worker of the cluster, while a thread waits for its outcome."""

    begins_at_once = False

    def __init__(self, cluster: Cluster, context: ExecutorContext, on_outcome: OnOutcome) -> None:
        self.name = cluster.engine.name
        self._engine, executors = cluster.engine, context.placement.executors
        self._slots = WorkerSlots(
            lambda: [w for w in cluster.engine.workers() if not cluster.has_secrets or is_private(w.address)]
        )
        self._attempts = RemoteAttempts(cluster, context, self._slots)
        self.own = {name: self._slots.most(name) for name in PER_WORKER if name != "cpu" or cluster.uses_all}
        self._warn, self._tell = cluster.warn, cluster.tell
        placed = [spec for name, spec in context.runner.pipeline.nodes.items() if executors.get(name) == self.name]
        # What the largest of its nodes take of each resource, and since when no worker has that.
        self._taken = {name: max([spec.amounts.get(name, 0.0) for spec in placed], default=0.0) for name in PER_WORKER}
        self._taken = {"cpu": 0.0, **{name: amount for name, amount in self._taken.items() if amount}}
        self._lacks: dict[str, float] = {}
        self._told: set[str] = set()
        super().__init__(context.with_cache(self._attempts), on_outcome)

    def capacity(self, now: float) -> float | None:
        """Return the number of slots of all workers that there are now."""
        slots = self._slots.amount("cpu")
        for name, amount in self._taken.items():
            if self._slots.has(name, amount):
                self._lacks.pop(name, None)
            elif now - self._lacks.setdefault(name, now) >= _TOLD_SECONDS and name not in self._told:
                self._told.add(name)
                what = "the cluster has no workers" if name == "cpu" else f"no worker has {amount:g} of '{name}'"
                self._warn(f"{what} any more: the run waits until some join")
        return slots

    def amounts(self, now: float) -> Mapping[str, float]:
        """Return what all workers have of `PER_WORKER` now, but for their slots."""
        return {name: self._slots.amount(name) for name in PER_WORKER if name != "cpu"}

    def close(self, grace: float = 0.0) -> None:
        """End all attempts, those that are under way after `grace` seconds, and the hosts of the run."""
        super().close(grace)
        self._attempts.close()
        for message in self._engine.close(max(grace, _CLOSE_SECONDS)):
            self._tell(message)
