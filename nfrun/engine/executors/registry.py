"""Lists the executors by name. Every command imports this list; only those that a run uses are imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nfrun.engine.executors.base import Executor, ExecutorContext, MakeExecutor, OnOutcome, Placement


def _thread(context: ExecutorContext, on_outcome: OnOutcome) -> Executor:
    from nfrun.engine.executors.threads import ThreadExecutor
    from nfrun.nodes.instances import RUN_COROUTINE

    runner = context.runner
    executor = ThreadExecutor(context.with_cache(runner), on_outcome, runner.call_on_loop)
    runner.memo[RUN_COROUTINE] = executor.run_coroutine
    return executor


def _process(context: ExecutorContext, on_outcome: OnOutcome) -> Executor:
    from nfrun.engine.executors.processes import ProcessExecutor

    return ProcessExecutor(context, on_outcome)


def _cluster(context: ExecutorContext, on_outcome: OnOutcome) -> Executor:
    assert context.on_cluster is not None
    return context.on_cluster(context, on_outcome)


EXECUTORS: dict[str, MakeExecutor] = {"thread": _thread, "process": _process, "dask": _cluster}
DEFAULT_EXECUTOR = "thread"

# Those that run a node in a Python process of this machine: it has a GIL of its own, and only the built-in kinds. Nodes
# that `auto` places in a process run on the first.
WORKER_PROCESSES = ("process",)

# Those that run a node on a worker of a cluster, which has the outputs of other nodes only from the store.
CLUSTERS = ("dask",)


def prepare_executors(placement: Placement, environ: Mapping[str, str]) -> None:
    """Start in the background what takes time, before the run begins. `environ` is the environment of the run."""
    if "process" in placement.executors.values():
        from nfrun.engine.executors.fork_server import start_server
        from nfrun.engine.executors.processes import PRELOAD
        from nfrun.system.native_threads import given_thread_variables

        start_server(PRELOAD, given_thread_variables(environ))
