"""Tests of nodes that end the process of the run, or their worker, whatever exit status they choose, or close files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import forked
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a run is one process")

STEPS = """
import ctypes, os
import pyarrow as pa

def table(): return pa.table({"a": [1]})
def leave(): os._exit(0)
def leave_3(): os._exit(3)
def leave_c(): ctypes.CDLL(None).exit(0)
def replace(): os.execv("/bin/true", ["true"])
def close():
    os.closerange(3, 100)
    return table()
"""
PIPELINE = """
name: p
nodes:
  table: {python: "steps:table"}
  end: {python: "steps:%s", needs: [table], executor: %s}
outputs: {table: table}
"""
ENDS = [("leave", 0), ("leave_3", 3), ("leave_c", 0), ("replace", 0)]


def run(folder: Path, end: str, executor: str, option: str = "--json") -> subprocess.CompletedProcess[str]:
    (folder / "steps.py").write_text(STEPS)
    (folder / "p.yaml").write_text(PIPELINE % (end, executor))
    command = [sys.executable, "-m", "nfrun", "run", "p.yaml", option]
    return forked.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(("end", "status"), ENDS)
def test_a_node_that_ends_the_process_of_the_run_fails_it(tmp_path: Path, end: str, status: int) -> None:
    done = run(tmp_path, end, "thread")
    what = f"a node ended the process of the run with status {status}, as os._exit and exec do"
    assert done.returncode == 137
    assert done.stderr.splitlines()[-1] == f"nfrun: {what}; 'nfrun run' goes on from what had finished"
    assert json.loads(done.stdout) == {"status": "failed", "error": what, "problems": []}


@pytest.mark.parametrize("end", ["leave", "leave_3", "replace"])
def test_a_node_that_ends_its_worker_fails_alone(tmp_path: Path, end: str) -> None:
    done = run(tmp_path, end, "process")
    document = json.loads(done.stdout)
    assert (done.returncode, document["nodes"]["table"]["status"]) == (1, "ok")
    assert document["nodes"]["end"]["error"].startswith("WorkerLost: its worker process")


@pytest.mark.parametrize("option", ["--json", "-q"])
def test_a_run_whose_files_a_node_closed_says_so(tmp_path: Path, option: str) -> None:
    done = run(tmp_path, "close", "thread", option)
    what = "a node closed files that the run had open, as os.closerange does: let it close only what it has opened"
    assert done.returncode == os.EX_IOERR
    assert done.stderr.splitlines()[-1] == f"nfrun: {what}; 'nfrun run' goes on from what had finished"
    if option == "--json":
        assert json.loads(done.stdout) == {"status": "failed", "error": what, "problems": []}
