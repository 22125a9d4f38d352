"""Front, reaper and runner: who ends when another does, and what is heard of it. Tried in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from nfrun.system import supervisor as module
from nfrun.system.supervisor import _PID_BYTES, _REACTED, _Supervisor, supervise

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a run is one process")

# The runner says who is who, and does what a line on its stdin says, which is Python.
LEAVE = "import subprocess; print(subprocess.Popen(['setsid', 'sleep', '300']).pid, flush=True)"
PROGRAM = """
import os, re, signal, sys, threading
from nfrun.system.supervisor import supervise

supervise("it can be mended")
parent = int(open(f"/proc/{os.getppid()}/stat").read().rpartition(")")[2].split()[1])
print(parent, os.getppid(), os.getpid(), flush=True)
for line in sys.stdin:
    exec(line)
"""
TWICE = "nfrun: the run was asked twice to stop and was killed; it can be mended\n"
KILLED = "nfrun: the run was killed (SIGKILL); it can be mended\n"
STUCK = (
    "nfrun: the run did not react within 0.2 s and was killed: something in it held Python's lock; it can be mended\n"
)


class Program:
    """The three processes, with a group of their own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self.supervisor, self.reaper, self.runner = map(int, process.stdout.readline().split())

    def do(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def say(self, line: str = "print('ready', flush=True)") -> str:
        """What the line prints."""
        assert self.process.stdout is not None
        self.do(line)
        return self.process.stdout.readline()

    def end(self, *, told: bool = True) -> tuple[int, str, str]:
        """How it ended, once nothing that could write to its streams is there any more.

        Unless it is told that there are no more lines, it has to end by itself.
        """
        if not told:
            self.process.wait(60)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


@contextmanager
def started(program: str = PROGRAM, **options: Any) -> Iterator[Program]:
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )
    try:
        yield Program(process)
    finally:
        process.kill()
        process.wait()


def test_three_processes_of_which_two_share_a_group() -> None:
    with started() as program:
        assert program.supervisor == program.process.pid
        assert len({program.supervisor, program.reaper, program.runner}) == 3
        assert os.getpgid(program.runner) == program.supervisor
        while os.getpgid(program.reaper) == program.supervisor:  # the runner does not wait until the reaper has left
            os.sched_yield()
        assert os.getpgid(program.reaper) == program.reaper
        assert program.end() == (0, "", "")


@pytest.mark.parametrize("code", [0, 1, 75, 130])
def test_the_supervisor_ends_as_the_runner(code: int) -> None:
    with started() as program:
        program.do(f"sys.exit({code})")
        assert program.end() == (code, "", "")


def test_the_runner_keeps_its_way_to_leave() -> None:
    with started() as program:
        program.do("import atexit; atexit.register(print, 'left'); raise RuntimeError('broken')")
        code, out, err = program.end()
        assert (code, out) == (1, "left\n")
        assert err.endswith("RuntimeError: broken\n")


@pytest.mark.parametrize(("number", "name"), [(11, "SIGSEGV"), (6, "SIGABRT"), (15, "SIGTERM"), (40, "signal 40")])
def test_the_supervisor_ends_by_the_signal_that_ended_the_runner(number: int, name: str) -> None:
    with started() as program:
        program.do(f"os.kill(os.getpid(), {number})")
        assert program.end() == (-number, "", f"nfrun: the run was killed ({name}); it can be mended\n")


@pytest.mark.parametrize("which", ["runner", "reaper"])
def test_one_that_is_killed_ends_all(which: str) -> None:
    with started() as program:
        left = int(program.say(LEAVE))
        os.kill(getattr(program, which), signal.SIGKILL)
        assert program.end() == (137, "", KILLED)
        assert gone(left)


@pytest.mark.parametrize("group", [False, True])
def test_a_supervisor_that_is_killed_leaves_nobody(group: bool) -> None:
    with started() as program:
        # It holds the streams open: `end` waits for it too.
        program.say(LEAVE)
        (os.killpg if group else os.kill)(program.supervisor, signal.SIGKILL)
        assert program.end() == (-signal.SIGKILL, "", "")


def test_what_the_runner_leaves_is_ended_before_the_supervisor_ends() -> None:
    with started() as program:
        left = int(program.say(LEAVE))
        assert program.end() == (0, "", "")
        assert gone(left)


def gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("group", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_request_reaches_the_runner(number: signal.Signals, group: bool) -> None:
    with started() as program:
        program.say(f"signal.signal({number}, lambda n, frame: os._exit(100 + n)); print('ready', flush=True)")
        (os.killpg if group else os.kill)(program.supervisor, number)
        assert program.end(told=False) == (100 + number, "", "")


def test_an_interrupted_runner_has_its_say() -> None:
    with started() as program:
        os.kill(program.supervisor, signal.SIGINT)
        code, _, err = program.end(told=False)
        assert err.endswith("KeyboardInterrupt\n")
        assert code == -signal.SIGINT  # as Python ends


def test_what_is_ignored_stays_so() -> None:
    with started(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as program:
        os.kill(program.supervisor, signal.SIGHUP)
        os.killpg(program.supervisor, signal.SIGHUP)
        assert program.say() == "ready\n"
        assert program.end() == (0, "", "")


def test_a_second_request_waits_for_nobody() -> None:
    with started() as program:
        program.say(
            "said = lambda *given: print('asked', flush=True); signal.signal(2, said); signal.signal(15, said); said()"
        )
        os.kill(program.supervisor, signal.SIGINT)
        assert program.process.stdout is not None
        assert program.process.stdout.readline() == "asked\n"
        os.kill(program.supervisor, signal.SIGTERM)
        code, _, err = program.end(told=False)
        assert (code, err) == (130, TWICE)  # the code is that of the first


def test_a_runner_that_does_not_react_is_killed() -> None:
    with started("import nfrun.system.supervisor\nnfrun.system.supervisor._REACT_SECONDS = 0.2\n" + PROGRAM) as program:
        program.do("hold = lambda: re.match('(a+)+$', 'a' * 60 + 'b')  # Python's lock, and for ever")
        program.say("threading.Thread(target=lambda: [print('ready', flush=True), hold()]).start()")
        os.kill(program.supervisor, signal.SIGINT)
        assert program.end(told=False) == (130, "", STUCK)


def test_the_mask_and_the_handlers_of_signals_are_what_they_were() -> None:
    line = "print(signal.pthread_sigmask(0, []), [signal.getsignal(n).__class__ for n in (2, 15, 1, 17)], flush=True)"
    with started() as program:
        now = program.say(line)
    before = subprocess.run(
        [sys.executable, "-c", f"import signal; {line}"], capture_output=True, text=True, check=True
    )
    assert now == before.stdout


def test_without_room_for_a_third_process_there_are_two() -> None:
    refusing = """
import os
real, calls = os.fork, []

def fork():
    calls.append(1)
    if len(calls) == 2:
        raise BlockingIOError
    return real()

os.fork = fork
"""
    with started(refusing + PROGRAM) as program:
        assert program.reaper == program.process.pid
        program.do("sys.exit(3)")
        assert program.end() == (3, "", "")


# ------------------------------------------------------------------ in this process


@pytest.fixture
def no_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "fork", fork)
    monkeypatch.setattr(module, "_prctl", lambda: lambda what, value: 0)


def test_without_room_for_a_second_process_all_is_as_it_was(no_fork: None) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, []), signal.getsignal(signal.SIGCHLD)
    supervise()
    assert (signal.pthread_sigmask(signal.SIG_BLOCK, []), signal.getsignal(signal.SIGCHLD)) == before


@pytest.mark.parametrize("prctl", [None, lambda what, value: -1])
def test_a_system_without_the_means_is_left_alone(monkeypatch: pytest.MonkeyPatch, prctl: Any) -> None:
    monkeypatch.setattr(os, "fork", None)
    monkeypatch.setattr(module, "_prctl", lambda: prctl)
    supervise()


def test_another_system_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fork", None)
    monkeypatch.setattr(sys, "platform", "darwin")
    supervise()


class Heard:
    """A supervisor that was told things by a runner, and what it has sent to it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
        told, self.tell = os.pipe()
        os.write(self.tell, (1 << 40).to_bytes(_PID_BYTES, "big") + said)
        self.sent: list[int] = []
        monkeypatch.setattr(os, "kill", lambda process, number: self.sent.append(number))
        self.supervisor = _Supervisor(0, told, [signal.SIGINT, signal.SIGTERM], "")


def test_what_the_group_got_is_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Heard(monkeypatch, bytes([signal.SIGINT]))
    heard.supervisor._request(signal.SIGINT)
    assert heard.sent == [module._ASK]


def test_what_the_supervisor_alone_got_is_sent_on(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Heard(monkeypatch, bytes([signal.SIGTERM]))
    heard.supervisor._request(signal.SIGINT)
    assert heard.sent == [signal.SIGINT, module._ASK]
    os.write(heard.tell, bytes([signal.SIGINT]))  # that was the one that was sent on
    heard.supervisor._request(signal.SIGINT)
    assert heard.sent == [signal.SIGINT, module._ASK, signal.SIGINT]


def test_a_runner_that_reacts_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Heard(monkeypatch, bytes([signal.SIGINT]))
    heard.supervisor._request(signal.SIGINT)
    os.write(heard.tell, bytes([module._ASK, _REACTED]))
    assert heard.supervisor._look() is None
    assert heard.sent == [module._ASK, module._ASK]
