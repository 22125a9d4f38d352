"""Lists the executors by name. Every command imports this list; only those that a run uses are imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nfrun.engine.executors.base import (
        Executor,
        ExecutorContext,
        MakeExecutor,
        OnOutcome,
        Preparation,
        PrepareExecutor,
    )


def _thread(preparation: Preparation) -> MakeExecutor:
    from nfrun.engine.executors.threads import ThreadExecutor
    from nfrun.nodes.instances import RUN_COROUTINE

    def make(context: ExecutorContext, on_outcome: OnOutcome) -> Executor:
        runner = context.runner
        executor = ThreadExecutor(context.with_cache(runner), on_outcome, runner.call_on_loop)
        runner.memo[RUN_COROUTINE] = executor.run_coroutine
        return executor

    return make


def _process(preparation: Preparation) -> MakeExecutor:
    from nfrun.engine.executors.fork_server import start_server
    from nfrun.engine.executors.processes import PRELOAD, ProcessExecutor
    from nfrun.system.native_threads import given_thread_variables

    # Arrow imports pandas to make most tables, where it is installed.
    packages = [*preparation.placement.packages, "pandas"]
    start_server(PRELOAD, packages, given_thread_variables(preparation.environ))
    return ProcessExecutor


def _cluster(preparation: Preparation) -> MakeExecutor:
    assert preparation.on_cluster is not None
    return preparation.on_cluster


EXECUTORS: dict[str, PrepareExecutor] = {"thread": _thread, "process": _process, "dask": _cluster}
DEFAULT_EXECUTOR = "thread"

# Those that run a node in a Python process of this machine: it has a GIL of its own, and only the built-in kinds. Nodes
# that `auto` places in a process run on the first.
WORKER_PROCESSES = ("process",)

# Those that run a node on a worker of a cluster, which has the outputs of other nodes only from the store.
CLUSTERS = ("dask",)
