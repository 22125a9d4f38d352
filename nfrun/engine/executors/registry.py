"""Lists the executors by name. Every command imports this list; only those that a run uses are imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nfrun.engine.executors.base import MakeExecutor


def _thread(packages: Sequence[str], variables: Mapping[str, str]) -> MakeExecutor:
    from nfrun.engine.executors.threads import ThreadExecutor

    return lambda context, on_outcome: ThreadExecutor(context.with_cache(context.runner), on_outcome)


def _process(packages: Sequence[str], variables: Mapping[str, str]) -> MakeExecutor:
    from nfrun.engine.executors.fork_server import start_server
    from nfrun.engine.executors.processes import PRELOAD, ProcessExecutor

    # Arrow imports pandas to make most tables, where it is installed.
    start_server(PRELOAD, [*packages, "pandas"], variables)
    return ProcessExecutor


# Each imports an executor, starts what takes time in the background, and returns what makes the executor of a run. It
# gets the installed packages that nodes in worker processes will import, and the variables that these read then.
EXECUTORS: dict[str, Callable[[Sequence[str], Mapping[str, str]], MakeExecutor]] = {
    "thread": _thread,
    "process": _process,
}

# Those that run a node in a Python process of this machine: it has a GIL of its own, and only the built-in kinds. Nodes
# that `auto` places in a process run on the first.
WORKER_PROCESSES = ("process",)
