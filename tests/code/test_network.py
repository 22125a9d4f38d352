"""Tests of connections: a node that makes one is not reused, but for those to the run's own processes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from nfrun.core.plan import plan_of
from nfrun.history.cache.run_cache import forecast
from nfrun.history.database import Database
from nfrun.history.work_dir import WorkDir
from nfrun.pipeline_file.resolve import resolve
from nfrun.session.options import RunOptions
from tests.program_runs import run_pipeline

CONNECT = """
import socket
def f():
    with socket.create_connection(("localhost", {port})):
        return {{"n": 1}}
"""
KEPT = """
import socket
from functools import cache

@cache
def connection(): return socket.create_connection(("localhost", {port}))
def f(): return {{"n": connection().fileno() > 0}}
def g(): return {{"n": connection().fileno() > 0}}
def h(): return {{"n": 1}}
"""
ONE = 'nodes:\n  a: {python: "steps:f"}\n'
THREE = ONE + '  b: {python: "steps:g"}\n  c: {python: "steps:h"}\n'


@pytest.fixture
def port() -> Iterator[int]:
    """Serve connections, each of which stays open until the end of the test."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        accepted: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    accepted.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        for connection in accepted:
            connection.close()


def reasons(folder: Path, steps: str, pipeline: str = ONE) -> dict[str, str]:
    """Run the pipeline. Returns why each node would run again, "" if it would not."""
    (folder / "steps.py").write_text(steps)
    (folder / "p.yaml").write_text(pipeline)
    nodes = run_pipeline(RunOptions(folder / "p.yaml", keep=True)).record.nodes
    assert [node.failure for node in nodes.values() if node.failure] == []
    resolved = resolve(folder / "p.yaml", given={}, params_file=None, environ={}, run_id="plan", to_run=False)
    work = WorkDir.of_pipeline(resolved.pipeline, None)
    with closing(Database(work)) as database:
        decisions = forecast(resolved.pipeline, plan_of(resolved.pipeline), database, pytest.fail)
    return {name: decision.reason for name, decision in decisions.items()}


def test_a_node_that_connects_is_not_reused(tmp_path: Path, port: int) -> None:
    assert reasons(tmp_path, CONNECT.format(port=port)) == {"a": f"it connects to localhost:{port}"}


def test_a_node_that_connects_is_reused_with_cache_true(tmp_path: Path, port: int) -> None:
    assert reasons(tmp_path, CONNECT.format(port=port), ONE.replace("}", ", cache: true}")) == {"a": ""}


def test_a_connection_that_is_kept_counts_for_all_that_use_it(tmp_path: Path, port: int) -> None:
    why = f"it connects to localhost:{port}"
    assert reasons(tmp_path, KEPT.format(port=port), THREE) == {"a": why, "b": why, "c": ""}


def test_a_connection_in_a_worker_process_counts(tmp_path: Path, port: int) -> None:
    pipeline = ONE.replace("}", ", executor: process}")
    assert reasons(tmp_path, CONNECT.format(port=port), pipeline) == {"a": f"it connects to localhost:{port}"}


def test_a_datagram_counts(tmp_path: Path) -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as receiver:
        receiver.bind(("127.0.0.1", 0))
        port = receiver.getsockname()[1]
        steps = f"""
import socket
def f():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        return {{"n": sender.sendto(b"x", ("127.0.0.1", {port}))}}
"""
        assert reasons(tmp_path, steps) == {"a": f"it connects to 127.0.0.1:{port}"}


def test_a_unix_socket_counts(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(path))
        server.listen()
        steps = f"""
import socket
def f():
    with socket.socket(socket.AF_UNIX) as client:
        client.connect({str(path)!r})
        return {{"n": 1}}
"""
        assert reasons(tmp_path, steps) == {"a": f"it connects to {path}"}


def test_what_the_run_binds_itself_does_not_count(tmp_path: Path) -> None:
    steps = """
import socket
def f():
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()):
            return {"n": 1}
"""
    assert reasons(tmp_path, steps) == {"a": ""}


def test_a_manager_of_multiprocessing_does_not_count(tmp_path: Path) -> None:
    steps = """
import multiprocessing
def f():
    with multiprocessing.get_context("spawn").Manager() as manager:
        shared = manager.list([1])
        return {"n": len(shared)}
"""
    assert reasons(tmp_path, steps) == {"a": ""}


def test_a_lookup_of_a_name_does_not_count(tmp_path: Path) -> None:
    steps = """
import socket
def f(): return {"n": len(socket.getaddrinfo("localhost", 80))}
"""
    assert reasons(tmp_path, steps) == {"a": ""}


def test_a_failed_connection_counts(tmp_path: Path) -> None:
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        steps = f"""
import socket
def f():
    try:
        socket.create_connection(("127.0.0.1", {port}))
    except OSError:
        return {{"n": 0}}
"""
        assert reasons(tmp_path, steps) == {"a": f"it connects to 127.0.0.1:{port}"}


def test_it_is_told_once_why_a_node_is_not_reused(tmp_path: Path, port: int, here: Any) -> None:
    (tmp_path / "steps.py").write_text(KEPT.format(port=port))
    (tmp_path / "p.yaml").write_text(THREE)
    done = here(tmp_path, "run", "p.yaml", "--resume")
    assert done.returncode == 0
    for name in "ab":
        told = f"node '{name}' is not reused: it connects to localhost:{port}; say 'cache: true' to reuse it\n"
        assert done.stderr.count(told) == 1
    assert "node 'c' is not reused" not in done.stderr
    plan = here(tmp_path, "plan", "p.yaml", "--resume").stdout
    assert plan.count(f"\n         it connects to localhost:{port}\n") == 2
