"""Decides which nodes run in worker processes, by what is asked for and what earlier runs have shown. Starts none."""

from __future__ import annotations

from nfrun.core.events import GIL_WAIT_SECONDS
from nfrun.core.pipeline import Pipeline
from nfrun.engine.node_stats import NodeStats

EXECUTORS = ("thread", "process", "auto")
_LOCKED_SHARE = 0.2  # of its time, from which on a node that waited for the lock is worth a process


def nodes_in_processes(pipeline: Pipeline, asked: str, recorded: NodeStats) -> frozenset[str]:
    """The nodes to run in processes. `asked` is one of EXECUTORS, and empty leaves it to the file.

    Not those that are a process of their own in any case.
    """
    found = []
    for name, spec in pipeline.nodes.items():
        executor = asked or spec.executor
        if spec.kind != "run" and (
            executor == "process" or (executor == "auto" and gains_from_process(name, recorded))
        ):
            found.append(name)
    return frozenset(found)


def gains_from_process(name: str, recorded: NodeStats) -> bool:
    """Whether a process would be faster for the node: in a thread it waited for the interpreter's lock.

    A node that was slower in a process (its inputs and outputs are files there) stays in a thread.
    """
    took, locked = recorded.thread.get(name, 0.0), recorded.gil_waits.get(name, 0.0)
    waits = locked >= GIL_WAIT_SECONDS and locked >= _LOCKED_SHARE * took
    return waits and recorded.process.get(name, 0.0) < took
