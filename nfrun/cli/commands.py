"""Carries out the commands: each function does the work, prints, and returns the exit code.

`fast_args.py` and `typer_app.py` parse the command line and call `execute`, which makes the options and reports errors.
Functions raise them, and set the redactor of `messages` as soon as the secrets are known. What runs pipelines has its
options in `session/options.py`; those of the other commands are here.
Each function imports what it needs inside itself, so that a command pays only for its own imports.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from nfrun import __version__
from nfrun.cli.exit_codes import EXIT_FAILED, EXIT_IO, EXIT_OK, EXIT_USAGE, diagnostic_json, print_json, report_errors
from nfrun.core.errors import SpecError, UsageError
from nfrun.core.values import asdict, frozen
from nfrun.session.options import (
    BenchOptions,
    Options,
    PlanOptions,
    RunOptions,
    ValidateOptions,
    cache_budget,
    cache_size_option,
    color_option,
    declare,
    flag,
    json_option,
    pipeline_option,
    tells_github,
    work_option,
)
from nfrun.system.processes.process_exit import ImmediateExit

if TYPE_CHECKING:
    from nfrun.core.errors import Diagnostic
    from nfrun.core.pipeline import StaticHalf
    from nfrun.system.std_streams import Messages

_LONGEST_PATH = 4096


def run(options: RunOptions, messages: Messages) -> int:
    """Run a pipeline and return the exit code."""
    from nfrun.cli.run_command import run_command

    code, has_detached = run_command(options, messages, ("nfrun", *sys.argv[1:]))
    if has_detached:
        # A thread cannot be killed. Only `os._exit`, which does not wait for threads, ends a node that hangs.
        sys.stdout.flush()  # here, where a full disk can still be reported
        raise ImmediateExit(code)
    return code


def plan(options: PlanOptions, messages: Messages) -> int:
    """Print the plan of a pipeline, and unless `fresh` which nodes would run and why."""
    from nfrun.session.planning import plan_pipeline

    planned = plan_pipeline(options, messages)
    if planned.decisions is not None:
        gc.enable()  # so that `main` does not wait at exit for a file service that has not answered
    print(planned.text(options.format, verbose=options.verbose))
    return EXIT_OK


@frozen
class CleanOptions(Options):
    """The options of `nfrun clean`."""

    pipeline: Path | None = pipeline_option(
        help="The pipeline file whose work folder is meant. Left out: .nfrun in the working directory."
    )
    work: Path | None = work_option()
    cache_size: int | None = cache_size_option()
    all: bool = flag("--all", help="Remove all runs, or those of PIPELINE, with tables of 'cache: true' nodes too.")
    dry_run: bool = flag("--dry-run", help="Only list what would be removed.")

    def check(self) -> None:
        """Refuse `--cache-size` with `--all`, which keeps nothing."""
        if self.all and self.cache_size is not None:
            raise UsageError("--all removes all tables: give one of them", "--cache-size")


def clean(options: CleanOptions, messages: Messages) -> int:
    """Prune the work folder of a pipeline, by default that of the working directory.

    With `all` it removes all runs, those of the `pipeline` if there is one, and the outputs of nodes with `cache: true`
    too. With `dry_run` it only lists, also beside a run. Returns 74 if a place of outputs could not be reached, whose
    outputs stay. Raises UsageError if NFRUN_CACHE_SIZE is wrong.
    """
    from nfrun.core.pipeline import WORK_DIR
    from nfrun.core.text import escape_controls
    from nfrun.history.database import Database
    from nfrun.history.prune import plan_prune
    from nfrun.history.work_dir import WorkDir
    from nfrun.lookback.run_reference import name_of
    from nfrun.reports.format_units import format_count, format_size

    budget = cache_budget(options.cache_size, os.environ)
    file = options.pipeline
    base = file.absolute().parent if file is not None else Path.cwd()
    folder = WorkDir((options.work or base / WORK_DIR).absolute())
    name = name_of(file, folder) if file is not None else None
    if not folder.is_used():
        why = "no run was ever kept in" if folder.path.is_dir() else "there is no"
        print(f"nothing to remove: {why} {escape_controls(str(folder.path))}")
        return EXIT_OK
    unreachable: list[OSError] = []
    database = Database(folder, None if options.dry_run else messages.warn)
    with nullcontext() if options.dry_run else folder.lock(), closing(database):
        found = plan_prune(database, budget=budget, everything=options.all, pipeline=name, on_error=unreachable.append)
        stored = [address for plan in found.stored for address in plan.addresses]
        for path in (*found.runs, *found.files, *stored) if options.dry_run else ():
            print(escape_controls(str(path)))
        if not options.dry_run:
            found.remove(database)
    runs = format_count(len(found.runs), "run") if found.runs else ""
    count = len(found.files) + len(stored)
    files = format_count(count, "other file" if runs else "file") if count else ""
    what = " and ".join(filter(None, (runs, files)))
    done = "would remove" if options.dry_run else "removed"
    print(f"{done} {what}, {format_size(found.size)}" if what else "nothing to remove")
    for outside in found.outside:
        messages.warn(f"{outside} leads out of the work folder: what the link leads to stays")
    for error in unreachable:
        left = ", and nfrun knows of it no more" if options.all and not options.dry_run else ""
        messages.warn(f"{error}: what is there stays{left}")
    return EXIT_IO if unreachable else EXIT_OK


def validate(options: ValidateOptions, messages: Messages) -> int:
    """Print all problems and warnings of all files. Returns 2 if there are problems, otherwise 0."""
    from nfrun.core.errors import one_line, render_all
    from nfrun.core.text import ellipsize
    from nfrun.pipeline_file.validate import validate_file
    from nfrun.reports.format_units import format_count

    problems: list[Diagnostic] = []
    all_warnings: list[Diagnostic] = []
    documents = []
    valid = []
    gc.enable()  # it is off during start-up, and there may be any number of files
    for file in options.files:
        warnings: list[Diagnostic] = []
        diagnostics: Sequence[Diagnostic] = ()
        try:
            spec = validate_file(file, warnings.append)
            valid.append(spec)
            if options.strict:
                diagnostics, warnings = warnings, []
            if not options.json:
                messages.warn_all(map(one_line, warnings))
                if not diagnostics:
                    counts = [format_count(len(spec.nodes), "node")]
                    counts += [format_count(len(warnings), "warning")] if warnings else []
                    print(f"{ellipsize(str(file), _LONGEST_PATH)}: ok, {', '.join(counts)}")
        except SpecError as error:
            diagnostics = error.diagnostics
        problems.extend(diagnostics)
        all_warnings.extend(warnings)
        lists = {
            "problems": [{**diagnostic_json(found), "level": "error"} for found in diagnostics],
            "warnings": [{**diagnostic_json(found), "level": "warning"} for found in warnings],
        }
        documents.append({"file": str(file), "ok": not diagnostics, **lists})
    cluster = {}
    if options.executor and not problems:
        from nfrun.session.cluster_run import validate_on_cluster

        line, told = validate_on_cluster(options, valid)
        cluster = {"cluster": {"ok": True, "warnings": told}}
        if not options.json:
            messages.warn_all(told)
            print(line)
    if options.json:
        print_json({"files": documents, **cluster})
    elif problems:
        messages(render_all(problems))
    if tells_github(options, os.environ):
        from nfrun.cli.github import annotate

        annotate(messages, problems, "error")
        annotate(messages, all_warnings, "warning")
    return EXIT_USAGE if problems else EXIT_OK


def bench(options: BenchOptions, messages: Messages) -> int:
    """Compare ways to run a pipeline, or the two bundled pipelines if it is None."""
    if options.given and options.pipeline is None:
        raise UsageError("the pipelines that nfrun brings along have no parameters: name a PIPELINE", "-p")
    from nfrun.cli.bench import bench

    return bench(options, messages)


def version() -> int:
    """Print the version of nfrun."""
    with report_errors():
        print(f"nfrun {__version__}")
    return EXIT_OK


@frozen
class DoctorOptions(Options):
    """The options of `nfrun doctor`."""

    pipeline: Path | None = pipeline_option(
        help="The pipeline file whose work folder and runs are meant. Left out: the work folder that is here."
    )
    work: Path | None = work_option()
    json: bool = json_option()
    color: str = color_option()


def doctor(options: DoctorOptions, messages: Messages) -> int:
    """Print the checks and what to do. Returns 1 if there is a problem, and 0 if there are notes at most."""
    from nfrun.cli.lookback_commands import look
    from nfrun.core.health import NOTE, PROBLEM
    from nfrun.core.text import format_count, on_one_line
    from nfrun.session.health import check_health

    folder, work = _checked_folders(options)
    styles, levels = {PROBLEM: "failed", NOTE: "skipped"}, []
    documents = []
    shown = look(options.color)
    for check in check_health(folder, work, options.pipeline):
        levels.append(check.level)
        documents.append(asdict(check))
        if not options.json:
            head = shown.paint(check.level.ljust(7), styles.get(check.level, "ok"))
            print(f"{head}  {on_one_line(f'{check.about}: {check.text}')}", flush=True)
            if check.advice:
                print(f"         {on_one_line(check.advice)}", flush=True)
    if options.json:
        print_json({"ok": PROBLEM not in levels, "work": str(work), "checks": documents})
    else:
        counts = {"problem": levels.count(PROBLEM), "note": levels.count(NOTE)}
        found = " and ".join(format_count(number, what) for what, number in counts.items() if number)
        print(f"doctor: {format_count(len(levels), 'check')}, {found or 'all in order'}")
    return EXIT_FAILED if PROBLEM in levels else EXIT_OK


def _checked_folders(options: DoctorOptions) -> tuple[Path, Path]:
    """Return the folder of the pipelines and their work folder. Raises SpecError if there is no such pipeline file."""
    from nfrun.core.errors import NotRecorded
    from nfrun.core.pipeline import WORK_DIR
    from nfrun.lookback.run_reference import locate_work

    folder = options.pipeline.absolute().parent if options.pipeline else Path.cwd()
    with suppress(NotRecorded):
        work, _ = locate_work(options.pipeline, options.work)
        return folder if options.pipeline or options.work else work.path.parent, work.path
    return folder, (options.work or folder / WORK_DIR).absolute()


@frozen
class PluginsOptions(Options):
    """The options of `nfrun plugins`."""

    json: bool = flag("--json", help="One JSON document, with all that each kind declares.")


def plugins(options: PluginsOptions, messages: Messages) -> int:
    """List the kinds of plug-ins with their version, package and description. Returns 2 if one is not usable."""
    from nfrun.core.text import on_one_line
    from nfrun.nodes.plugins import PluginError, installed_kinds, read_kind

    rows: list[tuple[str, str, str, str]] = []
    found: list[dict[str, Any]] = []
    code = EXIT_OK
    for name, entries in installed_kinds().items():
        try:
            half = read_kind(name, entries)
        except PluginError as error:
            code = EXIT_USAGE
            found.append({"name": name, "error": str(error), "hint": error.hint})
            if not options.json:
                messages(f"{error} ({error.hint})" if error.hint else str(error))
            continue
        found.append(_as_written(half))
        rows.append((half.name, half.version, half.package, half.description))
    if options.json:
        print_json({"kinds": found})
        return code
    if not found:
        messages("no installed package has kinds of node; docs/plugins.md says how to write one")
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    for row in rows:
        head = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=False))
        print(on_one_line(f"{head}  {row[3]}").rstrip())
    return code


def _as_written(half: StaticHalf) -> dict[str, Any]:
    """Return a static half by the keys that its file has, with the name of the kind and its package."""
    inputs = {"min": half.least, "max": half.most, "types": [*half.forms]}
    return {
        **{"name": half.name, "package": half.package, "version": half.version, "revision": half.revision},
        **{"description": half.description, "with": dict(half.values), "inputs": inputs, "outputs": dict(half.outputs)},
        **{"map": half.maps, "executor": [*half.executors], "effects": half.effects, "external": half.external},
        "env": [*half.env],
    }


@frozen
class SchemaOptions(Options):
    """The options of `nfrun schema`."""

    what: str = declare(
        default="pipeline",
        choices=("pipeline", "kind", "plan", "run", "show", "validate"),
        metavar="WHAT",
        help="pipeline: a pipeline file, the default; kind: the file that declares a kind of a plug-in; plan, run, "
        "show, validate: what these commands print with --json.",
    )


def schema(options: SchemaOptions, messages: Messages) -> int:
    """Print the JSON Schema of pipeline files, or of a document."""
    from nfrun.nodes.schemas import document_schema

    print(document_schema(options.what), end="")
    return EXIT_OK


# The function of a command, the class of its options, and its help.
Command: TypeAlias = "tuple[Callable[[Any, Messages], int], type[Options], str]"

COMMANDS: Mapping[str, Command] = {
    "run": (run, RunOptions, "Run a pipeline, or what has changed in it."),
    "plan": (plan, PlanOptions, "Show what would run, and why, without running anything."),
    "validate": (validate, ValidateOptions, "Find all problems of pipeline files, without running anything."),
    "doctor": (doctor, DoctorOptions, "Check the machine and the work folder for what slows runs."),
    "clean": (clean, CleanOptions, "Remove tables, files and old runs that nothing needs."),
    "plugins": (plugins, PluginsOptions, "List the kinds of node that installed packages have."),
    "schema": (schema, SchemaOptions, "Print the JSON Schema of pipeline files, or of --json documents."),
    "bench": (bench, BenchOptions, "Measure here what parallel runs and tables without copies gain."),
}


def all_commands() -> dict[str, Command]:
    """Return all commands by name, also those whose import would delay the others."""
    from nfrun.cli.init_command import INIT_COMMAND
    from nfrun.cli.lookback_commands import LOOKBACK_COMMANDS

    first = dict(list(COMMANDS.items())[:3])  # the help has them in this order
    return {"init": INIT_COMMAND, **first, **LOOKBACK_COMMANDS, **COMMANDS}


def find_command(name: str) -> Command | None:
    """Return a command by name, None if there is none."""
    return COMMANDS.get(name) or all_commands().get(name)


def execute(name: str, given: Mapping[str, Any]) -> int:
    """Carry out a command and return the exit code. `given` has its options by the names of the fields.

    Raises UsageError if an option is wrong, and SystemExit for every other error.
    """
    found = find_command(name)
    assert found is not None
    command, kind, _ = found
    options = kind(**given)
    as_json, github = getattr(getattr(options, "shown", options), "json", False), tells_github(options, os.environ)
    with report_errors(as_json=as_json, github=github) as messages:
        return command(options, messages)
