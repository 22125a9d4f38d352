"""Whatever a process has started, and whatever became of it, is found and ended. Tried in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process adopt orphans")

# What all of the programs below begin with. `started(n)` waits until so many have told their numbers.
BEGIN = """
import os, subprocess, sys
from pathlib import Path
from nfrun.system.process_tree import descendants, kill_descendants
from nfrun.system.supervisor import _ADOPTS_ORPHANS, _prctl

assert _prctl()(_ADOPTS_ORPHANS, 1) == 0
told = Path(sys.argv[1])

def started(count):
    while len(list(told.iterdir())) < count:
        os.sched_yield()
    return [int(path.name) for path in told.iterdir()]

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


def said(tmp_path: Path, program: str) -> str:
    """What the program prints when it has gone well."""
    told = tmp_path / "told"
    told.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + program, str(told)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "TOLD": str(told)},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_is_left(tmp_path: Path, shape: str) -> None:
    program = f"""
subprocess.Popen(["sh", "-c", {SHAPES[shape]!r}])
processes = started(1)
assert alive(processes) == processes
kill_descendants()
print(alive(processes), list(descendants()))
"""
    assert said(tmp_path, program) == "[] []\n"


def test_what_goes_on_forking_is_caught(tmp_path: Path) -> None:
    program = """
if os.fork() == 0:
    count = 0
    while count < 1_000_000:
        count += 1
        if count == 10:
            (told / str(os.getpid())).touch()
        if os.fork():
            os._exit(0)
started(1)
kill_descendants()
print(list(descendants()))
"""
    assert said(tmp_path, program) == "[]\n"


def test_who_has_ended_is_told_apart(tmp_path: Path) -> None:
    program = """
one = os.fork()
if not one:
    two = os.fork()
    (told / str(two or os.getpid())).touch()
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
    assert said(tmp_path, program) == "True\n{}\n"


def test_what_may_not_be_killed_is_not_waited_for(tmp_path: Path) -> None:
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
    assert said(tmp_path, program) == "True\n[]\n"


def test_what_cannot_be_killed_is_waited_for_in_vain(tmp_path: Path) -> None:
    program = """
kill, os.kill = os.kill, lambda process, number: None
child = subprocess.Popen(["sleep", "300"])
kill_descendants(patience=0.05)
os.kill = kill
kill_descendants()
print(alive([child.pid]))
"""
    assert said(tmp_path, program) == "[]\n"


def test_nothing_below_is_nothing_to_do(tmp_path: Path) -> None:
    assert said(tmp_path, "kill_descendants(); print('still here')") == "still here\n"


def test_without_a_list_of_processes_nothing_is_found_and_nothing_raises(tmp_path: Path) -> None:
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
    assert said(tmp_path, program) == "True\n[]\n"
