"""What a run leaves on disk, and how the next run reads it. Knows no scheduler; it hears of the run by its events."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nfrun.events import Event, NodeFinished, RunFinished
from nfrun.spec import Pipeline

WORK = ".nfrun"
_CENTURY = 3.2e15  # microseconds; what claims more is not a time, and infinity would spoil every rank
_KEYS = ("took", "thread", "locked", "process")

LOCKED_SECONDS = 0.05  # a node that waited less for the interpreter's lock has nothing to gain


def new_run_id() -> str:
    """A name for a run that sorts by its start. A label only: nothing is decided by it."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.urandom(3).hex()}"


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


class WorkFolder:
    """The folder where nfrun keeps what outlives a run, readable by its owner alone.

    `runs/<id>/` holds the outputs of one run, `timings/<pipeline>.json` the seconds that nodes took.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def beside(cls, pipeline: Pipeline, path: Path | None) -> WorkFolder:
        """The folder that was asked for, or `.nfrun` beside the pipeline file."""
        return cls(path.absolute() if path is not None else Path(pipeline.folder) / WORK)

    def run_folder(self, run_id: str) -> Path:
        """Make the folder of a new run. Raises OSError."""
        if not self.path.exists():  # else it may be a folder of the user's, as with `--work .`
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            (self.path / ".gitignore").write_text("*\n", encoding="utf-8")
        folder = self.path / "runs" / run_id
        folder.mkdir(parents=True)
        return folder

    def timings(self, pipeline: str) -> Timings:
        """What its runs have recorded; nothing where there is nothing or it cannot be read."""
        try:
            found = json.loads(self._timings(pipeline).read_bytes())
            return Timings(*({k: v / 1e6 for k, v in found[key].items() if 0 <= v < _CENTURY} for key in _KEYS))
        except (OSError, ValueError, RecursionError, TypeError, AttributeError, LookupError):
            return Timings({}, {}, {}, {})

    def write_timings(self, pipeline: str, timings: Timings) -> None:
        """Record this in place of what was recorded. Raises OSError."""
        path = self._timings(pipeline)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.urandom(4).hex()}.partial")
        # Whole microseconds are written three times as fast as fractions of a second.
        text = json.dumps({key: {k: int(v * 1e6) for k, v in getattr(timings, key).items()} for key in _KEYS})
        try:
            partial.write_text(text)
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise

    def _timings(self, pipeline: str) -> Path:
        return self.path / "timings" / f"{Path(pipeline).name}.json"


class TimingsFile:
    """Listens to a run and adds what its nodes took to what is `recorded`. `processes` are those that run in one."""

    hears = (NodeFinished, RunFinished)

    def __init__(
        self, work: WorkFolder, pipeline: str, recorded: Timings, processes: Collection[str] = frozenset()
    ) -> None:
        self._work = work
        self._pipeline = pipeline
        self._recorded = recorded
        self._processes = processes
        # Numbers only: to keep every event alive would be work for the garbage collector.
        self._took: dict[str, float] = {}
        self._locked: dict[str, float] = {}

    def event(self, event: Event) -> None:
        if isinstance(event, NodeFinished):
            self._took[event.node] = event.took
            if event.locked >= LOCKED_SECONDS:
                self._locked[event.node] = event.locked
        elif isinstance(event, RunFinished) and self._took:
            with suppress(OSError):  # only the next run's guesses depend on it
                found = self._recorded.with_run(self._took, self._locked, self._processes)
                self._work.write_timings(self._pipeline, found)

    def close(self) -> None:
        pass
