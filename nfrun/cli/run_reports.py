"""Decides who is told of a run: which reports, on which streams, drawn anew or line by line, in colour or not.

Knows neither how the run is made nor what the reports write.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import IO, TYPE_CHECKING, Any

from nfrun.cache.run_cache import LASTING
from nfrun.cache.work_dir import LOGS
from nfrun.cli.run_setup import Prepared
from nfrun.core.pipeline import Pipeline
from nfrun.core.plan import plan_of
from nfrun.engine.event_dispatch import Report
from nfrun.engine.node_stats import TimingsFile
from nfrun.reports.run_record import Record
from nfrun.system.runtime import children_time, cores, peak_rss

if TYPE_CHECKING:
    from rich.console import Console


def audience(
    prepared: Prepared,
    record: Record,
    table: Callable[[str], Any],
    results: IO[str],
    processes: Collection[str],
) -> Iterator[Report]:
    """All that hear of the run, in order: the record comes first, since others show what is in it.

    `table(output)` opens an output, None if there is nothing to show. `results` takes what is for stdout. `processes`
    are the nodes that run in one.
    """
    options, pipeline = prepared.options, prepared.pipeline
    yield record
    if prepared.events is not None:
        from nfrun.reports.events_file import EventsFile

        yield EventsFile(prepared.events)
    if not options.quiet:
        yield _progress(prepared, record)
    yield _summary(prepared, record, table, results, processes)
    if options.json:
        from nfrun.reports.json_document import RunDocument

        yield RunDocument(
            record,
            results,
            run=prepared.started.run,
            name=pipeline.name,
            outputs=pipeline.outputs,
            logs=prepared.folder / LOGS,
            peak_rss=peak_rss,
        )
    yield TimingsFile(prepared.work.path, pipeline.file, prepared.recorded, processes)


def _progress(prepared: Prepared, record: Record) -> Report:
    options, name = prepared.options, prepared.pipeline.name
    if _is_live(sys.stderr):
        from nfrun.reports.live_view import LiveView

        return LiveView(record, console_on(sys.stderr, options.color), name)
    from nfrun.reports.plain_lines import PlainLines

    return PlainLines(sys.stderr, name, verbose=options.verbose)


def _summary(
    prepared: Prepared,
    record: Record,
    table: Callable[[str], Any],
    results: IO[str],
    processes: Collection[str],
) -> Report:
    from nfrun.reports.summary import Summary

    options, pipeline = prepared.options, prepared.pipeline
    return Summary(
        record,
        results,
        sys.stderr,
        console=partial(console_on, color=options.color),
        outputs={} if options.json else pipeline.outputs,
        table=table,
        place=lambda node: str(prepared.document.where_key("nodes", node)),
        cpu=time.process_time,
        elsewhere=lambda: children_time() + sum(record.nodes[name].cpu for name in processes),
        makespan=lambda costs: _makespan(pipeline, options.slots, costs),
        quiet=options.quiet,
        redact=prepared.redactor,
        resumable=options.handoff in LASTING,
    )


def _makespan(pipeline: Pipeline, slots: int, costs: Mapping[str, float]) -> float:
    """Seconds that a run takes whose nodes take these, on the cores that there are."""
    from nfrun.core.simulation import makespan

    return makespan(plan_of(pipeline, slots=min(slots, cores()), costs=costs))


def console_on(stream: IO[str], color: str) -> Console:
    """What prints there for people; the first call takes as long as the import of rich."""
    from nfrun.reports.console import console

    return console(stream, colored=_is_colored(stream, color))


def _is_colored(stream: IO[str], color: str) -> bool:
    """Whether to colour what is written there: no pipe is taken for a terminal, whatever FORCE_COLOR says."""
    wanted = stream.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")
    return color == "always" or (color == "auto" and wanted)


def _is_live(stream: IO[str]) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("CI")
