"""Records the durations and GIL waits of nodes, for the next runs of the same pipeline.

The statistics are in `timings/<pipeline>.json` in the work folder. The next run takes estimated durations and the
placement of nodes from them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from nfrun.core.events import GIL_WAIT_SECONDS, Event, NodeFinished, RunFinished
from nfrun.core.pipeline import NOTHING
from nfrun.core.values import frozen
from nfrun.engine.executors.registry import WORKER_PROCESSES
from nfrun.system.atomic_files import atomic_write, read_regular_file

_CENTURY = 3.2e15  # in microseconds; a larger value is not a duration, and infinity would spoil every priority
_KEYS = ("took", "thread", "locked", "process")  # the keys in the file, for the fields of `NodeStats` in order


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


def read_node_stats(file: Path) -> NodeStats:
    """Read the statistics of a pipeline. Returns empty ones if the file is missing or damaged."""
    try:
        found = json.loads(read_regular_file(file))
        took, thread, locked, process = (
            {k: v / 1e6 for k, v in found[key].items() if 0 <= v < _CENTURY} for key in _KEYS
        )
        return NodeStats(took, thread, locked, process)
    except (OSError, ValueError, RecursionError, TypeError, AttributeError, LookupError):
        return NodeStats({}, {}, {}, {})


def write_node_stats(file: Path, stats: NodeStats) -> None:
    """Replace the recorded statistics of a pipeline, atomically. Only its run may do that. Raises OSError."""
    file.parent.mkdir(exist_ok=True, mode=0o700)  # not its parents: the work folder may have been removed
    # Integers are written three times as fast as fractions of a second.
    fields = (stats.durations, stats.thread, stats.gil_waits, stats.process)
    seconds = {key: {k: int(v * 1e6) for k, v in found.items()} for key, found in zip(_KEYS, fields, strict=True)}
    with atomic_write(file, private=True) as partial:
        Path(partial).write_text(json.dumps(seconds))


class NodeStatsFile:
    """A reporter that adds the statistics of a run to those `recorded` before in `file`, when the run finishes.

    `placement` has the executors of nodes that do not run on threads. Reused nodes are not counted.
    """

    event_types = (NodeFinished, RunFinished)

    def __init__(self, file: Path, recorded: NodeStats, placement: Mapping[str, str] = NOTHING) -> None:
        self._file = file
        self._recorded = recorded
        self._placement = placement
        # Numbers only: keeping every event alive costs time in the garbage collector.
        self._durations: dict[str, float] = {}
        self._gil_waits: dict[str, float] = {}

    def event(self, event: Event) -> None:
        """Note a finished node; at the end of the run, write the file."""
        if isinstance(event, NodeFinished):
            if event.reused:
                return
            self._durations[event.node] = event.duration
            if event.gil_wait >= GIL_WAIT_SECONDS:
                self._gil_waits[event.node] = event.gil_wait
        elif isinstance(event, RunFinished) and self._durations:
            with suppress(OSError):  # only the next run's estimates depend on it
                found = self._recorded.with_run(self._durations, self._gil_waits, self._placement)
                write_node_stats(self._file, found)
