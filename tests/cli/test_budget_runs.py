"""Budgets in runs: rates, numbered units, memory, and nodes that are reused."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import forked
import pytest

STEPS = """\
import os

def units(context):
    return [{"granted": list(context.granted.get("gpu", ())), "env": os.environ.get("NFRUN_GPU"),
             "cuda": os.environ.get("CUDA_VISIBLE_DEVICES")}]

def call(context):
    return [{"n": 1}]
"""


def run(folder: Path, text: str, *arguments: str, **environ: str) -> tuple[int, dict[str, Any]]:
    (folder / "p.yaml").write_text(text)
    (folder / "steps.py").write_text(STEPS)
    command = [sys.executable, "-m", "nfrun", "run", "p.yaml", "--json", "--events", "e.jsonl", *arguments]
    kept = {name: value for name, value in os.environ.items() if name.startswith(forked.AT_START)}
    env = {**kept, "PATH": "/usr/bin:/bin", "HOME": str(folder), **environ}
    done = forked.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout)


def events(folder: Path, name: str) -> list[dict[str, Any]]:
    lines = (folder / "e.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == name]


def rows(folder: Path, output: str) -> list[dict[str, Any]]:
    import pyarrow.ipc

    (path,) = folder.glob(f".nfrun/runs/*/{output}.1.arrow")
    found: list[dict[str, Any]] = pyarrow.ipc.open_file(path).read_all().to_pylist()
    return found


def test_processes_and_scripts_are_told_their_units(tmp_path: Path) -> None:
    text = """\
resources: {gpu: 2}
nodes:
  thread: {python: "steps:units", resources: {gpu: 1}, executor: thread}
  process: {python: "steps:units", resources: {gpu: 1}, executor: process}
  script: {run: 'echo "$NFRUN_GPU $CUDA_VISIBLE_DEVICES"', resources: {gpu: 2}}
outputs: {thread: thread, process: process}
"""
    code, _ = run(tmp_path, text, CUDA_VISIBLE_DEVICES="3,GPU-5")
    assert code == 0
    assert rows(tmp_path, "thread") == [{"granted": [0], "env": None, "cuda": "3,GPU-5"}]
    assert rows(tmp_path, "process") == [{"granted": [1], "env": "1", "cuda": "GPU-5"}]
    assert [event["text"] for event in events(tmp_path, "node_logged")] == ["0,1 3,GPU-5"]


def test_memory_is_the_limit_of_a_query(tmp_path: Path) -> None:
    text = """\
nodes:
  a: {sql: "select current_setting('memory_limit') as most", resources: {memory: 512MiB}}
outputs: {a: a}
"""
    assert run(tmp_path, text)[0] == 0
    assert rows(tmp_path, "a") == [{"most": "512.0 MiB"}]


def test_reused_nodes_take_nothing(tmp_path: Path) -> None:
    text = """\
resources: {api: 1/h, gpu: 1}
defaults: {resources: {api: 1, gpu: 1}}
nodes:
  a: {python: "steps:call"}
outputs: {a: a}
"""
    assert run(tmp_path, text)[0] == 0
    text += "  # a comment changes nothing\n"
    more = text.replace("nodes:\n", 'nodes:\n  b: {python: "steps:call"}\n')
    code, document = run(tmp_path, more)
    assert code == 0
    assert {name: node["status"] for name, node in document["nodes"].items()} == {"a": "reused", "b": "ok"}
    granted = {event["node"]: event["granted"] for event in events(tmp_path, "node_started")}
    assert granted == {"a": None, "b": {"gpu": [0]}}
    code, document = run(tmp_path, more)
    assert {node["status"] for node in document["nodes"].values()} == {"reused"}


def test_a_pending_node_takes_tokens_only_if_it_is_not_reused(tmp_path: Path) -> None:
    text = """\
resources: {gpu: 1, api: 5/s}
nodes:
  first: {python: "steps:call", cache: false}
  same: {sql: "select n from first", inputs: first, resources: {gpu: 1, api: 1}}
  other: {sql: "select n + 1 as n from same", inputs: same, resources: {gpu: 1, api: 1}}
"""
    assert run(tmp_path, text)[0] == 0
    code, document = run(tmp_path, text.replace("n + 1", "n + 2"))
    assert code == 0
    assert {name: node["status"] for name, node in document["nodes"].items()} == {
        "first": "ok",
        "same": "reused",
        "other": "ok",
    }
    assert [event["granted"] for event in events(tmp_path, "node_started") if event["node"] == "same"] == [None]
    assert [event["granted"] for event in events(tmp_path, "node_started") if event["node"] == "other"][-1] == {
        "gpu": [0]
    }


def test_more_than_there_is_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("resources: {gpu: 1}\nnodes:\n  a: {run: x, resources: {gpu: '${{ 1 + 1 }}'}}\n")
    command = [sys.executable, "-m", "nfrun", "run", "p.yaml"]
    done = forked.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "p.yaml:3:32: 'a' takes 2 of 'gpu', and there is 1" in done.stderr
    assert not (tmp_path / ".nfrun").exists()


@pytest.mark.slow
def test_two_hundred_calls_at_fifty_in_a_second(tmp_path: Path) -> None:
    text = """\
resources: {api: 50/s}
matrix: {call: "${{ 50 | range }}"}
defaults: {resources: {cpu: 0.05, api: 1}}
nodes:
""" + "".join(f'  n{i}: {{matrix: call, python: "steps:call", cache: false}}\n' for i in range(4))
    began = time.monotonic()
    assert run(tmp_path, text)[0] == 0
    assert time.monotonic() - began > 3.98
    times = sorted(event["at"] for event in events(tmp_path, "node_started"))
    assert len(times) == 200
    assert 3.98 <= times[-1] - times[0] <= 4.2
    assert all(first + 1.0 <= later for first, later in zip(times, times[50:], strict=False))


def test_the_plan_says_that_budgets_do_not_count(tmp_path: Path) -> None:
    nodes = "".join(f"  n{i}: {{run: x, resources: {{gpu: 1}}}}\n" for i in range(6))
    (tmp_path / "p.yaml").write_text(f"resources: {{gpu: 1, other: 3}}\nnodes:\n{nodes}")
    command = [sys.executable, "-m", "nfrun", "plan", "p.yaml", "--fresh"]
    shown = forked.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "best possible with 4 workers and no other limits: 4.0x faster" in shown
