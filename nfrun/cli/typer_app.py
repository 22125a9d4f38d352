"""Declares the commands and options for typer, with their help, and reports errors in the command line.

`fast_args.py` parses most command lines without this module. `commands.py` carries out the commands; each option here
is a keyword argument there.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from nfrun import __version__
from nfrun.cli import commands
from nfrun.cli.commands import Color, Executor, Handoff, PlanFormat, Schedule
from nfrun.cli.exit_codes import EXIT_FAILED, EXIT_OK, UsageError, print_json, report_errors
from nfrun.system.std_streams import prepare_std_streams

app = typer.Typer(
    name="nfrun",
    help="Run data and AI pipelines written in YAML: in parallel, on this machine, without copying tables.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# The base class of typer's command-line errors, which typer does not export.
_UsageError: Any = typer.BadParameter.__mro__[1]

PipelineFile = Annotated[Path, typer.Argument(metavar="PIPELINE", help="The pipeline file.", show_default=False)]
Jobs = Annotated[
    str,
    typer.Option(
        "-j", "--jobs", metavar="N|auto", help="How many nodes run at once. auto: as many as cores, at least 4."
    ),
]
Parameters = Annotated[
    list[str] | None, typer.Option("-p", "--param", metavar="NAME=VALUE", help="Set a parameter of the pipeline.")
]
ParametersFile = Annotated[
    Path | None, typer.Option("--params-file", metavar="FILE", help="Parameters from a YAML or JSON file.")
]
WorkOption = Annotated[
    str | None,  # not Path, because an empty Path is the working directory
    typer.Option("--work", metavar="DIR", help="Where runs are kept. Default: .nfrun beside the pipeline file."),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, and nothing else.")]
ScheduleOption = Annotated[
    Schedule, typer.Option(help="eager starts a node when its inputs are there; the others are for comparison.")
]
HandoffOption = Annotated[
    Handoff,
    typer.Option(
        help="auto: by reference, files behind; mmap: through files only; memory: no files; "
        "json: as text, for comparison."
    ),
]
MemoryOption = Annotated[
    str,
    typer.Option(
        metavar="SIZE|auto", help="How much waits to be written at most (2GB, 1GiB). auto: a quarter of the memory."
    ),
]
ExecutorOption = Annotated[
    Executor,
    typer.Option(
        help="Where nodes run. file: as the file says; auto: in processes those that waited for Python's lock."
    ),
]
KeepGoing = Annotated[bool, typer.Option("-k", "--keep-going", help="After a failure, run what does not depend on it.")]
EventsFile = Annotated[
    Path | None, typer.Option("--events", metavar="FILE", help="Write every event as a line of JSON.")
]
ColorOption = Annotated[Color, typer.Option(help="Colours in what is printed.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print failures only.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Also show when nodes start.")]
Keep = Annotated[bool, typer.Option("--keep", help="Keep the tables between nodes too when the run has ended well.")]
Durable = Annotated[
    bool, typer.Option("--durable", help="Sync files, so that what has finished survives a power loss. Takes longer.")
]
Grace = Annotated[
    str,
    typer.Option(metavar="DURATION", help="How long a node may take to stop before it is killed (10s, 2m, 0)."),
]


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Show the version and leave.", is_eager=True)] = False,
) -> None:
    """Handle the options that come before a command."""
    if version:
        print(f"nfrun {__version__}")
        raise typer.Exit(EXIT_OK)


@app.command()
def run(
    pipeline: PipelineFile,
    param: Parameters = None,
    params_file: ParametersFile = None,
    jobs: Jobs = "auto",
    schedule: ScheduleOption = Schedule.eager,
    handoff: HandoffOption = Handoff.auto,
    memory: MemoryOption = "auto",
    executor: ExecutorOption = Executor.file,
    keep_going: KeepGoing = False,
    work: WorkOption = None,
    as_json: AsJson = False,
    events: EventsFile = None,
    color: ColorOption = Color.auto,
    quiet: Quiet = False,
    verbose: Verbose = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Reuse what earlier runs have finished, and run the rest.")
    ] = False,
    keep: Keep = False,
    durable: Durable = False,
    grace: Grace = "5s",
) -> None:
    """Run a pipeline."""
    with _usage_errors():
        code = commands.run(
            pipeline,
            param=param or (),
            params_file=params_file,
            jobs=jobs,
            schedule=schedule,
            handoff=handoff,
            memory=memory,
            executor=executor,
            keep_going=keep_going,
            work=work,
            json=as_json,
            events=events,
            color=color,
            quiet=quiet,
            verbose=verbose,
            resume=resume,
            keep=keep,
            durable=durable,
            grace=grace,
        )
    raise typer.Exit(code)


@app.command()
def plan(
    pipeline: PipelineFile,
    jobs: Jobs = "auto",
    format: Annotated[PlanFormat, typer.Option("--format", help="How to show it.")] = PlanFormat.text,
    param: Parameters = None,
    params_file: ParametersFile = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Also show which nodes a resumed run would run again, and why.")
    ] = False,
    work: WorkOption = None,
) -> None:
    """Show the stages of a pipeline, without running anything."""
    with _usage_errors():
        code = commands.plan(
            pipeline,
            jobs=jobs,
            format=format,
            param=param or (),
            params_file=params_file,
            resume=resume,
            work=work,
        )
    raise typer.Exit(code)


@app.command()
def clean(
    pipeline: Annotated[
        Path | None,
        typer.Argument(
            metavar="PIPELINE",
            help="The pipeline file whose work folder is meant. Left out: .nfrun in the working directory.",
            show_default=False,
        ),
    ] = None,
    work: WorkOption = None,
    all: Annotated[bool, typer.Option("--all", help="All runs, and what nodes with 'cache: true' gave.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
) -> None:
    """Remove runs and files that are no longer needed."""
    files = () if pipeline is None else (pipeline,)
    with _usage_errors():
        code = commands.clean(*files, work=work, all=all, dry_run=dry_run)
    raise typer.Exit(code)


@app.command()
def validate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Pipeline files.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Find all problems of pipeline files, without running anything."""
    raise typer.Exit(commands.validate(*files, json=as_json))


