"""Tests of outputs that the file names under `outputs` and that are not there at the end of their node."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import forked
import pytest

NODES = ("python: 'steps:nothing'", "run: 'true'")
TOLD = "node 'a' failed: it has not made 'a', but 'outputs' of the file names it\n"
HINT = "  a function returns its outputs, a script writes them to $NFRUN_OUTPUT\n"


def run(folder: Path, node: str, end: str) -> subprocess.CompletedProcess[str]:
    (folder / "steps.py").write_text("def nothing(): pass\n")
    (folder / "p.yaml").write_text(f"nodes:\n  a: {{{node}}}\n{end}")
    command = [sys.executable, "-m", "nfrun", "run", "p.yaml", "-q"]
    return forked.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("executor", ["thread", "process"])
@pytest.mark.parametrize("node", NODES)
def test_a_named_output_that_is_missing_is_an_error(tmp_path: Path, node: str, executor: str) -> None:
    setting = f", executor: {executor}" if node.startswith("python") else ""
    done = run(tmp_path, node + setting, "outputs: {a: a}\n")
    assert done.returncode == 1
    assert f"{TOLD}{HINT}" in done.stderr


@pytest.mark.parametrize("node", NODES)
def test_an_output_that_is_only_shown_may_be_missing(tmp_path: Path, node: str) -> None:
    done = run(tmp_path, node, "")
    assert (done.returncode, "has not made" in done.stderr) == (0, False)
