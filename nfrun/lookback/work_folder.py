"""Finds the work folder that a command looks back at."""

from __future__ import annotations

from pathlib import Path

from nfrun.core.errors import NotRecorded
from nfrun.core.pipeline import WORK_DIR
from nfrun.core.text import ellipsize
from nfrun.history.work_dir import WorkDir
from nfrun.lookback.run_list import list_runs

_MAX_LISTED = 6
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
    if work.path.is_file():
        raise NotRecorded(f"{work.path} is a file: did you mean --pipeline {work.path.name}?")
    if (work.path / WORK_DIR).is_dir():
        raise NotRecorded(f"no run was ever kept in {work.path}: did you mean {work.path / WORK_DIR}?")
    why = "no run was ever kept in" if work.path.is_dir() else "there is no folder"
    raise NotRecorded(f"{why} {work.path}: 'nfrun run' keeps runs in a folder .nfrun beside the pipeline file")


def _only_one_below(folder: Path) -> WorkDir:
    below = [WorkDir(path / WORK_DIR) for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    used = [work for work in below if work.is_used()]
    if len(used) == 1:
        return used[0]
    if not used:
        raise NotRecorded(f"there is no work folder {WORK_DIR} in {folder}: {_NAME_IT}")
    names = [f"--work {ellipsize(str(work.path.relative_to(folder)), 200)}" for work in used[:_MAX_LISTED]]
    more = f" or one of {len(used) - len(names)} more" if len(used) > len(names) else ""
    raise NotRecorded(f"there are {len(used)} work folders below {folder}: say {', '.join(names)}{more}")
