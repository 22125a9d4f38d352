"""Carries out the commands: each function checks its arguments, does the work, prints, and returns the exit code.

`fast_args.py` and `typer_app.py` parse the command line and call these functions. Each function imports what it needs
inside itself, so that a command pays only for its own imports.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from nfrun.cli.exit_codes import EXIT_OK, EXIT_USAGE, UsageError, diagnostic_json, print_json, report_errors
from nfrun.tables.handoffs import PERSISTENT_HANDOFFS

if TYPE_CHECKING:
    from nfrun.core.errors import Diagnostic

_LONGEST_PATH = 4096
_EVENT = b'{"event"'  # the first bytes of every events file


class Schedule(StrEnum):
    """The values of `--schedule`."""

    eager = "eager"
    staged = "staged"
    sequential = "sequential"


class Handoff(StrEnum):
    """The values of `--handoff`."""

    auto = "auto"
    mmap = "mmap"
    memory = "memory"
    json = "json"


class Executor(StrEnum):
    """The values of `--executor`."""

    file = "file"
    thread = "thread"
    process = "process"
    auto = "auto"


class Color(StrEnum):
    """The values of `--color`."""

    auto = "auto"
    always = "always"
    never = "never"


class PlanFormat(StrEnum):
    """The values of `plan --format`."""

    text = "text"
    json = "json"
    mermaid = "mermaid"
    dot = "dot"


def run(
    pipeline: str | Path,
    *,
    param: Sequence[str] = (),
    params_file: str | Path | None = None,
    jobs: str = "auto",
    schedule: Schedule = Schedule.eager,
    handoff: Handoff = Handoff.auto,
    memory: str = "auto",
    executor: Executor = Executor.file,
    keep_going: bool = False,
    work: str | Path | None = None,
    json: bool = False,
    events: str | Path | None = None,
    color: Color = Color.auto,
    quiet: bool = False,
    verbose: bool = False,
    resume: bool = False,
    keep: bool = False,
    durable: bool = False,
    grace: str = "5s",
) -> int:
    """Run a pipeline and return the exit code. Raises UsageError, and SystemExit for every other error."""
    given, slots = _parse_params(param), _parse_jobs(jobs)
    memory_bytes, grace_seconds = _parse_memory(memory), _parse_grace(grace)
    _check_handoff(handoff, {"--resume": resume, "--keep": keep, "--durable": durable})
    with report_errors(as_json=json) as set_redactor:
        events_path = _events_path(events)
        from nfrun.cli.run_command import run_command
        from nfrun.cli.run_setup import RunOptions

        options = RunOptions(
            pipeline=Path(pipeline),
            given=given,
            params_file=_path(params_file),
            slots=slots,
            schedule=schedule.value,
            handoff=handoff.value,
            keep_going=keep_going,
            work=_work_path(work),
            json=json,
            events=events_path,
            color=color.value,
            quiet=quiet,
            verbose=verbose,
            memory=memory_bytes,
            executor="" if executor is Executor.file else executor.value,
            resume=resume,
            keep=keep,
            fsync=durable,
            grace=grace_seconds,
        )
        code, has_detached = run_command(options, set_redactor)
        if has_detached:
            # A thread cannot be killed. Only `os._exit`, which does not wait for threads, ends a node that hangs.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return code


def plan(
    pipeline: str | Path,
    *,
    jobs: str = "auto",
    format: PlanFormat = PlanFormat.text,
    param: Sequence[str] = (),
    params_file: str | Path | None = None,
    resume: bool = False,
    work: str | Path | None = None,
) -> int:
    """Print the plan of a pipeline, and with `resume` which nodes would run again and why. Raises as `run` does."""
    given, slots = _parse_params(param), _parse_jobs(jobs)
    with report_errors() as set_redactor:
        from nfrun.cache.work_dir import WorkDir
        from nfrun.core.plan import plan_of
        from nfrun.engine.node_stats import read_node_stats
        from nfrun.logs.event_redaction import redactor_of
        from nfrun.reports.plan_view import plan_view
        from nfrun.spec.loader import read_pipeline
        from nfrun.spec.resolve import resolve

        if resume or given or params_file:
            spec = resolve(
                Path(pipeline),
                given=given,
                params_file=_path(params_file),
                environ=os.environ,
                run_id="plan",
                to_run=False,
                set_redactor=set_redactor,
            ).pipeline
        else:
            spec, _ = read_pipeline(Path(pipeline))
            set_redactor(redactor_of(spec, os.environ))
        folder = WorkDir.of_pipeline(spec, _work_path(work))
        recorded = read_node_stats(folder.path, spec.file).durations
        planned = plan_of(spec, slots=slots, estimated_durations=recorded)
        decisions = None
        if resume:
            from nfrun.cache.run_cache import forecast

            decisions = forecast(spec, planned, folder)
        print(plan_view(spec, planned, format.value, recorded, decisions))
    return EXIT_OK


def clean(
    pipeline: str | Path | None = None, *, work: str | Path | None = None, all: bool = False, dry_run: bool = False
) -> int:
    """Prune the work folder of a pipeline, by default that of the working directory. Raises UsageError, SystemExit.

    With `all` it removes all runs and the outputs of nodes with `cache: true` too. With `dry_run` it only lists.
    """
    with report_errors():
        from nfrun.cache.prune import plan_prune
        from nfrun.cache.work_dir import WORK_DIR, WorkDir
        from nfrun.core.text import escape_controls
        from nfrun.reports.format_units import format_count, format_size
        from nfrun.spec.text_file import read_text

        file = _path(pipeline)
        if file is not None:
            read_text(file, str(file))  # the content does not matter, but a mistyped name is an error
        base = file.absolute().parent if file is not None else Path.cwd()
        folder = WorkDir(_work_path(work) or base / WORK_DIR)
        if not folder.path.is_dir():
            print(f"nothing to remove: there is no {escape_controls(str(folder.path))}")
            return EXIT_OK
        if not folder.is_used():
            print(f"nothing to remove: no run was ever kept in {escape_controls(str(folder.path))}")
            return EXIT_OK
        with folder.lock():
            found = plan_prune(folder, everything=all)
            for path in (*found.runs, *found.files) if dry_run else ():
                print(escape_controls(str(path)))
            if not dry_run:
                found.remove()
        files = f"{format_count(len(found.runs), 'run')} and {format_count(len(found.files), 'other file')}"
        total = f"{files}, {format_size(found.size)}"
        print(
            f"{'would remove' if dry_run else 'removed'} {total}" if found.runs or found.files else "nothing to remove"
        )
    return EXIT_OK


def validate(*files: str | Path, json: bool = False) -> int:
    """Print all problems of all files. Returns 2 if there are any, otherwise 0. Raises SystemExit."""
    found: list[Diagnostic] = []
    documents = []
    with report_errors():
        from nfrun.core.errors import SpecError, render_all
        from nfrun.core.text import ellipsize
        from nfrun.reports.format_units import format_count
        from nfrun.spec.loader import read_pipeline

        gc.enable()  # it is off during start-up, and there may be any number of files
        for file in map(Path, files):
            diagnostics: tuple[Diagnostic, ...] = ()
            try:
                spec, _ = read_pipeline(file)
                if not json:
                    print(f"{ellipsize(str(file), _LONGEST_PATH)}: ok, {format_count(len(spec.nodes), 'node')}")
            except SpecError as error:
                diagnostics = error.diagnostics
            found.extend(diagnostics)
            documents.append(
                {"file": str(file), "ok": not diagnostics, "problems": [diagnostic_json(p) for p in diagnostics]}
            )
        if json:
            print_json({"files": documents})
        elif found:
            print(render_all(found), file=sys.stderr)
    return EXIT_USAGE if found else EXIT_OK


def bench(
    pipeline: str | Path | None = None,
    *,
    param: Sequence[str] = (),
    jobs: str = "auto",
    repeat: int = 3,
    json: bool = False,
    yes: bool = False,
    color: Color = Color.auto,
) -> int:
    """Compare ways to run a pipeline, or the two bundled pipelines if it is None. Raises as `run` does."""
    given, slots, usual = _parse_params(param), None if jobs == "auto" else _parse_jobs(jobs), _parse_jobs("auto")
    if given and pipeline is None:
        raise UsageError("the pipelines that nfrun brings along have no parameters: name a PIPELINE", "-p")
    with report_errors(as_json=json) as set_redactor:
        from nfrun.cli.bench import BenchOptions, bench

        options = BenchOptions(
            pipeline=_path(pipeline),
            given=given,
            slots=slots,
            usual_slots=usual,
            repeat=repeat,
            json=json,
            yes=yes,
            color=color.value,
        )
        return bench(options, set_redactor)


def schema() -> int:
    """Print the JSON Schema of pipeline files. Raises SystemExit."""
    with report_errors():
        from nfrun.spec.schema import schema_text

        print(schema_text(), end="")
    return EXIT_OK


def _parse_params(given: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"'{text}' is not NAME=VALUE", "-p")
        try:
            text.encode()
        except UnicodeEncodeError:  # the argument has bytes that are not UTF-8
            raise UsageError(f"'{text}' is not UTF-8", "-p") from None
        pairs[name.strip()] = value
    return pairs


def _parse_jobs(jobs: str) -> int:
    if jobs == "auto":
        from nfrun.system.runtime import cores

        return max(4, cores())  # at least 4, because nodes also wait for disks and services
    if not (jobs.isascii() and jobs.isdecimal()) or not 1 <= int(jobs) <= 10_000:
        raise UsageError(f"'{jobs}' is neither auto nor a number from 1 to 10,000", "-j")
    return int(jobs)


def _parse_memory(memory: str) -> int | None:
    if memory == "auto":
        return None
    from nfrun.system.units import parse_size

    try:
        return parse_size(memory)
    except ValueError:
        what = f"'{memory}' is neither auto nor a size such as 512MB, 1GiB or 2000000000"
        raise UsageError(what, "--memory") from None


def _parse_grace(grace: str) -> float:
    from nfrun.system.units import parse_duration

    try:
        return parse_duration(grace)
    except ValueError:
        raise UsageError(f"'{grace}' is not a duration such as 10s, 500ms, 2m or 0", "--grace") from None


def _check_handoff(handoff: Handoff, given: Mapping[str, bool]) -> None:
    """Raise UsageError if an option needs table files but the handoff writes none."""
    if handoff not in PERSISTENT_HANDOFFS:
        for option, is_set in given.items():
            if is_set:
                raise UsageError(f"--handoff {handoff.value} leaves no files of tables", option)


def _events_path(given: str | Path | None) -> Path | None:
    """Return the path of the events file.

    Raises UsageError if that would overwrite a file that has no events, such as the pipeline.
    """
    path = _path(given)
    if path is not None and path.is_file():
        with path.open("rb") as file:
            begin = file.read(len(_EVENT))
        if begin not in (b"", _EVENT):
            raise UsageError(f"'{path}' is there and has no events in it: remove it, or name another file", "--events")
    return path


def _work_path(given: str | Path | None) -> Path | None:
    """Return the path of the work folder. Raises UsageError for an empty name, as from an unset variable."""
    if given == "":
        raise UsageError("an empty name is no folder", "--work")
    return _path(given)


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given)