@app.command()
def bench(
    pipeline: Annotated[
        Path | None,
        typer.Argument(
            metavar="PIPELINE",
            help="The pipeline file. Left out: two that come with nfrun, of 5 and of 20 nodes.",
            show_default=False,
        ),
    ] = None,
    param: Parameters = None,
    jobs: Annotated[
        str,
        typer.Option(
            "-j",
            "--jobs",
            metavar="N|auto",
            help="How many nodes run at once. auto: as `nfrun run` has it; all nodes of the two that come with nfrun.",
        ),
    ] = "auto",
    repeat: Annotated[
        int, typer.Option(metavar="N", help="How often each variant is run.", min=1, max=1000, show_default=True)
    ] = 3,
    as_json: AsJson = False,
    yes: Annotated[
        bool, typer.Option("-y", "--yes", help="Do not ask before a pipeline that writes or runs scripts.")
    ] = False,
    color: ColorOption = Color.auto,
) -> None:
    """Measure sequential against DAG, JSON against Arrow, on this machine."""
    with _usage_errors():
        code = commands.bench(pipeline, param=param or (), jobs=jobs, repeat=repeat, json=as_json, yes=yes, color=color)
    raise typer.Exit(code)


@app.command()
def schema() -> None:
    """Print the JSON Schema of pipeline files, for editors."""
    raise typer.Exit(commands.schema())


def main() -> NoReturn:
    """Run the command line in `sys.argv` and exit. Called for what `parse_plain` does not parse."""
    prepare_std_streams()
    with report_errors():  # it flushes stdout, help too, where a full disk can still be reported
        try:
            code = app(standalone_mode=False)
        except _UsageError as error:
            from nfrun.core.text import escape_controls

            buffer = io.StringIO()
            error.show(buffer)
            sys.stderr.write(escape_controls(buffer.getvalue()))  # it contains arguments of the user
            if "--json" in sys.argv:
                print_json({"status": "failed", "error": error.format_message(), "problems": []})
            code = error.exit_code
        except typer.Abort:
            print("Aborted!", file=sys.stderr)
            code = EXIT_FAILED
        if code:
            sys.exit(code)  # the error has been printed
    sys.exit(EXIT_OK)


@contextmanager
def _usage_errors() -> Iterator[None]:
    """Report UsageError in the form of typer's own errors."""
    try:
        yield
    except UsageError as error:
        from nfrun.core.text import escape_controls

        # Escape here, before typer, which strips what looks like a colour.
        raise typer.BadParameter(escape_controls(str(error)), param_hint=error.option) from None
