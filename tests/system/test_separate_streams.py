"""Tests of the streams of a run: stdout has results alone, stderr is redacted, and both are restored."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import textwrap

import pytest

from nfrun.system.logs.redaction import Redactor
from nfrun.system.std_streams import separate_streams

BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
VALUE = "hunter2"
REDACTOR = Redactor([VALUE])


GUARDED = """
import os, subprocess, sys
from nfrun.system.std_streams import separate_streams
from nfrun.system.logs.redaction import Redactor

with separate_streams(Redactor(["hunter2"]).filter()) as (results, fallback):
    os.write(1, b"one hunter2\\n")
    os.write(2, b"two hun")
    os.write(2, b"ter2\\n")
    print("three hunter2", file=fallback)
    subprocess.run("echo four hunter2; echo five hunter2 >&2; (sleep 5; echo never) &", shell=True)
    os.write(2, b"six \\xff hunter2")
    os.write(2, b" hunt")
    print("beside", file=sys.stderr)
    print("result", file=results)
    sys.__stdout__.write("buffered hunter2\\n")
print("after hunter2", file=sys.stderr)
print("out")
os.write(2, b"end hunter2\\n")
"""


def test_secrets_are_masked_in_writes_to_fd_1_and_2() -> None:
    command = [sys.executable, "-c", GUARDED]
    done = subprocess.run(command, check=True, capture_output=True, env=BUFFERED, timeout=30)
    assert done.stdout == b"result\nout\n", "and what is left in the background is not waited for"
    lines = done.stderr.replace(b"beside\n", b"").split(b"\n")  # its position in the output varies
    assert lines == [
        *(b"one ***", b"two ***", b"three ***", b"four ***", b"five ***"),
        *(b"six \\xff *** huntbuffered ***", b"after hunter2", b"end hunter2", b""),
    ]


def test_a_replaced_sys_stderr_gets_redacted_text(monkeypatch: pytest.MonkeyPatch) -> None:
    replacement = io.StringIO()
    monkeypatch.setattr(sys, "stderr", replacement)
    with separate_streams(REDACTOR.filter()) as (_, fallback):
        print(f"a {VALUE}", file=fallback)
        os.write(fallback.fileno(), b"b hunter2\n")
        assert sys.stderr is replacement
    assert replacement.getvalue() == "a ***\nb ***\n"


def test_without_secrets_stderr_is_not_replaced() -> None:
    with separate_streams(None) as (_, fallback):
        assert fallback is sys.stderr


def test_a_background_process_that_keeps_writing_is_not_waited_for() -> None:
    program = textwrap.dedent("""
        import subprocess, sys
        from nfrun.system.std_streams import separate_streams
        from nfrun.system.logs.redaction import Redactor
        with separate_streams(Redactor(["hunter2"]).filter()) as (results, fallback):
            loud = subprocess.Popen(["sh", "-c", "while echo hunter2 again; do :; done"])
            print("mine hunter2", file=fallback)
        print("done")
        loud.kill()
    """)
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=30)
    assert done.stdout == "done\n"
    assert "mine ***" in done.stderr
    assert "hunter2" not in done.stderr


def test_a_closed_stderr_pipe_does_not_stop_the_run() -> None:
    program = textwrap.dedent("""
        import os
        from nfrun.system.std_streams import separate_streams
        from nfrun.system.logs.redaction import Redactor
        reading, writing = os.pipe()
        os.close(reading)
        os.dup2(writing, 2)
        with separate_streams(Redactor(["hunter2"]).filter()) as (results, fallback):
            for _ in range(100):
                fallback.write("x" * 10_000 + "\\n")
        print("done")
    """)
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=30)
    assert done.stdout == "done\n"


def test_a_child_that_a_node_has_forked_is_not_waited_for() -> None:
    program = textwrap.dedent("""
        import os, signal, time
        from nfrun.system.std_streams import separate_streams
        from nfrun.system.logs.redaction import Redactor
        with separate_streams(Redactor(["hunter2"]).filter()):
            child = os.fork()  # the child inherits all pipes
            if not child:
                time.sleep(60)
                os._exit(0)
        os.kill(child, signal.SIGKILL)
        print("done")
    """)
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=30)
    assert done.stdout == "done\n"


RESTORED = """
import os, sys
from nfrun.system.logs.redaction import Redactor
from nfrun.system.std_streams import separate_streams

def where():
    return [os.readlink(f"/proc/self/fd/{number}") for number in (1, 2)]

def open_files():
    return sorted(os.listdir("/proc/self/fd"))

before, streams, files = where(), (sys.stdout, sys.stderr), open_files()
try:
    with separate_streams(%s) as (results, fallback):
        assert where()[0] != before[0]
        results.write("x" * 10)
        %s
except BaseException as error:
    print(type(error).__name__, file=sys.stderr)
assert where() == before and (sys.stdout, sys.stderr) == streams, where()
assert open_files() == files
os.write(2, b"restored")
"""


@pytest.mark.parametrize("redacting", ["None", "Redactor(['hunter2']).filter()"])
@pytest.mark.parametrize(
    ("inside", "stdout", "told"),
    [
        ("pass", "pipe", ""),
        ("raise ValueError", "pipe", "ValueError\n"),
        ("raise KeyboardInterrupt", "pipe", "KeyboardInterrupt\n"),
        ("fallback.flush()", "pipe", ""),
        ("pass", "/dev/full", "OSError\n"),
        ("pass", "closed pipe", ""),
    ],
)
def test_the_streams_are_restored(redacting: str, inside: str, stdout: str, told: str) -> None:
    if sys.platform != "linux":
        pytest.skip("open files are listed in /proc")
    reading, writing = os.pipe()
    if stdout == "closed pipe":
        os.close(reading)
    target = os.open("/dev/full", os.O_WRONLY) if stdout == "/dev/full" else writing
    command = [sys.executable, "-c", RESTORED % (redacting, inside)]
    done = subprocess.run(command, check=False, stdout=target, stderr=subprocess.PIPE, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, f"{told}restored")
    if stdout == "pipe":
        assert os.read(reading, 100) == b"x" * 10
    for descriptor in {writing, target} if stdout == "closed pipe" else {reading, writing, target}:
        os.close(descriptor)


def test_only_results_reach_stdout() -> None:
    program = textwrap.dedent("""
        import os, subprocess, sys
        from nfrun.system.std_streams import separate_streams
        sys.stdout.write("before\\n")
        with separate_streams(None) as (results, fallback):
            print("result", file=results)
            os.write(1, b"fd 1\\n")
            subprocess.run(["echo", "child"])
            sys.__stdout__.write("buffered\\n")
            fallback.write("fallback\\n")
        print("after")
    """)
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, env=BUFFERED, timeout=30
    )
    assert done.stdout == "before\nresult\nafter\n"
    assert done.stderr == "fd 1\nchild\nfallback\nbuffered\n"


def test_a_replaced_sys_stdout_gets_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    replacement = io.StringIO()
    monkeypatch.setattr(sys, "stdout", replacement)
    with separate_streams(None) as (results, _):
        assert results is replacement
