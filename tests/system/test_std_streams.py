"""Tests of the streams of the process: messages are redacted, and what cannot be written raises no error."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nfrun.system.logs.redaction import Redactor
from nfrun.system.std_streams import Messages, best_effort_stream, redirect_std_streams

BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def test_a_line_is_written_at_its_end() -> None:
    reading, writing = os.pipe()
    under = os.fdopen(writing, "w", encoding="utf-8")
    stream = best_effort_stream(under)
    print("aé\udcff", file=stream)
    assert os.read(reading, 100) == "aé\\udcff\n".encode()
    assert (stream.fileno(), stream.isatty(), stream.writable()) == (writing, False, True)
    stream.close()
    under.close()  # closing the stream has not closed it
    os.close(reading)


def test_a_full_disk_and_a_closed_pipe_are_no_errors() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    for target in ("/dev/full", writing):
        with open(target, "w", encoding="utf-8") as under:  # noqa: PTH123  (a descriptor)
            stream = best_effort_stream(under)
            print("lost", file=stream, flush=True)
            stream.close()
            assert stream.closed


def test_a_slow_reader_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    under, text = os.fdopen(writing, "w", encoding="utf-8"), "x" * 1_000_000
    stream = best_effort_stream(under)
    received: list[bytes] = []

    def read() -> None:
        while sum(map(len, received)) < len(text):
            received.append(os.read(reading, 1 << 16))

    reader = threading.Thread(target=read)
    reader.start()
    stream.write(text)
    stream.flush()
    reader.join(30)
    assert b"".join(received).decode() == text
    under.close()
    os.close(reading)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["run", "p.yaml", "--json"], 0),
        (["run", "secret.yaml", "--json"], 0),
        (["run", "p.yaml", "-q"], 0),
        (["validate", "nope.yaml"], 2),
        (["run", "nope.yaml"], 2),
        (["bogus"], 2),
    ],
)
def test_an_unwritable_stderr_does_not_change_the_exit_code(tmp_path: Path, words: list[str], code: int) -> None:
    node = "a: {run: 'echo told >&2; echo x > \"$NFRUN_OUTPUT\"', format: csv}"
    (tmp_path / "p.yaml").write_text(f"nodes:\n  {node}\n")
    (tmp_path / "secret.yaml").write_text(f"secrets: [HUSH]\nnodes:\n  {node}\n")
    done = subprocess.run(
        [sys.executable, "-m", "nfrun", *words],
        cwd=tmp_path,
        env={**os.environ, "HUSH": "hunter2"},
        stdout=subprocess.PIPE,
        stderr=Path("/dev/full").open("w"),  # noqa: SIM115
        check=False,
        timeout=60,
    )
    assert done.returncode == code
    assert ('"status": "ok"' in done.stdout.decode()) is ("--json" in words)


# ------------------------------------------------------------------ messages


def test_a_message_is_redacted_and_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    messages = Messages()
    assert messages("before: hunter2") == "before: hunter2"
    messages.set_redactor(Redactor(["hunter2", "two\x1blines"]))
    assert messages("hunter2 \x1b[31m \ud800 two\x1blines\n   a hint") == "*** \\x1b[31m \\ud800 ***\n   a hint"
    messages.warn("hunter2 is damaged")
    messages("progress: ", end="")
    messages("")
    assert capsys.readouterr() == (
        "",
        "before: hunter2\n*** \\x1b[31m \\ud800 ***\n   a hint\nnfrun: warning: *** is damaged\nprogress: \n",
    )


def test_a_message_is_lost_if_stderr_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", closed := io.StringIO())
    closed.close()
    assert Messages()("lost") == "lost"


# ------------------------------------------------------------------ descriptors


def test_redirected_streams_take_all_that_the_process_writes() -> None:
    out, err = os.pipe(), os.pipe()
    if not (child := os.fork()):
        for number in (1, 2):
            os.close(number)
        streams = redirect_std_streams(out[1], err[1])
        print("out \udcff")
        print("err", file=sys.stderr)
        subprocess.run("echo child; echo child >&2", shell=True, check=True)
        os._exit(streams != (sys.stdout, sys.stderr))
    assert os.waitpid(child, 0)[1] == 0
    assert (os.read(out[0], 100), os.read(err[0], 100)) == (b"out \\udcff\nchild\n", b"err\nchild\n")
    for descriptor in (*out, *err):
        os.close(descriptor)


def test_discarded_results_raise_no_error_at_exit() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    program = "from nfrun.system.std_streams import discard_stdout\nprint('lost')\ndiscard_stdout()"
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, stdout=writing, stderr=subprocess.PIPE, env=BUFFERED, timeout=30
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")
