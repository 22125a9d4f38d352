"""What a run leaves on disk, and how the next run reads it. Knows no scheduler; it hears of the run by its events."""

from __future__ import annotations

import json
import secrets
import time
from contextlib import suppress
from pathlib import Path

from nfrun.events import Event, NodeFinished, RunFinished
from nfrun.spec import Pipeline

WORK = ".nfrun"
_CENTURY = 3.2e9  # seconds; what claims more is not a time, and infinity would spoil every rank


def new_run_id() -> str:
    """A name for a run that sorts by its start. A label only: nothing is decided by it."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"


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

    def timings(self, pipeline: str) -> dict[str, float]:
        """Seconds that each node took when it last finished; empty where nothing is recorded or readable."""
        try:
            found = json.loads(self._timings(pipeline).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(found, dict):
            return {}
        return {k: float(v) for k, v in found.items() if type(v) in (int, float) and 0 <= v < _CENTURY}

    def write_timings(self, pipeline: str, seconds: dict[str, float]) -> None:
        """Record seconds by node, eased by those recorded before. Raises OSError."""
        path = self._timings(pipeline)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
        known = self.timings(pipeline)
        # Falling at once and rising by halves: beside others a node takes longer than it needs.
        eased = {name: round(min(took, (took + known.get(name, took)) / 2), 6) for name, took in seconds.items()}
        try:
            partial.write_text(json.dumps({**known, **eased}), encoding="utf-8")
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise

    def _timings(self, pipeline: str) -> Path:
        return self.path / "timings" / f"{Path(pipeline).name}.json"


class Timings:
    """Listens to a run and records what its nodes took when it ends."""

    def __init__(self, work: WorkFolder, pipeline: str) -> None:
        self._work = work
        self._pipeline = pipeline
        self._seconds: dict[str, float] = {}

    def event(self, event: Event) -> None:
        if isinstance(event, NodeFinished):
            self._seconds[event.node] = event.took
        elif isinstance(event, RunFinished) and self._seconds:
            with suppress(OSError):  # only the next plan's guesses depend on it
                self._work.write_timings(self._pipeline, self._seconds)

    def close(self) -> None:
        pass
