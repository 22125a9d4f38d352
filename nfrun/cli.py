"""The command line: joins the parts and turns what came of it into words and an exit code. Decides nothing else.

Every command imports what it needs inside itself: `nfrun --help` must not wait for pyarrow.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from nfrun import __version__

if TYPE_CHECKING:
    from nfrun.errors import Problem

OK, FAILED, WRONG, BUG, IO_ERROR, NO_PERMISSION, INTERRUPTED = 0, 1, 2, 70, 74, 77, 130

app = typer.Typer(
    name="nfrun",
    help="Run data and AI pipelines written in YAML: in parallel, on this machine, without copying tables.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Schedule(StrEnum):
    eager = "eager"
    staged = "staged"
    sequential = "sequential"


class Handoff(StrEnum):
    auto = "auto"
    mmap = "mmap"
    memory = "memory"


class Color(StrEnum):
    auto = "auto"
    always = "always"
    never = "never"


class PlanFormat(StrEnum):
    text = "text"
    json = "json"
    mermaid = "mermaid"
    dot = "dot"


PipelineFile = Annotated[Path, typer.Argument(metavar="PIPELINE", help="The pipeline file.", show_default=False)]
Jobs = Annotated[
    str,
    typer.Option(
        "-j", "--jobs", metavar="N|auto", help="How many nodes run at once. auto: as many as cores, at least 4."
    ),
]
WorkOption = Annotated[
    Path | None,
    typer.Option("--work", metavar="DIR", help="Where runs are kept. Default: .nfrun beside the pipeline file."),
]


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Show the version and leave.", is_eager=True)] = False,
) -> None:
    """What comes before a command."""
    if version:
        print(f"nfrun {__version__}")
        raise typer.Exit(OK)


@app.command()
def run(
    pipeline: PipelineFile,
    param: Annotated[
        list[str] | None, typer.Option("-p", "--param", metavar="NAME=VALUE", help="Set a parameter of the pipeline.")
    ] = None,
    params_file: Annotated[
        Path | None, typer.Option("--params-file", metavar="FILE", help="Parameters from a YAML or JSON file.")
    ] = None,
    jobs: Jobs = "auto",
    schedule: Annotated[
        Schedule, typer.Option(help="eager starts a node when its inputs are there; the others are for comparison.")
    ] = Schedule.eager,
    handoff: Annotated[
        Handoff,
        typer.Option(help="auto: by reference, files behind; mmap: through files only; memory: no files."),
    ] = Handoff.auto,
    keep_going: Annotated[
        bool, typer.Option("-k", "--keep-going", help="After a failure, run what does not depend on it.")
    ] = False,
    work: WorkOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout, and nothing else.")] = False,
    events: Annotated[
        Path | None, typer.Option("--events", metavar="FILE", help="Write every event as a line of JSON.")
    ] = None,
    color: Annotated[Color, typer.Option(help="Colours in what is printed.")] = Color.auto,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print failures only.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Also tell when nodes start.")] = False,
) -> None:
    """Run a pipeline."""
    from nfrun.launch import Options, launch

    with telling_errors(as_json=as_json):
        options = Options(
            pipeline=pipeline,
            given=_pairs(param or []),
            params_file=params_file,
            slots=_slots(jobs),
            schedule=schedule.value,
            handoff=handoff.value,
            keep_going=keep_going,
            work=work,
            json=as_json,
            events=events,
            color=color.value,
            quiet=quiet,
            verbose=verbose,
        )
        code, stuck = launch(options)
        if stuck:
            # A thread cannot be killed: only leaving without waiting for it ends a node that hangs in a sleep.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        raise typer.Exit(code)


@app.command()
def plan(
    pipeline: PipelineFile,
    jobs: Jobs = "auto",
    format: Annotated[PlanFormat, typer.Option("--format", help="How to show it.")] = PlanFormat.text,
    work: WorkOption = None,
) -> None:
    """Show the stages of a pipeline, without running anything."""
    from nfrun.journal import WorkFolder
    from nfrun.outline import outline
    from nfrun.plan import plan_of
    from nfrun.read import read_pipeline

    with telling_errors():
        spec, _ = read_pipeline(pipeline)
        recorded = WorkFolder.beside(spec, work).timings(spec.file)
        print(outline(spec, plan_of(spec, slots=_slots(jobs), costs=recorded), format.value, recorded))


@app.command()
def validate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Pipeline files.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout, and nothing else.")] = False,
) -> None:
    """Find all problems of pipeline files, without running anything."""
    import json

    from nfrun.errors import SpecError, escape, render_all
    from nfrun.read import read_pipeline
    from nfrun.reports.amounts import count

    found: list[Problem] = []
    documents = []
    with telling_errors():
        for file in files:
            problems: tuple[Problem, ...] = ()
            try:
                spec, _ = read_pipeline(file)
                if not as_json:
                    print(f"{escape(str(file))}: ok, {count(len(spec.nodes), 'node')}")
            except SpecError as error:
                problems = error.problems
            found.extend(problems)
            documents.append({"file": str(file), "ok": not problems, "problems": [_problem(p) for p in problems]})
        if as_json:
            print(json.dumps({"files": documents}, indent=2))
        elif found:
            print(render_all(found), file=sys.stderr)
        raise typer.Exit(WRONG if found else OK)


@app.command()
def schema() -> None:
    """Print the JSON Schema of pipeline files, for editors."""
    from nfrun.schema import schema_text

    with telling_errors():
        print(schema_text(), end="")


def main() -> NoReturn:
    """The console script."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # it was closed before we were started
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115  (open until the end)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names may have what the terminal's encoding has not
    try:
        sys.exit(app())
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


