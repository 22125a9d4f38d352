"""Starts the hosts of runs on this machine, one for each, and passes orders and messages on.

It runs in the process of a worker of the engine, such as a Dask worker: it imports little, and no code of users. A host
without attempts ends after a while, and all hosts end with this process.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection

from nfrun.cluster import frames
from nfrun.cluster.frames import Frame, FrameWriter, read_frame
from nfrun.system.pipes import pump
from nfrun.system.processes.process_tree import describe_exit

IDLE_SECONDS = 60.0  # without attempts
LEASE_SECONDS = 2.0  # for which nobody wants an attempt any more
_LOOK_SECONDS = 0.25
_END_SECONDS = 10.0  # for a host that was asked to end, with its instances of classes
_KILL_SECONDS = 2.0  # for an attempt that was killed to tell its end
_ANSWER_SECONDS = 60.0
_TAIL = 4096  # bytes of the end of what a host prints that has died
_TAIL_SECONDS = 1.0  # for that to arrive
_MOST_EARLY = 1000
_ASK = "ask-"  # the names of questions begin so

_lock = threading.Lock()
_hosts: dict[str, _Host] = {}
_early: dict[str, bool] = {}  # attempts that are stopped before they are made, and whether they are killed


def start(
    run: str,
    token: str,
    order: str,
    send: Callable[[str], object],
    on_end: Callable[[str], object],
    memory: int = 0,
) -> None:
    """Have the attempt of a `RemoteOrder` made, without waiting for it. Starts the host of the run if there is none.

    `send` gets the texts of the messages before, and then `on_end` once the text of the `Ended`, both on any thread.
    `memory` are the bytes that an attempt may use, 0 for all of the machine.
    """
    try:
        _enter(run, Frame(frames.ORDER, token, order), _Execution(send, on_end), memory)
    except OSError as error:
        on_end(_lost(token, f"no host could be started on {socket.gethostname()}: {error}"))


def wait_while_wanted(is_over: threading.Event, is_wanted: Callable[[], bool]) -> bool:
    """Wait until it `is_over`. Returns False if it is not wanted for LEASE_SECONDS."""
    wanted_at = time.monotonic()
    while not is_over.wait(_LOOK_SECONDS):
        if is_wanted():
            wanted_at = time.monotonic()
        elif time.monotonic() - wanted_at >= LEASE_SECONDS:
            return False
    return True


def drop(run: str, token: str) -> None:
    """Kill an attempt whose run has gone, and wait for its end for a while. If none comes, it is lost."""
    stop(run, token, kill=True)
    with _lock:
        host = _hosts.get(run)
        execution = host.executions.get(token) if host is not None else None
    if host is not None and execution is not None and not execution.ended.wait(_KILL_SECONDS):
        host.end_execution(token, _lost(token, "nobody waits for it any more"))


def stop(run: str, token: str, kill: bool) -> None:
    """Stop an attempt, if it is under way or still comes: by SIGTERM, or by SIGKILL if `kill`. Never blocks long."""
    with _lock:
        host = _hosts.get(run)
        execution = host.executions.get(token) if host is not None else None
        if host is None or execution is None:
            while len(_early) >= _MOST_EARLY:
                del _early[next(iter(_early))]
            _early[token] = kill or _early.get(token, False)
            return
    host.write(Frame(frames.KILL if kill else frames.STOP, token))


def ask(question: str, memory: int = 0) -> str:
    """Return the text of the `Answer` to a `HostConfig`, or, without a `{`, why there is none.

    `memory` is as in `start`.
    """
    run = json.loads(question)["value"]["run"]
    name, answers = f"{_ASK}{os.urandom(6).hex()}", list[str]()
    execution = _Execution(lambda text: None, answers.append)
    try:
        host = _enter(run, Frame(frames.ASK, name, question), execution, memory)
    except OSError as error:
        return f"no host could be started: {error}"
    if not execution.ended.wait(_ANSWER_SECONDS):
        host.end_execution(name, f"its host has not answered within {_ANSWER_SECONDS:g} s")
    return answers[0]


def end(run: str) -> list[str]:
    """End the host of a run, if there is one, within seconds. Returns messages about errors of `close()` of classes."""
    with _lock:
        host = _hosts.pop(run, None)
    return host.end() if host is not None else []


def _enter(run: str, frame: Frame, execution: _Execution, memory: int) -> _Host:
    """Begin the execution of a frame on the host of a run. Raises OSError if none can be started."""
    with _lock:
        host = _hosts.get(run)
        if host is None or host.has_ended:
            host = _hosts[run] = _Host(run, memory)
        host.executions[frame.name] = execution
        host.write(frame)
        if (early := _early.pop(frame.name, None)) is not None:
            host.write(Frame(frames.KILL if early else frames.STOP, frame.name))
        return host


def _lost(token: str, why: str) -> str:
    return json.dumps({"version": frames.VERSION, "value": {"$": "Ended", "token": token, "lost": why}})


class _Execution:
    """One attempt, or one question. `on_end` gets the answer, and then `ended` is set."""

    def __init__(self, send: Callable[[str], object], on_end: Callable[[str], object]) -> None:
        self.send, self.on_end = send, on_end
        self.ended = threading.Event()


class _Host:
    """The host of one run. `executions` are those under way, by token; the lock of this module guards them.

    `has_ended` is whether its process has ended or is about to. Raises OSError if it cannot be started.
    """

    def __init__(self, run: str, memory: int) -> None:
        self.executions: dict[str, _Execution] = {}
        self.has_ended = False
        self._run = run
        self._messages: list[str] = []
        self._tail = bytearray()
        self._left_at = time.monotonic()
        their_in, our_out = os.pipe()
        our_in, their_out = os.pipe()
        self._out, self._in = FrameWriter(our_out), Connection(our_in, writable=False)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", f"{__package__}.host", str(their_in), str(their_out), str(memory)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(their_in, their_out),
                start_new_session=True,  # signals to the group of the worker do not reach it
            )
        except OSError:
            self._out.close()
            self._in.close()
            raise
        finally:
            os.close(their_in)
            os.close(their_out)
        self._reading_errors = threading.Thread(target=self._read_errors, name="nfrun-host-errors", daemon=True)
        self._reading_errors.start()
        self._reading = threading.Thread(target=self._read, name="nfrun-host-frames", daemon=True)
        self._reading.start()
        threading.Thread(target=self._end_when_idle, name="nfrun-host-idle", daemon=True).start()

    def write(self, frame: Frame) -> None:
        """Send a frame, without waiting for the host to read it. If it has ended, end the executions that wait."""
        self._out.write(frame)

    def end_execution(self, token: str, text: str) -> None:
        """End an execution with what came back, if it has not ended."""
        with _lock:
            execution = self.executions.pop(token, None)
            self._left_at = time.monotonic()
        if execution is not None:
            with suppress(Exception):  # nobody takes it any more
                execution.on_end(text)
            execution.ended.set()

    def end(self) -> list[str]:
        """End the process, and wait for that. Returns messages about errors."""
        self.has_ended = True
        process = self._process
        self.write(Frame(frames.END))
        for signalled in (None, process.terminate, process.kill):
            if signalled is not None:
                signalled()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_END_SECONDS)
                break
        self._reading.join(_TAIL_SECONDS)
        return self._messages

    def _read(self) -> None:
        """Pass on what the host sends, until it has ended."""
        with suppress(OSError, ValueError):
            while (frame := read_frame(self._in)) is not None:
                if frame.kind == frames.CLOSED:
                    self._messages = json.loads(frame.text)
                elif frame.kind == frames.MESSAGE and (execution := self.executions.get(frame.name)) is not None:
                    with suppress(Exception):  # what it tells of itself decides nothing
                        execution.send(frame.text)
                elif frame.kind in (frames.ENDED, frames.ANSWER):
                    self.end_execution(frame.name, frame.text)
        self._out.close()  # what sends no frames any more is to end
        self._tell_end(self._process.wait())

    def _tell_end(self, status: int) -> None:
        """Tell all that wait that the host has ended."""
        self._reading_errors.join(_TAIL_SECONDS)
        tail = self._tail.decode(errors="replace").strip()
        why = f"its host on {socket.gethostname()} {describe_exit(status)}{tail and f': {tail}'}"
        with _lock:
            self.has_ended = True
            if _hosts.get(self._run) is self:
                del _hosts[self._run]
            left = list(self.executions)
        for name in left:
            self.end_execution(name, why if name.startswith(_ASK) else _lost(name, why))
        self._in.close()

    def _read_errors(self) -> None:
        """Keep the end of what the host prints."""
        assert self._process.stdout is not None
        with self._process.stdout as stream, suppress(OSError, ValueError):
            pump({stream.fileno(): self._keep_tail})

    def _keep_tail(self, data: bytes) -> None:
        self._tail += data
        del self._tail[:-_TAIL]

    def _end_when_idle(self) -> None:
        while not self.has_ended:
            with _lock:
                idle = 0.0 if self.executions else time.monotonic() - self._left_at
                is_idle = idle >= IDLE_SECONDS
                if is_idle:
                    self.has_ended = True
                    if _hosts.get(self._run) is self:
                        del _hosts[self._run]
            if is_idle:
                self.end()
            else:
                time.sleep(min(1.0, IDLE_SECONDS - idle))
