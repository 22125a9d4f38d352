"""Holds the nodes that are ready, and decides which of them fits into the free resources and starts next."""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from nfrun.core.budgets import Held, Rate, Units
from nfrun.core.pipeline import NOTHING
from nfrun.core.plan import Node, Plan

Demand = tuple[tuple[str, float], ...]


class ReadyQueue:
    """The ready nodes of a plan by priority, and the resources that are free. Nodes are numbers in the plan's order.

    Budgets of the file may be rates, and have numbered units. A node that is looked up takes none of the budgets until
    it has been given back once: its result may be there. `wake_at` is the next time at which a node fits because time
    has passed, None if there is none.
    """

    def __init__(self, plan: Plan) -> None:
        self.wake_at: float | None = None
        self._budget: Mapping[str, float] = plan.budget
        self._capacity = dict(plan.budget)
        self._free = dict(plan.budget)
        self._rates = {name: Rate(budget) for name, budget in plan.budgets.items() if budget.per}
        self._units = {name: Units(int(b.amount)) for name, b in plan.budgets.items() if b.is_numbered}
        self._held: dict[tuple[int, int], dict[str, Held]] = {}  # units, by node and call, 0 for the node itself
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
        # What nodes that are looked up, and mapped ones, take without and with the budgets of the file.
        self._demands: dict[int, tuple[Demand, Demand]] = {}
        self._looked_up: set[int] = set()
        self._unknown: set[int] = set()  # those of them that have not been looked up
        for i, node in enumerate(plan.nodes.values()) if plan.budgets else ():
            if node.name in plan.looked_up or node.takes_later:
                demand = self._demand[i]
                self._demands[i] = tuple(item for item in demand if item[0] not in plan.budgets), demand
                self.use_budgets(i, use=False)
            if node.name in plan.looked_up:
                self._looked_up.add(i)
                self._unknown.add(i)

    def add(self, i: int) -> None:
        """Add a node that is ready."""
        heapq.heappush(self._heap[i], self._order[i])

    def nodes(self) -> list[int]:
        """Return the nodes that are ready, in no order."""
        return [i for heap in self._heaps.values() for _, i in heap]

    def clear(self) -> None:
        """Remove all nodes."""
        for heap in self._heaps.values():
            heap.clear()
        self.wake_at = None

    def take(self, now: float) -> int | None:
        """Remove the node of the highest priority that fits, with the resources that it takes; None if none fits.

        Smaller nodes overtake a node that does not fit, since idle slots cost more than a late start. Tokens of a rate
        are kept for the node of the highest priority that waits for nothing else.
        """
        if not self._rates:  # most plans
            best: tuple[float, int] | None = None
            fitting: Demand = ()
            for demand, heap in self._heaps.items():
                if heap and (best is None or heap[0] < best) and self._fits(demand):
                    best, fitting = heap[0], demand
            return None if best is None else self._take(now, fitting)
        self.wake_at = None
        awaited: set[str] = set()
        for _, demand in sorted((heap[0], demand) for demand, heap in self._heaps.items() if heap):
            if not self._fits(demand):
                continue
            due = {name: self._rates[name].due_at(amount) for name, amount in demand if name in self._rates}
            at = max(due.values(), default=now)
            if at <= now and not awaited.intersection(due):
                return self._take(now, demand)
            if at > now and not awaited.intersection(due):
                self.wake_at = at if self.wake_at is None else min(at, self.wake_at)
            for name in due:
                if due[name] == at > now:  # it waits for this rate alone
                    self._rates[name].wait(now)
                    awaited.add(name)
        for name, rate in self._rates.items():
            if name not in awaited:
                rate.stop_waiting()
        return None

    def _fits(self, demand: Demand) -> bool:
        for name, amount in demand:
            # Written so that NaN never fits.
            if name not in self._rates and not amount <= self._free[name] + 1e-9:
                return False
            if name in self._units and not self._units[name].fits(amount):
                return False
        return True

    def _take(self, now: float, demand: Demand) -> int:
        i = heapq.heappop(self._heaps[demand])[1]
        for name, amount in demand:
            if name in self._rates:
                self._rates[name].take(now, amount)
                continue
            self._free[name] -= amount
            if name in self._units:
                self._held.setdefault((i, 0), {})[name] = self._units[name].take(amount)
        return i

    def discard(self, i: int) -> None:
        """Remove a node, if it is there."""
        if self._order[i] in self._heap[i]:
            self._heap[i].remove(self._order[i])
            heapq.heapify(self._heap[i])

    def hand_to(self, i: int, call: int) -> None:
        """Let a call of a taken node hold what the node holds. Then the node may be added and taken again."""
        if (i, 0) in self._held:
            self._held[i, call] = self._held.pop((i, 0))

    def give_back(self, i: int, call: int = 0) -> None:
        """Free the resources of a node, or of one of its calls."""
        for name, amount in self._demand[i]:
            if name not in self._rates:
                self._free[name] += amount
        for name, held in self._held.pop((i, call), NOTHING).items():
            self._units[name].give_back(held)
        if i in self._unknown:
            self._unknown.remove(i)
            self.use_budgets(i, use=True)

    def has_waited(self, i: int, at: float, now: float) -> None:
        """Count the tokens of rates that a node took `at` a time as taken now: it has made no use of them until now."""
        for name, amount in self._demand[i]:
            if name in self._rates:
                self._rates[name].move(at, now, amount)

    def granted(self, i: int) -> Mapping[str, tuple[int, ...]] | None:
        """Return the numbers of the units that a taken node holds, by budget; None if it is only looked up."""
        if i in self._unknown:
            return None
        held = self._held.get((i, 0))
        return {name: tuple(unit for unit, _ in units) for name, units in held.items()} if held else NOTHING

    def use_budgets(self, i: int, *, use: bool) -> None:
        """Set whether a mapped node, which holds nothing and is not in the queue, takes of the budgets of the file.

        At first it does not.
        """
        if i in self._demands:
            demand = self._demands[i][use]
            self._demand[i], self._heap[i] = demand, self._heaps.setdefault(demand, [])

    def look_up(self, i: int) -> None:
        """Look a node up again before it takes what it needs, if it was to be looked up at first."""
        if i in self._looked_up:
            self._unknown.add(i)
            self.use_budgets(i, use=False)

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
        return tuple(
            sorted((name, min(amount, self._budget.get(name, amount))) for name, amount in node.resources if amount)
        )
