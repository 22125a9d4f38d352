"""Shows the list of runs: `nfrun runs`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nfrun.core.values import frozen
from nfrun.lookback.layout import NOT_RECORDED, Look, iso_time, local_time, value_text
from nfrun.lookback.run_list import ListedRun, count_nodes
from nfrun.reports.format_units import format_seconds

_COUNTED = {"ran": "ok", "reused": "reused", "failed": "failed"}


@frozen
class RunRow:
    """A run in the list, and its parameters that differ from those of the run before; all of them if that has none."""

    run: ListedRun
    changed: Mapping[str, Any]


def newest_rows(runs: Iterable[ListedRun], limit: int | None) -> list[RunRow]:
    """Return the first `limit` of `runs`, which are the newest first; all if it is None.

    Reads on until it knows the run before each of them, of the same pipeline.
    """
    rows: list[ListedRun] = []
    before: dict[str, ListedRun] = {}  # by the id of a run, the run before it
    waiting: dict[str, str] = {}  # by pipeline, the id of the run whose run before is not known yet
    for run in runs:
        if (id := waiting.pop(run.pipeline, None)) is not None:
            before[id] = run
        if limit is None or len(rows) < limit:
            waiting[run.pipeline] = run.id
            rows.append(run)
        elif not waiting:
            break
    return [
        RunRow(run, changed_params(before[run.id].header.params if run.id in before else {}, run.header.params))
        for run in rows
    ]


def changed_params(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a run that the run before did not have with these values."""
    return {name: value for name, value in now.items() if name not in before or before[name] != value}


def runs_text(rows: list[RunRow], look: Look, *, more: bool = False) -> Iterator[str]:
    """Yield the lines of the list. `more`: there are older runs, which are left out."""
    names = _names(row.run for row in rows)
    several = len(names) > 1
    headings = ["run", "when", "status", *_COUNTED, "time", "pipeline", "parameters"]
    cells = [
        [
            str(row.run.number),
            local_time(row.run.at, short=True),
            row.run.status,
            *_counts(row.run),
            duration_text(row.run),
            names[row.run.pipeline],
            params_text(row.changed),
        ]
        for row in rows
    ]
    if not several:
        del headings[-2]
        for cell in cells:
            del cell[-2]
    yield from look.columns(headings, cells, right={"run", *_COUNTED, "time"})
    if more:
        yield look.paint("… and older runs: 'nfrun runs --all' lists all", "dim")


def runs_json(rows: list[RunRow]) -> dict[str, Any]:
    """Return the list as a JSON document."""
    return {"runs": [{**run_json(row.run), "changed_params": dict(row.changed)} for row in rows]}


def run_json(run: ListedRun) -> dict[str, Any]:
    """Return a run as JSON values, null for values that are not recorded."""
    return {
        "run": run.id,
        "number": run.number,
        "pipeline": run.pipeline,
        "status": run.status,
        "started": iso_time(run.at),
        "ended": iso_time((run.ending.at if run.ending else 0) or None),
        "wall_s": None if run.duration is None else round(run.duration, 6),
        "counts": count_nodes(run),
        "error": (run.ending.error if run.ending else "") or None,
        "params": dict(run.header.params),
        "inputs": dict(run.header.inputs),
    }


def _names(runs: Iterable[ListedRun]) -> dict[str, str]:
    """Return what the pipelines are called in the list: by the file, with a checksum of its folder if two share it."""
    files = {run.pipeline: run.file for run in runs}
    shared = [pipeline for pipeline, file in files.items() if list(files.values()).count(file) > 1 and pipeline != file]
    return {**files, **{pipeline: f"{files[pipeline]} ({pipeline[-6:]})" for pipeline in shared}}


def duration_text(run: ListedRun) -> str:
    """Return the duration of a run for people."""
    return NOT_RECORDED if run.duration is None else format_seconds(run.duration)


def params_text(params: Mapping[str, Any]) -> str:
    """Return parameters on one line: `country=FR, day=3`."""
    return ", ".join(f"{name}={value_text(value)}" for name, value in params.items())


def _counts(run: ListedRun) -> list[str]:
    counts = count_nodes(run)
    return [f"{counts[status]:,}" if status in counts else NOT_RECORDED for status in _COUNTED.values()]
