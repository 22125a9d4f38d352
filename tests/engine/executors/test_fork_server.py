"""Tests of the fork server: what it imports for workers, what it leaves out, and that it needs no main module."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# It has no `if __name__ == "__main__"`: a worker that imported it would start workers of its own.
PROGRAM = """
import json, sys
from multiprocessing import connection
from nfrun.engine.executors import fork_server
from worker_code import serve

fork_server.start_server(["nfrun.engine.executors.worker"])
here, there = connection.Pipe()
process = fork_server.make_process(serve, (there, [], None), {})
process.start()
print(json.dumps(here.recv()))
process.join()
"""
WORKER_CODE = """
import os, sys

def serve(pipe, streams, config):
    from nfrun.engine.executors import preload

    found = {"imported": "pandas" in sys.modules, "environ": preload.environ}
    pipe.send({**found, "threads": len(os.listdir("/proc/self/task")), "order": list({"a", "b", "c", "d"})})
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the threads of a process are not seen")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "worker_code.py").write_text(WORKER_CODE)
    (tmp_path / "site-packages").mkdir()
    return tmp_path


def run(folder: Path, pandas: str = "") -> dict[str, Any]:
    """Return what a worker finds when the code of pandas is this."""
    (folder / "site-packages/pandas.py").write_text(pandas)
    environ = {**os.environ, "PYTHONPATH": str(folder / "site-packages")}
    environ.pop("PYTHONHASHSEED", None)
    command = [sys.executable, "program.py"]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_pandas_is_imported_before_a_worker_starts(folder: Path) -> None:
    found = run(folder, "import os; os.environ['PANDAS'] = 'set'")
    assert (found["imported"], found["threads"]) == (True, 1)
    assert found["environ"] == {"PANDAS": "set"}, "the worker sets what an import has set"


def test_workers_start_without_a_package_that_fails(folder: Path) -> None:
    assert not run(folder, "raise SystemExit('no good')")["imported"]


def test_sets_have_the_same_order_in_the_workers_of_all_runs(folder: Path) -> None:
    assert len({tuple(run(folder)["order"]) for _ in range(3)}) == 1
