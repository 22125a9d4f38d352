"""What nodes took in earlier runs, and how the next run reads it. Knows no scheduler; hears of runs by events."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nfrun.core.events import GIL_WAIT_SECONDS, Event, NodeFinished, RunFinished
from nfrun.system.atomic_files import read_regular_file

_CENTURY = 3.2e15  # microseconds; what claims more is not a time, and infinity would spoil every rank
_KEYS = ("took", "thread", "locked", "process")  # in the file: the fields of `NodeStats`, in their order


@dataclass(frozen=True, slots=True)
class NodeStats:
    """What the runs of a pipeline have recorded of its nodes, in seconds.

    `took` is what they took when they last finished. Of those that waited for the interpreter's lock, and for so long
    only, there is what they took in a `thread`, how long of that they were `locked`, and what they took in a `process`.
    """

    durations: dict[str, float]
    thread: dict[str, float]
    gil_waits: dict[str, float]
    process: dict[str, float]

    def with_run(
        self, seconds: Mapping[str, float], gil_waits: Mapping[str, float], processes: Collection[str]
    ) -> NodeStats:
        """With what a further run has shown: what nodes took, and how long of that some of them were locked."""
        durations = dict(self.durations)
        for name, value in seconds.items():
            known = durations.get(name)
            # Falling at once and rising by halves: beside others a node takes longer than it needs.
            durations[name] = value if known is None or value <= known else (value + known) / 2
        here = [name for name in {**self.thread, **gil_waits} if name in seconds and name not in processes]
        return NodeStats(
            durations,
            {**self.thread, **{name: seconds[name] for name in here}},
            {**self.gil_waits, **{name: gil_waits.get(name, 0.0) for name in here}},
            {**self.process, **{name: seconds[name] for name in processes if name in seconds}},
        )


def read_node_stats(work: Path, pipeline: str) -> NodeStats:
    """What the runs of a pipeline have recorded in the work folder; nothing where there is nothing or it is damaged."""
    try:
        found = json.loads(read_regular_file(_file(work, pipeline)))
        return NodeStats(*({k: v / 1e6 for k, v in found[key].items() if 0 <= v < _CENTURY} for key in _KEYS))
    except (OSError, ValueError, RecursionError, TypeError, AttributeError, LookupError):
        return NodeStats({}, {}, {}, {})


def write_node_stats(work: Path, pipeline: str, stats: NodeStats) -> None:
    """Record this in place of what was recorded. Raises OSError."""
    path = _file(work, pipeline)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f"{path.name}.{os.urandom(4).hex()}.partial")
    # Whole microseconds are written three times as fast as fractions of a second.
    fields = (stats.durations, stats.thread, stats.gil_waits, stats.process)
    text = json.dumps(
        {key: {k: int(v * 1e6) for k, v in found.items()} for key, found in zip(_KEYS, fields, strict=True)}
    )
    try:
        partial.write_text(text)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def _file(work: Path, pipeline: str) -> Path:
    return work / "timings" / f"{Path(pipeline).name}.json"


class NodeStatsFile:
    """Listens to a run and adds what its nodes took to what is `recorded`. `processes` are those that run in one."""

    event_types = (NodeFinished, RunFinished)

    def __init__(
        self, work: Path, pipeline: str, recorded: NodeStats, processes: Collection[str] = frozenset()
    ) -> None:
        self._work = work
        self._pipeline = pipeline
        self._recorded = recorded
        self._processes = processes
        # Numbers only: to keep every event alive would be work for the garbage collector.
        self._durations: dict[str, float] = {}
        self._gil_waits: dict[str, float] = {}

    def event(self, event: Event) -> None:
        if isinstance(event, NodeFinished):
            if event.reused:
                return
            self._durations[event.node] = event.duration
            if event.gil_wait >= GIL_WAIT_SECONDS:
                self._gil_waits[event.node] = event.gil_wait
        elif isinstance(event, RunFinished) and self._durations:
            with suppress(OSError):  # only the next run's guesses depend on it
                found = self._recorded.with_run(self._durations, self._gil_waits, self._processes)
                write_node_stats(self._work, self._pipeline, found)

    def close(self) -> None:
        pass
