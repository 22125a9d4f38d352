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

packages = sys.argv[1:]
fork_server.start_server(["nfrun.engine.executors.worker"], packages)
here, there = connection.Pipe()
process = fork_server.make_process(serve, (there, [], packages), {})
process.start()
print(json.dumps(here.recv()))
process.join()
"""
WORKER_CODE = """
import os, sys

def serve(pipe, streams, packages):
    from nfrun.engine.executors import preload

    found = {"imported": [name for name in packages if name in sys.modules], "environ": preload.environ}
    pipe.send({**found, "threads": len(os.listdir("/proc/self/task")), "order": list({"a", "b", "c", "d"})})
"""
PACKAGES = {
    "pandas": "import os; os.environ['PANDAS'] = 'set'",
    "scipy": "",
    "other": "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
    "sklearn": "raise SystemExit('no good')",
}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the threads of a process are not seen")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "worker_code.py").write_text(WORKER_CODE)
    installed = tmp_path / "site-packages"
    installed.mkdir()
    for name, code in PACKAGES.items():
        (installed / f"{name}.py").write_text(code)
    return tmp_path


def run(folder: Path, *packages: str, threads: str = "1") -> dict[str, Any]:
    """Return what a worker finds when the fork server was to import `packages`."""
    environ = {**os.environ, "PYTHONPATH": str(folder / "site-packages"), "OMP_NUM_THREADS": threads}
    environ.pop("PYTHONHASHSEED", None)
    command = [sys.executable, "program.py", *packages]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_packages_are_imported_before_a_worker_starts(folder: Path) -> None:
    found = run(folder, "pandas", "scipy", "missing")
    assert (found["imported"], found["threads"]) == (["pandas", "scipy"], 1)
    assert found["environ"] == {"PANDAS": "set"}, "the worker sets what an import has set"


@pytest.mark.parametrize("package", ["other", "sklearn"])
def test_a_package_that_is_not_known_to_be_safe_or_fails_is_left_out(folder: Path, package: str) -> None:
    found = run(folder, "pandas", package, "scipy")
    assert (found["imported"], found["threads"]) == (["pandas", "scipy"], 1)


def test_packages_with_threads_of_their_own_are_imported_only_where_they_start_none(folder: Path) -> None:
    assert run(folder, "pandas", "scipy", threads="4")["imported"] == ["pandas"]


def test_sets_have_the_same_order_in_the_workers_of_all_runs(folder: Path) -> None:
    assert len({tuple(run(folder)["order"]) for _ in range(3)}) == 1
