"""Decides what can be before a run begins: what it runs and in which order, under which name, and where.

Reads the files, holds the work folder and makes the one of the run. Starts nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from nfrun.cache.journal import RunHeader, next_number
from nfrun.cache.work_dir import WorkDir, new_run_id
from nfrun.core.pipeline import Pipeline
from nfrun.core.plan import SCHEDULES, Plan, plan_of
from nfrun.engine.node_stats import NodeStats, read_node_stats
from nfrun.logs.event_redaction import redactor_of
from nfrun.logs.redaction import Redactor
from nfrun.nodes.base import GRACE_SECONDS
from nfrun.spec.binder import bind
from nfrun.spec.loader import read_pipeline
from nfrun.spec.parameters import params_file
from nfrun.spec.yaml_document import Document
from nfrun.system.atomic_files import name_errors


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What was asked for on the command line. `slots` is how many nodes run at once.

    `memory` is how many bytes may wait to be written; None means a quarter of the memory. `resume` reuses what earlier
    runs have left; `keep` leaves what nobody but a node has read; `durable` has all of it survive a power loss. What
    was told to stop has `grace` seconds.
    """

    pipeline: Path
    given: Mapping[str, str]
    params_file: Path | None
    slots: int
    schedule: str
    handoff: str
    keep_going: bool
    work: Path | None
    json: bool
    events: Path | None
    color: str
    quiet: bool
    verbose: bool
    memory: int | None = None
    executor: str = ""
    resume: bool = False
    keep: bool = False
    fsync: bool = False
    grace: float = GRACE_SECONDS


@dataclass(frozen=True, slots=True)
class RunSetup:
    """A run before it begins.

    `pipeline` is bound, with nothing left to evaluate, and `document` knows where in its file everything stands. The
    run keeps what is its own in `folder`, a part of `work`. `recorded` is what nodes took in earlier runs, `events` is
    open for those of this one, and `redactor` hides what is secret.
    """

    options: RunOptions
    pipeline: Pipeline
    document: Document
    plan: Plan
    work: WorkDir
    folder: Path
    started: RunHeader
    recorded: NodeStats
    events: IO[str] | None
    redactor: Redactor


@contextmanager
def set_up_run(options: RunOptions, set_redactor: Callable[[Redactor], None]) -> Iterator[RunSetup]:
    """While inside, the run has its work folder to itself. `hide` is as for `launch`.

    Raises SpecError, FolderHeld and OSError.
    """
    pipeline, document = read_pipeline(options.pipeline)
    redactor = redactor_of(pipeline, os.environ)
    set_redactor(redactor)
    run_id = new_run_id()
    typed = params_file(options.params_file)
    bound = bind(pipeline, document, given=options.given, typed=typed, environ=os.environ, run_id=run_id)
    work = WorkDir.beside(pipeline, options.work)
    with work.lock() as hold:
        number = next_number(hold.number, work)
        with name_errors(work.path / "lock"):
            hold.write_holder(run=run_id, pipeline=pipeline.file, number=number)
        if hold.run is not None:
            work.remove_unfinished(hold.run)
        # Not before: it may be the one that whoever holds the folder writes.
        events = options.events.open("w", encoding="utf-8") if options.events else None
        started = RunHeader(run_id, work.pipeline_name(pipeline), number)
        folder = work.make_run_folder(run_id)
        recorded = read_node_stats(work.path, bound.file)
        yield RunSetup(
            options=options,
            pipeline=bound,
            document=document,
            plan=SCHEDULES[options.schedule](
                plan_of(bound, slots=options.slots, estimated_durations=recorded.durations)
            ),
            work=work,
            folder=folder,
            started=started,
            recorded=recorded,
            events=events,
            redactor=redactor,
        )
