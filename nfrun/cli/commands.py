"""What each command does, once its words are understood: joins the parts and tells, on the streams and by an exit code.

Knows neither typer nor how a command line is written. Every command imports what it needs inside itself.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from nfrun.cli.exit_codes import OK, WRONG, Misuse, print_json, problem_document, telling_errors

if TYPE_CHECKING:
    from nfrun.core.errors import Problem

_LONGEST_PATH = 4096
_EVENT = b'{"event"'  # how a file of events begins


class Schedule(StrEnum):
    eager = "eager"
    staged = "staged"
    sequential = "sequential"


class Handoff(StrEnum):
    auto = "auto"
    mmap = "mmap"
    memory = "memory"
    json = "json"


class Executor(StrEnum):
    file = "file"
    thread = "thread"
    process = "process"
    auto = "auto"


class Color(StrEnum):
    auto = "auto"
    always = "always"
    never = "never"


class PlanFormat(StrEnum):
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
    """Run a pipeline; returns the exit code. Raises Misuse, and SystemExit where something else went wrong."""
    given, slots, most, patience = _pairs(param), _slots(jobs), _bytes(memory), _seconds(grace)
    _check_handoff(handoff, {"--resume": resume, "--keep": keep, "--durable": durable})
    with telling_errors(as_json=json) as hide:
        written = _events(events)
        from nfrun.cli.run import launch
        from nfrun.cli.run_setup import Options

        options = Options(
            pipeline=Path(pipeline),
            given=given,
            params_file=_path(params_file),
            slots=slots,
            schedule=schedule.value,
            handoff=handoff.value,
            keep_going=keep_going,
            work=_work(work),
            json=json,
            events=written,
            color=color.value,
            quiet=quiet,
            verbose=verbose,
            memory=most,
            executor="" if executor is Executor.file else executor.value,
            resume=resume,
            keep=keep,
            durable=durable,
            grace=patience,
        )
        code, stuck = launch(options, hide)
        if stuck:
            # A thread cannot be killed: only leaving without waiting for it ends a node that hangs in a sleep.
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
    """Show the stages of a pipeline, and with `resume` what would run again and why. Raises as `run` does."""
    given, slots = _pairs(param), _slots(jobs)
    with telling_errors() as hide:
        from nfrun.cache.work_dir import WorkFolder
        from nfrun.core.plan import plan_of
        from nfrun.engine.node_stats import read_timings
        from nfrun.logs.event_redaction import redactor_of
        from nfrun.reports.plan_view import outline
        from nfrun.spec.loader import read_pipeline

        spec, document = read_pipeline(Path(pipeline))
        hide(redactor_of(spec, os.environ))
        folder = WorkFolder.beside(spec, _work(work))
        if resume or given or params_file:
            from nfrun.spec.binder import bind
            from nfrun.spec.parameters import params_file as read_params

            typed = read_params(_path(params_file))
            spec = bind(spec, document, given=given, typed=typed, environ=os.environ, run_id="plan", to_run=False)
        recorded = read_timings(folder.path, spec.file).took
        planned = plan_of(spec, slots=slots, costs=recorded)
        choices = None
        if resume:
            from nfrun.cache.run_cache import foreseen

            choices = foreseen(spec, planned, folder)
        print(outline(spec, planned, format.value, recorded, choices))
    return OK


def clean(
    pipeline: str | Path | None = None, *, work: str | Path | None = None, all: bool = False, dry_run: bool = False
) -> int:
    """Remove what nothing needs from a work folder, by default that of the working directory. Raises SystemExit."""
    with telling_errors():
        from nfrun.cache.prune import sweep
        from nfrun.cache.work_dir import WORK, WorkFolder
        from nfrun.core.text import escape
        from nfrun.reports.format_units import count, size
        from nfrun.spec.text_file import read_text

        file = _path(pipeline)
        if file is not None:
            read_text(file, str(file))  # what is in it matters not, but a name that was mistyped does
        beside = file.absolute().parent if file is not None else Path.cwd()
        folder = WorkFolder(_work(work) or beside / WORK)
        if not folder.path.is_dir():
            print(f"nothing to remove: there is no {escape(str(folder.path))}")
            return OK
        if not folder.is_used():
            print(f"nothing to remove: no run was ever kept in {escape(str(folder.path))}")
            return OK
        with folder.held():
            found = sweep(folder, everything=all)
            for path in (*found.runs, *found.files) if dry_run else ():
                print(escape(str(path)))
            if not dry_run:
                found.remove()
        amounts = f"{count(len(found.runs), 'run')} and {count(len(found.files), 'other file')}, {size(found.size)}"
        print(
            f"{'would remove' if dry_run else 'removed'} {amounts}"
            if found.runs or found.files
            else "nothing to remove"
        )
    return OK


def validate(*files: str | Path, json: bool = False) -> int:
    """Tell every problem of every file; 2 if there is one. Raises SystemExit."""
    found: list[Problem] = []
    documents = []
    with telling_errors():
        from nfrun.core.errors import SpecError, render_all
        from nfrun.core.text import shorten
        from nfrun.reports.format_units import count
        from nfrun.spec.loader import read_pipeline

        gc.enable()  # there may be any number of files
        for file in map(Path, files):
            problems: tuple[Problem, ...] = ()
            try:
                spec, _ = read_pipeline(file)
                if not json:
                    print(f"{shorten(str(file), _LONGEST_PATH)}: ok, {count(len(spec.nodes), 'node')}")
            except SpecError as error:
                problems = error.problems
            found.extend(problems)
            documents.append(
                {"file": str(file), "ok": not problems, "problems": [problem_document(p) for p in problems]}
            )
        if json:
            print_json({"files": documents})
        elif found:
            print(render_all(found), file=sys.stderr)
    return WRONG if found else OK


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
    """Compare ways to run a pipeline; None stands for the two that nfrun brings along. Raises as `run` does."""
    given, slots, usual = _pairs(param), None if jobs == "auto" else _slots(jobs), _slots("auto")
    if given and pipeline is None:
        raise Misuse("the pipelines that nfrun brings along have no parameters: name a PIPELINE", "-p")
    with telling_errors(as_json=json) as hide:
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
        return bench(options, hide)


def schema() -> int:
    """Print the JSON Schema of pipeline files. Raises SystemExit."""
    with telling_errors():
        from nfrun.spec.schema import schema_text

        print(schema_text(), end="")
    return OK


def _pairs(given: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise Misuse(f"'{text}' is not NAME=VALUE", "-p")
        try:
            text.encode()
        except UnicodeEncodeError:  # what else has bytes of its own that are no text
            raise Misuse(f"'{text}' is not UTF-8", "-p") from None
        pairs[name.strip()] = value
    return pairs


def _slots(jobs: str) -> int:
    if jobs == "auto":
        from nfrun.system.runtime import cores

        return max(4, cores())  # at least 4, since nodes wait for disks and services as much as they compute
    if not (jobs.isascii() and jobs.isdecimal()) or not 1 <= int(jobs) <= 10_000:
        raise Misuse(f"'{jobs}' is neither auto nor a number from 1 to 10,000", "-j")
    return int(jobs)


def _bytes(memory: str) -> int | None:
    if memory == "auto":
        return None
    from nfrun.system.units import parse_size

    try:
        return parse_size(memory)
    except ValueError:
        what = f"'{memory}' is neither auto nor a size such as 512MB, 1GiB or 2000000000"
        raise Misuse(what, "--memory") from None


def _seconds(grace: str) -> float:
    from nfrun.system.units import parse_seconds

    try:
        return parse_seconds(grace)
    except ValueError:
        raise Misuse(f"'{grace}' is not a duration such as 10s, 500ms, 2m or 0", "--grace") from None


def _check_handoff(handoff: Handoff, given: Mapping[str, bool]) -> None:
    """Raises Misuse for an option that needs files of tables, with a handoff that writes none."""
    if handoff in (Handoff.memory, Handoff.json):
        for option, asked in given.items():
            if asked:
                raise Misuse(f"--handoff {handoff.value} leaves no files of tables", option)


def _events(given: str | Path | None) -> Path | None:
    """Where events go. Raises Misuse where that would be written over something else, such as the pipeline."""
    path = _path(given)
    if path is not None and path.is_file():
        with path.open("rb") as file:
            begin = file.read(len(_EVENT))
        if begin not in (b"", _EVENT):
            raise Misuse(f"'{path}' is there and has no events in it: remove it, or name another file", "--events")
    return path


def _work(given: str | Path | None) -> Path | None:
    """The folder that was asked for. Raises Misuse for an empty name, as of a variable that is not set."""
    if given == "":
        raise Misuse("an empty name is no folder", "--work")
    return _path(given)


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given)
