"""Prepares a run: reads and plans the pipeline, locks the work folder and makes the run folder.

`run.py` starts the run afterwards.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from math import inf
from pathlib import Path
from typing import IO, Any

from nfrun.core.errors import UsageError, one_line
from nfrun.core.pipeline import NOTHING, WORK_DIR, Pipeline
from nfrun.core.plan import Plan, plan_of
from nfrun.core.values import field, frozen, replace
from nfrun.engine.executors.registry import CLUSTERS
from nfrun.engine.node_stats import NodeStats, read_node_stats
from nfrun.history.cache.remembered_code import restore_checks, save_checks
from nfrun.history.journal import RunHeader
from nfrun.history.work_dir import WorkDir, new_run_id
from nfrun.pipeline_file.built_document import BuiltPipeline
from nfrun.pipeline_file.known_checks import KnownChecks
from nfrun.pipeline_file.missing import warnings_of
from nfrun.pipeline_file.resolve import Resolved, resolve
from nfrun.session.option_fields import cache_budget, parse_address, parse_store, slots_of
from nfrun.session.options import PlanOptions, RunOptions, ValidateOptions
from nfrun.session.report_files import check_report_files, make_report_folders
from nfrun.session.selection import Selection, selection_of
from nfrun.system.file_search import name_below
from nfrun.system.logs.redaction import Redactor, redact_value
from nfrun.system.native_threads import default_thread_variables
from nfrun.system.std_streams import Messages


@frozen
class Program:
    """Parameters by name with their types, and the pipeline if the program has built it: then there may be no file."""

    params: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    built: BuiltPipeline | None = None


_NO_RUN = 0  # the number in `run.id` while mistakes are looked for, before the run has one
NO_DATE = "--date has no effect: no expression reads run.date"


@frozen
class RunSetup:
    """A prepared run.

    `pipeline` is bound: its parameters and expressions are evaluated. `plan` is that of all nodes, and `selection` says
    which of them the run is about. `folder` is the run folder in the work folder
    `work`, and `started` the first line of the journal. `recorded` has the statistics of nodes in earlier runs, which
    are in the file `timings`. `program` is what only a program gives, None for a command.
    `thread_variables` are those that nfrun adds to the environment, so that each native library has one thread.
    `budget` is that of `cache_budget`. `events` is the open events file, None without `--events`. `redactor` masks
    secrets.
    """

    options: RunOptions
    pipeline: Pipeline
    plan: Plan
    selection: Selection
    work: WorkDir
    folder: Path
    started: RunHeader
    timings: Path
    recorded: NodeStats
    thread_variables: Mapping[str, str]
    budget: int | None
    events: IO[str] | None
    redactor: Redactor
    messages: Messages
    program: Program | None = None


@contextmanager
def set_up_run(
    options: RunOptions, messages: Messages, command: Sequence[str] = (), program: Program | None = None
) -> Iterator[RunSetup]:
    """Prepare a run, and hold the lock of its pipeline within the `with` block.

    `command` has the words of the command line, for the journal, and `program` what only a program gives. Secrets are
    redacted in `messages` as soon as they are known. Raises UsageError, SpecError, WorkDirLocked and OSError.
    """
    check_report_files(options)
    _check_cluster(options, messages)
    budget = cache_budget(options.cache_size, os.environ)
    known, checks = known_checks(options)
    resolved = _resolve(options, new_run_id(_NO_RUN), messages, known, program)
    pipeline, warned = resolved.pipeline, [*map(one_line, warnings_of(resolved.pipeline))]
    messages.warn_all(warned)
    work = WorkDir.of_pipeline(pipeline, options.work)
    selection = selection_of(options, pipeline, work)
    if options.force and not selection.force:
        messages.warn("--force has no effect: no node that it names is selected")
    if options.date and not pipeline.date:
        messages.warn(NO_DATE)

    on_wait = (lambda why: None) if options.quiet else (lambda why: messages(f"nfrun: waiting, because {why}"))
    with work.start_run(pipeline, wait=options.wait, on_wait=on_wait) as start, ExitStack() as stack:
        if resolved.uses_run or start.waited:  # while it waited, the file may have been edited
            resolved = _resolve(options, start.run, messages, known, program)
            pipeline = resolved.pipeline
            messages.warn_all(text for text in map(one_line, warnings_of(pipeline)) if text not in warned)
            selection = selection_of(options, pipeline, work)
        if checks.is_relative_to(work.path):
            with suppress(OSError):  # the next run checks it again
                save_checks(known, checks)
        # Not before the lock is held: another run may be writing this file.
        make_report_folders(options)
        events = options.events.open("w", encoding="utf-8") if options.events else None
        stack.callback(_close, events)
        folder = work.make_run_folder(start.run)
        stack.callback(_remove_empty, folder)
        timings = work.timings(pipeline)
        recorded = read_node_stats(timings)
        yield RunSetup(
            options=options,
            pipeline=pipeline,
            plan=_plan(options, resolved, recorded),
            selection=selection,
            work=work,
            folder=folder,
            started=_header(
                RunHeader(start.run, work.pipeline_name(pipeline), start.number, store=_store(options, work)),
                *(resolved, command, options.inputs),
            ),
            timings=timings,
            recorded=recorded,
            thread_variables=default_thread_variables(pipeline, os.environ),
            budget=budget,
            events=events,
            redactor=resolved.redactor,
            messages=messages,
            program=program,
        )


def _check_cluster(options: RunOptions, messages: Messages) -> None:
    """Check what a run needs of a cluster; without one, warn of variables that count for clusters only."""
    if options.executor in CLUSTERS:
        check_cluster(options)
    elif idle := [name for name in ("NFRUN_ADDRESS", "NFRUN_STORE") if os.environ.get(name)]:
        are, they = ("are", "they are") if idle[1:] else ("is", "it is")
        messages.warn(f"{' and '.join(idle)} {are} not used: {they} for --executor {CLUSTERS[0]}")


def _plan(options: RunOptions, resolved: Resolved, recorded: NodeStats) -> Plan:
    """Return the plan of all nodes. Those that lack a file come first: the run fails before it does more."""
    slots = slots_of(options.slots, resolved.pipeline)
    plan = plan_of(resolved.pipeline, slots=slots, estimated_durations=recorded.durations)
    first = dict.fromkeys(resolved.absent, inf)
    return replace(plan, priorities={**plan.priorities, **first}) if first else plan


def _header(run: RunHeader, resolved: Resolved, command: Sequence[str], given: Mapping[str, str]) -> RunHeader:
    """Add to the first line of the journal how the run was started, with secrets masked.

    `given` are the files of inputs.
    """
    redact = resolved.redactor
    words, params = tuple(map(redact, command)), redact_value(resolved.pipeline.values, redact)
    host, secrets = redact(os.uname().nodename), resolved.pipeline.secrets
    inputs = {name: redact(name_below(resolved.pipeline.folder, file)) for name, file in given.items()}
    return replace(
        run,
        at=time.time(),
        command=words,
        params=params,
        host=host,
        secrets=secrets,
        profile=resolved.pipeline.profile,
        inputs=inputs,
        date=resolved.pipeline.date,
    )


def known_checks(options: RunOptions | PlanOptions) -> tuple[KnownChecks, Path]:
    """Return what earlier runs have found in order, and the file in which it is kept.

    Without `--work`, this is the folder beside the pipeline file: a folder that the file names is not known yet.
    """
    file = options.pipeline.absolute()
    path = WorkDir(options.work.absolute() if options.work else file.parent / WORK_DIR).checks(file)
    return restore_checks(path), path


def _resolve(
    options: RunOptions, run_id: str, messages: Messages, known: KnownChecks, program: Program | None
) -> Resolved:
    more = {"given": options.given, "far": options.executor in CLUSTERS, "absent": []}
    return resolve_options(options, messages, known, program, run_id=run_id, **more)


def resolve_options(
    options: RunOptions | PlanOptions, messages: Messages, known: KnownChecks, program: Program | None, **more: Any
) -> Resolved:
    """Resolve the pipeline of a run or a plan, with `more` arguments of `resolve`. `program` is what a program gives.

    Secrets are redacted in `messages` as soon as they are known. Raises SpecError.
    """
    if program is not None:
        more |= {"values": program.params, "built": program.built}
    return resolve(
        options.pipeline,
        params_file=options.params_file,
        environ=os.environ,
        date=options.date,
        set_redactor=messages.set_redactor,
        profile=options.profile,
        inputs=options.inputs,
        known=known,
        work=options.work,
        columns=True,
        **more,
    )


def _close(events: IO[str] | None) -> None:
    if events is not None:
        with suppress(OSError):  # its reporter has told it
            events.close()


def _remove_empty(folder: Path) -> None:
    """Remove the folder of a run that has kept nothing, or that has not begun."""
    with suppress(OSError):
        folder.rmdir()


STORE = "store"  # the folder for outputs in the work folder, if nothing else is said


def check_cluster(options: RunOptions | ValidateOptions) -> None:
    """Check what can be checked of a cluster before a run. Raises UsageError."""
    if find_spec("distributed") is None:
        raise UsageError("Dask is not installed: install it with: pip install 'distributed>=2024.1'", "--executor")
    if getattr(options, "handoff", "") == "json":
        raise UsageError("--handoff json is there to compare on one machine, and not for a cluster", "--handoff")
    cluster_store(options.store, os.environ, cluster_address(options.address, os.environ), Path())


def _store(options: RunOptions, work: WorkDir) -> str:
    """Return the address of the place into which workers of a cluster put outputs, "" without one.

    Raises UsageError, PlaceError and OSError.
    """
    if options.executor not in CLUSTERS:
        return ""
    from nfrun.tables.places.base import path_of
    from nfrun.tables.places.folder import open_place

    default = work.path / STORE
    store = cluster_store(options.store, os.environ, cluster_address(options.address, os.environ), default)
    place = open_place(work.store_address(store))
    path = Path(os.path.realpath(path_of(place.uri) or "/"))
    if path.is_relative_to(os.path.realpath(work.path)) and not path.is_relative_to(os.path.realpath(default)):
        what = f"the store {store} is in the work folder {work.path}, where nfrun keeps other files"
        raise UsageError(f"{what}: name a folder outside of it", "--store")
    return place.uri


def cluster_address(given: str | None, environ: Mapping[str, str]) -> str:
    """Return the address of the scheduler: `given`, or that of NFRUN_ADDRESS, "" for none. Raises UsageError."""
    try:
        return given or (parse_address(environ["NFRUN_ADDRESS"]) if environ.get("NFRUN_ADDRESS") else "")
    except ValueError as error:
        raise UsageError(str(error), "NFRUN_ADDRESS") from None


def cluster_store(given: str | None, environ: Mapping[str, str], address: str, default: Path) -> str:
    """Return the address of the place for outputs: `given`, or that of NFRUN_STORE.

    Without either it is the folder `default` for workers on this machine. For others, raises UsageError.
    """
    try:
        if given or environ.get("NFRUN_STORE"):
            return given or parse_store(environ["NFRUN_STORE"])
    except ValueError as error:
        raise UsageError(str(error), "NFRUN_STORE") from None
    from nfrun.cluster.base import is_local  # few runs have a cluster

    if is_local(address):
        return str(default)
    what = f"the workers of {address} and this machine need a place for outputs that all of them see"
    raise UsageError(f"{what}: a shared folder, or s3://bucket/folder (or set NFRUN_STORE)", "--store")
