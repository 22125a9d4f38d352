"""Tests of stray output: bytes written straight to fd 2 arrive escaped, even if the run crashes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a run is one process")


IMPORT = "from nfrun.system.processes.supervisor import supervise"


def run(program: str, **more: object) -> subprocess.CompletedProcess[bytes]:
    text = f"import os, subprocess, sys\n{IMPORT}\nreport_code = supervise()\n{program}\nreport_code(0)"
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.run([sys.executable, "-c", text], check=False, timeout=30, **streams)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"plain\n", b"plain\n"),
        (b"\x1b[31mred\x07\n", b"\\x1b[31mred\\x07\n"),
        ("\u202eback\u2066\n".encode(), b"\\u202eback\\u2066\n"),
        (b"10%\r20%\r\nend", b"10%\n20%\nend"),
        (b"\xff\xfe\n", b"\\xff\\xfe\n"),
        ("ü".encode() * 40_000, "ü".encode() * 40_000),
    ],
)
def test_writes_of_children_to_fd_2_are_escaped(written: bytes, shown: bytes) -> None:
    count, data = (1, written) if len(written) < 100 else (len(written) // 2, written[:2])
    write = f"import os; data = {data!r} * {count}\nwhile data: data = data[os.write(2, data):]"
    done = run(f"subprocess.run([sys.executable, '-c', {write!r}], check=True)")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", shown)


def test_writes_to_sys_stderr_are_not_escaped() -> None:
    done = run("sys.stderr.write('\\x1b[31mours\\n')\nprint('out')")
    assert (done.stdout, done.stderr) == (b"out\n", b"\x1b[31mours\n")


def test_output_before_a_crash_is_not_lost() -> None:
    done = run(
        "import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\nos.write(2, b'ouch\\x1b\\n')\nos.abort()"
    )
    assert done.stderr == b"ouch\\x1b\nnfrun: the run was killed by SIGABRT; compiled code in it aborted\n"


def test_a_large_write_that_holds_the_gil_does_not_block() -> None:
    done = run("import ctypes\nctypes.PyDLL(None).write(2, b'x' * 300_000, 300_000)")
    assert done.stderr == b"x" * 300_000


def test_a_closed_stderr_pipe_does_not_stop_the_run() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = run("os.write(2, b'x' * 300_000)\nprint('out')", stderr=writing)
    os.close(writing)
    assert (done.returncode, done.stdout) == (0, b"out\n")


def test_a_run_works_with_stderr_closed() -> None:
    command = [
        sys.executable,
        "-c",
        f"{IMPORT}; supervise()(0); print('out')",
    ]
    done = subprocess.run(["sh", "-c", '"$@" 2>&-', "-", *command], check=False, capture_output=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"out\n", b"")


def test_a_replaced_sys_stderr_is_left_alone() -> None:
    text = (
        "import io, sys\nsys.stderr = io.StringIO()\n"
        "from nfrun.system.processes.supervisor import supervise\nsupervise()(0)\nprint(type(sys.stderr))"
    )
    done = subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, text=True, timeout=30)
    assert done.stdout == "<class '_io.StringIO'>\n"
