"""Records the durations and GIL waits of nodes, for the next runs of the same pipeline.

The next run takes estimated durations and the placement of nodes from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nfrun.core.events import GIL_WAIT_SECONDS, Event, NodeFinished, RunFinished
from nfrun.core.pipeline import NOTHING
from nfrun.core.values import frozen
from nfrun.engine.executors.registry import WORKER_PROCESSES

_KEYS = ("took", "thread", "locked", "process")  # the keys of what is kept, for the fields of `NodeStats` in order


@frozen
class NodeStats:
    """The recorded statistics of a pipeline's nodes, in seconds by node name.

    `durations` has the estimated duration of every node that has finished. `thread` and `gil_waits` have the last
    duration and GIL wait on a thread of nodes that have ever waited `GIL_WAIT_SECONDS`. `process` has the last duration
    of nodes in a worker process.
    """

    durations: dict[str, float]
    thread: dict[str, float]
    gil_waits: dict[str, float]
    process: dict[str, float]

    def with_run(
        self, seconds: Mapping[str, float], gil_waits: Mapping[str, float], placement: Mapping[str, str]
    ) -> NodeStats:
        """Return the statistics with those of another run added.

        `seconds` are the durations of its nodes, `gil_waits` the long waits among them, and `placement` the executors
        of nodes that did not run on threads.
        """
        durations = dict(self.durations)
        for name, value in seconds.items():
            known = durations.get(name)
            # Falls at once, rises by half the difference: next to other nodes a node takes longer than it needs.
            durations[name] = value if known is None or value <= known else (value + known) / 2
        on_threads = [name for name in {**self.thread, **gil_waits} if name in seconds and name not in placement]
        in_processes = [
            name for name, executor in placement.items() if executor in WORKER_PROCESSES and name in seconds
        ]
        return NodeStats(
            durations,
            {**self.thread, **{name: seconds[name] for name in on_threads}},
            {**self.gil_waits, **{name: gil_waits.get(name, 0.0) for name in on_threads}},
            {**self.process, **{name: seconds[name] for name in in_processes}},
        )


def node_stats(found: Mapping[str, Mapping[str, int]]) -> NodeStats:
    """Return the statistics that earlier runs have kept, as JSON values. There may be none."""
    return NodeStats(*[{k: v / 1e6 for k, v in found.get(key, NOTHING).items()} for key in _KEYS])


class NodeStatsReporter:
    """A reporter that adds the statistics of a run to those `recorded` before, when the run finishes.

    `write(found)` keeps them as JSON values. `placement` has the executors of nodes that do not run on threads. Reused
    nodes are not counted.
    """

    event_types = (NodeFinished, RunFinished)

    def __init__(
        self, write: Callable[[Any], object], recorded: NodeStats, placement: Mapping[str, str] = NOTHING
    ) -> None:
        self._write = write
        self._recorded = recorded
        self._placement = placement
        # Numbers only: keeping every event alive costs time in the garbage collector.
        self._durations: dict[str, float] = {}
        self._gil_waits: dict[str, float] = {}

    def event(self, event: Event) -> None:
        """Note a finished node; at the end of the run, keep all."""
        if isinstance(event, NodeFinished):
            if event.reused:
                return
            self._durations[event.node] = event.duration
            if event.gil_wait >= GIL_WAIT_SECONDS:
                self._gil_waits[event.node] = event.gil_wait
        elif isinstance(event, RunFinished) and self._durations:
            stats = self._recorded.with_run(self._durations, self._gil_waits, self._placement)
            found = (stats.durations, stats.thread, stats.gil_waits, stats.process)
            # Integers are written three times as fast as fractions of a second.
            self._write({key: {k: int(v * 1e6) for k, v in of.items()} for key, of in zip(_KEYS, found, strict=True)})
