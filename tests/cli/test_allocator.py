"""Tests of Arrow's allocator: its default or the one that its variable names, in all processes of a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

VARIABLE = "ARROW_DEFAULT_MEMORY_POOL"
STEPS = """
import os, subprocess
import pyarrow as pa

def seen():
    child = subprocess.run("echo $VARIABLE", shell=True, capture_output=True, text=True, check=True).stdout.strip()
    own = os.environ.get("VARIABLE", "")
    return {"backend": pa.default_memory_pool().backend_name, "variable": own, "child": child}
""".replace("VARIABLE", VARIABLE)
PIPELINE = """\
nodes:
  thread: {python: "steps:seen", executor: thread}
  worker: {python: "steps:seen", executor: process}
  cpus: {python: "steps:seen", executor: process, resources: {cpu: 2}}
  script: {run: 'echo variable > "$NFRUN_OUTPUT"; echo "($VARIABLE)" >> "$NFRUN_OUTPUT"', format: csv}
outputs: {thread: thread, worker: worker, cpus: cpus, script: script}
""".replace("VARIABLE", VARIABLE)


@pytest.mark.parametrize("given", ["", "system"])
def test_nodes_have_the_allocator_of_arrow_or_of_its_variable(tmp_path: Path, given: str) -> None:
    (tmp_path / "steps.py").write_text(STEPS)
    (tmp_path / "p.yaml").write_text(PIPELINE)
    environ = {name: value for name, value in os.environ.items() if name != VARIABLE}
    done = subprocess.run(
        [sys.executable, "-m", "nfrun", "run", "p.yaml"],
        cwd=tmp_path,
        env=environ | ({VARIABLE: given} if given else {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    words = done.stdout.split()
    assert words.count(given or pa.default_memory_pool().backend_name) == 3 * (3 if given else 1), done.stdout
    assert f"({given})" in words
