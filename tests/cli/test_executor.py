"""Tests of `--executor` and nodes in processes: results, messages, exit codes, and no leftover workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import forked
import pyarrow as pa
import pytest
from conftest import Here, without_time

from nfrun.history.database import TIMINGS, Database
from nfrun.history.work_dir import WorkDir

STEPS = """
import os, pathlib, signal, threading, time
import pyarrow as pa

def numbers(count=3): return pa.table({"n": range(count)})
def double(table): return pa.table({"n": [2 * n for n in table["n"].to_pylist()]})
def where(): return {"pid": os.getpid()}
def add(left, right): return {"n": sum(left["n"].to_pylist()) + sum(right["n"].to_pylist())}
def die(): os.kill(os.getpid(), signal.SIGKILL)
def hang(flag):
    pathlib.Path(flag).write_text(str(os.getpid()))
    while True:
        time.sleep(0.01)
def fork():
    pid = os.fork()
    if pid: os.waitpid(pid, 0)
    return {"who": "parent" if pid else "child"}
def zone(): return {"zone": time.tzname[0], "hour": time.localtime(0).tm_hour}
def compute(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        sum(range(1000))
    return {"seconds": seconds}
"""
SUMS = """
nodes:
  numbers: {python: 'steps:numbers'}
  double: {python: 'steps:double', inputs: {table: numbers}}
  plain: {sql: select n from t, inputs: {t: double}}
  script: {run: cp "$NFRUN_INPUT_table" "$NFRUN_OUTPUT", inputs: {table: plain}}
  sum: {python: 'steps:add', inputs: {left: script, right: plain}}
"""


class Folder:
    def __init__(self, path: Path, here: Here) -> None:
        self.path = path
        self.here = here
        (path / "steps.py").write_text(STEPS)

    def start(self, text: str, *options: str) -> subprocess.Popen[str]:
        (self.path / "p.yaml").write_text(text)
        return forked.Popen(
            [sys.executable, "-P", "-m", "nfrun", "run", "p.yaml", *options],
            cwd=self.path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, text: str, *options: str) -> tuple[int, str, str]:
        """Run in this process, whose worker processes have one fork server for all runs."""
        (self.path / "p.yaml").write_text(text)
        done = self.here(self.path, "run", "p.yaml", *options)
        return done.returncode, done.stdout, done.stderr

    def run_apart(self, text: str, *options: str) -> tuple[int, str, str]:
        """Run in a process of its own, which starts a fork server of its own."""
        process = self.start(text, *options)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def pids(self, text: str, *options: str) -> tuple[int, ...]:
        """Run, and return the ids of the processes in which the nodes `one` and `two` ran."""
        outputs = self.document(text, "--fresh", *options)["outputs"]
        files = [outputs[name]["path"] for name in ("one", "two")]
        return tuple(pa.ipc.open_file(pa.memory_map(file)).read_all()["pid"][0].as_py() for file in files)

    def document(self, text: str, *options: str) -> dict[str, Any]:
        code, out, err = self.run(text, "--json", *options)
        assert code == 0, err
        document: dict[str, Any] = json.loads(out)
        return document


@pytest.fixture
def folder(tmp_path: Path, here: Here) -> Folder:
    return Folder(tmp_path, here)


def wait_for(condition: Any) -> None:
    tick = threading.Event()
    for _ in range(2000):
        if condition():
            return
        tick.wait(0.01)
    raise AssertionError("it never came")


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.parametrize("handoff", ["auto", "mmap", "memory"])
def test_results_are_the_same_with_every_executor(folder: Folder, handoff: str) -> None:
    pytest.importorskip("duckdb")
    executors = ("process", "auto", "file", "thread")
    found = [folder.document(SUMS, "--executor", executor, "--handoff", handoff) for executor in executors]
    assert len({document["outputs"]["sum"]["digest"] for document in found}) == 1
    assert {node["status"] for document in found for node in document["nodes"].values()} == {"ok"}


def test_the_option_overrides_the_executors_of_the_file(folder: Folder) -> None:
    text = """
defaults: {executor: process}
nodes:
  one: {python: 'steps:where'}
  two: {python: 'steps:where', executor: thread}
"""
    one, two = folder.pids(text)
    assert one != two
    one, two = folder.pids(text, "--executor", "thread")
    assert one == two


def test_auto_moves_nodes_that_waited_for_the_gil_to_processes(folder: Folder) -> None:
    text = "nodes:\n  one: {python: 'steps:where', executor: auto}\n  two: {python: 'steps:where', executor: auto}\n"
    one, two = folder.pids(text)
    assert one == two
    read, write = Database(WorkDir(folder.path / ".nfrun"), print).kept(TIMINGS, "p.yaml")
    seconds = {"one": 2_000_000, "two": 2_000_000}
    write({"took": seconds, "thread": seconds, "locked": {"one": 1_000_000, "two": 100_000}})
    one, two = folder.pids(text)
    assert one != two
    assert read()["process"].keys() == {"one"}


def test_a_killed_worker_is_described(folder: Folder) -> None:
    text = """
nodes:
  bad: {python: 'steps:die', executor: process}
  next: {python: 'steps:numbers', needs: bad}
  other: {python: 'steps:numbers'}
"""
    code, _, err = folder.run(text, "-k", "-q")
    assert code == 1
    assert without_time(err) == (
        "\np.yaml:3:3: node 'bad' failed after 3 attempts: WorkerLost: its worker process was killed by SIGKILL; "
        "the system does that when memory runs out\n  skipped next\n"
        "p: failed, 1 ran, 1 failed, 1 skipped, TIME\nto go on from here: nfrun run p.yaml -k\n"
    )


def test_a_node_in_a_process_is_killed_at_its_timeout(folder: Folder) -> None:
    flag = folder.path / "flag"
    text = f"""
nodes:
  a: {{python: 'steps:hang', with: {{flag: '{flag}'}}, executor: process, timeout: 1s}}
"""
    code, _, err = folder.run(text, "-q")
    told = "\np.yaml:3:3: node 'a' failed: Timeout: took longer than its timeout of 1 s\np: failed, 1 failed, TIME\n"
    assert (code, without_time(err)) == (1, told)
    assert not flag.exists() or not is_running(int(flag.read_text()))  # on a slow machine it may import only


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_no_worker_is_left_behind(folder: Folder, number: signal.Signals, code: int) -> None:
    flag = folder.path / "flag"
    text = f"nodes: {{a: {{python: 'steps:hang', with: {{flag: '{flag}'}}, executor: process}}}}\n"
    process = folder.start(text, "-q")
    wait_for(lambda: flag.exists() and flag.read_text())
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == code
    wait_for(lambda: not is_running(int(flag.read_text())))


def test_a_run_records_processor_time_and_waits(folder: Folder) -> None:
    nodes = "\n".join(f"  n{i}: {{python: 'steps:compute', with: {{seconds: 0.2}}}}" for i in range(2))
    document = folder.document(f"nodes:\n{nodes}\n", "-q")
    for node in document["nodes"].values():
        assert 0.2 <= node["cpu_s"] <= node["took_s"]
        assert 0 <= node["locked_s"] <= node["took_s"]


def test_workers_do_not_import_standard_modules_from_the_working_directory(folder: Folder) -> None:
    for name in ("types", "random", "select", "multiprocessing"):
        (folder.path / f"{name}.py").write_text("raise RuntimeError('this is not the one')\n")
    text = "nodes: {one: {python: 'steps:where', executor: process}, two: {python: 'steps:where', executor: process}}\n"
    code, _, err = folder.run_apart(text, "-q")
    assert code == 0, err
    assert "rename it" in err


def test_a_forked_child_of_a_node_in_a_thread_does_not_continue_the_run(folder: Folder) -> None:
    text = "nodes: {a: {python: 'steps:fork'}, b: {python: 'steps:numbers', needs: a}}\n"
    code, out, err = folder.run_apart(text, "-q", "--json")
    assert code == 0, err
    document = json.loads(out)
    assert {name: node["rows"] for name, node in document["nodes"].items()} == {"a": 1, "b": 3}


def test_the_time_zone_of_the_file_applies_to_all_nodes(folder: Folder) -> None:
    text = """
env: {TZ: Asia/Tokyo}
nodes: {one: {python: 'steps:zone'}, two: {python: 'steps:zone', executor: process}}
"""
    outputs = folder.document(text, "-q")["outputs"]
    assert outputs["one"]["digest"] == outputs["two"]["digest"]


@pytest.mark.parametrize("wrong", ["procces", "", "processes", "2", "cluster"])
def test_an_unknown_executor_is_a_usage_error(tmp_path: Path, here: Here, wrong: str) -> None:
    (tmp_path / "p.yaml").write_text(SUMS)
    done = here(tmp_path, "run", "p.yaml", f"--executor={wrong}")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        f"Invalid value for --executor: '{wrong}' is not one of 'file', 'thread', 'process', 'dask', 'auto'."
        in done.stderr
    )
