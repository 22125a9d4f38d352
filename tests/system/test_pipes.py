"""Pipes are read while somebody is at work, and not longer."""

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

from nfrun.system.pipes import read_chunk, read_left, read_while


class Pipe:
    def __init__(self) -> None:
        self.end, self.start = os.pipe()
        self.came = b""

    def feed(self, data: bytes) -> None:
        self.came += data


@pytest.fixture
def pipes() -> Iterator[list[Pipe]]:
    made = [Pipe(), Pipe()]
    yield made
    for pipe in made:
        for number in (pipe.end, pipe.start):
            with suppress(OSError):  # the test has
                os.close(number)


def test_more_than_a_pipe_holds_passes_through_it(pipes: list[Pipe]) -> None:
    out, err = pipes
    data = os.urandom(3_000_000)

    def work() -> None:
        os.write(err.start, b"begun")
        rest = data
        while rest:
            rest = rest[os.write(out.start, rest) :]

    both = {out.end: out.feed, err.end: err.feed}
    read_while(work, both)
    read_left(both)
    assert out.came == data
    assert err.came == b"begun"


def test_a_pipe_that_is_closed_early_is_no_end(pipes: list[Pipe]) -> None:
    out, err = pipes

    def work() -> None:
        os.close(out.start)
        os.write(err.start, b"still there")

    read_while(work, {out.end: out.feed, err.end: err.feed})
    read_left({err.end: err.feed})
    assert err.came == b"still there"


def test_who_holds_the_pipe_is_not_waited_for(pipes: list[Pipe]) -> None:
    out, _ = pipes
    read_while(lambda: None, {out.end: out.feed})
    os.write(out.start, b"left")
    read_left({out.end: out.feed})
    assert out.came == b"left"
    assert read_chunk(out.end, out.feed) is None
    os.close(out.start)
    assert read_chunk(out.end, out.feed) == 0


def test_who_goes_on_writing_is_not_waited_for(pipes: list[Pipe]) -> None:
    """As soon as something is read, there is more."""
    out, _ = pipes
    os.write(out.start, b"x" * 60_000)

    def feed(data: bytes) -> None:
        out.feed(data)
        os.write(out.start, data)

    read_left({out.end: feed})
    assert len(out.came) == 18 * 60_000


def test_what_is_awaited_may_fail(pipes: list[Pipe], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda arguments: None)

    def work() -> None:
        raise OSError

    read_while(work, {pipes[0].end: pipes[0].feed})


def open_files() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def test_without_a_thread_nothing_is_left_open(pipes: list[Pipe], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    before = open_files()
    with pytest.raises(RuntimeError):
        read_while(lambda: None, {pipes[0].end: pipes[0].feed})
    assert open_files() == before


def test_a_child_that_somebody_forks_meanwhile_is_not_waited_for() -> None:
    program = textwrap.dedent("""
        import os, signal, time
        from nfrun.system.pipes import read_while
        children = []
        def work():
            child = os.fork()  # it has all pipes that there are
            if not child:
                time.sleep(60)
                os._exit(0)
            children.append(child)
        read_while(work, {})
        os.kill(children[0], signal.SIGKILL)
        print("done")
    """)
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=30)
    assert done.stdout == "done\n"
