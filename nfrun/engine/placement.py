"""Decides on which executor each node runs, from the option, the file and the statistics of earlier runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nfrun.core.events import GIL_WAIT_SECONDS
from nfrun.core.pipeline import NOTHING, NodeSpec, Pipeline
from nfrun.engine.executors.registry import WORKER_PROCESSES
from nfrun.engine.node_stats import NodeStats
from nfrun.nodes.registry import BUILT_IN, KINDS
from nfrun.system.native_threads import thread_variables

DEFAULT_EXECUTOR = "thread"
_GIL_WAIT_SHARE = 0.2  # of a node's duration: from this GIL wait on, a process is worth it


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the nodes of a run run.

    `executors` are the executors by node, without the nodes on threads. The worker process of a node in
    `worker_environ` starts with these variables. `packages` are installed packages that nodes in worker processes will
    import.
    """

    executors: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    worker_environ: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: NOTHING)
    packages: Sequence[str] = ()

    @property
    def names(self) -> Sequence[str]:
        """The names of the executors that the run needs."""
        return [DEFAULT_EXECUTOR, *dict.fromkeys(self.executors.values())]


ON_THREADS = Placement()


def place_nodes(pipeline: Pipeline, requested: str, recorded: NodeStats) -> dict[str, str]:
    """Return the executors by node, without the nodes on threads.

    `requested` is the executor for all nodes, `auto`, or `file`: then each node's own `executor` counts. Nodes that are
    processes of their own, and nodes of registered kinds, are never in worker processes. A node with its own number of
    threads is in one, unless it shall run on a thread.
    """
    placement = {}
    for name, spec in pipeline.nodes.items():
        executor = spec.executor if requested == "file" else requested
        if executor in ("", "auto"):
            in_process = _has_own_threads(spec) or (executor == "auto" and gains_from_process(name, recorded))
            executor = WORKER_PROCESSES[0] if in_process else DEFAULT_EXECUTOR
        in_worker = spec.kind in BUILT_IN and not KINDS[spec.kind].is_process
        if executor != DEFAULT_EXECUTOR and (in_worker or executor not in WORKER_PROCESSES):
            placement[name] = executor
    return placement


def worker_environ(pipeline: Pipeline, executors: Mapping[str, str]) -> dict[str, Mapping[str, str]]:
    """Return the variables with which the worker processes of nodes start, for the nodes that need others than the run.

    Variables of the file stay.
    """
    return {
        name: thread_variables(spec.cpus, pipeline.env)
        for name, spec in pipeline.nodes.items()
        if executors.get(name) in WORKER_PROCESSES and _has_own_threads(spec)
    }


def _has_own_threads(spec: NodeSpec) -> bool:
    return spec.cpus > 1 and KINDS[spec.kind].loads_libraries


def gains_from_process(name: str, recorded: NodeStats) -> bool:
    """Whether the node would be faster in a process, because its thread waited for the GIL.

    The wait must be at least `GIL_WAIT_SECONDS` and 20 % of the duration. A node that was not faster in a process,
    where its inputs and outputs are files, stays on a thread.
    """
    duration, gil_wait = recorded.thread.get(name, 0.0), recorded.gil_waits.get(name, 0.0)
    waits = gil_wait >= GIL_WAIT_SECONDS and gil_wait >= _GIL_WAIT_SHARE * duration
    return waits and recorded.process.get(name, 0.0) < duration
