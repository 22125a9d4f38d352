"""Runs attempts on a cluster, over any engine: `ClusterExecutor`."""

from __future__ import annotations

from collections.abc import Mapping

from nfrun.cluster.addresses import is_private
from nfrun.cluster.attempts import RemoteAttempts
from nfrun.cluster.base import PER_WORKER, Cluster, shown_amount
from nfrun.cluster.slots import WorkerSlots
from nfrun.engine.executors.base import ExecutorContext, OnOutcome
from nfrun.engine.executors.threads import ThreadExecutor

_CLOSE_SECONDS = 1.5  # for the hosts to end, at least
_TOLD_SECONDS = 5.0  # without workers, until it is said


Needs = tuple[tuple[str, float], ...]


class ClusterExecutor(ThreadExecutor):
    """Runs each attempt on a worker of the cluster, while a thread waits for its outcome."""

    begins_at_once = False

    def __init__(self, cluster: Cluster, context: ExecutorContext, on_outcome: OnOutcome) -> None:
        self.name = cluster.engine.name
        self._engine, self._waiting, executors = cluster.engine, context.waiting, context.placement.executors
        self._slots = WorkerSlots(
            lambda: [w for w in cluster.engine.workers() if not cluster.has_secrets or is_private(w.address)]
        )
        self._attempts = RemoteAttempts(cluster, context, self._slots)
        self.own = {name: self._slots.most(name) for name in PER_WORKER if name != "cpu" or cluster.uses_all}
        self._warn, self._tell = cluster.warn, cluster.tell
        self._nodes: dict[Needs, list[str]] = {(): []}  # its nodes, by what they take beside slots
        for name, spec in context.runner.pipeline.nodes.items():
            if executors.get(name) == self.name:
                needs = tuple([(each, spec.amounts[each]) for each in PER_WORKER[1:] if spec.amounts.get(each)])
                self._nodes.setdefault(needs, []).append(name)
        self._lacks: dict[Needs, float] = {}  # since when no worker has this
        self._told: set[Needs] = set()
        super().__init__(context.with_cache(self._attempts), on_outcome)

    def capacity(self, now: float) -> float | None:
        """Return the number of slots of all workers that there are now."""
        slots = self._slots.amount("cpu")
        for needs in [()] if not slots else self._nodes:
            if self._slots.has(needs):
                self._lacks.pop(needs, None)
            elif now - self._lacks.setdefault(needs, now) >= _TOLD_SECONDS and needs not in self._told:
                self._tell_waiting(needs)
        return slots

    def amounts(self, now: float) -> Mapping[str, float]:
        """Return what all workers have of `PER_WORKER` now, but for their slots."""
        return {name: self._slots.amount(name) for name in PER_WORKER if name != "cpu"}

    def _tell_waiting(self, needs: Needs) -> None:
        """Tell that no worker has what nodes take, if one of these nodes waits for it."""
        if not needs:
            self._told.add(needs)
            self._warn("the cluster has no workers any more: the run waits until some join")
            return
        waiting = {*self._waiting(), *self._attempts.waiting}.intersection(self._nodes[needs])
        if waiting:
            self._told.add(needs)
            first = next(name for name in self._nodes[needs] if name in waiting)
            others = f" (and {len(waiting) - 1} more)" if len(waiting) > 1 else ""
            takes = " and ".join(f"{shown_amount(name, amount)} of '{name}'" for name, amount in needs)
            self._warn(f"node '{first}'{others} takes {takes}, and no worker has that: it waits until one joins")

    def close(self, grace: float = 0.0) -> None:
        """End all attempts, those that are under way after `grace` seconds, and the hosts of the run."""
        super().close(grace)
        self._attempts.close()
        for message in self._engine.close(max(grace, _CLOSE_SECONDS)):
            self._tell(message)
