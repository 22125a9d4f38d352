"""Sees what attempts cost their threads: processor time, and waiting for the interpreter's lock. Knows threads only.

Python does not tell of such waits, so they are sampled. Whoever wants the lock while Python code holds it has to wait
for a whole switch interval (5 ms): a thread that sleeps and wakes up that late has found the lock held, or all cores
busy, which shows in what the threads have used. Those that used the processor meanwhile are those that compete for the
lock, and what each of them lacks of the time that passed is its wait.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from threading import get_ident

_AT_WORK_SECONDS = 0.001  # of CPU between two looks; who used less was asleep
_LATE_SHARE = 0.8  # of a switch interval
_ONE_CORE = 1.2  # of the time that passed


@dataclass(slots=True)
class _Thread:
    clock: int | None
    seen: float  # CPU at the last look
    told: float  # CPU at the end of the last attempt
    at_work: bool = False
    waited: float = 0.0
    waited_told: float = 0.0


class GilContention:
    """The costs of the attempts on the threads of a run. Waits are 0 where the system has no CPU clocks for threads."""

    def __init__(self) -> None:
        self._threads: dict[int, _Thread] = {}
        self._looked_at = time.monotonic()
        self._has_clocks = hasattr(time, "pthread_getcpuclockid")  # not on macOS

    def begin(self) -> None:
        """An attempt begins on the calling thread."""
        ident = get_ident()
        if ident not in self._threads:
            # Its clock is asked for by itself: of a thread that has ended that would be a crash.
            clock = time.pthread_getcpuclockid(ident) if self._has_clocks else None
            cpu = time.thread_time()
            self._threads[ident] = _Thread(clock, cpu, cpu)

    def end(self) -> tuple[float, float]:
        """It ends: its seconds of CPU and of waiting for the lock.

        They count from the end of the one before on that thread, in between which there is nothing but the start of
        this one: to read the clock takes as long as all else that is measured of a node.
        """
        thread = self._threads.get(get_ident())
        if thread is None:  # it was taken for ended
            return 0.0, 0.0
        cpu, waited = time.thread_time(), thread.waited
        spent = cpu - thread.told, waited - thread.waited_told
        thread.told, thread.waited_told = cpu, waited
        return spent

    def look(self, late: float) -> None:
        """To be called now and then by a thread that has slept, and woke up so many seconds `late`."""
        now = time.monotonic()
        seconds, self._looked_at = now - self._looked_at, now
        threads = []
        for ident, thread in list(self._threads.items()):
            if thread.clock is None:
                continue
            used = -thread.seen
            try:
                thread.seen = time.clock_gettime(thread.clock)
            except OSError:  # it has ended
                with suppress(KeyError):
                    del self._threads[ident]
                continue
            used += thread.seen
            # One that was at work before has perhaps not had its turn: there may be many.
            at_work, thread.at_work = thread.at_work, used > _AT_WORK_SECONDS
            if at_work or thread.at_work:
                threads.append((thread, used))
        # Who used more than one core together was not held up by the lock, but perhaps by a lack of cores.
        one_core = sum(used for _, used in threads) < _ONE_CORE * seconds
        if late > _LATE_SHARE * sys.getswitchinterval() and len(threads) > 1 and one_core:
            for thread, used in threads:
                thread.waited += max(0.0, seconds - used)
