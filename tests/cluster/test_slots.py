"""Tests of who gets the room of workers, and in which order."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from nfrun.cluster.base import RemoteWorker
from nfrun.cluster.slots import Slot, WorkerSlots

ONE: Mapping[str, float] = {"cpu": 1.0}


class Taking:
    """Takes a slot on a thread. `slot` waits for it."""

    def __init__(self, slots: WorkerSlots, needs: Mapping[str, float] = ONE) -> None:
        self.found: list[Slot | None] = []
        self.is_wanted = True
        known = len(slots._waiters)
        self._thread = threading.Thread(target=lambda: self.found.append(slots.take(needs, lambda: self.is_wanted)))
        self._thread.start()
        while self._thread.is_alive() and len(slots._waiters) == known:
            pass

    def slot(self) -> Slot | None:
        self._thread.join(10)
        return self.found[0]


def take(slots: WorkerSlots, needs: Mapping[str, float] = ONE) -> Slot:
    slot = slots.take(needs, lambda: True)
    assert slot is not None
    return slot


def test_who_has_waited_longest_gets_what_is_given_back() -> None:
    slots = WorkerSlots(lambda: [RemoteWorker("a", 1.0)])
    taken = take(slots)
    one, two = Taking(slots), Taking(slots)
    slots.give_back(taken)
    first = one.slot()
    assert first == Slot("a", ONE)
    assert not two.found
    slots.give_back(first)
    assert two.slot() == Slot("a", ONE)


def test_who_needs_more_than_is_free_keeps_nobody_waiting() -> None:
    slots = WorkerSlots(lambda: [RemoteWorker("a", 2.0)])
    taken = [take(slots), take(slots)]
    both, one = Taking(slots, {"cpu": 2.0}), Taking(slots)
    slots.give_back(taken.pop())
    last = one.slot()
    assert last is not None
    assert not both.found
    slots.give_back(taken.pop())
    slots.give_back(last)
    assert both.slot() == Slot("a", {"cpu": 2.0})


def test_the_worker_with_most_room_is_taken() -> None:
    slots = WorkerSlots(lambda: [RemoteWorker("a", 1.0), RemoteWorker("b", 3.0)])
    assert [take(slots).worker for _ in range(4)] == ["b", "b", "a", "b"]


def test_nobody_waits_after_the_end_or_for_what_is_wanted_no_more() -> None:
    slots = WorkerSlots(lambda: [RemoteWorker("a", 1.0)])
    taken = take(slots)
    stopped, left = Taking(slots), Taking(slots)
    stopped.is_wanted = False
    slots.wake()
    assert stopped.slot() is None
    slots.close()
    assert left.slot() is None
    slots.give_back(taken)
    assert slots.take(ONE, lambda: True) is None


def test_a_worker_that_joins_is_taken() -> None:
    workers = [RemoteWorker("a", 1.0)]
    slots = WorkerSlots(lambda: workers)
    take(slots)
    waiting = Taking(slots)
    workers.append(RemoteWorker("b", 1.0))
    slots.wake()
    slot = waiting.slot()
    assert slot is not None
    assert slot.worker == "b"
