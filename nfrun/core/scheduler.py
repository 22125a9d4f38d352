"""Decides which node runs when. Times and outcomes go in, events come out; it uses no threads, files or clock.

Every node is in exactly one state. The work per outcome is proportional to the node's own edges: the scheduler uses
counters and heaps and never scans the pending nodes. It iterates only over lists and dicts, whose order is fixed, so
the same calls return the same events.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping, Sequence
from enum import Enum

from nfrun.core.budgets import Held, Rate, Units
from nfrun.core.errors import Cause, cause_of
from nfrun.core.events import (
    AttemptStopped,
    Event,
    Failure,
    NodeCancelled,
    NodeFailed,
    NodeFinished,
    NodeRetrying,
    NodeSkipped,
    NodeStarted,
    NodeWaiting,
    Outcome,
    OutputRef,
    OutputReleased,
    RunFinished,
    RunStarted,
)
from nfrun.core.pipeline import NOTHING, OutputId
from nfrun.core.plan import Node, Plan
from nfrun.core.retries import FINAL, Retries

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


# When it is due, the node, a number (that of its start), whether it ends a back-off or else is a timeout, and what the
# scheduler of mapped nodes adds.
Timer = tuple[float, int, int, bool, tuple[int, ...]]

State = Enum("State", "WAITING READY RUNNING CALLING BACKOFF FINISHED FAILED SKIPPED CANCELLED")

# Module constants, since each look-up of an enum member costs a call, several times a node.
_WAITING, _READY, _RUNNING, _FINISHED = State.WAITING, State.READY, State.RUNNING, State.FINISHED


class Scheduler:
    """The state of one run of a plan.

    Call `begin` once, then `outcome` for every attempt that ended, `tick` when the time is `wake_at`, `set_capacity`
    when there is more or less of a resource, and `cancel` to stop. Each takes the time in seconds and returns the
    resulting events in order. The caller must carry out each `NodeStarted` and `AttemptStopped`. When `done`, call
    `finish` for the last event. It is not thread-safe. `running` is the number of running attempts,
    `failed` has the nodes that let the run fail, and `outputs` the outputs that have not been released.

    With `keep_going`, nodes that do not depend on a failed node still run; otherwise nothing starts after a failure.
    A node that fails with `continue_on_error` ends absent, which fails no run; so do nodes that lack its outputs.
    `seed` makes the jitter of retries repeatable. Attempts at the nodes `begins_later` begin when `begun` is called,
    all others when they start. `given` are outputs that are there when the run begins.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        keep_going: bool = False,
        seed: int = 0,
        begins_later: Collection[str] = (),
        given: Mapping[str, OutputRef] = NOTHING,
    ) -> None:
        self.plan = plan
        self._begins_later = frozenset(begins_later)
        self._keep_going = keep_going
        self._names = list(plan.nodes)
        self._index = {name: i for i, name in enumerate(self._names)}
        self._nodes = list(plan.nodes.values())
        count = len(self._nodes)
        self._state = [_WAITING] * count
        self._attempt = [0] * count
        self._starts = [0] * count  # as `_attempt`, but also counts the starts of nodes that lacked a table
        self._retries = Retries(self._nodes, seed)
        self._ready_at = [0.0] * count
        self._missing = [len(node.needs) + len(node.order_only) for node in self._nodes]
        self._needed_by: list[list[int]] = [[] for _ in range(count)]
        self._order_only_dependents: list[list[int]] = [[] for _ in range(count)]
        self.outputs = RunOutputs(plan)
        self.outputs.add(given)
        self._absent = self.outputs.absent_nodes
        self._lacks_some: dict[int, None] = {}  # nodes that depend on one of which an output is absent
        for i, node in enumerate(self._nodes):
            for name in node.needs:
                self._needed_by[self._index[name]].append(i)
            for name in node.order_only:
                self._order_only_dependents[self._index[name]].append(i)
        self._ready = ReadyQueue(plan)
        self._timers: list[Timer] = []
        self._detached: set[tuple[int, int]] = set()
        self._left = count
        self.running = 0
        self._stop_reason: str | None = None  # why nothing new starts; None while nodes may start
        self._cancelled = False
        self.failed: dict[str, Cause] = {}

    @property
    def done(self) -> bool:
        """Whether every node has ended."""
        return self._left == 0

    @property
    def wake_at(self) -> float | None:
        """The time when `tick` is due: of a timeout, the end of a back-off, or a node that fits then; or None."""
        timer, fits = self._next_timer(), self._ready.wake_at
        return timer if fits is None else fits if timer is None else min(timer, fits)

    def _next_timer(self) -> float | None:
        while self._timers:
            if self._is_needed(self._timers[0]):
                return self._timers[0][0]
            heapq.heappop(self._timers)
        return None

    def _is_needed(self, timer: Timer) -> bool:
        _, i, start, is_backoff, _ = timer
        return self._starts[i] == start and self._state[i] is (State.BACKOFF if is_backoff else State.RUNNING)

    def state(self, node: str) -> State:
        """Return the state of a node. Raises KeyError for an unknown name."""
        return self._state[self._index[node]]

    def begin(self, now: float) -> list[Event]:
        """Start the run and the nodes without dependencies, as far as they fit."""
        events: list[Event] = [RunStarted(now, sum(not n.barrier for n in self._nodes), self.plan.slots)]
        for i, missing in enumerate(list(self._missing)):
            if not missing:
                self._make_ready(now, i)
        self._dispatch(now, events)
        return events

    def outcome(self, now: float, outcome: Outcome) -> list[Event]:
        """Record the outcome of an attempt and start what it makes ready.

        Raises ValueError and changes nothing if the attempt is not running. A detached attempt, such as one that timed
        out, may still report its outcome once; that changes nothing and returns no events.
        """
        i = self._index.get(outcome.node, -1)
        if self._detached and (i, outcome.attempt) in self._detached:
            self._detached.remove((i, outcome.attempt))
            return []
        if i < 0 or self._state[i] is not _RUNNING or self._attempt[i] != outcome.attempt:
            raise ValueError(f"attempt {outcome.attempt} of node {outcome.node!r} is not under way")
        self._free_resources(i)
        events: list[Event] = []
        if outcome.lacking or outcome.missed:
            self._make_again(now, i, outcome.lacking, events)
        elif outcome.failure is None:
            events.append(NodeFinished.of(now, outcome))
            if outcome.outputs or outcome.absent:
                self.outputs.add(outcome.outputs, outcome.absent)
            if outcome.absent:
                self._lacks_some.update(dict.fromkeys(self._needed_by[i]))
            self._end(now, i, _FINISHED, events)
            for output in outcome.outputs:
                self.outputs.release_unread(now, output, events)
        else:
            self._fail(now, i, outcome, outcome.failure, events)
        self._dispatch(now, events)
        return events

    def begun(self, now: float, node: str, attempt: int, call: int = 0) -> None:
        """Count the timeout of an attempt, or of one of its calls, from now.

        What begins again, or is over, does not count.
        """
        i = self._index[node]
        timeout = self._nodes[i].timeout
        if timeout is not None and self._attempt[i] == attempt:  # `wake_at` drops it if the attempt is over
            heapq.heappush(self._timers, (now + timeout, i, self._starts[i], False, ()))

    def set_capacity(self, now: float, resource: str, amount: float) -> list[Event]:
        """Set how much of a resource there is now, at most its budget, and start what fits.

        If there is less than before, running attempts go on. A node that asks for more than there is waits, for ever if
        need be: only its budget limits that. Raises KeyError for a resource without a budget, ValueError for NaN.
        """
        self._ready.set_capacity(resource, amount)
        events: list[Event] = []
        self._dispatch(now, events)
        return events

    def tick(self, now: float) -> list[Event]:
        """End the back-offs and time out the attempts that are due at `now`."""
        events: list[Event] = []
        while (when := self._next_timer()) is not None and when <= now:
            self._end_timer(now, heapq.heappop(self._timers), events)
        self._dispatch(now, events)
        return events

    def _end_timer(self, now: float, timer: Timer, events: list[Event]) -> None:
        _, i, _, is_backoff, _ = timer
        if is_backoff:
            self._make_ready(now, i)
            return
        node, attempt = self._nodes[i], self._attempt[i]
        self._detached.add((i, attempt))
        self._free_resources(i)
        events.append(AttemptStopped(now, self._names[i], attempt, "timeout"))
        failure = Failure(Cause.TIMEOUT, "Timeout", f"took longer than {node.limit} of {node.timeout:g} s")
        self._fail(now, i, Outcome(self._names[i], attempt, duration=node.timeout or 0.0), failure, events)

    def cancel(self, now: float, why: str) -> list[Event]:
        """Start no more nodes and order the running attempts to stop. Calling it again does nothing."""
        events: list[Event] = []
        if not self._cancelled:
            self._cancelled = True
            self._stop_starting(now, why, events)
            self._stop_reason = why  # running attempts now stop for this reason, even if a node had failed before
            for i, state in enumerate(self._state):
                if state is State.RUNNING:
                    events.append(AttemptStopped(now, self._names[i], self._attempt[i], why))
        return events

    def detach(self, now: float) -> list[Event]:
        """Cancel the run and detach the running attempts: their nodes end now, as cancelled."""
        events = self.cancel(now, "cancelled")
        for i, state in enumerate(self._state):
            if state is State.RUNNING:
                self._detached.add((i, self._attempt[i]))
                self._free_resources(i)
                self._cancel_node(now, i, events)
        return events

    def finish(self, now: float, error: Exception | None = None) -> list[Event]:
        """Return the last event. `error` is an error outside of any node, None if there was none.

        Raises ValueError while a node has not ended.
        """
        if not self.done:
            raise ValueError("nodes are still under way")
        causes = [*self.failed.values(), *([cause_of(error)] if error else [])]
        status = "failed" if causes else "cancelled" if self._cancelled else "ok"
        return [RunFinished(now, status, str(error or ""), max(causes, key=list(Cause).index, default=None))]

    # -- state changes of one node ----------------------------------------------------------------------------------

    def _make_ready(self, now: float, i: int) -> None:
        self._state[i] = _READY
        self._ready_at[i] = now
        self._ready.add(i)

    def _start(self, now: float, i: int, events: list[Event]) -> None:
        node = self._nodes[i]
        self._state[i] = _RUNNING
        self._attempt[i] += 1
        self._starts[i] += 1
        self.running += 1
        if node.timeout is not None and node.name not in self._begins_later:
            heapq.heappush(self._timers, (now + node.timeout, i, self._starts[i], False, ()))
        inputs = self.outputs.inputs_of(node)
        wait, granted = now - self._ready_at[i], self._ready.granted(i)
        events.append(NodeStarted(now, node.name, self._attempt[i], inputs, wait, granted))

    def _free_resources(self, i: int) -> None:
        self.running -= 1
        self._ready.give_back(i)

    def _fail(self, now: float, i: int, outcome: Outcome, failure: Failure, events: list[Event]) -> None:
        name, attempt, duration = self._names[i], self._attempt[i], outcome.duration
        if self._cancelled and failure.cause in (Cause.CANCELLED, Cause.TIMEOUT):
            self._cancel_node(now, i, events)
        elif self._stop_reason is None and (delay := self._retries.delay(i, attempt, failure)) is not None:
            self._state[i] = State.BACKOFF
            events.append(NodeRetrying(now, name, attempt, delay, failure, duration))
            heapq.heappush(self._timers, (now + delay, i, self._starts[i], True, ()))
        elif self._nodes[i].continue_on_error and failure.cause not in FINAL:
            events.append(NodeFailed.of(now, outcome, failure, tolerated=True))
            self._absent[name] = name
            self._end(now, i, State.FAILED, events)
        else:
            self.failed[name] = failure.cause
            events.append(NodeFailed.of(now, outcome, failure, tolerated=False))
            self._end(now, i, State.FAILED, events)
            if not self._keep_going:
                self._stop_starting(now, f"node {name!r} failed", events)

    def _cancel_node(self, now: float, i: int, events: list[Event]) -> None:
        events.append(NodeCancelled(now, self._names[i], self._stop_reason or "cancelled"))
        self._end(now, i, State.CANCELLED, events)

    def _end(self, now: float, i: int, state: State, events: list[Event], because: str = "") -> None:
        """End a node, and then the nodes that can no longer start. It is a loop, since chains can be long.

        These are skipped because of the failed node `because`, by default the one that ends.
        """
        self._state[i] = state
        missing = self._missing
        pending = [i]
        while pending:
            ended = pending.pop()
            self._left -= 1
            if self._nodes[ended].reads:
                self.outputs.end_reader(now, self._nodes[ended], events)
            succeeded = self._state[ended] is _FINISHED
            is_absent = not succeeded and self._names[ended] in self._absent
            for dependent in self._needed_by[ended]:
                if succeeded or is_absent or state is State.CANCELLED:
                    if is_absent:
                        self._lacks_some[dependent] = None
                    missing[dependent] = left = missing[dependent] - 1
                    if not left:
                        self._unblock(now, dependent, pending, events)
                elif self._state[dependent] is _WAITING:
                    self._state[dependent] = State.SKIPPED
                    events.append(NodeSkipped(now, self._names[dependent], because or self._names[i]))
                    pending.append(dependent)
            for dependent in self._order_only_dependents[ended]:
                missing[dependent] = left = missing[dependent] - 1
                if not left:
                    self._unblock(now, dependent, pending, events)

    def _unblock(self, now: float, i: int, ended: list[int], events: list[Event]) -> None:
        """Make a node ready whose dependencies have all ended.

        A barrier, and a node that lacks an input, end at once and are added to `ended`.
        """
        if self._state[i] is not _WAITING:
            return
        if self._nodes[i].barrier:
            self._state[i] = _FINISHED
            ended.append(i)
        elif self._stop_reason is not None:
            return
        elif i in self._lacks_some and self._is_absent(now, i, events):
            ended.append(i)
        else:
            self._make_ready(now, i)

    def _is_absent(self, now: float, i: int, events: list[Event]) -> bool:
        """Make a node absent that waits for nothing, if it lacks an input. Returns whether it does.

        Until all that it needs has ended, an absent input decides nothing: a failure counts for more. So what a run
        does is the same in whatever order nodes end.
        """
        cause = self.outputs.cause_of_absence(self._nodes[i])
        if cause is not None:
            self._state[i] = State.SKIPPED
            self._absent[self._names[i]] = cause
            events.append(NodeSkipped(now, self._names[i], cause, tolerated=True))
        return cause is not None

    # -- tables that are made again ---------------------------------------------------------------------------------

    def _make_again(self, now: float, i: int, lacking: Collection[OutputRef], events: list[Event]) -> None:
        """Run the nodes again whose tables an attempt lacks, if any. Its own node starts again once they have ended.

        An output is released again if it is read again.
        """
        if self._stop_reason is not None:
            self._cancel_node(now, i, events)
            return
        events.append(NodeWaiting(now, self._names[i], self._attempt[i], for_budget=not lacking))
        if lacking:
            self._ready.look_up(i)
        self._attempt[i] -= 1  # it did nothing
        for ref in lacking:
            maker = self._index[ref.id.node]
            if self._state[maker] is not _FINISHED or not self.outputs.holds(ref):
                continue  # it runs again, or has run again, for another reader
            self._left += 1
            self.outputs.add_reader(self._nodes[maker])
            for dependent in self._needed_by[maker]:
                self._missing[dependent] += self._state[dependent] is _WAITING
            self._wait(now, maker, events)
        self._wait(now, i, events)

    def _wait(self, now: float, i: int, events: list[Event]) -> None:
        """Make a node ready once the nodes that it depends on have ended, some of which may run again."""
        needs = [(self._state[self._index[n]], n) for n in self._nodes[i].needs if n not in self._absent]
        self._missing[i] = sum(state is not _FINISHED for state, _ in needs)
        failed = next((name for state, name in needs if state in (State.FAILED, State.SKIPPED)), None)
        self._state[i] = _WAITING if failed is None else State.SKIPPED
        if failed is not None:
            events.append(NodeSkipped(now, self._names[i], failed))
            self._end(now, i, State.SKIPPED, events, failed)
        elif not self._missing[i]:
            if i in self._lacks_some and self._is_absent(now, i, events):
                self._end(now, i, State.SKIPPED, events)
            else:
                self._make_ready(now, i)

    def _stop_starting(self, now: float, why: str, events: list[Event]) -> None:
        if self._stop_reason is not None:
            return
        self._stop_reason = why
        self._ready.clear()
        for i, state in enumerate(self._state):
            if state in (State.WAITING, State.READY, State.BACKOFF):
                self._state[i] = State.CANCELLED
                if not self._nodes[i].barrier:
                    events.append(NodeCancelled(now, self._names[i], why))
                self._left -= 1
                self.outputs.end_reader(now, self._nodes[i], events)

    def _dispatch(self, now: float, events: list[Event]) -> None:
        """Start the ready nodes that fit into the free resources, in order of priority."""
        while self._stop_reason is None and (i := self._ready.take(now)) is not None:
            self._start(now, i, events)


