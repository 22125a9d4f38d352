"""Tests of `PrintRouter`: it sends what each node prints to the log of that node."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial

import pytest

from nfrun.system.logs.node_logs import Logs
from nfrun.system.logs.print_capture import PrintRouter, capture_prints, current_attempt

Lines = list[tuple[str, str, str]]


@contextmanager
def at(node: str, logs: Logs) -> Iterator[None]:
    token = current_attempt.set((node, 1, logs))
    try:
        yield
    finally:
        current_attempt.reset(token)


@pytest.fixture
def lines() -> Lines:
    return []


@pytest.fixture
def fallback() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def logs(lines: Lines) -> Logs:
    return Logs(lambda *line: lines.append(line))


@pytest.fixture
def router(fallback: io.StringIO) -> PrintRouter:
    return PrintRouter("stdout", fallback)


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
def test_output_is_split_into_lines(
    router: PrintRouter, logs: Logs, lines: Lines, written: list[str], logged: list[str]
) -> None:
    with at("n", logs):
        for text in written:
            assert router.write(text) == len(text)
    assert lines == [("n", "stdout", line) for line in logged]


def test_lines_of_several_nodes_do_not_mix(router: PrintRouter, logs: Logs, lines: Lines) -> None:
    start = threading.Barrier(4)

    def node(name: str) -> None:
        with at(name, logs):
            start.wait(10)
            for i in range(200):
                router.write(f"{name}")
                router.write(f"{i}\n")

    threads = [threading.Thread(target=node, args=[name]) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    for name in "abcd":
        assert [text for n, _, text in lines if n == name] == [f"{name}{i}" for i in range(200)]


def test_prints_outside_of_nodes_go_to_the_fallback_stream(
    router: PrintRouter, logs: Logs, lines: Lines, fallback: io.StringIO
) -> None:
    router.write("a warning\n")
    with at("n", logs):
        thread = threading.Thread(target=lambda: router.write("from a thread of a node's own\n"))
        thread.start()
        thread.join(10)
    router.flush()
    assert fallback.getvalue() == "a warning\nfrom a thread of a node's own\n"
    assert lines == []


def test_the_router_works_as_a_text_stream(
    router: PrintRouter, logs: Logs, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", router)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    with at("n", logs):
        assert sys.stdout.buffer.write("bytes é\n".encode()) == 9
        assert sys.stdout.buffer.write(memoryview(b"view\n")) == 5
        sys.stdout.writelines(["a\n", "b\n"])
        print("c", end="\n\n")
        assert not sys.stdout.isatty()
        assert (sys.stdout.encoding, sys.stdout.writable()) == ("utf-8", True)
    assert [text for _, _, text in lines] == ["bytes é", "view", "a", "b", "c", ""]


def test_the_file_descriptor_is_that_of_the_fallback_stream() -> None:
    assert sys.__stderr__ is not None
    assert PrintRouter("stdout", sys.__stderr__).fileno() == sys.__stderr__.fileno()


def test_control_bytes_on_the_fallback_stream_are_escaped(router: PrintRouter, fallback: io.StringIO) -> None:
    router.write("\x1b[31m")
    assert fallback.getvalue() == "\\x1b[31m"


def test_close_by_one_node_does_not_affect_the_others(router: PrintRouter, logs: Logs, lines: Lines) -> None:
    router.close()
    with at("b", logs):
        print("still there", file=router)
    assert lines == [("b", "stdout", "still there")]


def test_prints_of_a_forked_child_go_to_the_fallback_stream(
    lines: Lines, logs: Logs, fallback: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = PrintRouter("stdout", fallback)
    with at("a", logs):
        print("mine", file=router)
        monkeypatch.setattr("os.getpid", lambda: 0)
        print("the child's", file=router, flush=True)
    assert lines == [("a", "stdout", "mine")]
    assert fallback.getvalue() == "the child's\n"


def test_after_a_run_with_detached_nodes_only_the_main_thread_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    before, fallback = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", before)
    detached = ["a node"]
    with capture_prints(fallback, lambda: bool(detached)):
        print("during")
    thread = threading.Thread(target=print, args=["secret"])
    thread.start()
    thread.join()
    print("told")
    assert (fallback.getvalue(), before.getvalue()) == ("during\n", "told\n")
    detached.clear()
    with capture_prints():
        pass
    assert sys.stdout is before


def test_runs_of_several_threads_print_to_their_own_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The streams are back when the last of them has ended, and are not replaced twice."""
    before = io.StringIO()
    monkeypatch.setattr(sys, "stdout", before)
    lines: dict[str, Lines] = {"one": [], "two": []}
    inside, one_is_over, over = threading.Barrier(3), threading.Event(), threading.Event()

    def run(name: str, end: threading.Event) -> None:
        logs = Logs(lambda *line: lines[name].append(line))
        with capture_prints(), at("n", logs):
            inside.wait(10)
            print(name)
            end.wait(10)

    threads = [threading.Thread(target=run, args=pair) for pair in (("one", one_is_over), ("two", over))]
    for thread in threads:
        thread.start()
    inside.wait(10)
    for thread, end in zip(threads, (one_is_over, over), strict=True):
        assert sys.stdout is not before
        print("\x1b[1mprogram")
        end.set()
        thread.join(10)
    assert lines == {name: [("n", "stdout", name)] for name in lines}
    assert before.getvalue() == "\x1b[1mprogram\n" * 2
    assert sys.stdout is before


def in_thread(act: Callable[[], object]) -> None:
    thread = threading.Thread(target=act)
    thread.start()
    thread.join(10)


def test_prints_of_detached_nodes_are_lost_and_those_of_the_program_are_not(
    monkeypatch: pytest.MonkeyPatch, logs: Logs, lines: Lines
) -> None:
    before = io.StringIO()
    monkeypatch.setattr(sys, "stdout", before)
    detached = ["a node"]

    def node() -> None:
        with at("n", logs):
            print("secret")

    with capture_prints(has_detached=lambda: bool(detached)):
        pass
    logs.close()  # as at the end of a run
    in_thread(node)
    in_thread(partial(print, "\x1b[1mone"))
    with capture_prints():  # another run
        print("two")
    in_thread(node)
    print("three")
    assert sys.stdout is not before
    detached.clear()
    print("four")
    with capture_prints():
        pass
    assert sys.stdout is before
    assert (before.getvalue(), lines) == ("\x1b[1mone\ntwo\nthree\nfour\n", [])


def test_a_run_that_ends_while_the_program_redirects_leaves_no_replacement_after_the_next_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, redirected = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", before)
    run = capture_prints()
    run.__enter__()
    with redirect_stdout(redirected):
        run.__exit__(None, None, None)
        print("redirected")
    print("printed")
    with capture_prints():
        pass
    assert sys.stdout is before
    assert (redirected.getvalue(), before.getvalue()) == ("redirected\n", "printed\n")


def test_a_run_that_begins_while_the_program_redirects_gets_its_prints(
    monkeypatch: pytest.MonkeyPatch, logs: Logs, lines: Lines
) -> None:
    before = io.StringIO()
    monkeypatch.setattr(sys, "stdout", before)
    with capture_prints():
        with redirect_stdout(io.StringIO()), capture_prints(), at("n", logs):
            print("from the node")
        print("printed")
    assert sys.stdout is before
    assert (lines, before.getvalue()) == ([("n", "stdout", "from the node")], "printed\n")
