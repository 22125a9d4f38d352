"""mypy checks programs that use nfrun by its types, and finds what is wrong in them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TYPED = """
from pathlib import Path

import nfrun
from nfrun.testing import run_node


def main(file: Path) -> str:
    pipeline: nfrun.LoadedPipeline = nfrun.load(file)
    plan: nfrun.Plan = pipeline.plan(only="a", params={"x": 1})
    result: nfrun.Result = pipeline.run(jobs=2, inputs={"orders": [{"id": 1}]}, only=["a"], wait="5m", work=file.parent)
    status: str = result.check().status
    took: float = result.nodes["a"].took
    frames = [frame.line for failure in result.failures for frame in failure.frames]
    names: list[str] = list(result)
    b = nfrun.Pipeline("x", params={"n": 1}, matrix={"m": [1, 2]})
    one: nfrun.Node = b.python("a", main, {"x": "y"}, {"k": 1}, timeout="3s", retries={"max": 2}, outputs=["a"])
    b.sql("b", "select 1", [one, one["a"]], cache=True, checks=[{"rows": 1}])
    b.finally_.script("end", "echo")
    b.outputs(a=one)
    try:
        text: str = b.to_yaml()
    except nfrun.SpecError as error:
        text = "".join(f"{problem.file}:{problem.line}" for problem in error.problems)
    except (nfrun.UsageError, nfrun.WorkDirLocked, nfrun.RunFailed, nfrun.Error):
        raise
    run_node(file, "a", {"x": Path("y")}, with_={"k": 2})
    return f"{plan}{status}{took}{frames}{names}{text}"
"""
WRONGLY_TYPED = """
import nfrun

nfrun.load(3)
nfrun.load("x").run(jbos=3)
nfrun.Pipeline("x").sql("a", "select 1", tiemout="3s")
nfrun.Pipeline("x").sql("a", "select 1", timeout=3)
"""


@pytest.mark.slow  # mypy reads all of nfrun
def test_programs_are_checked_by_mypy(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(TYPED)
    (tmp_path / "wrong.py").write_text(WRONGLY_TYPED)
    settings = tmp_path / "mypy.ini"
    settings.write_text("[mypy]\nstrict = true\n[mypy-pyarrow.*,duckdb.*]\nignore_missing_imports = true\n")
    command = [sys.executable, "-m", "mypy", "--config-file", str(settings), "--cache-dir", str(tmp_path / "cache")]
    pytest.importorskip("mypy", reason="needs what the extra 'dev' installs")
    done = subprocess.run([*command, "good.py", "wrong.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    ours = [
        line for line in done.stdout.splitlines() if line.startswith(("good.py", "wrong.py")) and ": error:" in line
    ]
    assert [line.split(":")[:2] for line in ours] == [["wrong.py", str(number)] for number in (4, 5, 6, 7)], done.stdout
