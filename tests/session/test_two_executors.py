"""Tests of runs with nodes on several executors."""

from __future__ import annotations

import os
from pathlib import Path

import nfrun


def test_each_node_runs_on_its_own_executor(tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text("import os\ndef f(): return [{'pid': os.getpid()}]\n")
    nodes = "".join(f"  {name}: {{python: 's:f', executor: {name}}}\n" for name in ("thread", "process"))
    (tmp_path / "p.yaml").write_text(f"nodes:\n{nodes}")
    result = nfrun.load(tmp_path / "p.yaml").run()
    pids = [result[name]["pid"].to_pylist() for name in ("thread", "process")]
    assert [pid == [os.getpid()] for pid in pids] == [True, False]
