"""What nodes print becomes lines under their names."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from nfrun.prints import Prints
from nfrun.work import current_node

Lines = list[tuple[str, str, str]]


@contextmanager
def at(node: str) -> Iterator[None]:
    token = current_node.set(node)
    try:
        yield
    finally:
        current_node.reset(token)


@pytest.fixture
def lines() -> Lines:
    return []


@pytest.fixture
def beside() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def prints(lines: Lines, beside: io.StringIO) -> Prints:
    return Prints("stdout", lambda *line: lines.append(line), beside)


@pytest.mark.parametrize(
    ("written", "logged"),
    [
        (["one\n"], ["one"]),
        (["one", " line\n", "two"], ["one line"]),
        (["a\nb\n", "\n"], ["a", "b", ""]),
        (["10%\r", "50%\r", "100%\n"], ["100%"]),
        (["\r 10%", "\r100%\r", "\n"], ["100%"]),
        (["dos\r\n"], ["dos"]),
        (["x" * 16_384 + "\n"], ["x" * 16_384]),
        (["x" * 40_000 + "\n"], ["x" * 16_384, "x" * 16_384, "x" * 7_232]),
        (["x" * 10_000, "x" * 10_000], ["x" * 16_384]),
        (["\x1b[31mred\n"], ["\x1b[31mred"]),
        (["half \ud800\n"], ["half \\ud800"]),
        ([""], []),
    ],
)
def test_lines(prints: Prints, lines: Lines, written: list[str], logged: list[str]) -> None:
    with at("n"):
        for text in written:
            assert prints.write(text) == len(text)
    assert lines == [("n", "stdout", line) for line in logged]


def test_a_line_that_never_ends_is_logged_with_its_attempt(prints: Prints, lines: Lines) -> None:
    for node in ("a", "b"):
        with at(node):
            print("begun", file=prints, end="", flush=True)
    assert lines == []
    prints.end_line("a")
    prints.end_line("a")
    assert lines == [("a", "stdout", "begun")]
    prints.end_line("b")
    assert lines[1:] == [("b", "stdout", "begun")]


def test_lines_of_several_nodes_do_not_mix(prints: Prints, lines: Lines) -> None:
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


def test_what_nobody_in_particular_prints_goes_beside(prints: Prints, lines: Lines, beside: io.StringIO) -> None:
    prints.write("a warning\n")
    with at("n"):
        thread = threading.Thread(target=lambda: prints.write("from a thread of a node's own\n"))
        thread.start()
        thread.join(10)
    prints.flush()
    assert beside.getvalue() == "a warning\nfrom a thread of a node's own\n"
    assert lines == []


def test_it_is_enough_of_a_stream(prints: Prints, lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", prints)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    with at("n"):
        sys.stdout.buffer.write("bytes é\n".encode())
        sys.stdout.writelines(["a\n", "b\n"])
        print("c", end="\n\n")
        assert not sys.stdout.isatty()
        assert (sys.stdout.encoding, sys.stdout.writable()) == ("utf-8", True)
    assert [text for _, _, text in lines] == ["bytes é", "a", "b", "c", ""]


def test_children_print_where_nobodys_prints_go(lines: Lines) -> None:
    assert Prints("stdout", lambda *line: lines.append(line), sys.__stderr__).fileno() == sys.__stderr__.fileno()


def test_a_print_inside_of_a_print_does_not_wait_for_itself(prints: Prints, lines: Lines) -> None:
    """As when the garbage collector runs a `__del__` of the node's in the middle of `write`."""

    class Nosy(dict[str, str]):
        def pop(self, *arguments: str) -> str:  # type: ignore[override]
            prints._begun = {}
            print("inner", file=prints)
            return ""

    prints._begun = Nosy()
    with at("n"):
        prints.write("outer\n")
    assert [text for _, _, text in lines] == ["inner", "outer"]


def test_control_bytes_of_nobody_in_particular_are_made_visible(prints: Prints, beside: io.StringIO) -> None:
    prints.write("\x1b[31m")
    assert beside.getvalue() == "\\x1b[31m"


def test_a_node_that_closes_it_does_not_take_it_from_the_others(prints: Prints, lines: Lines) -> None:
    prints.close()
    with at("b"):
        print("still there", file=prints)
    assert lines == [("b", "stdout", "still there")]


def test_a_very_long_line_is_cut_and_nothing_is_lost(prints: Prints, lines: Lines) -> None:
    text = "".join(map(chr, range(65, 91))) * 200_000
    with at("a"):
        prints.write(text)
        assert sum(len(line) for _, _, line in lines) == (len(text) - 1) // 16_384 * 16_384
        prints.write(text[:1] + "\n")
    assert "".join(line for _, _, line in lines) == text + text[:1]
    assert {len(line) for _, _, line in lines[:-1]} == {16_384}
