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

seconds, *packages = sys.argv[1:]
fork_server._PRELOAD_SECONDS = float(seconds)
fork_server.start_server(["nfrun.engine.executors.worker"], packages)
here, there = connection.Pipe()
for _ in range(10_000):  # the system may need a moment to see that the fork server has ended
    process = fork_server.make_process(serve, (there, [], packages), {})
    try:
        process.start()
        break
    except (OSError, EOFError) as error:
        print(type(error).__name__, file=sys.stderr)
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
    "plain": "import os; os.environ['PLAIN'] = 'set'",
    "other": "",
    "polars": "",
    "threads": "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
    "configured": "open('settings.txt').read()",
    "broken": "raise SystemExit('no good')",
    "hangs": "import threading; threading.Event().wait()",
    "deadlocks": "import ctypes as c; f = c.PyDLL(None).pthread_mutex_lock; m = c.create_string_buffer(64); f(m); f(m)",
}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the threads of a process are not seen")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "settings.txt").touch()
    (tmp_path / "worker_code.py").write_text(WORKER_CODE)
    installed = tmp_path / "site-packages"
    installed.mkdir()
    for name, code in PACKAGES.items():
        (installed / f"{name}.py").write_text(code)
    return tmp_path


def run(folder: Path, *packages: str, seconds: float = 1000.0, lost: bool = False) -> dict[str, Any]:
    """Return what a worker finds when the fork server was to import `packages`."""
    environ = {**os.environ, "PYTHONPATH": str(folder / "site-packages")}
    environ.pop("PYTHONHASHSEED", None)
    command = [sys.executable, "program.py", str(seconds), *packages]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, bool(done.stderr)) == (0, lost), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_packages_are_imported_before_a_worker_starts(folder: Path) -> None:
    found = run(folder, "plain", "other", "missing")
    assert (found["imported"], found["threads"]) == (["plain", "other"], 1)
    assert found["environ"] == {"PLAIN": "set"}, "the worker sets what an import has set"


@pytest.mark.parametrize("package", ["threads", "broken", "polars", "configured"])
def test_a_package_that_starts_a_thread_or_fails_or_reads_a_file_is_left_out(folder: Path, package: str) -> None:
    found = run(folder, "plain", package, "other")
    assert (found["imported"], found["threads"]) == (["plain", "other"], 1)
    assert found["environ"] == {"PLAIN": "set"}


def test_an_import_that_hangs_does_not_hang_the_workers(folder: Path) -> None:
    found = run(folder, "plain", "hangs", "other", seconds=0.3)
    assert (found["imported"], found["threads"]) == ([], 1)


def test_compiled_code_that_hangs_costs_one_start_of_a_worker(folder: Path) -> None:
    found = run(folder, "plain", "deadlocks", "other", seconds=1.0, lost=True)
    assert (found["imported"], found["threads"]) == ([], 1)


def test_sets_have_the_same_order_in_the_workers_of_all_runs(folder: Path) -> None:
    assert len({tuple(run(folder)["order"]) for _ in range(3)}) == 1
