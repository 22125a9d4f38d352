"""No node and no program that a node starts reads the stdin of nfrun, which a Python program keeps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import forked
import pyarrow as pa
import pytest

STEPS = """
import fileinput
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa


def forked():
    reading, writing = os.pipe()
    if not os.fork():
        os.write(writing, os.read(0, 9) or b"")
        os._exit(0)
    os.close(writing)
    os.wait()
    return os.read(reading, 9).decode()


def prompted():
    try:
        return input("name: ")
    except EOFError:
        return ""


OF_PYTHON = {
    "read": lambda: sys.stdin.read(),
    "lines": lambda: "".join(sys.stdin),
    "readlines": lambda: "".join(sys.stdin.readlines()),
    "bytes": lambda: sys.stdin.buffer.read().decode(),
    "input": prompted,
    "fileinput": lambda: "".join(fileinput.input("-")),
    "child": lambda: subprocess.run(["cat"], stdout=subprocess.PIPE, text=True).stdout,
    "child of the stream": lambda: subprocess.run(["cat"], stdin=sys.stdin, stdout=-1, text=True).stdout,
    "os.popen": lambda: os.popen("cat").read(),
    "the stream's descriptor": lambda: os.read(sys.stdin.fileno(), 9).decode(),
    "a terminal": lambda: "yes" if sys.stdin.isatty() else "",
}
OF_THE_SYSTEM = {
    "the kept stream": lambda: sys.__stdin__.read(),
    "os.read": lambda: os.read(0, 9).decode(),
    "/dev/stdin": lambda: open("/dev/stdin").read(),
    "open": lambda: open(0, closefd=False).read(),
    "thread": lambda: ThreadPoolExecutor(1).submit(lambda: sys.stdin.read()).result(),
    "fork": forked,
    "os.system": lambda: open(f"{os.getcwd()}/.of_system").read() if os.system("cat > .of_system") == 0 else "failed",
}


def table(ways):
    return pa.table({"way": list(ways), "got": [read() for read in ways.values()]})


def of_python():
    return table(OF_PYTHON)


async def of_coroutine():
    return table(OF_PYTHON)


def all_ways():
    return table(OF_PYTHON | OF_THE_SYSTEM)


def of_row(table):
    return pa.table({"got": ["".join(read() for read in OF_PYTHON.values())] * len(table)})
"""
COMMAND = """
nodes:
  thread: {python: "steps:all_ways", executor: thread}
  process: {python: "steps:all_ways", executor: process}
  own: {python: "steps:all_ways", executor: process, resources: {cpu: 2}}
  coroutine: {python: "steps:of_coroutine"}
  script: {run: "echo got > $NFRUN_OUTPUT; cat >> $NFRUN_OUTPUT", format: csv}
  rows: {python: "steps:of_row", inputs: {table: thread}, map: {over: table, batch: 5}}
outputs: {thread: thread, process: process, own: own, coroutine: coroutine, script: script, rows: rows}
"""
PROGRAM = """
nodes:
  thread: {python: "steps:of_python", executor: thread}
  coroutine: {python: "steps:of_coroutine"}
  process: {python: "steps:all_ways", executor: process}
outputs: {thread: thread, process: process, coroutine: coroutine}
"""


def assert_nothing_read(folder: Path, nodes: set[str]) -> None:
    tables = {
        path.name.partition(".")[0]: pa.ipc.open_file(path).read_all() for path in folder.glob(".nfrun/runs/*/*.arrow")
    }
    assert tables.keys() == nodes
    read = {name: [row for row in table.to_pylist() if row["got"]] for name, table in tables.items()}
    assert read == {name: [] for name in nodes}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "steps.py").write_text(STEPS)
    return tmp_path


def test_no_node_of_the_command_reads_stdin(folder: Path) -> None:
    (folder / "p.yaml").write_text(COMMAND)
    command = [sys.executable, "-m", "nfrun", "run", "p.yaml", "--json"]
    done = forked.run(command, cwd=folder, input="secret\n", text=True, capture_output=True, env={**os.environ})
    assert done.returncode == 0, done.stderr
    assert_nothing_read(folder, {"thread", "process", "own", "coroutine", "script", "rows"})


def test_what_the_command_does_not_read_is_left_for_who_comes_next(folder: Path) -> None:
    (folder / "p.yaml").write_text(COMMAND)
    script = f"while read name; do {sys.executable} -m nfrun run p.yaml -q >&2; echo $name; done"
    done = subprocess.run(
        ["sh", "-c", script], cwd=folder, input="one\ntwo\nthree\n", text=True, capture_output=True, check=False
    )
    assert done.stdout == "one\ntwo\nthree\n", done.stderr


def test_a_program_keeps_its_stdin_during_a_run_and_after_it(folder: Path) -> None:
    (folder / "p.yaml").write_text(PROGRAM)
    (folder / "program.py").write_text(
        "import subprocess, sys\n"
        "from contextlib import contextmanager\n"
        "from pathlib import Path\n"
        "from nfrun.session.options import RunOptions\n"
        "from program_runs import run_pipeline\n"
        "lines = [sys.stdin.readline()]\n"
        "@contextmanager\n"
        "def reading(run):\n"
        "    lines.append(sys.stdin.readline())\n"
        "    yield\n"
        "result = run_pipeline(RunOptions(Path('p.yaml'), keep=True), around=reading)\n"
        "start = subprocess.Popen.__init__.__qualname__\n"
        "print(result.end.status, lines, sys.stdin.read(), type(sys.stdin).__name__, start)\n"
    )
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=folder,
        input="1\n2\n3",
        text=True,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    assert done.stdout == "ok ['1\\n', '2\\n'] 3 TextIOWrapper Popen.__init__\n", done.stderr
    assert_nothing_read(folder, {"thread", "coroutine", "process"})


def test_a_read_node_of_stdin_is_refused(folder: Path) -> None:
    (folder / "p.yaml").write_text("nodes:\n  orders: {read: /dev/stdin, with: {format: csv}}\n")
    command = [sys.executable, "-m", "nfrun", "run", "p.yaml"]
    done = forked.run(command, cwd=folder, input="a\n1\n", text=True, capture_output=True, env={**os.environ})
    assert (done.returncode, done.stderr) == (
        2,
        "p.yaml:2:18: '/dev/stdin' is the stdin of nfrun, which no node gets\n"
        "    2 |   orders: {read: /dev/stdin, with: {format: csv}}\n"
        "      |                  ^^^^^^^^^^ save what it gives to a file, and read that\n",
    )
