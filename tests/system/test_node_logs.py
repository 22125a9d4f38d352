"""Tests of node logs: lines as events, a file of bounded size per stream, and its tail."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from nfrun.system.logs.node_logs import KEEP_BYTES, Logs, StreamLog
from nfrun.system.logs.redaction import RedactingFilter

Lines = list[tuple[str, str, str]]


@pytest.fixture
def lines() -> Lines:
    return []


@pytest.fixture
def logs(lines: Lines, tmp_path: Path) -> Logs:
    return Logs(lambda *line: lines.append(line), tmp_path / "logs")


@pytest.fixture
def out(logs: Logs) -> StreamLog:
    return logs.of("n", 1, "stdout")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "n.1.stdout"


@pytest.mark.parametrize(
    ("chunks", "expected", "unfinished"),
    [
        ([b"one\n"], ["one"], []),
        ([b"one", b" line\n", b"two"], ["one line"], ["two"]),
        ([b"a\nb\n", b"\n"], ["a", "b", ""], []),
        ([b"10%\r", b"50%\r", b"100%\n"], ["100%"], []),
        ([b"\r 10%", b"\r100%\r", b"\n"], ["100%"], []),
        ([b"dos\r\n"], ["dos"], []),
        ([b"x" * 16_384 + b"\n"], ["x" * 16_384], []),
        ([b"x" * 40_000 + b"\n"], ["x" * 16_384, "x" * 16_384, "x" * 7_232], []),
        ([b"x" * 10_000, b"x" * 10_000], ["x" * 16_384], ["x" * 3_616]),
        ([b"\x1b[31mred\n"], ["\x1b[31mred"], []),
        (["é".encode()[:1], "é\n".encode()[1:]], ["é"], []),
        ([b"\xff\xfe\n"], ["\ufffd\ufffd"], []),
        ([b"cut \xc3"], [], ["cut \ufffd"]),
        ([b""], [], []),
    ],
)
def test_output_is_split_into_lines(
    out: StreamLog, lines: Lines, chunks: list[bytes], expected: list[str], unfinished: list[str]
) -> None:
    for chunk in chunks:
        out.feed(chunk)
    assert lines == [("n", "stdout", line) for line in expected]
    out.end()
    out.end()
    assert lines == [("n", "stdout", line) for line in [*expected, *unfinished]]


def test_there_is_no_file_unless_something_is_printed(out: StreamLog, path: Path) -> None:
    out.feed(b"")
    out.end()
    assert not path.parent.exists()
    assert out.tail(10) == ""


def test_output_is_written_at_once_or_buffered(out: StreamLog, path: Path) -> None:
    out.feed(b"one\n")
    assert path.read_bytes() == b"one\n"
    out.feed(b"two\n", at_once=False)
    out.feed(b"three", at_once=False)
    out.feed(b"\xff")
    assert path.read_bytes() == b"one\ntwo\nthree\xff"
    out.feed(b"last", at_once=False)
    out.end()
    assert path.read_bytes() == b"one\ntwo\nthree\xfflast"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_delayed_write_is_made_without_another_print(logs: Logs, path: Path) -> None:
    out = logs.of("n", 1, "stdout")
    out._due_at = float("inf")  # no print is late enough to write by itself
    for printed in (b"one\n", b"one\ntwo\n"):
        out.feed(printed[-4:], at_once=False)
        while not path.exists() or path.read_bytes() != printed:
            time.sleep(0.01)


def test_closing_ends_the_thread_of_delayed_writes(logs: Logs, path: Path) -> None:
    before = threading.enumerate()  # other tests may have left some
    out = logs.of("n", 1, "stdout")
    out._due_at = float("inf")
    out.feed(b"one\n", at_once=False)
    logs.close()
    assert not {*threading.enumerate()} - {*before}
    assert path.read_bytes() == b"one\n"


def test_the_buffer_is_bounded(out: StreamLog, path: Path) -> None:
    out.feed(b"x" * 70_000, at_once=False)
    assert path.stat().st_size >= 65_536


@pytest.mark.parametrize("size", [KEEP_BYTES - 1, KEEP_BYTES, KEEP_BYTES + 1, 2 * KEEP_BYTES - 1, 2 * KEEP_BYTES])
@pytest.mark.parametrize("chunk", [1 << 12, 100_003, 1 << 22])
def test_two_mib_are_kept_whole(out: StreamLog, path: Path, size: int, chunk: int) -> None:
    data = os.urandom(size)
    for start in range(0, size, chunk):
        out.feed(data[start : start + chunk], at_once=False)
    out.end()
    assert path.read_bytes() == data


@pytest.mark.parametrize(("more", "left_out"), [(1, "1"), (3_000_000, "3,000,000")])
def test_beyond_two_mib_the_beginning_and_the_end_are_kept(
    out: StreamLog, path: Path, lines: Lines, more: int, left_out: str
) -> None:
    data = os.urandom(2 * KEEP_BYTES + more)
    for start in range(0, len(data), 50_000):
        out.feed(data[start : start + 50_000])
        assert len(out._last) <= 2 * KEEP_BYTES + 65_536
    assert path.read_bytes() == data[:KEEP_BYTES]
    assert out.tail(3)[-1] == data[-3:].decode(errors="replace")[-1]
    out.end()
    assert path.read_bytes() == data[:KEEP_BYTES] + f"\n… {left_out} bytes left out …\n".encode() + data[-KEEP_BYTES:]
    size = f"{2 * KEEP_BYTES + more:,}"
    assert lines[-1][2] == f"… the rest of {size} bytes is in {path}, without {left_out} bytes in the middle"


def test_lines_beyond_the_first_mib_are_not_emitted(out: StreamLog, path: Path, lines: Lines) -> None:
    for _ in range(300):
        out.feed(b"x" * 9_999 + b"\n")
    assert len(lines) == 105  # the last line emitted is the one that crosses the first MiB
    out.end()
    assert [line for _, _, line in lines[105:]] == [
        f"… the rest of 3,000,000 bytes is in {path}, without 902,848 bytes in the middle"
    ]


@pytest.mark.parametrize(("count", "expected"), [(10_000, []), (10_001, ["… the rest of 20,002 bytes is in PATH"])])
def test_at_most_ten_thousand_lines_are_emitted(
    out: StreamLog, path: Path, lines: Lines, count: int, expected: list[str]
) -> None:
    out.feed(b"y\n" * count)
    out.end()
    assert [line for _, _, line in lines[:10_000]] == ["y"] * 10_000
    assert [line for _, _, line in lines[10_000:]] == [line.replace("PATH", str(path)) for line in expected]
    assert path.read_bytes() == b"y\n" * count


@pytest.mark.parametrize(
    ("data", "most", "tail"),
    [
        (b"one\ntwo\n", 8, "one\ntwo\n"),
        (b"one\ntwo\n", 7, "…two\n"),
        (b"one\ntwo\n", 4, "…two\n"),
        (b"no lines", 5, "…lines"),
        (b"\xff", 5, "\ufffd"),
    ],
)
def test_the_tail_starts_at_a_line(out: StreamLog, data: bytes, most: int, tail: str) -> None:
    out.feed(data)
    assert out.tail(most) == tail
    out.end()
    assert out.tail(most) == tail


def test_without_a_folder_no_file_is_written(lines: Lines) -> None:
    logs = Logs(lambda *line: lines.append(line))
    logs.of("n", 1, "stdout").feed(b"y\n" * 10_001)
    assert logs.of("n", 1, "stdout").path is None
    logs.end("n", 1)
    assert lines[-1] == ("n", "stdout", "… the rest of 20,002 bytes is not kept")


def test_an_unwritable_log_file_gives_one_warning(out: StreamLog, path: Path, lines: Lines, tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("")
    out.feed(b"one\n")
    out.feed(b"two\n")
    out.end()
    assert lines == [
        ("n", "stdout", "one"),
        ("n", "warning", f"its stdout is no longer saved (4 bytes for {path}): File exists"),
        ("n", "stdout", "two"),
    ]
    assert out.path is None


def test_a_disk_that_fills_up_gives_one_warning(
    out: StreamLog, path: Path, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    out.feed(b"one\n")
    monkeypatch.setattr("nfrun.system.logs.node_logs.os.write", _full)
    out.feed(b"two\n")
    out.end()
    assert path.read_bytes() == b"one\n"
    assert [line for _, level, line in lines if level == "warning"] == [
        f"its stdout is no longer saved (4 bytes for {path}): No space left on device"
    ]


def _full(file: int, data: bytes) -> int:
    raise OSError(28, "No space left on device")


def test_streams_and_attempts_have_files_of_their_own(logs: Logs, tmp_path: Path, lines: Lines) -> None:
    for node, attempt, stream in (("a", 1, "stdout"), ("a", 1, "stderr"), ("a", 2, "stdout"), ("b", 1, "stdout")):
        logs.of(node, attempt, stream).feed(f"{node} {attempt} {stream}".encode())
    logs.end("a", 1)
    assert lines == [("a", "stdout", "a 1 stdout"), ("a", "stderr", "a 1 stderr")]
    logs.close()
    assert lines[2:] == [("a", "stdout", "a 2 stdout"), ("b", "stdout", "b 1 stdout")]
    found = {path.name: path.read_text() for path in (tmp_path / "logs").iterdir()}
    assert found == {f"{'.'.join(text.split())}": text for text in found.values()}
    assert len(found) == 4


def test_output_after_the_end_of_an_attempt_is_appended(logs: Logs, path: Path, lines: Lines) -> None:
    logs.of("n", 1, "stdout").feed(b"in time\n")
    logs.end("n", 1)
    logs.of("n", 1, "stdout").feed(b"late\n")
    logs.close()
    assert path.read_bytes() == b"in time\nlate\n"


class _RedactingFilter(RedactingFilter):
    """Replaces a secret word; holds back bytes that may be its beginning."""

    def __init__(self) -> None:
        self.pending = b""

    def feed(self, data: bytes) -> bytes:
        text = (self.pending + data).replace(b"secret", b"***")
        keep_count = next((n for n in range(5, 0, -1) if text.endswith(b"secret"[:n])), 0)
        self.pending = text[len(text) - keep_count :]
        return text[: len(text) - keep_count]

    def end(self) -> bytes:
        pending, self.pending = self.pending, b""
        return pending


def test_output_is_redacted_before_lines_file_and_tail(lines: Lines, tmp_path: Path) -> None:
    logs = Logs(lambda *line: lines.append(line), tmp_path, _RedactingFilter)
    out = logs.of("n", 1, "stdout")
    for chunk in (b"a sec", b"ret\nno sec", b"ond\n", b"a se"):
        out.feed(chunk)
    assert out.tail(100) == "a ***\nno second\na "
    out.end()
    assert out.tail(100) == "a ***\nno second\na se"
    assert [line for _, _, line in lines] == ["a ***", "no second", "a se"]
    assert (tmp_path / "n.1.stdout").read_bytes() == b"a ***\nno second\na se"


def test_lines_of_several_threads_of_a_node_stay_whole(out: StreamLog, path: Path, lines: Lines) -> None:
    start = threading.Barrier(4)

    def print_lines(name: str) -> None:
        start.wait(10)
        for i in range(500):
            out.feed(f"{name}{i}\n".encode(), at_once=False)

    threads = [threading.Thread(target=print_lines, args=[name]) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    out.end()
    texts = [line for _, _, line in lines]
    assert sorted(texts) == sorted(f"{name}{i}" for name in "abcd" for i in range(500))
    assert path.read_text().splitlines() == texts


def test_close_does_not_wait_for_a_write_that_hangs(logs: Logs, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started, go_on = threading.Event(), threading.Event()

    def hang(file: int, data: bytes) -> int:
        started.set()
        go_on.wait(60)
        return len(data)

    monkeypatch.setattr("nfrun.system.logs.node_logs.os.write", hang)
    thread = threading.Thread(target=logs.of("n", 1, "stdout").feed, args=[b"text"])
    thread.start()
    assert started.wait(10)
    logs.close()
    assert not go_on.is_set()
    go_on.set()
    thread.join(10)


def test_a_print_inside_of_a_print_does_not_deadlock(tmp_path: Path) -> None:
    """This happens when the garbage collector runs a `__del__` of the node during a print."""
    lines: list[str] = []

    def on_line(node: str, level: str, line: str) -> None:
        lines.append(line)
        if line == "outer":
            logs.of("n", 1, "stdout").feed(b"inner\n")

    logs = Logs(on_line, tmp_path)
    logs.of("n", 1, "stdout").feed(b"outer\n")
    logs.close()
    assert lines == ["outer", "inner"]


def test_a_forked_child_does_not_write_buffered_output_again(out: StreamLog, path: Path) -> None:
    out.feed(b"before\n", at_once=False)
    pid = os.fork()
    if not pid:
        out.end()
        os._exit(0)
    os.waitpid(pid, 0)
    out.end()
    assert path.read_bytes() == b"before\n"


def test_the_log_file_has_the_level_of_each_message(logs: Logs, tmp_path: Path, lines: Lines) -> None:
    logs.log("n", 1, "info", "one\rmore")
    logs.log("n", 1, "warning", "")
    logs.log("n", 2, "debug", "half \ud800")
    assert lines == [("n", "info", "one\rmore"), ("n", "warning", ""), ("n", "debug", "half \ud800")]
    logs.end("n", 1)
    assert (tmp_path / "logs" / "n.1.log").read_bytes() == b"info: one\rmore\nwarning: \n"
    logs.close()
    assert (tmp_path / "logs" / "n.2.log").read_bytes() == b"debug: half \\ud800\n"
    assert len(lines) == 3


def test_log_messages_are_bounded_like_prints(logs: Logs, tmp_path: Path, lines: Lines) -> None:
    for _ in range(10_001):
        logs.log("n", 1, "info", "y")
    for _ in range(3):
        logs.log("n", 1, "info", "x" * KEEP_BYTES)
    path = tmp_path / "logs" / "n.1.log"
    logs.end("n", 1)
    assert lines[:10_000] == [("n", "info", "y")] * 10_000
    ((_, level, rest),) = lines[10_000:]
    assert (level, rest.partition(" bytes ")[2]) == ("warning", f"is in {path}, without 1,129,928 bytes in the middle")
    assert path.stat().st_size < 2 * KEEP_BYTES + 100


def test_a_long_log_message_is_split(logs: Logs, lines: Lines) -> None:
    logs.log("n", 1, "info", "x" * 20_000)
    assert lines == [("n", "info", "x" * 16_384), ("n", "info", "x" * 3_616)]


def test_each_log_message_is_redacted_as_a_whole(lines: Lines, tmp_path: Path) -> None:
    logs = Logs(lambda *line: lines.append(line), tmp_path, _RedactingFilter)
    logs.log("n", 1, "info", "x" * 16_381 + "secret")
    logs.log("n", 1, "info", "se")
    logs.end("n", 1)
    assert [line for _, _, line in lines] == ["x" * 16_381 + "***", "se"]
    assert (tmp_path / "n.1.log").read_text() == f"info: {'x' * 16_381}***\ninfo: se\n"


def test_a_detached_attempt_logs_no_more(logs: Logs, lines: Lines) -> None:
    logs.log("n", 1, "info", "in time")
    logs.detach("n", 1)
    logs.log("n", 1, "info", "late")
    logs.log("n", 2, "info", "the next attempt")
    logs.close()
    logs.log("n", 2, "info", "late")
    logs.of("n", 2, "stdout").feed(b"late\n")
    assert [line for _, _, line in lines] == ["in time", "the next attempt"]


def test_without_room_no_more_lines_are_emitted(tmp_path: Path, lines: Lines) -> None:
    answers = iter([True, True, False])
    logs = Logs(lambda *line: lines.append(line), tmp_path, has_room=lambda: next(answers))
    logs.of("n", 1, "stdout").feed(b"one\ntwo\nthree\nfour\n")
    logs.of("n", 1, "stdout").feed(b"five\n")
    logs.end("n", 1)
    path = tmp_path / "n.1.stdout"
    assert [line for _, _, line in lines] == ["one", "two", f"… the rest of 24 bytes is in {path}"]
    assert path.read_bytes() == b"one\ntwo\nthree\nfour\nfive\n"
