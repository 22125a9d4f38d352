"""Lists the executors by name. Every command imports this list; only those that a run uses are imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nfrun.engine.executors.base import MakeExecutor


def _thread() -> MakeExecutor:
    from nfrun.engine.executors.threads import ThreadExecutor

    return lambda context, on_outcome: ThreadExecutor(context.with_cache(context.runner), on_outcome)


def _process() -> MakeExecutor:
    from nfrun.engine.executors.pool import start_server
    from nfrun.engine.executors.processes import PRELOAD, ProcessExecutor

    start_server(PRELOAD)
    return ProcessExecutor


# Each imports an executor, starts what takes time in the background, and returns what makes the executor of a run.
EXECUTORS: dict[str, Callable[[], MakeExecutor]] = {"thread": _thread, "process": _process}

# Those that run a node in a Python process of this machine: it has a GIL of its own, and only the built-in kinds. Nodes
# that `auto` places in a process run on the first.
WORKER_PROCESSES = ("process",)
