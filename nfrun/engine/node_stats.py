"""What nodes took in earlier runs, and how the next run reads it. Knows no scheduler; hears of runs by events."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nfrun.core.events import LOCKED_SECONDS, Event, NodeFinished, RunFinished
from nfrun.system.atomic_files import read

_CENTURY = 3.2e15  # microseconds; what claims more is not a time, and infinity would spoil every rank
_KEYS = ("took", "thread", "locked", "process")


@dataclass(frozen=True, slots=True)
class Timings:
    """What the runs of a pipeline have recorded of its nodes, in seconds.

    `took` is what they took when they last finished. Of those that waited for the interpreter's lock, and for so long
    only, there is what they took in a `thread`, how long of that they were `locked`, and what they took in a `process`.
    """

    took: dict[str, float]
    thread: dict[str, float]
    locked: dict[str, float]
    process: dict[str, float]

    def with_run(
        self, seconds: Mapping[str, float], locked: Mapping[str, float], processes: Collection[str]
    ) -> Timings:
        """With what a further run has shown: what nodes took, and how long of that some of them were locked."""
        took = dict(self.took)
        for name, value in seconds.items():
            known = took.get(name)
            # Falling at once and rising by halves: beside others a node takes longer than it needs.
            took[name] = value if known is None or value <= known else (value + known) / 2
        here = [name for name in {**self.thread, **locked} if name in seconds and name not in processes]
        return Timings(
            took,
            {**self.thread, **{name: seconds[name] for name in here}},
            {**self.locked, **{name: locked.get(name, 0.0) for name in here}},
            {**self.process, **{name: seconds[name] for name in processes if name in seconds}},
        )


def read_timings(work: Path, pipeline: str) -> Timings:
    """What the runs of a pipeline have recorded in the work folder; nothing where there is nothing or it is damaged."""
    try:
        found = json.loads(read(_file(work, pipeline)))
        return Timings(*({k: v / 1e6 for k, v in found[key].items() if 0 <= v < _CENTURY} for key in _KEYS))
    except (OSError, ValueError, RecursionError, TypeError, AttributeError, LookupError):
        return Timings({}, {}, {}, {})


def write_timings(work: Path, pipeline: str, timings: Timings) -> None:
    """Record this in place of what was recorded. Raises OSError."""
    path = _file(work, pipeline)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f"{path.name}.{os.urandom(4).hex()}.partial")
    # Whole microseconds are written three times as fast as fractions of a second.
    text = json.dumps({key: {k: int(v * 1e6) for k, v in getattr(timings, key).items()} for key in _KEYS})
    try:
        partial.write_text(text)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def _file(work: Path, pipeline: str) -> Path:
    return work / "timings" / f"{Path(pipeline).name}.json"


class TimingsFile:
    """Listens to a run and adds what its nodes took to what is `recorded`. `processes` are those that run in one."""

    hears = (NodeFinished, RunFinished)

    def __init__(self, work: Path, pipeline: str, recorded: Timings, processes: Collection[str] = frozenset()) -> None:
        self._work = work
        self._pipeline = pipeline
        self._recorded = recorded
        self._processes = processes
        # Numbers only: to keep every event alive would be work for the garbage collector.
        self._took: dict[str, float] = {}
        self._locked: dict[str, float] = {}

    def event(self, event: Event) -> None:
        if isinstance(event, NodeFinished):
            if event.reused:
                return
            self._took[event.node] = event.took
            if event.locked >= LOCKED_SECONDS:
                self._locked[event.node] = event.locked
        elif isinstance(event, RunFinished) and self._took:
            with suppress(OSError):  # only the next run's guesses depend on it
                found = self._recorded.with_run(self._took, self._locked, self._processes)
                write_timings(self._work, self._pipeline, found)

    def close(self) -> None:
        pass
