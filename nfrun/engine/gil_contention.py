"""Measures the CPU time and the GIL wait of attempts on threads.

Python does not report GIL waits, so they are estimated from samples. A thread that wants the GIL while Python code
holds it waits for a whole switch interval (5 ms). So if a sleeping thread wakes up that late, either the GIL was held
or all cores were busy, with these threads or with others of the machine; the CPU time of the threads and the load of
the machine show which. The threads that used CPU since the last sample compete for the GIL, and the rest of the time
that passed is the GIL wait of each.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from threading import get_ident

from nfrun.core.values import mutable
from nfrun.system.runtime import is_busy

_BUSY_SECONDS = 0.001  # of CPU between two samples; a thread that used less was asleep
_LATE_SHARE = 0.8  # of a switch interval
_ONE_CORE = 1.2  # of the time that passed: more CPU than this means that several cores were used


@mutable
class _Thread:
    clock: int | None
    sampled_cpu: float  # CPU seconds at the last sample
    reported_cpu: float  # CPU seconds at the end of the last attempt
    busy: bool = False
    waited: float = 0.0
    reported_wait: float = 0.0


class GilContention:
    """Measures the attempts on the threads of a run. GIL waits are 0 if the system has no CPU clocks for threads.

    While `is_busy()`, threads may have waited for a core, so that no wait is counted.
    """

    def __init__(self, is_busy: Callable[[], bool] = is_busy) -> None:
        self._is_busy = is_busy
        self._threads: dict[int, _Thread] = {}
        self._sampled_at = time.monotonic()
        self._has_clocks = hasattr(time, "pthread_getcpuclockid")  # not on macOS

    def begin(self) -> None:
        """Register the calling thread. Call it when an attempt begins."""
        ident = get_ident()
        if ident not in self._threads:
            # Each thread gets its own clock id: getting that of a thread that has ended crashes.
            clock = time.pthread_getcpuclockid(ident) if self._has_clocks else None
            cpu = time.thread_time()
            self._threads[ident] = _Thread(clock, cpu, cpu)

    def end(self) -> tuple[float, float]:
        """Return the CPU seconds and GIL wait seconds of the attempt that ends on the calling thread.

        Both count from the end of the previous attempt on that thread, with only the start of this one in between: one
        more clock read would cost as much as all other measurements of a node.
        """
        thread = self._threads.get(get_ident())
        if thread is None:  # `look` removed it as ended
            return 0.0, 0.0
        cpu, waited = time.thread_time(), thread.waited
        spent = cpu - thread.reported_cpu, waited - thread.reported_wait
        thread.reported_cpu, thread.reported_wait = cpu, waited
        return spent

    def look(self, late: float) -> None:
        """Take a sample. Called several times a second by a thread that slept and woke up `late` seconds too late."""
        now = time.monotonic()
        seconds, self._sampled_at = now - self._sampled_at, now
        threads = []
        for ident, thread in list(self._threads.items()):
            if thread.clock is None:
                continue
            used = -thread.sampled_cpu
            try:
                thread.sampled_cpu = time.clock_gettime(thread.clock)
            except OSError:  # the thread has ended
                self._threads.pop(ident, None)
                continue
            used += thread.sampled_cpu
            # A thread that was busy in the previous sample may just not have had its turn, if there are many.
            busy, thread.busy = thread.busy, used > _BUSY_SECONDS
            if busy or thread.busy:
                threads.append((thread, used))
        # Threads that used more than one core together did not wait for the GIL, but perhaps for a core.
        one_core = sum(used for _, used in threads) < _ONE_CORE * seconds
        is_late = late > _LATE_SHARE * sys.getswitchinterval()
        if is_late and len(threads) > 1 and one_core and not self._is_busy():
            for thread, used in threads:
                thread.waited += max(0.0, seconds - used)
