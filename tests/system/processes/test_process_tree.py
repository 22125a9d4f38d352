"""Tests that all descendants of a process are found and killed. Each test runs in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process adopt orphans")

# Every program below begins with this. `started(n)` waits until n processes have written their ids.
BEGIN = """
import os, subprocess, sys
from pathlib import Path
from nfrun.system.processes.process_tree import descendants, kill_descendants
from nfrun.system.processes.process_tree import ADOPTS_ORPHANS, find_prctl

assert find_prctl()(ADOPTS_ORPHANS, 1) == 0
pid_folder = Path(sys.argv[1])

def started(count):
    while len(list(pid_folder.iterdir())) < count:
        os.sched_yield()
    return [int(path.name) for path in pid_folder.iterdir()]

def alive(processes):
    return [process for process in processes if Path(f"/proc/{process}").exists()]
"""
SHAPES = {
    "plain": 'touch "$TOLD/$$"; exec sleep 300',
    "background": "sh -c 'touch \"$TOLD/$$\"; exec sleep 300' & exit 0",
    "session": "exec setsid sh -c 'touch \"$TOLD/$$\"; exec sleep 300'",
    "daemon": 'setsid sh -c \'sh -c "touch \\"\\$TOLD/\\$\\$\\"; exec sleep 300" & exit 0\' & exit 0',
    "deaf": 'nohup sh -c \'trap "" TERM INT HUP; touch "$TOLD/$$"; sleep 300; sleep 300\' > /dev/null 2>&1 & exit 0',
}


def stdout_of(tmp_path: Path, program: str) -> str:
    """Run the program and return what it prints; it must exit with 0."""
    pid_folder = tmp_path / "pids"
    pid_folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + program, str(pid_folder)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "TOLD": str(pid_folder)},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("shape", SHAPES)
def test_descendants_of_any_shape_are_killed(tmp_path: Path, shape: str) -> None:
    program = f"""
subprocess.Popen(["sh", "-c", {SHAPES[shape]!r}])
processes = started(1)
assert alive(processes) == processes
kill_descendants()
print(alive(processes), list(descendants()))
"""
    assert stdout_of(tmp_path, program) == "[] []\n"


def test_a_process_that_keeps_forking_is_killed(tmp_path: Path) -> None:
    program = """
if os.fork() == 0:
    count = 0
    while count < 1_000_000:
        count += 1
        if count == 10:
            (pid_folder / str(os.getpid())).touch()
        if os.fork():
            os._exit(0)
started(1)
kill_descendants()
print(list(descendants()))
"""
    assert stdout_of(tmp_path, program) == "[]\n"


def test_ended_and_live_descendants_are_told_apart(tmp_path: Path) -> None:
    program = """
one = os.fork()
if not one:
    two = os.fork()
    (pid_folder / str(two or os.getpid())).touch()
    while True:
        os.sched_yield() if two else os._exit(0)
(child,) = [process for process in started(1)]
while True:
    found = dict(descendants())
    if found.get(child):
        break
print(found == {one: False, child: True})
kill_descendants()
print(dict(descendants()))
"""
    assert stdout_of(tmp_path, program) == "True\n{}\n"


def test_a_process_that_may_not_be_killed_is_not_waited_for(tmp_path: Path) -> None:
    program = """
def refuse(process, number):
    raise PermissionError

kill, os.kill = os.kill, refuse
child = subprocess.Popen(["sleep", "300"])
kill_descendants(patience=1e9)
os.kill = kill
print(alive([child.pid]) == [child.pid])
kill_descendants()
print(alive([child.pid]))
"""
    assert stdout_of(tmp_path, program) == "True\n[]\n"


def test_the_wait_for_a_process_that_does_not_die_is_limited(tmp_path: Path) -> None:
    program = """
kill, os.kill = os.kill, lambda process, number: None
child = subprocess.Popen(["sleep", "300"])
kill_descendants(patience=0.05)
os.kill = kill
kill_descendants()
print(alive([child.pid]))
"""
    assert stdout_of(tmp_path, program) == "[]\n"


def test_without_descendants_nothing_is_killed(tmp_path: Path) -> None:
    assert stdout_of(tmp_path, "kill_descendants(); print('still here')") == "still here\n"


def test_without_proc_nothing_is_killed_and_nothing_raises(tmp_path: Path) -> None:
    program = """
def refuse(path):
    raise FileNotFoundError(2, "No such file or directory", path)

child = subprocess.Popen(["sleep", "300"])
os.listdir, listed = refuse, os.listdir
kill_descendants()
print(alive([child.pid]) == [child.pid])
os.listdir = listed
kill_descendants()
print(alive([child.pid]))
"""
    assert stdout_of(tmp_path, program) == "True\n[]\n"
