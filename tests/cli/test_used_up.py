"""Tests of runs whose process has no file descriptors or no memory left: they end, with a message and the code 74."""

from __future__ import annotations

import sys
from pathlib import Path

import forked
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS does not hold elsewhere")

STEPS = """
import os, resource
import pyarrow as pa

held = []

def files(left):
    try:
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    for _ in range(left):
        os.close(held.pop())
    return pa.table({"n": range(1000)})

def memory():
    table = pa.table({"n": range(1000)})
    resource.setrlimit(resource.RLIMIT_AS, (1 << 20, resource.RLIM_INFINITY))
    return table
"""
PIPELINE = """\
nodes:
  a: {python: "steps:%s"}
  script: {run: "cp $NFRUN_INPUT_a $NFRUN_OUTPUT", inputs: [a]}
  out: {write: out.csv, inputs: [a]}
"""


@pytest.mark.parametrize(
    "function", ['files", with: {left: 0}, description: "', 'files", with: {left: 3}, description: "', "memory"]
)
def test_a_run_whose_process_has_nothing_left_ends_with_74(tmp_path: Path, function: str) -> None:
    (tmp_path / "steps.py").write_text(STEPS)
    (tmp_path / "p.yaml").write_text(PIPELINE % function)
    command = [sys.executable, "-m", "nfrun", "run", "p.yaml", "--grace", "1s"]
    done = forked.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 74, done.stderr
    assert "Traceback" not in done.stderr
    assert any(text in done.stderr for text in ("Too many open files", "start new thread", "Cannot allocate memory"))
