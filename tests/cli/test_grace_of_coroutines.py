"""Ctrl-C leaves coroutines the grace period: what they return in it is kept, and instances close on their own loop."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import forked
import pytest
from conftest import wait_until

Start = Callable[..., "subprocess.Popen[Any]"]

STEPS = """
import asyncio
import time
from pathlib import Path


GO = Path("og"[::-1])  # no name of a file that the code depends on
MARK = "{}.{}".format


async def wait(context, name):
    Path(MARK("began", name)).touch()
    try:
        while not context.stopped and not GO.exists():
            await asyncio.sleep(0.01)
        Path(MARK("stopped", name)).touch()
        while not GO.exists():
            await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        Path(MARK("cancelled", name)).touch()
        raise
    Path(MARK("ended", name)).touch()


def rows():
    return [{"x": x} for x in range(9)]


async def call(x: int, context) -> dict:
    await wait(context, x)
    return {"y": x}


class Client:
    def __init__(self):
        self.connection = None

    async def __call__(self, x: int, context) -> dict:
        self.connection = self.connection or await asyncio.open_connection("127.0.0.1", int(Path("port").read_text()))
        await wait(context, x)
        return {"y": x}

    async def close(self):
        _, writer = self.connection
        writer.close()
        await writer.wait_closed()
        Path("closed").touch()


async def plain(context):
    await wait(context, 0)
    return [{"y": 0}]


def until_cancelled():
    while not Path(MARK("cancelled", 0)).exists():
        time.sleep(0.002)
    return rows()


async def call_that_fails(x: int, context) -> dict:
    if x:
        await asyncio.sleep(0)
        return {"y": x}
    await fails(context)


async def fails(context):
    await wait(context, 0)
    raise ValueError("after it was told to stop")
"""
MAPPED = """
nodes:
  rows: {{python: 'steps:rows'}}
  node: {{python: 'steps:{}', inputs: {{t: rows}}, map: {{over: t, batch: 1}}}}
"""
PLAIN = "nodes:\n  node: {{python: 'steps:{}'}}\n"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a run, and let its nodes begin. Clients connect to a port of the test."""
    (tmp_path / "steps.py").write_text(STEPS)
    with socket.create_server(("127.0.0.1", 0)) as server, ExitStack() as stack:
        (tmp_path / "port").write_text(str(server.getsockname()[1]))

        def start(pipeline: str, *options: str, begun: int = 1) -> subprocess.Popen[str]:
            (tmp_path / "p.yaml").write_text(pipeline)
            command = [sys.executable, "-m", "nfrun", "run", "p.yaml", "-j", "3", *options]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": {**os.environ}}
            process = stack.enter_context(forked.Popen(command, cwd=tmp_path, **pipes))
            stack.callback(process.kill)
            wait_until(lambda: len(marks(tmp_path, "began")) == begun, lambda: process.poll() is None)
            return process

        yield start


def marks(folder: Path, name: str) -> list[str]:
    return sorted(path.suffix for path in folder.glob(f"{name}.*"))


def let_end(folder: Path, process: subprocess.Popen[str], stopped: int = 1) -> str:
    """Let nodes end once they know that they shall stop. Returns what the run tells."""
    wait_until(lambda: len(marks(folder, "stopped")) == stopped, lambda: process.poll() is None)
    (folder / "go").touch()
    return process.communicate()[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("function", ["call", "Client"])
def test_results_of_async_calls_that_come_within_the_grace_are_kept(
    tmp_path: Path, start: Start, function: str, number: signal.Signals
) -> None:
    process = start(MAPPED.format(function), "--grace", "60", begun=3)
    process.send_signal(number)
    told = let_end(tmp_path, process, 3)
    assert (process.returncode, "close()" in told) == (128 + number, False), told
    first = marks(tmp_path, "ended")
    assert first == marks(tmp_path, "began")  # none was begun after the signal
    assert len(first) == 3
    assert (tmp_path / "closed").exists() == (function == "Client")
    for path in [path for name in ("began", "stopped", "ended") for path in tmp_path.glob(f"{name}.*")]:
        path.unlink()
    assert start(MAPPED.format(function), begun=6).wait() == 0
    assert set(marks(tmp_path, "ended")).isdisjoint(first)


def test_the_result_of_an_async_node_that_comes_within_the_grace_is_kept(tmp_path: Path, start: Start) -> None:
    process = start(PLAIN.format("plain"), "--grace", "60")
    process.send_signal(signal.SIGINT)
    assert "p: cancelled, 1 ran" in let_end(tmp_path, process)
    assert process.returncode == 130
    assert "p: ok, 1 reused" in start(PLAIN.format("plain"), begun=1).communicate()[1]


@pytest.mark.parametrize("pipeline", [PLAIN.format("fails"), MAPPED.format("call_that_fails")])
def test_a_coroutine_that_fails_within_the_grace_was_cancelled(tmp_path: Path, start: Start, pipeline: str) -> None:
    process = start(pipeline, "--grace", "60")
    process.send_signal(signal.SIGINT)
    told = let_end(tmp_path, process)
    assert (process.returncode, "failed" in told) == (130, False), told


@pytest.mark.parametrize(("pipeline", "begun"), [(PLAIN.format("plain"), 1), (MAPPED.format("Client"), 3)])
def test_what_has_not_ended_after_the_grace_is_cancelled(
    tmp_path: Path, start: Start, pipeline: str, begun: int
) -> None:
    process = start(pipeline, "--grace", "0.2", begun=begun)
    process.send_signal(signal.SIGINT)
    told = process.communicate()[1]
    assert (process.returncode, "close()" in told) == (130, False), told
    assert len(marks(tmp_path, "cancelled")) == len(marks(tmp_path, "stopped")) == begun
    assert (tmp_path / "closed").exists() == (begun == 3)


@pytest.mark.parametrize(("pipeline", "begun"), [(PLAIN.format("plain"), 1), (MAPPED.format("Client"), 3)])
def test_a_second_signal_ends_coroutines_at_once(tmp_path: Path, start: Start, pipeline: str, begun: int) -> None:
    process = start(pipeline, "--grace", "600", begun=begun)
    process.send_signal(signal.SIGINT)
    wait_until(lambda: len(marks(tmp_path, "stopped")) == begun, lambda: process.poll() is None)
    process.send_signal(signal.SIGINT)
    told = process.communicate()[1]
    assert (process.returncode, "close()" in told, "never awaited" in told) == (130, False, False), told


def test_a_timeout_cancels_a_coroutine_at_once(tmp_path: Path, start: Start) -> None:
    beside = (
        "  beside: {python: 'steps:until_cancelled', timeout: 60s, executor: thread}\n"  # the run goes on until then
    )
    pipeline = PLAIN.format("plain").replace("'}", "', timeout: 0.1s}") + beside
    told = start(pipeline, "-k", "--grace", "600").communicate()[1]
    assert marks(tmp_path, "cancelled") == [".0"], told
    assert "node 'node' failed: Timeout: " in told and "p: failed, 1 ran, 1 failed, " in told
