"""Holds the nodes that are ready, and decides which of them fits into the free resources and starts next."""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from nfrun.core.plan import Node, Plan

Demand = tuple[tuple[str, float], ...]


class ReadyQueue:
    """The ready nodes of a plan by priority, and the resources that are free. Nodes are numbers in the plan's order."""

    def __init__(self, plan: Plan) -> None:
        self._budget: Mapping[str, float] = plan.budget
        self._capacity = dict(plan.budget)
        self._free = dict(plan.budget)
        self._order = [(-plan.priorities[name], i) for i, name in enumerate(plan.nodes)]
        # One heap for each distinct demand, so that the best node that fits is at the top of one of them.
        self._heaps: dict[Demand, list[tuple[float, int]]] = {}
        queues: dict[Demand, tuple[Demand, list[tuple[float, int]]]] = {}  # demand and heap by the node's resources
        for node in plan.nodes.values():
            if node.resources not in queues:
                demand = self._demand_of(node)
                queues[node.resources] = (demand, self._heaps.setdefault(demand, []))
        queue_of = [queues[node.resources] for node in plan.nodes.values()]
        self._demand = [demand for demand, _ in queue_of]
        self._heap = [heap for _, heap in queue_of]

    def add(self, i: int) -> None:
        """Add a node that is ready."""
        heapq.heappush(self._heap[i], self._order[i])

    def clear(self) -> None:
        """Remove all nodes."""
        for heap in self._heaps.values():
            heap.clear()

    def take(self) -> int | None:
        """Remove the node of the highest priority that fits, with the resources that it takes; None if none fits.

        Smaller nodes overtake a node that does not fit, since idle slots cost more than a late start.
        """
        free = self._free
        best: list[tuple[float, int]] | None = None
        for demand, heap in self._heaps.items():
            if heap and (best is None or heap[0] < best[0]):
                for resource, amount in demand:
                    if not amount <= free[resource] + 1e-9:  # written so that NaN never fits
                        break
                else:
                    best = heap
        if best is None:
            return None
        i = heapq.heappop(best)[1]
        for resource, amount in self._demand[i]:
            free[resource] -= amount
        return i

    def give_back(self, i: int) -> None:
        """Free the resources of a node."""
        for resource, amount in self._demand[i]:
            self._free[resource] += amount

    def set_capacity(self, resource: str, amount: float) -> None:
        """Set how much of a resource there is, at most its budget.

        Raises KeyError for a resource without a budget, ValueError for NaN.
        """
        amount = min(amount, self._budget[resource])
        if not amount > float("-inf"):  # false for NaN too: after either, nothing would ever be free again
            raise ValueError(f"there cannot be {amount} of {resource!r}")
        self._free[resource] += amount - self._capacity[resource]
        self._capacity[resource] = amount

    def _demand_of(self, node: Node) -> Demand:
        # A demand above the budget would never fit. It is cut to the budget, as with Snakemake's threads. A demand of
        # nothing is left out: it fits even where less than nothing is free, after the capacity became smaller.
        return tuple(sorted((name, min(amount, self._budget[name])) for name, amount in node.resources if amount))
