"""Runs the example of `docs/budgets.md`, and shows in the plan which budget limits a run."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import forked

PAGE = (Path(__file__).parents[2] / "docs" / "budgets.md").read_text(encoding="utf-8")


def nfrun(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "nfrun", *arguments]
    done = forked.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_runs(tmp_path: Path) -> None:
    for name, text in re.findall(r"```(?:yaml|python)\n# (\S+)\n(.*?)```", PAGE, re.DOTALL):
        (tmp_path / name).write_text(text)
    document = json.loads(nfrun(tmp_path, "run", "rag.yaml", "--json", "--events", "e.jsonl"))
    assert {node["status"] for node in document["nodes"].values()} == {"ok"}
    events = map(json.loads, (tmp_path / "e.jsonl").read_text().splitlines())
    granted = [event["granted"] for event in events if event["event"] == "node_started" and "embed" in event["node"]]
    assert sorted(units["gpu"][0] for units in granted) in ([0, 0], [0, 1])
    plan = nfrun(tmp_path, "plan", "rag.yaml", "--format", "json")
    assert json.dumps(json.loads(plan)["resources"]) == '{"gpu": 2, "api": "50/s", "memory": "4GB"}'


def test_the_plan_says_which_budget_limits_a_run(tmp_path: Path) -> None:
    nodes = "".join(f"  n{i}: {{run: x, resources: {{gpu: 1}}}}\n" for i in range(6))
    (tmp_path / "p.yaml").write_text(f"resources: {{gpu: 1, other: 3}}\nnodes:\n{nodes}")
    shown = nfrun(tmp_path, "plan", "p.yaml", "--fresh")
    assert "best possible with 4 workers: 1.0x faster" in shown
    assert "limited by 'gpu', of which there is 1: at least the time of 6 nodes" in shown
    assert "'other'" not in shown
