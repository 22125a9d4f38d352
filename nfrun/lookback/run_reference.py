"""Lists the runs in a work folder, and finds the work folder and the run that a user names.

A list is read from the first and the last line of each run. A run is named by a number, an id or its beginning,
`last`, `last-ok` or `last~2`.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

from nfrun.core.errors import NotRecorded
from nfrun.core.events import STATUSES
from nfrun.core.pipeline import WORK_DIR
from nfrun.core.text import ellipsize, shortened
from nfrun.core.values import frozen
from nfrun.history.database import Database, read_journal
from nfrun.history.journal import RunEnding, RunHeader
from nfrun.history.work_dir import WorkDir
from nfrun.history.work_dir import pipeline_file as pipeline_file
from nfrun.reports.format_units import format_count

RUNNING, KILLED = "running", "killed"


@frozen
class ListedRun:
    """A run in a list: what its first and its last line say.

    `status` is `ok`, `failed` or `cancelled`; `running`; or `killed` if it has no end and no process holds the
    lock of the run. `ending` is None in the last two cases.
    """

    header: RunHeader
    folder: Path
    status: str
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
    def at(self) -> float:
        """When it began, in seconds since 1970."""
        return self.header.at

    @property
    def duration(self) -> float | None:
        """The seconds that it took, or has taken so far; None if it was killed."""
        if self.ending is not None:
            return self.ending.duration
        return max(0.0, time.time() - self.at) if self.status == RUNNING else None


def list_runs(work: WorkDir, pipeline: str | None = None) -> Iterator[ListedRun]:
    """Yield the runs of a pipeline, or of all pipelines, the newest first. Raises OSError and HandoffError.

    Runs without a readable first line are left out.
    """
    under_way: Collection[str] | None = None
    with closing(Database(work)) as database:
        for run in database.runs(pipeline):
            ending, id = run.ending, run.folder.name
            if ending is None and under_way is None:
                under_way = work.runs_under_way()
                ending = database.ends(id)[1]  # it may have ended before the locks were looked at
            status = ending.status if ending else RUNNING if id in (under_way or ()) else KILLED
            yield ListedRun(run.header, run.folder, status, ending)


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
    """Return how many nodes ended with each status, by the last line of a run, or else by the lines of its nodes."""
    if run.ending is not None and run.ending.counts:
        return dict(run.ending.counts)
    return {**dict.fromkeys(STATUSES, 0), **Counter(end.status for end in read_journal(run.folder).ends.values())}


LAST = "last"
_BACK = re.compile(r"(last|last-ok)(?:~([0-9]{1,9}))?")
_FORMS = "a run is a number, an id, last, last-ok or last~2"
_MAX_LISTED = 4
_DATE = 8  # digits; fewer are a number, and not the beginning of an id of an older nfrun


def find_run(work: WorkDir, pipeline: str | None, text: str | None = None) -> ListedRun:
    """Return the run that `text` names, of a pipeline or, if that is None, of all pipelines in the work folder.

    Without a text it is `last`, which is the last run that has ended; if none has, the one that is under way.
    `last-ok` is the last that ended well, and `last~2` the second before the last. Raises NotRecorded if there is no
    such run, and OSError.
    """
    text = LAST if text is None else text
    found = _BACK.fullmatch(text)
    if found:
        return _counted_back(work, pipeline, text, only_ok=found[1] == "last-ok", back=int(found[2] or 0))
    runs = list(list_runs(work, pipeline))
    if not runs:
        raise NotRecorded(no_runs(work, pipeline))
    is_number = text.isascii() and text.isdecimal()
    if is_number and (matches := [run for run in runs if run.number == int(text[:20])]):
        return _only(matches, f"have the number {text}")
    begins_id = len(text) >= _DATE if is_number else bool(text)
    if begins_id and (matches := [run for run in runs if run.id.startswith(text)]):
        return _only(matches, f"have an id that begins with {text}")
    raise NotRecorded(_no_such_run(work, pipeline, text, runs))


def find_running(work: WorkDir, pipeline: str | None) -> list[ListedRun]:
    """Return the runs that are under way. Several pipelines may run at once in a work folder."""
    return [run for run in list_runs(work, pipeline) if run.status == RUNNING]


def only_running(running: list[ListedRun]) -> ListedRun | None:
    """Return the run that is under way, None if there is none. Raises NotRecorded if there are several."""
    if len(running) > 1:
        listed = shortened([f"{run.number} ({run.file})" for run in running], _MAX_LISTED)
        raise NotRecorded(f"{len(running)} runs are under way: {listed}; name one with --run or --pipeline")
    return next(iter(running), None)


def _counted_back(work: WorkDir, pipeline: str | None, text: str, *, only_ok: bool, back: int) -> ListedRun:
    ended = (run for run in list_runs(work, pipeline) if (run.status == "ok" if only_ok else run.status != RUNNING))
    found = list(islice(ended, back + 1))
    if len(found) > back:
        return found[-1]
    if not found and not back and not only_ok:
        for run in list_runs(work, pipeline):
            return run  # the one under way
    if not found:
        some = next(list_runs(work, pipeline), None)
        raise NotRecorded(no_runs(work, pipeline) if some is None else f"no run in {work.path} has ended well")
    which = "ended well" if only_ok else "ended"
    have = "has" if len(found) == 1 else "have"
    raise NotRecorded(f"there is no run {text} in {work.path}: {format_count(len(found), 'run')} {have} {which}")


def _only(matches: list[ListedRun], what: str) -> ListedRun:
    if len(matches) == 1:
        return matches[0]
    ids = shortened([run.id for run in matches], _MAX_LISTED)
    raise NotRecorded(f"{len(matches):,} runs {what}: {ids}")


def no_runs(work: WorkDir, pipeline: str | None) -> str:
    """Return the message that no run of a pipeline is kept, or none of any."""
    others = dict.fromkeys(run.file for run in list_runs(work)) if pipeline is not None else {}
    if others:
        of = pipeline_file(pipeline or "")
        return f"no run of {of} is kept in {work.path}, only of {shortened([*others], _MAX_LISTED)}"
    lost = ": the folders of its runs are there, but their history, history.db, is lost" if work.run_folders() else ""
    return f"no run is kept in {work.path}{lost}"


def _no_such_run(work: WorkDir, pipeline: str | None, text: str, runs: list[ListedRun]) -> str:
    """Return the message for a reference that names none of `runs`."""
    forms = "" if text.isdecimal() else f" ({_FORMS})"
    of = "" if pipeline is None else f" of {pipeline_file(pipeline)}"
    newest, oldest = max(run.number for run in runs), min(run.number for run in runs)
    kept = f"run {oldest} is" if oldest == newest else f"{format_count(len(runs), 'run')} from {oldest} to {newest} are"
    return f"there is no run {ellipsize(text)}{of} in {work.path}: {kept} kept there{forms}"


_MAX_FOLDERS = 6
_NAME_IT = "name a pipeline file with --pipeline FILE, or a work folder with --work DIR"


def find_work(pipeline: Path | None, work: Path | None) -> tuple[WorkDir, str | None]:
    """Return what `locate_work` does, after the removal of what killed runs left in the work folder."""
    found, name = locate_work(pipeline, work)
    found.remove_left()
    return found, name


def locate_work(pipeline: Path | None, work: Path | None) -> tuple[WorkDir, str | None]:
    """Return the work folder, and the name that it has for the pipeline in the file `pipeline`; None for all pipelines.

    Without `pipeline` and `work` it is `.nfrun` in the working directory, or else the only one in a folder below.
    Raises NotRecorded if there is none in which a run was kept, and what `name_of` raises.
    """
    if pipeline is not None:
        found = WorkDir((work or pipeline.absolute().parent / WORK_DIR).absolute())
        name = name_of(pipeline, found)
        return _used(found), name
    if work is not None:
        return _used(WorkDir(work.absolute())), None
    here = WorkDir(Path.cwd() / WORK_DIR)
    return (here if here.is_used() else _only_one_below(Path.cwd())), None


def name_of(pipeline: Path, work: WorkDir) -> str:
    """Return the name that a work folder has for the pipeline in a file.

    Raises SpecError if there is neither such a file nor a run of it: its name is mistyped.
    """
    from nfrun.pipeline_file.yaml.text_file import read_text

    name = work.name_of_file(pipeline.absolute())
    if pipeline.exists() or next(list_runs(work, name), None) is None:
        read_text(pipeline, str(pipeline))  # the content does not matter
    return name


def _used(work: WorkDir) -> WorkDir:
    if work.is_used():
        return work
    why = "no run was ever kept in" if work.path.is_dir() else "there is no folder"
    raise NotRecorded(f"{why} {work.path}: 'nfrun run' keeps runs in a folder .nfrun beside the pipeline file")


def _only_one_below(folder: Path) -> WorkDir:
    below = [WorkDir(path / WORK_DIR) for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    used = [work for work in below if work.is_used()]
    if len(used) == 1:
        return used[0]
    if not used:
        raise NotRecorded(f"there is no work folder {WORK_DIR} in {folder}: {_NAME_IT}")
    names = [f"--work {ellipsize(str(work.path.relative_to(folder)), 200)}" for work in used]
    raise NotRecorded(f"there are {len(used)} work folders below {folder}: say {shortened(names, _MAX_FOLDERS)}")
