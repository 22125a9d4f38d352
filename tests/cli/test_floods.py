"""Tests with nodes that print, log or report progress endlessly: the events of it are bounded."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import forked
import pytest
from conftest import Here

STEPS = """
import itertools
import threading

def some(context):
    for i in range(12_000):
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


def in_a_process(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run nfrun in a process of its own, which ends a node on a thread that goes on for ever."""
    command = [sys.executable, "-m", "nfrun", *words]
    return forked.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=60)


def run(folder: Path, nodes: str, nfrun: Here) -> tuple[int, dict[str, Any], list[dict[str, Any]], str]:
    """Run the nodes; return the exit code, the document, the events and stderr."""
    (folder / "steps.py").write_text(STEPS)
    (folder / "p.yaml").write_text(f"nodes:\n{nodes}")
    done = nfrun(folder, "run", "p.yaml", "-k", "--grace", "0", "--json", "--events", "e.jsonl")
    events = [json.loads(line) for line in (folder / "e.jsonl").read_text().splitlines()]
    return done.returncode, json.loads(done.stdout), events, done.stderr


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_log_messages_beyond_the_limit_are_only_in_the_file(tmp_path: Path, here: Here, executor: str) -> None:
    code, document, events, err = run(tmp_path, f"  a: {{python: 'steps:some', executor: {executor}}}\n", here)
    assert code == 0
    path = Path(document["nodes"]["a"]["logs"]["log"])
    assert path.read_text().splitlines() == [f"info: line {i}" for i in range(12_000)]
    logged = [event for event in events if event["event"] == "node_logged"]
    assert [event["text"] for event in logged[:-1]] == [f"line {i}" for i in range(10_000)]
    assert logged[-1]["text"] == f"… the rest of {path.stat().st_size:,} bytes is in {path}"
    assert f"a | {logged[-1]['text']}\n" in err


@pytest.mark.parametrize("executor", ["thread", "process"])
@pytest.mark.parametrize("step", ["log", "prints", "progress"])
def test_the_events_of_an_endless_node_are_bounded(tmp_path: Path, here: Here, step: str, executor: str) -> None:
    nodes = "".join(f"  {n}: {{python: 'steps:{step}', executor: {executor}, timeout: 200ms}}\n" for n in "ab")
    code, document, events, err = run(tmp_path, nodes, here if executor == "process" else in_a_process)
    assert (code, document["status"], "Traceback" in err) == (1, "failed", False)
    counts = Counter((event["event"], event.get("node")) for event in events)
    for node in "ab":
        assert counts["node_logged", node] <= 10_001
        assert counts["node_progressed", node] < 100  # about ten a second
        assert document["nodes"][node]["error"] == "Timeout: took longer than its timeout of 0.2 s"


def test_a_leftover_thread_of_a_node_logs_no_more(tmp_path: Path) -> None:
    nodes = "  a: {python: 'steps:behind'}\n  b: {run: 'sleep 0.2', needs: [a]}\n"
    code, _, events, _ = run(tmp_path, nodes, in_a_process)
    assert code == 0
    names = [(event["event"], event.get("node")) for event in events]
    # A line may still be on its way when the node ends.
    assert ("node_logged", "a") not in names[names.index(("node_finished", "a")) + 3 :]
