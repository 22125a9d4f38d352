"""Tests of workers that die, freeze or join while they are asked before a run, on a real Dask cluster."""

from __future__ import annotations

import os
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

def ask(self, question, seconds, ask=DaskEngine.ask):
    for pid in {pids}:
        os.kill(pid, {sent})
        if {again}:
            threading.Timer({again}, os.kill, (pid, signal.SIGCONT)).start()
    return ask(self, question, {seconds})

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


@pytest.mark.parametrize(
    ("sent", "why"),
    [(signal.SIGKILL, "it has left the cluster"), (signal.SIGSTOP, "it does not answer")],
    ids=["dies", "freezes"],
)
def test_a_worker_that_is_lost_while_it_is_asked_is_left_out(
    folder: Path, cluster: DaskCluster, sent: signal.Signals, why: str
) -> None:
    done = run(folder, cluster, sent, 1)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("warning") == done.stderr.count("left out") == 1
    assert re.search(rf"^nfrun: warning: worker tcp://127\.0\.0\.1:\d+ is left out: {why}$", done.stderr, re.MULTILINE)
    shown = subprocess.run(
        [sys.executable, "-m", "nfrun", "open", "p.yaml", "all", "--format", "jsonl"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.stdout == '{"s":15}\n'


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP], ids=["die", "freeze"])
def test_a_run_is_refused_if_all_workers_are_lost(folder: Path, cluster: DaskCluster, sent: signal.Signals) -> None:
    done = run(folder, cluster, sent, 2)
    assert done.returncode == 69
    assert done.stderr.startswith("nfrun: the cluster cannot run this pipeline:\n   ")
    assert "cannot be used: " in done.stderr
    assert not [*(folder / ".nfrun/store").rglob("nonce*")], "nothing is left in the store"


def test_a_worker_that_answers_late_is_used(folder: Path, cluster: DaskCluster) -> None:
    done = run(folder, cluster, signal.SIGSTOP, 2, again=1.0, seconds=30.0)
    assert (done.returncode, "left out" in done.stderr) == (0, False), done.stderr


def test_validate_counts_the_workers_that_are_left(folder: Path, cluster: DaskCluster) -> None:
    done = run(folder, cluster, signal.SIGSTOP, 1, "validate")
    assert (done.returncode, done.stdout.splitlines()[1:]) == (0, [f"{cluster.address}: ok, 1 worker, 1 threads"])
    assert "is left out: it does not answer" in done.stderr


def test_a_worker_that_is_left_out_and_goes_on_later_has_nothing_of_the_run(folder: Path, cluster: DaskCluster) -> None:
    done = run(folder, cluster, signal.SIGSTOP, 1)
    assert done.returncode == 0, done.stderr
    os.kill(cluster.workers[0].pid, signal.SIGCONT)
    again = run(folder, cluster, signal.SIGCONT, 1, "run", "--fresh")
    assert (again.returncode, "left out" in again.stderr) == (0, False), again.stderr
