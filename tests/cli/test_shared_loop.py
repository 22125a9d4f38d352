"""Tests of async nodes that try to stop, close or empty the event loop that all async nodes of a process share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Here

STEPS = """
import asyncio

begun = []

async def one():
    await ended.wait()
    return 1

async def good():
    global ended
    ended = asyncio.Event() if not begun else ended
    begun.append(1)
    async with asyncio.timeout(20):
        return {"n": sum(await asyncio.gather(one(), asyncio.create_task(one())))}

async def bad():
    while len(begun) < 2:
        await asyncio.sleep(0)
    try:
        await harm()
    finally:
        ended.set()

async def harm():
    BODY
"""
PIPELINE = """\
nodes:
  one: {python: "steps:good"}
  two: {python: "steps:good"}
  bad: {python: "steps:bad"}
  after: {python: "steps:good", needs: [one]}
"""


CANCEL_OTHERS = "[task.cancel() for task in asyncio.all_tasks() if task is not asyncio.current_task()]"
FAILS_ALONE = {"one": "ok", "two": "ok", "bad": "failed", "after": "ok"}
FAILS_OTHERS = {"one": "failed", "two": "failed", "bad": "ok", "after": "skipped"}


@pytest.mark.parametrize(
    ("body", "statuses", "error"),
    [
        ("asyncio.get_event_loop().close()", FAILS_ALONE, "RuntimeError: Cannot close a running event loop"),
        ("asyncio.current_task().cancel(); await asyncio.sleep(0)", FAILS_ALONE, "CancelledError"),
        (CANCEL_OTHERS, FAILS_OTHERS, "CancelledError"),
    ],
)
def test_a_node_that_disturbs_the_loop(
    tmp_path: Path, here: Here, body: str, statuses: dict[str, str], error: str
) -> None:
    """It fails alone, but for the nodes whose tasks it cancels."""
    (tmp_path / "steps.py").write_text(STEPS.replace("BODY", body))
    (tmp_path / "p.yaml").write_text(PIPELINE)
    done = here(tmp_path, "run", "p.yaml", "-k", "-j", "3", "--json")
    nodes = json.loads(done.stdout)["nodes"]
    assert {name: node["status"] for name, node in nodes.items()} == statuses
    failed = next(node for node in nodes.values() if node["status"] == "failed")
    assert failed["error"].startswith(error)


def test_the_loop_goes_on_if_a_node_stops_it(tmp_path: Path, here: Here) -> None:
    stop = "asyncio.get_event_loop().stop(); await asyncio.sleep(0.01)"
    (tmp_path / "steps.py").write_text(STEPS.replace("BODY", stop))
    (tmp_path / "p.yaml").write_text(PIPELINE)
    assert here(tmp_path, "run", "p.yaml", "-k", "-j", "3", "-q").returncode == 0


def test_tasks_that_a_node_has_left_can_be_cancelled_by_another(tmp_path: Path, here: Here) -> None:
    (tmp_path / "steps.py").write_text(
        "import asyncio\nasync def leave():\n    global task\n    task = asyncio.create_task(asyncio.sleep(100))\n"
        "async def end():\n    task.cancel()\n"
    )
    (tmp_path / "p.yaml").write_text('nodes:\n  a: {python: "steps:leave"}\n  b: {python: "steps:end", needs: [a]}\n')
    assert here(tmp_path, "run", "p.yaml", "-q").returncode == 0
