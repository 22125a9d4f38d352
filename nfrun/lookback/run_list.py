"""Lists the runs in a work folder, newest first, from the first and the last line of each journal."""

from __future__ import annotations

import calendar
import re
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from nfrun.core.events import STATUSES
from nfrun.core.values import frozen
from nfrun.history.journal import RunEnding, RunHeader, read_ends
from nfrun.history.work_dir import JOURNAL, WorkDir, run_number
from nfrun.history.work_dir import pipeline_file as pipeline_file
from nfrun.system.atomic_files import read_regular_file

RUNNING, KILLED = "running", "killed"
_LINE_OF_NODE = re.compile(
    rb'\{"event": "(?:finished|unfinished)", "node": ("(?:[^"\\]|\\.)*")(?:, "status": "(\w+)")?'
)
REUSED = b', "reused": true'  # in a text, its quotes would be escaped
_TIME = re.compile(r"\d{8}-\d{6}")


@frozen
class ListedRun:
    """A run in a list: what the first and the last line of its journal say.

    `status` is `ok`, `failed` or `cancelled`; `running`; or `killed` if the journal has no end and no process holds the
    lock of the run. `ending` is None in the last two cases. `at` is when it began, in seconds since 1970, None if that
    is unknown.
    """

    header: RunHeader
    folder: Path
    status: str
    at: float | None
    ending: RunEnding | None

    @property
    def number(self) -> int:
        """The number of the run in its work folder."""
        return self.header.number

    @property
    def id(self) -> str:
        """The id of the run, which is the name of its folder."""
        return self.folder.name

    @property
    def pipeline(self) -> str:
        """The name of its pipeline in the work folder, as in `RunHeader`."""
        return self.header.pipeline

    @property
    def file(self) -> str:
        """The name of the pipeline file, without its folder."""
        return pipeline_file(self.pipeline)

    @property
    def duration(self) -> float | None:
        """How many seconds it took, or has taken so far; None if that is not recorded."""
        if self.ending is not None:
            return self.ending.duration if self.ending.at else None
        return max(0.0, time.time() - self.at) if self.status == RUNNING and self.at is not None else None


def list_runs(work: WorkDir, pipeline: str | None = None) -> Iterator[ListedRun]:
    """Yield the runs of a pipeline, or of all pipelines, the newest first. Reads a journal when it is its turn.

    Runs whose journal has no readable first line are left out. Raises OSError if the runs cannot be listed, and
    PermissionError if a journal cannot be read.
    """
    under_way: Collection[str] | None = None
    for folder in _newest_first(work):
        header, ending = read_ends(folder)
        if header is None or pipeline not in (None, header.pipeline):
            continue
        if ending is None and under_way is None:
            under_way = work.runs_under_way()
            ending = read_ends(folder)[1]  # it may have ended before the locks were looked at
        status = ending.status if ending else RUNNING if folder.name in (under_way or ()) else KILLED
        yield ListedRun(header, folder, status, header.at or _time_of(folder.name), ending)


def run_before(work: WorkDir, run: ListedRun) -> ListedRun | None:
    """Return the last run of the same pipeline that ended before this one: with its profile, or else with any.

    None if there is none. Raises what `list_runs` does.
    """
    first = None
    for older in list_runs(work, run.pipeline):
        if older.number < run.number and older.status != RUNNING:
            if older.header.profile == run.header.profile:
                return older
            first = first or older
    return first


def count_nodes(run: ListedRun) -> dict[str, int]:
    """Return how many nodes ended with each status, by the last line of a journal, or else by the lines of its nodes.

    A status is missing where it is not recorded: an older nfrun wrote lines of finished nodes only.
    """
    if run.ending is not None and run.ending.counts:
        return dict(run.ending.counts)
    try:
        lines = read_regular_file(run.folder / JOURNAL)
    except OSError:
        return {}
    statuses: dict[bytes, str] = {}  # by their last lines: a node has a second one if its table was made again
    for line in lines.split(b"\n")[:-1]:
        if found := _LINE_OF_NODE.match(line):
            statuses[found[1]] = found[2].decode() if found[2] else "reused" if REUSED in line else "ok"
    none = dict.fromkeys(STATUSES if run.header.at else ("ok", "reused"), 0)
    return {**none, **Counter(statuses.values())}


def _newest_first(work: WorkDir) -> Iterator[Path]:
    """Yield the folders of the runs. Of older nfrun, the number stands in the journal only."""
    folders = work.run_folders()
    yield from (folder for folder in reversed(folders) if run_number(folder.name))
    headers = [(read_ends(folder)[0], folder) for folder in folders if not run_number(folder.name)]
    older = [(header.number, folder) for header, folder in headers if header is not None]
    yield from (folder for _, folder in sorted(older, reverse=True))


def _time_of(run_id: str) -> float | None:
    """Return when a run began, from the time in its id."""
    with suppress(ValueError):
        if found := _TIME.search(run_id):
            return float(calendar.timegm(time.strptime(found[0], "%Y%m%d-%H%M%S")))
    return None
