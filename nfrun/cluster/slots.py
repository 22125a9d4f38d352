"""Chooses the worker of each attempt, and keeps account of what the attempts of the run take of the workers."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

from nfrun.cluster.base import RemoteWorker
from nfrun.core.budgets import Held, Units
from nfrun.core.values import frozen

_ROUNDING = 1e-9
_LOOK_SECONDS = 0.5  # between two looks at the workers while none has room


@frozen
class Slot:
    """The place of an attempt on a worker: what it takes of each resource, and the numbers of its units of `gpu`."""

    worker: str
    needs: Mapping[str, float]
    held: Held = ()


class _Waiter:
    """An attempt that waits for a worker. `woken` is set when it has the `slot`, or shall look again."""

    def __init__(self, needs: Mapping[str, float]) -> None:
        self.needs = needs
        self.slot: Slot | None = None
        self.woken = threading.Event()


class WorkerSlots:
    """The room that workers have for attempts. Thread-safe. `workers` returns those that there are now.

    An attempt may ask for more slots than any worker has: it gets a whole worker.
    """

    def __init__(self, workers: Callable[[], Sequence[RemoteWorker]]) -> None:
        self._workers = workers
        self._lock = threading.Lock()
        self._waiters: list[_Waiter] = []  # those that have waited longest first
        self._taken: dict[str, dict[str, float]] = {}
        self._units: dict[str, Units] = {}
        self._silent: set[str] = set()  # workers that do not answer
        self._closed = False

    def amount(self) -> float:
        """Return the slots of all workers, those in use included."""
        return sum(worker.slots for worker in self._workers())

    def has(self, needs: Iterable[tuple[str, float]]) -> bool:
        """Return whether a worker has so much of these resources, in use or not, and any slots."""
        return any(
            worker.slots > 0 and all(_has(worker, name) >= amount - _ROUNDING for name, amount in needs)
            for worker in self._workers()
        )

    def most(self) -> float:
        """Return the most slots that one attempt can take: without workers, as many as it likes."""
        return max([worker.slots for worker in self._workers()], default=math.inf)

    def take(self, needs: Mapping[str, float], is_wanted: Callable[[], bool]) -> Slot | None:
        """Wait for a worker that has room, and take it. None if it `is_wanted` no more, or after `close`.

        Of the workers with room it is the one with the most free slots.
        """
        waiter = _Waiter(needs)
        with self._lock:
            self._waiters.append(waiter)
        while True:
            with self._lock:
                waiter.woken.clear()
                if waiter.slot is None and not self._closed and is_wanted():
                    self._serve(waiter)
                if waiter.slot is not None or self._closed or not is_wanted():
                    self._waiters.remove(waiter)
                    return waiter.slot
            waiter.woken.wait(_LOOK_SECONDS)

    def give_back(self, slot: Slot) -> None:
        """Free what an attempt has taken, for who has waited longest for that."""
        with self._lock:
            self._silent.discard(slot.worker)
            taken = self._taken[slot.worker]
            for name, amount in slot.needs.items():
                taken[name] -= amount
            if slot.held:
                self._units[slot.worker].give_back(slot.held)
            for waiter in self._waiters if not self._closed else ():
                if waiter.slot is None:
                    self._serve(waiter)

    def avoid(self, worker: str) -> bool:
        """Take nothing of a worker that does not answer, until an attempt there ends. Returns whether that is new."""
        with self._lock:
            is_new = worker not in self._silent
            self._silent.add(worker)
            return is_new

    def wake(self) -> None:
        """Let those that wait look again."""
        with self._lock:
            for waiter in self._waiters:
                waiter.woken.set()

    def close(self) -> None:
        """Let nobody wait any more."""
        self._closed = True
        self.wake()

    def _serve(self, waiter: _Waiter) -> None:
        """Take a worker with room for who waits, if there is one."""
        fitting = [worker for worker in self._workers() if self._fits(worker, waiter.needs)]
        if fitting:
            waiter.slot = self._take(max(fitting, key=lambda w: self._free(w, "cpu")), waiter.needs)
            waiter.woken.set()

    def _free(self, worker: RemoteWorker, name: str) -> float:
        return _has(worker, name) - self._taken.get(worker.address, {}).get(name, 0.0)

    def _fits(self, worker: RemoteWorker, needs: Mapping[str, float]) -> bool:
        if worker.address in self._silent:
            return False
        for name, amount in needs.items():
            most = worker.slots if name == "cpu" else math.inf
            if self._free(worker, name) < min(amount, most) - _ROUNDING:
                return False
        units = self._units.get(worker.address)
        return worker.slots > 0 and (units is None or units.fits(needs.get("gpu", 0.0)))

    def _take(self, worker: RemoteWorker, needs: Mapping[str, float]) -> Slot:
        needs = {name: min(amount, worker.slots) if name == "cpu" else amount for name, amount in needs.items()}
        taken = self._taken.setdefault(worker.address, {})
        for name, amount in needs.items():
            taken[name] = taken.get(name, 0.0) + amount
        held: Held = ()
        if needs.get("gpu"):
            units = self._units.setdefault(worker.address, Units(int(worker.resources.get("gpu", 0.0))))
            held = units.take(needs["gpu"])
        return Slot(worker.address, needs, held)


def most_slots(workers: Iterable[RemoteWorker]) -> float:
    """Return the slots of the machine that has most of them: its workers share its memory."""
    by_host: dict[str, float] = {}
    for worker in workers:
        host = worker.address.rpartition(":")[0]
        by_host[host] = by_host.get(host, 0.0) + worker.slots
    return max(by_host.values(), default=1.0)


def _has(worker: RemoteWorker, name: str) -> float:
    return worker.slots if name == "cpu" else worker.resources.get(name, 0.0)
