"""Tests of workers that die or freeze while they are asked before a run, on a real Dask cluster."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.dask_cluster import DaskCluster

pytest.importorskip("distributed", reason="needs Dask: pip install 'distributed>=2024.1'")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="hosts need Linux")]

PIPELINE = """
matrix: {i: "${{ 6 | range }}"}
nodes:
  n: {python: "steps:n", with: {i: "${{ matrix.i }}"}, matrix: i}
  all: {sql: select sum(i)::int as s from n, inputs: {n: {from: n, gather: concat, columns: []}}}
outputs: {all: all}
"""
STEPS = "import pyarrow as pa\ndef n(i): return pa.table({'i': [i]})\n"
# The program of a run that does something to processes when it has listed the workers and asks them.
ASKING = """
import os, signal, sys, threading
from nfrun.cluster.dask_engine import DaskEngine

def ask(self, worker, question, seconds, ask=DaskEngine.ask):
    for pid in {pids}:
        os.kill(pid, {sent})
        if {again}:
            threading.Timer({again}, os.kill, (pid, signal.SIGCONT)).start()
    return ask(self, worker, question, {seconds})

DaskEngine.ask = ask
from nfrun.__main__ import main
main()
"""
OPTIONS = ("--executor", "dask", "--address")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[DaskCluster]:
    with DaskCluster(tmp_path / "dask", 2) as cluster:
        yield cluster


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "p.yaml").write_text(PIPELINE)
    (tmp_path / "steps.py").write_text(STEPS)
    return tmp_path


def run(
    folder: Path,
    cluster: DaskCluster,
    sent: signal.Signals,
    workers: int,
    *words: str,
    again: float = 0.0,
    seconds: float = 5.0,
) -> subprocess.CompletedProcess[str]:
    """Run a command that sends a signal to so many workers, and again seconds later SIGCONT."""
    pids = [worker.pid for worker in cluster.workers[:workers]]
    code = ASKING.format(pids=pids, sent=int(sent), again=again, seconds=seconds)
    command = [sys.executable, "-c", code, *(words or ("run",)), "p.yaml", *OPTIONS, cluster.address]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)


def test_a_run_goes_on_without_the_workers_that_die_while_they_are_asked(folder: Path, cluster: DaskCluster) -> None:
    cluster.join()
    cluster.wait_for_workers(3)
    done = run(folder, cluster, signal.SIGKILL, 2)
    assert done.returncode == 0, done.stderr
    assert "left out" not in done.stderr
    assert shown(folder) == '{"s":15}\n'


def test_a_run_begins_without_an_answer_of_workers_that_freeze_and_waits_for_them(
    folder: Path, cluster: DaskCluster
) -> None:
    done = run(folder, cluster, signal.SIGSTOP, 2, again=4.0, seconds=1.0)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^nfrun: warning: worker tcp://127\.0\.0\.1:\d+ does not answer: ", done.stderr, re.MULTILINE)
    assert shown(folder) == '{"s":15}\n'


def test_a_worker_that_answers_late_is_used(folder: Path, cluster: DaskCluster) -> None:
    done = run(folder, cluster, signal.SIGSTOP, 2, again=1.0, seconds=30.0)
    assert (done.returncode, "not answer" in done.stderr) == (0, False), done.stderr


def test_validate_tells_the_workers(folder: Path, cluster: DaskCluster) -> None:
    done = run(folder, cluster, signal.SIGCONT, 1, "validate")
    assert (done.returncode, done.stdout.splitlines()[1:]) == (0, [f"{cluster.address}: ok, 2 workers, 2 threads"])


def test_a_node_waits_for_a_gpu_that_no_worker_has_until_one_joins(folder: Path, cluster: DaskCluster) -> None:
    node = "n: {python: 'steps:n', with: {i: 1}, resources: {gpu: 2}}"
    (folder / "p.yaml").write_text(f"nodes: {{{node}}}\nresources: {{gpu: 2}}\n")
    command = [sys.executable, "-m", "nfrun", "run", "p.yaml", *OPTIONS, cluster.address]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as started:
        assert started.stderr is not None
        lines = iter(started.stderr)
        warning = next(line for line in lines if "warning" in line)
        assert warning.endswith("node 'n' takes 2 of 'gpu', and no worker has that: it waits until one joins\n")
        cluster.join("--resources", "gpu=2")
        assert started.wait(60) == 0, [*lines]


def shown(folder: Path) -> str:
    command = [sys.executable, "-m", "nfrun", "open", "p.yaml", "all", "--format", "jsonl"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


ADAPTING = """
import subprocess, sys, time
from distributed import LocalCluster, SchedulerPlugin

class Count(SchedulerPlugin):
    most = 0
    def add_worker(self, scheduler, worker):
        self.most = max(self.most, len(scheduler.workers))

if __name__ == "__main__":
    cluster = LocalCluster(n_workers=0, threads_per_worker=1, dashboard_address=":0", host="127.0.0.1")
    cluster.scheduler.add_plugin(count := Count())
    cluster.adapt(minimum=0, maximum=4, interval="200ms", wait_count=2)
    code = subprocess.call([sys.executable, "-m", "nfrun", "run", "p.yaml", *sys.argv[1:], cluster.scheduler_address])
    until = time.monotonic() + 30
    while cluster.scheduler.workers and time.monotonic() < until:
        time.sleep(0.1)
    print(code, count.most, len(cluster.scheduler.workers))
    cluster.close()
"""


def test_an_adaptive_cluster_without_workers_grows_and_shrinks(folder: Path) -> None:
    nodes = "matrix: {i: '${{ 40 | range }}'}\nnodes: {n: {matrix: i, run: sleep 0.2}}\n"
    (folder / "p.yaml").write_text(nodes)
    (folder / "adapting.py").write_text(ADAPTING)
    command = [sys.executable, "adapting.py", *OPTIONS]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    code, most, left = map(int, done.stdout.split()[-3:])
    assert (code, left) == (0, 0), done.stderr
    assert most > 1
