"""Tests of reading pipes: they are read while the work runs, and drained once after it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from nfrun.core.errors import HandoffError
from nfrun.system.pipes import pump, pumping, read_chunk, read_left


class Pipe:
    def __init__(self) -> None:
        self.end, self.start = os.pipe()
        self.received = b""

    def feed(self, data: bytes) -> None:
        self.received += data


@pytest.fixture
def pipes() -> Iterator[list[Pipe]]:
    new_pipes = [Pipe(), Pipe()]
    yield new_pipes
    for pipe in new_pipes:
        for number in (pipe.end, pipe.start):
            with suppress(OSError):  # the test has closed it
                os.close(number)


def test_more_than_the_capacity_of_a_pipe_is_read(pipes: list[Pipe]) -> None:
    out, err = pipes
    data = os.urandom(3_000_000)

    with pumping({out.end: out.feed, err.end: err.feed}):
        os.write(err.start, b"begun")
        rest = data
        while rest:
            rest = rest[os.write(out.start, rest) :]
    assert out.received == data
    assert err.received == b"begun"


def test_other_pipes_are_read_after_one_is_closed(pipes: list[Pipe]) -> None:
    out, err = pipes

    with pumping({out.end: out.feed, err.end: err.feed}):
        os.close(out.start)
        os.write(err.start, b"still there")
    assert err.received == b"still there"


def test_pipes_are_pumped_until_all_are_closed(pipes: list[Pipe]) -> None:
    out, err = pipes
    pumping = threading.Thread(target=pump, args=[{out.end: out.feed, err.end: err.feed}])
    pumping.start()
    os.write(out.start, b"one, ")
    os.close(out.start)
    os.write(err.start, b"two")
    os.close(err.start)
    pumping.join(30)
    assert (out.received, err.received) == (b"one, ", b"two")


def test_pumping_ends_on_a_signal_after_what_is_in_the_pipes(pipes: list[Pipe]) -> None:
    out, err = pipes
    os.write(out.start, b"x" * 60_000)
    os.write(err.start, b"left")
    end_read, end_write = os.pipe()
    os.close(end_write)
    pump({out.end: out.feed, err.end: err.feed}, end_read)
    os.close(end_read)
    assert (out.received, err.received) == (b"x" * 60_000, b"left")


def test_reading_does_not_wait_for_an_open_writer(pipes: list[Pipe]) -> None:
    out, _ = pipes
    with pumping({out.end: out.feed}):
        pass
    os.write(out.start, b"left")
    read_left({out.end: out.feed})
    assert out.received == b"left"
    assert read_chunk(out.end, out.feed) is None
    os.close(out.start)
    assert read_chunk(out.end, out.feed) == 0


def test_reading_does_not_wait_for_a_writer_that_never_stops(pipes: list[Pipe]) -> None:
    """Each read triggers another write."""
    out, _ = pipes
    os.write(out.start, b"x" * 60_000)

    def feed(data: bytes) -> None:
        out.feed(data)
        os.write(out.start, data)

    read_left({out.end: feed})
    assert len(out.received) == 18 * 60_000


def test_what_arrived_before_an_error_is_passed_on(pipes: list[Pipe]) -> None:
    out, _ = pipes
    with pytest.raises(KeyboardInterrupt), pumping({out.end: out.feed}):
        os.write(out.start, b"last words")
        raise KeyboardInterrupt
    assert out.received == b"last words"


def open_files() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def test_no_file_stays_open_if_no_thread_can_start(pipes: list[Pipe], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    before = open_files()
    with (
        pytest.raises(HandoffError, match="no thread could be started: can't start new thread"),
        pumping({pipes[0].end: pipes[0].feed}),
    ):
        raise AssertionError
    assert open_files() == before


def test_reading_does_not_wait_for_a_forked_child() -> None:
    program = textwrap.dedent("""
        import os, signal, time
        from nfrun.system.pipes import pumping
        with pumping({}):
            child = os.fork()  # the child inherits all pipes
            if not child:
                time.sleep(60)
                os._exit(0)
        os.kill(child, signal.SIGKILL)
        print("done")
    """)
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=30)
    assert done.stdout == "done\n"
