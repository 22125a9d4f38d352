"""What nodes print becomes lines under their names."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from nfrun.logs.node_logs import Logs
from nfrun.logs.print_capture import PrintRouter, current_attempt

Lines = list[tuple[str, str, str]]


@contextmanager
def at(node: str) -> Iterator[None]:
    token = current_attempt.set((node, 1))
    try:
        yield
    finally:
        current_attempt.reset(token)


@pytest.fixture
def lines() -> Lines:
    return []


@pytest.fixture
def beside() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def logs(lines: Lines) -> Logs:
    return Logs(lambda *line: lines.append(line))


@pytest.fixture
def prints(logs: Logs, beside: io.StringIO) -> PrintRouter:
    return PrintRouter("stdout", logs, beside)


@pytest.mark.parametrize(
    ("written", "logged"),
    [
        (["one\n"], ["one"]),
        (["one", " line\n", "two"], ["one line"]),
        (["\x1b[31mred\n"], ["\x1b[31mred"]),
        (["half \ud800\n"], ["half \\ud800"]),
        (["x" * 200_000 + "\n"], ["x" * 16_384] * 12 + ["x" * 3_392]),
        ([""], []),
    ],
)
def test_lines(prints: PrintRouter, lines: Lines, written: list[str], logged: list[str]) -> None:
    with at("n"):
        for text in written:
            assert prints.write(text) == len(text)
    assert lines == [("n", "stdout", line) for line in logged]


def test_lines_of_several_nodes_do_not_mix(prints: PrintRouter, lines: Lines) -> None:
    start = threading.Barrier(4)

    def node(name: str) -> None:
        with at(name):
            start.wait(10)
            for i in range(200):
                prints.write(f"{name}")
                prints.write(f"{i}\n")

    threads = [threading.Thread(target=node, args=[name]) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    for name in "abcd":
        assert [text for n, _, text in lines if n == name] == [f"{name}{i}" for i in range(200)]


def test_what_nobody_in_particular_prints_goes_beside(prints: PrintRouter, lines: Lines, beside: io.StringIO) -> None:
    prints.write("a warning\n")
    with at("n"):
        thread = threading.Thread(target=lambda: prints.write("from a thread of a node's own\n"))
        thread.start()
        thread.join(10)
    prints.flush()
    assert beside.getvalue() == "a warning\nfrom a thread of a node's own\n"
    assert lines == []


def test_it_is_enough_of_a_stream(prints: PrintRouter, lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", prints)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    with at("n"):
        assert sys.stdout.buffer.write("bytes é\n".encode()) == 9
        assert sys.stdout.buffer.write(memoryview(b"view\n")) == 5
        sys.stdout.writelines(["a\n", "b\n"])
        print("c", end="\n\n")
        assert not sys.stdout.isatty()
        assert (sys.stdout.encoding, sys.stdout.writable()) == ("utf-8", True)
    assert [text for _, _, text in lines] == ["bytes é", "view", "a", "b", "c", ""]


def test_children_print_where_nobodys_prints_go(logs: Logs) -> None:
    assert sys.__stderr__ is not None
    assert PrintRouter("stdout", logs, sys.__stderr__).fileno() == sys.__stderr__.fileno()


def test_control_bytes_of_nobody_in_particular_are_made_visible(prints: PrintRouter, beside: io.StringIO) -> None:
    prints.write("\x1b[31m")
    assert beside.getvalue() == "\\x1b[31m"


def test_a_node_that_closes_it_does_not_take_it_from_the_others(prints: PrintRouter, lines: Lines) -> None:
    prints.close()
    with at("b"):
        print("still there", file=prints)
    assert lines == [("b", "stdout", "still there")]


def test_what_a_child_prints_that_a_node_has_forked_goes_where_it_is_seen(
    lines: Lines, logs: Logs, beside: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    prints = PrintRouter("stdout", logs, beside)
    with at("a"):
        print("mine", file=prints)
        monkeypatch.setattr("os.getpid", lambda: 0)
        print("the child's", file=prints, flush=True)
    assert lines == [("a", "stdout", "mine")]
    assert beside.getvalue() == "the child's\n"


def test_after_the_run_only_the_main_thread_prints(prints: PrintRouter, beside: io.StringIO) -> None:
    after = io.StringIO()
    prints.end(after)
    thread = threading.Thread(target=print, args=["secret"], kwargs={"file": prints})
    thread.start()
    thread.join()
    print("told", file=prints)
    assert (beside.getvalue(), after.getvalue()) == ("", "told\n")
