"""Tests of supervisor, reaper and runner: how each ends when another does. They run in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nfrun.system.processes import supervisor as module
from nfrun.system.processes.process_tree import describe_exit
from nfrun.system.processes.supervisor import _PID_BYTES, _REACTED, _Supervisor, supervise
from nfrun.system.std_streams import StrayOutput

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a run is one process")

# The runner prints the ids of the three processes, then executes each line of its stdin as Python.
LEAVE = "import subprocess; print(subprocess.Popen(['setsid', 'sleep', '300']).pid, flush=True)"
PROGRAM = """
import os, re, signal, sys, threading
from nfrun.system.processes.supervisor import supervise

report_code = supervise("it can be mended")
parent = int(open(f"/proc/{os.getppid()}/stat").read().rpartition(")")[2].split()[1])
print(parent, os.getppid(), os.getpid(), flush=True)
for line in sys.stdin:
    exec(line)
report_code(0)
"""
TWICE = "nfrun: the run was asked twice to stop and was killed; it can be mended\n"
KILLED = "nfrun: the run was killed by SIGKILL; the system does that when memory runs out; it can be mended\n"
STUCK = (
    "nfrun: the run did not react within 0.2 s and was killed: something in it held Python's lock; it can be mended\n"
)


class Program:
    """The three processes, in a process group of their own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self.supervisor, self.reaper, self.runner = map(int, process.stdout.readline().split())

    def do(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def output_of(self, line: str = "print('ready', flush=True)") -> str:
        """Send a line to the runner and return what it prints."""
        assert self.process.stdout is not None
        self.do(line)
        return self.process.stdout.readline()

    def end(self, *, close_stdin: bool = True) -> tuple[int, str, str]:
        """Wait until no process holds its streams; return the exit code, stdout and stderr.

        With `close_stdin=False` the program must end by itself.
        """
        if not close_stdin:
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
def test_the_supervisor_exits_with_the_code_of_the_runner(code: int) -> None:
    with started() as program:
        program.do(f"report_code({code}); sys.exit({code})")
        assert program.end() == (code, "", "")


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("os._exit(0)", 0),
        ("os._exit(3)", 3),
        ("import ctypes; ctypes.CDLL(None).exit(0)", 0),
        ("os.execv('/bin/true', ['true'])", 0),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_a_runner_that_ends_before_its_end_is_a_failure(line: str, status: int, as_json: bool) -> None:
    with started(PROGRAM.replace('mended"', f'mended", as_json={as_json}')) as program:
        program.do(line)
        code, out, err = program.end()
        what = f"a node ended the process of the run with status {status}, as os._exit and exec do"
        assert (code, err) == (137, f"nfrun: {what}; it can be mended\n")
        assert (json.loads(out) if as_json else out) == (
            {"status": "failed", "error": what, "problems": []} if as_json else ""
        )


def test_the_code_that_the_runner_reported_counts_whatever_an_exit_hook_does() -> None:
    with started() as program:
        program.do("import atexit; atexit.register(os._exit, 0); report_code(74); sys.exit(74)")
        assert program.end() == (74, "", "")


@pytest.mark.parametrize("reported", [0, 65, 74])
def test_the_code_arrives_although_a_node_has_closed_all_descriptors(tmp_path: Path, reported: int) -> None:
    with started() as program:
        program.do(f"os.closerange(3, 100); held = [os.open({str(tmp_path / 'file')!r}, 66) for _ in range(20)]")
        program.do(f"report_code({reported}); sys.exit({reported})")
        what = "a node closed files that the run had open, as os.closerange does: let it close only what it has opened"
        assert program.end() == (reported or 74, "", f"nfrun: {what}; it can be mended\n")
    assert (tmp_path / "file").read_bytes() == b""


def test_a_killed_run_leaves_one_json_document() -> None:
    with started(PROGRAM.replace('mended"', 'mended", as_json=True')) as program:
        os.kill(program.runner, signal.SIGKILL)
        code, out, err = program.end()
        assert (code, err, json.loads(out)["status"]) == (137, KILLED, "failed")
    with started(PROGRAM.replace('mended"', 'mended", as_json=True')) as program:
        program.do("report_code(0); print('its own', flush=True); os.kill(os.getpid(), 9)")
        assert program.end() == (137, "its own\n", KILLED)


def test_exit_handlers_and_tracebacks_of_the_runner_work() -> None:
    with started() as program:
        program.do("import atexit; atexit.register(print, 'left'); raise RuntimeError('broken')")
        code, out, err = program.end()
        assert (code, out) == (137, "left\n")
        assert "RuntimeError: broken\nnfrun: a node ended" in err


@pytest.mark.parametrize("number", [11, 6, 15, 40])
def test_the_supervisor_ends_by_the_signal_that_ended_the_runner(number: int) -> None:
    with started() as program:
        program.do(f"os.kill(os.getpid(), {number})")
        assert program.end() == (-number, "", f"nfrun: the run {describe_exit(-number)}; it can be mended\n")


@pytest.mark.parametrize("which", ["runner", "reaper"])
def test_killing_the_runner_or_the_reaper_ends_all_processes(which: str) -> None:
    with started() as program:
        left = int(program.output_of(LEAVE))
        os.kill(getattr(program, which), signal.SIGKILL)
        assert program.end() == (137, "", KILLED)
        assert gone(left)


@pytest.mark.parametrize("group", [False, True])
def test_killing_the_supervisor_ends_all_processes(group: bool) -> None:
    with started() as program:
        # The child holds the streams open: `end` waits for it too.
        program.output_of(LEAVE)
        (os.killpg if group else os.kill)(program.supervisor, signal.SIGKILL)
        assert program.end() == (-signal.SIGKILL, "", "")


def test_children_of_the_runner_are_killed_before_the_supervisor_ends() -> None:
    with started() as program:
        left = int(program.output_of(LEAVE))
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
def test_a_signal_to_the_supervisor_reaches_the_runner(number: signal.Signals, group: bool) -> None:
    with started() as program:
        program.output_of(
            f"signal.signal({number}, lambda n, frame: [report_code(100 + n), os._exit(0)]); print('ready', flush=True)"
        )
        (os.killpg if group else os.kill)(program.supervisor, number)
        assert program.end(close_stdin=False) == (100 + number, "", "")


def test_an_interrupted_runner_can_still_print() -> None:
    with started() as program:
        os.kill(program.supervisor, signal.SIGINT)
        code, _, err = program.end(close_stdin=False)
        assert err.endswith("KeyboardInterrupt\n")
        assert code == -signal.SIGINT  # as Python ends after an interrupt


def test_an_ignored_signal_stays_ignored() -> None:
    with started(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as program:
        os.kill(program.supervisor, signal.SIGHUP)
        os.killpg(program.supervisor, signal.SIGHUP)
        assert program.output_of() == "ready\n"
        assert program.end() == (0, "", "")


def test_a_second_signal_kills_the_runner() -> None:
    with started() as program:
        program.output_of(
            "said = lambda *given: print('asked', flush=True); signal.signal(2, said); signal.signal(15, said); said()"
        )
        os.kill(program.supervisor, signal.SIGINT)
        assert program.process.stdout is not None
        assert program.process.stdout.readline() == "asked\n"
        os.kill(program.supervisor, signal.SIGTERM)
        code, _, err = program.end(close_stdin=False)
        assert (code, err) == (130, TWICE)  # the exit code of the first signal


def test_a_runner_that_does_not_react_is_killed() -> None:
    with started(
        "import nfrun.system.processes.supervisor\nnfrun.system.processes.supervisor._REACT_SECONDS = 0.2\n" + PROGRAM
    ) as program:
        program.do("hold = lambda: re.match('(a+)+$', 'a' * 60 + 'b')  # keeps the GIL for ever")
        program.output_of("threading.Thread(target=lambda: [print('ready', flush=True), hold()]).start()")
        os.kill(program.supervisor, signal.SIGINT)
        assert program.end(close_stdin=False) == (130, "", STUCK)


def test_signal_mask_and_handlers_of_the_runner_are_unchanged() -> None:
    line = "print(signal.pthread_sigmask(0, []), [signal.getsignal(n).__class__ for n in (2, 15, 1, 17)], flush=True)"
    with started() as program:
        now = program.output_of(line)
    before = subprocess.run(
        [sys.executable, "-c", f"import signal; {line}"], capture_output=True, text=True, check=True
    )
    assert now == before.stdout


def test_if_the_second_fork_fails_there_are_two_processes() -> None:
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
        program.do("report_code(3); sys.exit(3)")
        assert program.end() == (3, "", "")


# ------------------------------------------------------------------ tests in this process


@pytest.fixture
def no_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "fork", fork)
    monkeypatch.setattr(module, "find_prctl", lambda: lambda what, value: 0)


def signal_state() -> tuple[object, object]:
    return signal.pthread_sigmask(signal.SIG_BLOCK, []), signal.getsignal(signal.SIGCHLD)


def test_if_no_fork_works_nothing_changes(no_fork: None) -> None:
    before = signal_state()
    supervise()
    assert signal_state() == before


@pytest.mark.parametrize("prctl", [None, lambda what, value: -1])
def test_without_prctl_nothing_is_forked(monkeypatch: pytest.MonkeyPatch, prctl: Any) -> None:
    monkeypatch.setattr(os, "fork", None)  # to call it would be an error
    monkeypatch.setattr(module, "find_prctl", lambda: prctl)
    before = signal_state()
    supervise()
    assert signal_state() == before


def test_nothing_is_forked_on_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fork", None)
    monkeypatch.setattr(sys, "platform", "darwin")
    before = signal_state()
    supervise()
    assert signal_state() == before


class SupervisorWithMessages:
    """A supervisor with a message from its runner; records the signals that it sends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, message: bytes) -> None:
        reading, self.writing = os.pipe()
        os.write(self.writing, (1 << 40).to_bytes(_PID_BYTES, "big") + message)
        self.sent: list[int] = []
        monkeypatch.setattr(os, "kill", lambda process, number: self.sent.append(number))
        code_reading, _ = os.pipe()
        self.supervisor = _Supervisor(0, reading, code_reading, [signal.SIGINT, signal.SIGTERM], "", StrayOutput())


def test_a_signal_to_the_whole_group_is_not_forwarded(monkeypatch: pytest.MonkeyPatch) -> None:
    case = SupervisorWithMessages(monkeypatch, bytes([signal.SIGINT]))
    case.supervisor._request(signal.SIGINT)
    assert case.sent == [module._ASK]


def test_a_signal_to_the_supervisor_alone_is_forwarded(monkeypatch: pytest.MonkeyPatch) -> None:
    case = SupervisorWithMessages(monkeypatch, bytes([signal.SIGTERM]))
    case.supervisor._request(signal.SIGINT)
    assert case.sent == [signal.SIGINT, module._ASK]
    os.write(case.writing, bytes([signal.SIGINT]))  # the runner confirms the forwarded signal
    case.supervisor._request(signal.SIGINT)
    assert case.sent == [signal.SIGINT, module._ASK, signal.SIGINT]


def test_a_runner_that_reacts_is_asked_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    case = SupervisorWithMessages(monkeypatch, bytes([signal.SIGINT]))
    case.supervisor._request(signal.SIGINT)
    os.write(case.writing, bytes([module._ASK, _REACTED]))
    assert case.supervisor._look() is None
    assert case.sent == [module._ASK, module._ASK]
