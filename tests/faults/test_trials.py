"""Runs every trial program with about a tenth of its trials."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The slack is for a busy machine: this test checks that stuck nodes are stopped at all, not how fast.
PROGRAMS = {
    "kill": ["--trials", "30"],
    "map_kill": ["--trials", "6"],
    "dask_kill": ["--trials", "9", "--jobs", "1"],  # on one cluster
    "partition_kill": ["--trials", "10"],
    "power_loss": ["--trials", "20"],
    "adbc_kill": ["--trials", "6", "--rows", "1e5", "--jobs", "1"],
    "told": ["--trials", "30"],
    "damage": ["--trials", "200"],
    "io_errors": ["--trials", "40"],
    "starters": ["--trials", "10"],
    "hostile": ["--trials", "20"],
    "clock": ["--trials", "10"],
    "orphans": ["--trials", "24"],
    "stops": ["--trials", "40", "--slack", "2"],
    "late_logs": ["--trials", "50"],
    "flood": ["--size", "1e8"],
    "cluster_flood": ["--trials", "1"],
    "random_pipelines": ["--trials", "20"],
    "eviction": ["--trials", "2"],
    "edits": ["--trials", "5"],  # most ways to read a file
}
SECONDS = 900  # a program that takes longer hangs


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the trials look at processes in /proc")
@pytest.mark.parametrize("name", PROGRAMS)
def test_trials_find_nothing_wrong(name: str) -> None:
    command = [sys.executable, "-m", f"tests.faults.{name}", "--jobs", str(os.cpu_count() or 1), *PROGRAMS[name]]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # which hides numpy and pandas
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=SECONDS, check=False)
    print(done.stdout)
    if done.stdout.startswith("skipped: "):
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr
