"""Three processes instead of one, so that nothing that a run has started outlives it. Linux alone; knows no runs.

The *front* is the one that the user has started: it waits, sees to it that what is asked of it by signals is done in
time, and ends as the run did. The *runner* is the one that all else happens in. The *keeper* is between them, out of
everybody's reach. Front and keeper adopt orphans, and each ends all that is below it when the one below or the one
above is gone: so whichever of the three is killed, nothing is left.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NoReturn

from nfrun.system.process_tree import kill_descendants
from nfrun.system.stray_output import StrayOutput, open_stray_output

# Numbers of Linux, from <linux/prctl.h>.
_PARENT_DEATH_SIGNAL, _DUMPABLE, _ADOPTS_ORPHANS = 1, 4, 36
_REACT_SECONDS = 2.0  # a runner that has not reacted to a request, nor to being asked, is stuck
_HURRY_SECONDS = 0.1  # what is left so long after a second request is killed; 0.2 are promised for all of it
_HEARD_SECONDS = 0.02  # for the runner to say that a signal has reached it too
_LOOK_SECONDS = 0.001
_SHOW_CURSOR = "\x1b[?25h"
_PID_BYTES = 8
_REACTED = 0  # what the runner says when it is asked; all else that it says is numbers of signals that reached it
_ASK = signal.SIGURG  # does nothing to a process that does not know it
_GONE = signal.SIGUSR1  # how the keeper hears that the front is gone

Prctl = Callable[[int, int], int]


def supervise(hint: str = "") -> None:
    """Become three processes, and go on in the runner: the other two never return from here.

    To be called before there is any thread. `hint` says what a user can do after the run was killed. Where the system
    lacks the means, all goes on in this process.
    """
    if sys.platform != "linux" or (prctl := _prctl()) is None or prctl(_ADOPTS_ORPHANS, 1):
        return
    while (file := os.open(os.devnull, os.O_RDWR)) <= 2:  # a closed stream: no pipe may get its number
        pass
    os.close(file)
    # Nobody's terminal closing ends what is started with nohup. A blocked signal that is ignored would still come.
    heeded = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD, *heeded])
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # else nobody could ask how a child has ended
    told, tell = os.pipe()
    stray_output = open_stray_output()
    supervisor = os.getpid()
    try:
        reaper = os.fork()
    except OSError:  # too many processes
        signal.signal(signal.SIGCHLD, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if stray_output is not None:
            stray_output.close()
        return
    if reaper:
        os.close(tell)
        if stray_output is not None:
            stray_output.relay()
        _leave(_Supervisor(reaper, told, heeded, hint, stray_output).wait(), prctl)
    os.close(told)
    runner = 0
    with suppress(OSError):  # if there are too many processes, the keeper is the runner
        runner = os.fork()
    if runner:
        os.close(tell)
        if stray_output is not None:
            stray_output.close()
        _leave(_reap(runner, supervisor, prctl), prctl)
    signal.signal(signal.SIGCHLD, before)
    if stray_output is not None:
        stray_output.divert()

    def say(what: bytes) -> None:
        with suppress(OSError):  # the front may be gone
            os.write(tell, what)

    say(os.getpid().to_bytes(_PID_BYTES, "big"))
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)  # there are the numbers of signals written, at once
    signal.signal(_ASK, lambda number, frame: say(bytes([_REACTED])))  # and this when the main thread can run
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _prctl() -> Prctl | None:
    """The system call of that name, which gives 0 if all is well; None where it cannot be had."""
    try:
        import ctypes

        call = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return None
    return lambda what, value: int(call(what, ctypes.c_ulong(value), *[ctypes.c_ulong()] * 3))


def _leave(code: int, prctl: Prctl) -> NoReturn:
    """End with this exit code, or, if it is negative, by that signal. Nothing is flushed: the runner has done that."""
    if code < 0:
        prctl(_DUMPABLE, 0)  # one core dump is enough
        with suppress(OSError):
            signal.signal(-code, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [-code])
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 128 - code)


def _reap(runner: int, supervisor: int, prctl: Prctl) -> int:
    """What the keeper does; returns how the runner has ended, as `_leave` takes it."""
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    os.setsid()  # a SIGKILL to the group of the front does not reach it
    prctl(_ADOPTS_ORPHANS, 1)
    prctl(_PARENT_DEATH_SIGNAL, _GONE)
    code = None
    while code is None and os.getppid() == supervisor:
        signal.sigwaitinfo([signal.SIGCHLD, _GONE])
        ended = 1
        while ended and code is None:  # orphans that have ended, too
            ended, status = os.waitpid(-1, os.WNOHANG)
            if ended == runner:
                code = os.waitstatus_to_exitcode(status)
    kill_descendants()
    return code or 0


class _Supervisor:
    """What the front does. `told` is what the runner says; `heeded` are the signals that are requests to stop."""

    def __init__(
        self, reaper: int, told: int, heeded: Sequence[int], hint: str, stray_output: StrayOutput | None = None
    ) -> None:
        self._reaper = reaper
        self._stray_output = stray_output
        self._told = told
        self._heeded = heeded
        self._hint = hint
        self._runner = int.from_bytes(os.read(told, _PID_BYTES), "big")  # 0 if it is gone already
        self._asked: list[int] = []
        self._reacted = False
        self._heard = dict.fromkeys(heeded, 0)  # how often each has reached the runner, without those from here
        self._until: float | None = None  # when it has to react, or to be over
        os.set_blocking(told, False)

    def wait(self) -> int:
        """Wait for the end of everything; returns how the run has ended, as `_leave` takes it."""
        code = None
        while code is None:
            number = self._signal()
            if number is None:
                code = self._look()
            elif number == signal.SIGCHLD:
                ended, status = os.waitpid(self._reaper, os.WNOHANG)
                code = os.waitstatus_to_exitcode(status) if ended else None
            else:
                self._request(number)
        self._end()
        if code < 0 and -code not in self._asked:
            name = next((known.name for known in signal.Signals if known == -code), f"signal {-code}")
            self._say(f"the run was killed ({name})")
        return 128 - code if code == -signal.SIGKILL else code

    def _signal(self) -> int | None:
        """The next signal; None if none comes in time."""
        waited = [signal.SIGCHLD, *self._heeded]
        if self._until is None:
            return signal.sigwaitinfo(waited).si_signo
        found = signal.sigtimedwait(waited, max(0.0, self._until - time.monotonic()))
        return found and found.si_signo

    def _request(self, number: int) -> None:
        """Somebody wants the run to stop."""
        at = time.monotonic()
        while self._heard[number] < 1 and time.monotonic() < at + _HEARD_SECONDS:
            time.sleep(_LOOK_SECONDS)
            self._listen()
        if self._heard[number] < 1:  # it was sent to this process alone, not to the group as a terminal does
            self._send(number)
        self._heard[number] -= 1
        self._asked.append(number)
        if len(self._asked) == 1:
            self._ask()
        elif len(self._asked) == 2:
            self._until = at + _HURRY_SECONDS

    def _ask(self) -> None:
        """Ask the runner for a sign that its main thread is alive."""
        self._reacted = False
        self._send(_ASK)
        self._until = time.monotonic() + _REACT_SECONDS

    def _look(self) -> int | None:
        """Time is up: returns how the run has ended, if that is what it comes to."""
        if len(self._asked) == 1:
            self._listen()
            if self._reacted:
                self._ask()
                return None
        self._end()
        stuck = f"the run did not react within {_REACT_SECONDS:g} s and was killed: something in it held Python's lock"
        self._say(stuck if len(self._asked) == 1 else "the run was asked twice to stop and was killed")
        return 128 + self._asked[0]

    def _end(self) -> None:
        """End whatever is left, and hear it out."""
        kill_descendants()
        if self._stray_output is not None:
            self._stray_output.end()

    def _listen(self) -> None:
        """Hear what the runner has said."""
        with suppress(BlockingIOError):
            said = os.read(self._told, 1 << 16)
            self._reacted |= _REACTED in said
            for number in self._heard:
                self._heard[number] += said.count(number)

    def _send(self, number: int) -> None:
        if self._runner:
            with suppress(ProcessLookupError):
                os.kill(self._runner, number)

    def _say(self, what: str) -> None:
        """After the run was killed: one line on stderr."""
        hint = f"; {self._hint}" if self._hint else ""
        line = f"nfrun: {what}{hint}\n"
        with suppress(OSError):
            # A live view has hidden the cursor of the terminal, and left it in the middle of a line.
            os.write(2, f"{_SHOW_CURSOR}\n{line}".encode() if os.isatty(2) else line.encode())