@contextmanager
def telling_errors(*, as_json: bool = False) -> Iterator[None]:
    """Whatever goes wrong inside becomes a message on stderr and an exit code; nobody sees a traceback of ours.

    With `as_json` the problems of a file are a document on stdout too.
    """
    from nfrun.errors import HandoffError, SpecError, escape, render_all

    def leave(code: int, message: str) -> NoReturn:
        print(message, file=sys.stderr)
        raise typer.Exit(code)

    try:
        yield
        sys.stdout.flush()  # here, where a full disk can still be told
    except typer.Exit:
        raise
    except SpecError as error:
        if as_json:
            import json

            problems = [_problem(problem) for problem in error.problems]
            print(json.dumps({"status": "failed", "error": str(error), "problems": problems}, indent=2))
        leave(WRONG, render_all(error.problems))
    except BrokenPipeError:
        # Whoever read our output has gone, as with `| head`. The interpreter must not fail on it once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(IO_ERROR) from None
    except PermissionError as error:
        leave(NO_PERMISSION, f"nfrun: no permission: {escape(str(error.filename or error))}")
    except (HandoffError, OSError) as error:
        leave(IO_ERROR, f"nfrun: {escape(str(error))}")
    except KeyboardInterrupt:
        leave(INTERRUPTED, "nfrun: interrupted")
    except Exception as error:
        if type(error).__module__.startswith("typer"):
            raise  # a usage error, which typer tells
        if os.environ.get("NFRUN_DEBUG"):
            raise
        text = f"{type(error).__name__}: {error}"
        leave(BUG, f"nfrun: this is a bug in nfrun, please report it: {escape(text)}\n(NFRUN_DEBUG=1 shows where)")


def _pairs(given: list[str]) -> dict[str, str]:
    pairs = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"'{text}' is not NAME=VALUE", param_hint="-p")
        pairs[name.strip()] = value
    return pairs


def _slots(jobs: str) -> int:
    if jobs == "auto":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(4, cores)  # at least 4, since nodes wait for disks and services as much as they compute
    if not jobs.isdecimal() or not 1 <= int(jobs) <= 10_000:
        raise typer.BadParameter(f"'{jobs}' is neither auto nor a number from 1 to 10,000", param_hint="-j")
    return int(jobs)


def _problem(problem: Problem) -> dict[str, Any]:
    where = problem.where
    return {
        "file": where.file,
        "line": where.line,
        "column": where.column,
        "message": problem.what,
        "hint": problem.hint,
    }
