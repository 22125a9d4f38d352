"""Nodes that print, log or tell their progress without end: what is told of it is bounded."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

STEPS = """
import itertools
import threading

def some(context):
    for i in range(20_000):
        context.log.info("line %d", i)

def log(context):
    for i in itertools.count():
        context.log.info("line %d", i)

def prints():
    for i in itertools.count():
        print("line", i)

def progress(context):
    for i in itertools.count():
        context.progress(i, i)

def behind(context):
    def log():
        for i in itertools.count():
            context.log.info("line %d", i)
    threading.Thread(target=log, daemon=True).start()
"""


def run(folder: Path, nodes: str) -> tuple[int, dict[str, Any], list[dict[str, Any]], str]:
    """The exit code, the document, the events and stderr of a run."""
    (folder / "steps.py").write_text(STEPS)
    (folder / "p.yaml").write_text(f"nodes:\n{nodes}")
    command = [sys.executable, "-m", "nfrun", "run", "p.yaml", "-k", "--grace", "0", "--json", "--events", "e.jsonl"]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=60)
    events = [json.loads(line) for line in (folder / "e.jsonl").read_text().splitlines()]
    return done.returncode, json.loads(done.stdout), events, done.stderr


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_of_what_is_logged_the_rest_is_in_a_file(tmp_path: Path, executor: str) -> None:
    code, document, events, err = run(tmp_path, f"  a: {{python: 'steps:some', executor: {executor}}}\n")
    assert code == 0
    path = Path(document["nodes"]["a"]["logs"]["log"])
    assert path.read_text().splitlines() == [f"info: line {i}" for i in range(20_000)]
    told = [event for event in events if event["event"] == "node_logged"]
    assert [event["text"] for event in told[:-1]] == [f"line {i}" for i in range(10_000)]
    assert told[-1]["text"] == f"… the rest of {path.stat().st_size:,} bytes is in {path}"
    assert f"a | {told[-1]['text']}\n" in err


@pytest.mark.parametrize("executor", ["thread", "process"])
@pytest.mark.parametrize("step", ["log", "prints", "progress"])
def test_what_has_no_end_is_bounded(tmp_path: Path, step: str, executor: str) -> None:
    nodes = "".join(f"  {n}: {{python: 'steps:{step}', executor: {executor}, timeout: 1s}}\n" for n in "ab")
    code, document, events, err = run(tmp_path, nodes)
    assert (code, document["status"], "Traceback" in err) == (1, "failed", False)
    counts = Counter((event["event"], event.get("node")) for event in events)
    for node in "ab":
        assert counts["node_logged", node] <= 10_001
        assert counts["node_progressed", node] < 100  # some ten a second
        assert document["nodes"][node]["error"] == "Timeout: took longer than its timeout of 1 s"


def test_a_thread_that_a_node_has_left_behind_logs_no_more(tmp_path: Path) -> None:
    nodes = "  a: {python: 'steps:behind'}\n  b: {run: 'sleep 0.2', needs: [a]}\n"
    code, _, events, _ = run(tmp_path, nodes)
    assert code == 0
    names = [(event["event"], event.get("node")) for event in events]
    # A line may be under way while the node ends.
    assert ("node_logged", "a") not in names[names.index(("node_finished", "a")) + 3 :]