class RunOutputs:
    """The outputs that have readers or are retained, and the nodes and outputs that are absent.

    `absent_nodes` maps each absent node to the node because of which it is absent: one that failed, or whose output is
    absent by itself.
    """

    def __init__(self, plan: Plan) -> None:
        self._retained = plan.retained
        self._readers: dict[str, int] = {}  # how many nodes that have not ended may read an output
        self._held: dict[str, OutputRef] = {}
        self._released: dict[str, OutputRef] = {}  # for nodes that run again
        self.absent_nodes: dict[str, str] = {}
        self._absent_outputs: dict[str, str] = {}  # of nodes that succeeded
        for node in plan.nodes.values():
            for output in node.reads:
                self._readers[output] = self._readers.get(output, 0) + 1

    def add(self, outputs: Mapping[str, OutputRef], absent: Sequence[OutputId] = ()) -> None:
        """Add the outputs of a node that succeeded, and those that are absent."""
        self._held.update(outputs)
        if self._absent_outputs:  # the node may have run before
            for output in outputs:
                self._absent_outputs.pop(output, None)
        for absent_output in absent:
            self._absent_outputs[absent_output] = absent_output.node

    def held(self) -> Mapping[str, OutputRef]:
        """Return the outputs that have not been released, by id."""
        return dict(self._held)

    def holds(self, ref: OutputRef) -> bool:
        """Return whether this is the output as its node made it last, and it has not been released."""
        return self._held.get(ref.id) == ref

    def inputs_of(self, node: Node) -> Mapping[str, OutputRef]:
        """Return the outputs that a node reads, by id."""
        if not node.reads:
            return NOTHING
        read: Sequence[str] = node.reads
        if node.inputs:
            read = [output for item in node.inputs for output in item.read(self._is_present)]
        return {output: self._held[output] for output in read if output in self._held}

    def cause_of_absence(self, node: Node) -> str | None:
        """Return the node that makes this one absent, None if all inputs that it needs are there.

        Call it when all nodes that it needs have ended.
        """
        if not node.inputs:
            return next(filter(None, map(self._cause, node.reads)), None)
        for item in node.inputs:
            if not item.optional and not item.read(self._is_present):
                return self._cause(item.outputs[-1])
        return None

    def _is_present(self, output: OutputId) -> bool:
        return output.node not in self.absent_nodes and output not in self._absent_outputs

    def _cause(self, output: OutputId) -> str | None:
        return self.absent_nodes.get(output.node) or self._absent_outputs.get(output)

    def end_reader(self, now: float, node: Node, events: list[Event]) -> None:
        """Record that a reader has ended, and release its inputs that have no reader left."""
        readers = self._readers
        for output in node.reads:
            readers[output] = left = readers[output] - 1
            if not left:
                self.release_unread(now, output, events)

    def add_reader(self, node: Node) -> None:
        """Count a node that runs again as a reader of its inputs."""
        for output in node.reads:
            self._readers[output] += 1
            if output in self._released:
                self._held[output] = self._released.pop(output)

    def release_unread(self, now: float, output: str, events: list[Event]) -> None:
        """Release an output that has no reader left and is not retained."""
        if output in self._held and not self._readers.get(output) and output not in self._retained:
            ref = self._released[output] = self._held.pop(output)
            events.append(OutputReleased(now, output, ref))
