"""Checks, for `nfrun doctor`, whether worker processes can be started, and how long that takes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from multiprocessing import connection, context
from typing import Any

from nfrun.core.health import NOTE, OK, PROBLEM, HealthCheck
from nfrun.core.text import format_seconds
from nfrun.engine.executors.fork_server import NO_VARIABLES, make_process, start_server
from nfrun.system.runtime import is_busy

_SECONDS = 30.0  # that a worker may take to answer
_SLOW = 5.0
_ADVICE = "let nodes run on threads until this works: 'executor: thread' in the file, or --executor thread"


def check_workers() -> HealthCheck:
    """Start two worker processes, one after the other: the first also starts the fork server."""
    taken = []
    try:
        start_server([])
        for _ in range(2):
            taken.append(_start_one())
    except Exception as error:  # whatever keeps a process from starting
        text = f"a worker process cannot be started: {type(error).__name__}: {error}"
        return HealthCheck("workers", PROBLEM, text, _ADVICE, {"seconds": taken})
    first, next_one = taken
    facts = {"seconds": [round(seconds, 4) for seconds in taken]}
    text = f"the first worker process starts in {format_seconds(first)}, the next in {format_seconds(next_one)}"
    if first > _SLOW and not is_busy():
        advice = "imports take long: is Python on a network file system?"
        return HealthCheck("workers", NOTE, text, advice, facts)
    return HealthCheck("workers", OK, text, "", facts)


def _start_one() -> float:
    """Start a worker and let it end. Returns how many seconds it takes to answer. Raises OSError."""
    began = time.perf_counter()
    here, there = connection.Pipe()
    process: context.ForkServerProcess = make_process(_answer, (there, (), None), NO_VARIABLES)
    process.start()
    there.close()
    try:
        if not here.poll(_SECONDS):
            raise TimeoutError(f"it has not answered within {_SECONDS:.0f} s")
        here.recv_bytes()
        return time.perf_counter() - began
    except EOFError:
        process.join(_SECONDS)
        raise OSError(f"it has ended with the exit code {process.exitcode}") from None
    finally:
        here.close()
        process.join(_SECONDS)


def _answer(pipe: connection.Connection, streams: Sequence[connection.Connection], config: Any) -> None:
    pipe.send_bytes(b"here")
