"""Decides which nodes run in worker processes, from the chosen executor and the statistics of earlier runs."""

from __future__ import annotations

from nfrun.core.events import GIL_WAIT_SECONDS
from nfrun.core.pipeline import Pipeline
from nfrun.engine.node_stats import NodeStats
from nfrun.nodes.registry import BUILT_IN, KINDS

EXECUTORS = ("file", "thread", "process", "auto")
_GIL_WAIT_SHARE = 0.2  # of a node's duration: from this GIL wait on, a process is worth it


def nodes_in_processes(pipeline: Pipeline, asked: str, recorded: NodeStats) -> frozenset[str]:
    """Return the nodes to run in worker processes.

    `asked` is one of EXECUTORS; with `file`, each node's own `executor` counts. Nodes that are processes of their
    own, and nodes of registered kinds, are never among them.
    """
    found = []
    for name, spec in pipeline.nodes.items():
        executor = spec.executor if asked == "file" else asked
        if (
            not KINDS[spec.kind].is_process
            and spec.kind in BUILT_IN
            and (executor == "process" or (executor == "auto" and gains_from_process(name, recorded)))
        ):
            found.append(name)
    return frozenset(found)


def gains_from_process(name: str, recorded: NodeStats) -> bool:
    """Whether the node would be faster in a process, because its thread waited for the GIL.

    The wait must be at least `GIL_WAIT_SECONDS` and 20 % of the duration. A node that was not faster in a process,
    where its inputs and outputs are files, stays on a thread.
    """
    duration, gil_wait = recorded.thread.get(name, 0.0), recorded.gil_waits.get(name, 0.0)
    waits = gil_wait >= GIL_WAIT_SECONDS and gil_wait >= _GIL_WAIT_SHARE * duration
    return waits and recorded.process.get(name, 0.0) < duration
