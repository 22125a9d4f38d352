"""Tests of GIL waits: they are estimated from CPU clocks and shared out among the competing threads."""

from __future__ import annotations

import threading
import time

import pytest

from nfrun.engine.gil_contention import GilContention


class Threads:
    """A `GilContention` and threads with CPU clocks that tests set. The clock of a thread that ended is None."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cpu: dict[int, float | None] = {}
        self.caller = 0
        self.now = 0.0
        module = "nfrun.engine.gil_contention"
        monkeypatch.setattr(f"{module}.time.pthread_getcpuclockid", lambda ident: ident, raising=False)
        monkeypatch.setattr(f"{module}.time.thread_time", lambda: self.cpu[self.caller])
        monkeypatch.setattr(f"{module}.time.clock_gettime", self._get)
        monkeypatch.setattr(f"{module}.time.monotonic", lambda: self.now)
        monkeypatch.setattr(f"{module}.get_ident", lambda: self.caller)
        # A run that leaves a node running in a thread makes that of this process shorter.
        monkeypatch.setattr(f"{module}.sys.getswitchinterval", lambda: 0.005)
        self.is_busy = False
        self.contention = GilContention(lambda: self.is_busy)

    def _get(self, clock: int) -> float:
        value = self.cpu[clock]
        if value is None:
            raise OSError("no such clock")
        return value

    def look(self, *cpu: float | None, seconds: float = 0.1, late: float = 0.005) -> None:
        """Look once when the threads have used this much CPU time in all. Unknown threads begin an attempt first."""
        for ident, value in enumerate(cpu):
            if ident not in self.cpu:
                self.cpu[ident], self.caller = value, ident
                self.contention.begin()
            self.cpu[ident] = value
        self.now += seconds
        self.contention.look(late)

    def ends(self) -> list[tuple[float, float]]:
        """End all attempts and return the CPU time and the wait of each."""
        found = []
        for ident in self.cpu:
            self.caller = ident
            cpu, waited = self.contention.end()
            found.append((round(cpu, 9), round(waited, 9)))
        return found


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Threads:
    return Threads(monkeypatch)


def test_competing_threads_wait_for_the_time_they_did_not_compute(threads: Threads) -> None:
    threads.look(0.0, 0.0, 0.0)
    threads.look(0.05, 0.04, 0.0)
    assert threads.ends() == [(0.05, 0.05), (0.04, 0.06), (0.0, 0.0)], "the third sleeps"
    assert threads.ends() == [(0.0, 0.0)] * 3, "the next attempts begin anew"


def test_threads_do_not_wait_while_the_gil_is_free_or_one_thread_is_busy(threads: Threads) -> None:
    threads.look(0.0, 0.0)
    threads.look(0.05, 0.05, late=0.001)
    assert threads.ends() == [(0.05, 0.0), (0.05, 0.0)]
    threads.look(0.05, 0.05)
    threads.ends()
    threads.look(0.1, 0.05)
    assert threads.ends() == [(0.05, 0.0), (0.0, 0.0)]


def test_a_thread_that_gets_no_turn_waits_for_a_limited_time(threads: Threads) -> None:
    threads.look(0.0, 0.0)
    threads.look(0.05, 0.05)
    threads.look(0.15, 0.05)
    threads.look(0.25, 0.05)
    assert threads.ends() == [(0.25, 0.05), (0.05, 0.15)]


def test_threads_that_compute_without_the_gil_do_not_wait(threads: Threads) -> None:
    threads.look(0.0, 0.0)
    threads.look(0.1, 0.12)
    assert threads.ends() == [(0.1, 0.0), (0.12, 0.0)]


def test_a_lack_of_cores_is_not_a_gil_wait(threads: Threads) -> None:
    """Six threads compute without the GIL on two cores."""
    threads.look(*[0.0] * 6)
    threads.look(*[0.033] * 6)
    assert [waited for _, waited in threads.ends()] == [0.0] * 6


def test_threads_do_not_wait_for_the_gil_where_the_machine_is_busy(threads: Threads) -> None:
    """Other programs use what these two threads leave of two cores."""
    threads.look(0.0, 0.0)
    threads.is_busy = True
    threads.look(0.05, 0.05)
    assert threads.ends() == [(0.05, 0.0), (0.05, 0.0)]
    threads.is_busy = False
    threads.look(0.1, 0.1)
    assert threads.ends() == [(0.05, 0.05), (0.05, 0.05)]


def test_a_thread_that_has_ended_is_forgotten(threads: Threads) -> None:
    threads.look(0.0, 0.0)
    threads.look(0.05, None)
    assert list(threads.contention._threads) == [0]
    threads.caller = 1
    assert threads.contention.end() == (0.0, 0.0)


def test_without_thread_clocks_only_the_cpu_time_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("nfrun.engine.gil_contention.time.pthread_getcpuclockid", raising=False)
    contention = GilContention()
    contention.begin()
    sum(range(100_000))
    contention.look(1.0)
    cpu, waited = contention.end()
    assert cpu > 0
    assert waited == 0.0


@pytest.mark.skipif(not hasattr(time, "pthread_getcpuclockid"), reason="there are no CPU clocks of threads here")
def test_two_threads_that_compute_wait_for_each_other() -> None:
    """Uses real threads: they compute until each was seen to wait, as if the machine had nothing else to do."""
    contention = GilContention(is_busy=lambda: False)
    waits: list[float] = []
    done, tick = threading.Event(), threading.Event()

    def compute() -> None:
        contention.begin()
        while not done.is_set():
            sum(range(1000))
        waits.append(contention.end()[1])

    threads = [threading.Thread(target=compute) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(400):
        start = time.monotonic()
        tick.wait(0.02)
        contention.look(time.monotonic() - start - 0.02)
        if all(thread.waited > 0.01 for thread in contention._threads.values()):
            break
    done.set()
    for thread in threads:
        thread.join()
    assert len(waits) == 2
    assert min(waits) > 0.01
