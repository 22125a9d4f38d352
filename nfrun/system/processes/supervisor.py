"""Splits a run into three processes, so that no process that it started outlives it. Linux only.

The *supervisor* is the process that the user started. It waits, passes signals on, kills a runner that does not react,
and exits with the status of the run. The *runner* does the work. The *reaper* between them has a session of its own, so
that signals to the group do not reach it. Supervisor and reaper adopt orphans. Each kills all its descendants when the
process below it or above it is gone: nothing is left, whichever of the three is killed.

The runner reports its exit code before it leaves. If it ends without that, a node has ended it, as `os._exit` does:
whatever its status is, the run has failed. It reports too whether a node has closed its stdout or stderr: then the
supervisor says that.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NoReturn

from nfrun.system.processes.process_exit import remove_reserved_folder, reserve_temp_folder
from nfrun.system.processes.process_tree import (
    ADOPTS_ORPHANS,
    PARENT_DEATH_SIGNAL,
    Prctl,
    describe_exit,
    exit_as,
    find_prctl,
    kill_descendants,
    reap,
)
from nfrun.system.std_streams import StrayOutput, write_fd

_REACT_SECONDS = 2.0  # a runner that does not react to a signal for so long is stuck
_KILL_SECONDS = 0.1  # after a second request, until the rest is killed; 0.2 s are promised for all of it
_REPORT_SECONDS = 0.02  # for the runner to report that a signal reached it too
_LOOK_SECONDS = 0.001
_SHOW_CURSOR = "\x1b[?25h"
_REMOVE_LIVE_VIEW = f"\r\x1b[J{_SHOW_CURSOR}"  # erases what is below the cursor, and shows it again
_PID_BYTES = 8
_ENDED_BY_NODE = 128 + signal.SIGKILL  # the exit code of a run that is killed
_REACTED = 0  # the runner's answer to _ASK; its other messages are numbers of signals that reached it
_ASK = signal.SIGURG  # ignored by default
_GONE = signal.SIGUSR1  # sent to the reaper when the supervisor is gone


def supervise(hint: str = "", *, as_json: bool = False) -> Callable[[int], None]:
    """Split this process into three, and return in the runner only.

    Call it before any thread starts, and the function that it returns with the exit code before the runner leaves.
    `hint` tells the user what to do after the run was killed; with `as_json` stdout then gets a JSON document. Where
    `prctl` is not available, this process goes on alone.
    """
    if sys.platform != "linux" or (prctl := find_prctl()) is None or prctl(ADOPTS_ORPHANS, 1):
        return lambda code: None
    while (file := os.open(os.devnull, os.O_RDWR)) <= 2:  # a standard stream was closed: no pipe may get its number
        pass
    os.close(file)
    # Signals that are ignored, as SIGHUP under nohup, stay ignored: a blocked one would be delivered to sigwaitinfo.
    stop_signals = [
        n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN
    ]
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD, *stop_signals])
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # else the status of a child could not be read
    status_read, status_write = os.pipe()
    code_read, code_write = os.pipe()  # not the same: signals may fill that one
    stray_output = StrayOutput()
    supervisor = os.getpid()
    reserve_temp_folder()
    try:
        reaper = os.fork()
    except OSError:  # too many processes
        signal.signal(signal.SIGCHLD, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        stray_output.close()
        return lambda code: None
    if reaper:
        os.close(status_write)
        os.close(code_write)
        stray_output.relay()
        supervising = _Supervisor(reaper, status_read, code_read, stop_signals, hint, stray_output, as_json=as_json)
        _leave(supervising.wait())
    os.close(code_read)  # not the other: without a reader, Python would print an error at each signal
    runner = 0
    with suppress(OSError):  # if there are too many processes, the reaper is the runner
        runner = os.fork()
    if runner:
        os.close(status_write)
        os.close(code_write)
        stray_output.close()
        _leave(_reap(runner, supervisor, prctl))
    signal.signal(signal.SIGCHLD, before)
    stray_output.divert()

    def report(what: bytes) -> None:
        with suppress(OSError):  # the supervisor may be gone
            os.write(status_write, what)

    report(os.getpid().to_bytes(_PID_BYTES, "big"))
    os.set_blocking(status_write, False)
    # Python writes the number of each signal here at once, the handler of _ASK only when the main thread runs.
    signal.set_wakeup_fd(status_write, warn_on_full_buffer=False)
    signal.signal(_ASK, lambda number, frame: report(bytes([_REACTED])))
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return lambda code: _report([code, *stray_output.lost()], f"/proc/{supervisor}/fd/{code_read}", code_write)


def _report(numbers: Sequence[int], path: str, pipe: int) -> None:
    with suppress(OSError):  # not its descriptor, if possible: a node may have closed it, and opened another file
        pipe = os.open(path, os.O_WRONLY)
    with suppress(OSError):
        os.write(pipe, bytes(numbers))


def _leave(code: int) -> NoReturn:
    """Exit as `exit_as` does. Flushes nothing: the runner has done that."""
    remove_reserved_folder()
    exit_as(code)


def _reap(runner: int, supervisor: int, prctl: Prctl) -> int:
    """Run in the reaper: wait for the runner and kill all descendants. Returns the code for `_leave`."""
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    os.setsid()  # a SIGKILL to the supervisor's group does not reach it
    prctl(ADOPTS_ORPHANS, 1)
    prctl(PARENT_DEATH_SIGNAL, _GONE)
    code = None
    while code is None and os.getppid() == supervisor:
        signal.sigwaitinfo([signal.SIGCHLD, _GONE])
        code = reap(runner)
    kill_descendants()
    if code is None and _is_terminal(2):  # the supervisor was killed, and a shell does not show the cursor again
        write_fd(2, _SHOW_CURSOR)
    return code or 0


def _is_terminal(fd: int) -> bool:
    return os.isatty(fd) and os.environ.get("TERM") != "dumb"


class _Supervisor:
    """Runs in the supervisor: passes signals on and waits for the end of the run.

    `status_read` is the pipe from the runner, and `code_read` the one for its exit code. `stop_signals` are the signals
    that ask the run to stop.
    """

    def __init__(
        self,
        reaper: int,
        status_read: int,
        code_read: int,
        stop_signals: Sequence[int],
        hint: str,
        stray_output: StrayOutput,
        *,
        as_json: bool = False,
    ) -> None:
        self._reaper = reaper
        self._stray_output = stray_output
        self._status_read = status_read
        self._code_read = code_read
        self._as_json = as_json
        self._stop_signals = stop_signals
        self._hint = hint
        self._runner = int.from_bytes(os.read(status_read, _PID_BYTES), "big")  # 0 if it has ended already
        # The exit code of the runner, and whether its stdout and stderr are lost; empty if it did not come to its end.
        self._reported = b""
        self._requests: list[int] = []
        self._reacted = False
        # How often each signal reached the runner, except those sent by `_send`.
        self._received = dict.fromkeys(stop_signals, 0)
        self._deadline: float | None = None  # for a reaction, or for the end
        os.set_blocking(status_read, False)
        os.set_blocking(code_read, False)

    def wait(self) -> int:
        """Wait until everything has ended. Returns the code for `_leave`."""
        code = None
        while code is None:
            number = self._signal()
            if number is None:
                if (killed := self._look()) is not None:
                    return killed
            elif number == signal.SIGCHLD:
                ended, status = os.waitpid(self._reaper, os.WNOHANG)
                code = os.waitstatus_to_exitcode(status) if ended else None
            else:
                self._request(number)
        self._end()
        if code >= 0:
            if self._reported:
                return self._reported_code()  # not its status, which an exit hook may have changed
            self._print(f"a node ended the process of the run with status {code}, as os._exit and exec do")
            return _ENDED_BY_NODE
        if -code not in self._requests:
            self._print(f"the run {describe_exit(code)}")
        return 128 - code if code == -signal.SIGKILL else code

    def _reported_code(self) -> int:
        code, *lost = self._reported
        what = "a node closed files that the run had open, as os.closerange does: let it close only what it has opened"
        if lost and lost[0]:  # its document too
            self._print_document(what)
        if lost and lost[1]:
            self._print(what)
            return code or os.EX_IOERR
        return code

    def _signal(self) -> int | None:
        """Return the next signal; None at the deadline."""
        waited = [signal.SIGCHLD, *self._stop_signals]
        if self._deadline is None:
            return signal.sigwaitinfo(waited).si_signo
        found = signal.sigtimedwait(waited, max(0.0, self._deadline - time.monotonic()))
        return found and found.si_signo

    def _request(self, number: int) -> None:
        """Handle a signal that asks the run to stop."""
        at = time.monotonic()
        while self._received[number] < 1 and time.monotonic() < at + _REPORT_SECONDS:
            time.sleep(_LOOK_SECONDS)
            self._read_messages()
        if self._received[number] < 1:  # sent to this process only, not to the group as by a terminal
            self._send(number)
        self._received[number] -= 1
        self._requests.append(number)
        if len(self._requests) == 1:
            self._ask()
        elif len(self._requests) == 2:
            self._deadline = at + _KILL_SECONDS

    def _ask(self) -> None:
        """Ask the runner to show that its main thread runs."""
        self._reacted = False
        self._send(_ASK)
        self._deadline = time.monotonic() + _REACT_SECONDS

    def _look(self) -> int | None:
        """At the deadline: kill the run unless it has reacted. Returns the exit code, None if the run goes on."""
        if len(self._requests) == 1:
            self._read_messages()
            if self._reacted:
                self._ask()
                return None
        self._end()
        stuck = f"the run did not react within {_REACT_SECONDS:g} s and was killed: something in it held Python's lock"
        self._print(stuck if len(self._requests) == 1 else "the run was asked twice to stop and was killed")
        return 128 + self._requests[0]

    def _end(self) -> None:
        """Kill all descendants, wait until their output is relayed, and read the exit code that the runner reported."""
        kill_descendants()
        self._stray_output.end()
        with suppress(BlockingIOError):
            self._reported = os.read(self._code_read, 3)

    def _read_messages(self) -> None:
        """Read the messages of the runner."""
        with suppress(BlockingIOError):
            messages = os.read(self._status_read, 1 << 16)
            self._reacted |= _REACTED in messages
            for number in self._received:
                self._received[number] += messages.count(number)

    def _send(self, number: int) -> None:
        if self._runner:
            with suppress(ProcessLookupError):
                os.kill(self._runner, number)

    def _print(self, what: str) -> None:
        """Print one line to stderr after the run was killed, and a JSON document if the run cannot have printed one."""
        hint = f"; {self._hint}" if self._hint else ""
        begin = _REMOVE_LIVE_VIEW if _is_terminal(2) else ""
        write_fd(2, f"{begin}nfrun: {what}{hint}\n")
        if not self._reported:
            self._print_document(what)

    def _print_document(self, what: str) -> None:
        if self._as_json:
            import json

            document = json.dumps({"status": "failed", "error": what, "problems": []}, indent=2)
            write_fd(1, f"{document}\n")
