"""Declares the options of the commands that look back at runs: `runs`, `show`, `logs`, `diff`, `report` and others."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from nfrun.core.errors import UsageError
from nfrun.core.values import MISSING
from nfrun.session.option_fields import (
    Options,
    color_option,
    command_options,
    declare,
    flag,
    json_option,
    params_option,
    parse_number,
    parse_path,
    refuse_idle,
)
from nfrun.tables.formats import format_of

_RUN = "a number, an id, last, last-ok, or last~2 for the second before the last"

_pipeline_file = partial(
    declare,
    "--pipeline",
    parse=parse_path,
    metavar="FILE",
    help="The pipeline file whose runs are meant. It may also stand first. Default: all runs in the work folder that "
    "is here.",
)
_work = partial(
    declare,
    "--work",
    parse=partial(parse_path, what="folder"),
    metavar="DIR",
    help="The work folder. Default: .nfrun beside the pipeline file or in the working directory.",
)
_run = partial(declare, "--run", completes="run", metavar="RUN", help=f"Which run: {_RUN}. Default: last.")
_node = partial(declare, completes="node", metavar="NODE", help="The node.")
_number = partial(
    declare,
    parse=partial(parse_number, most=1_000_000_000),
    wrong="not a number from 1 to 1,000,000,000",
    metavar="N",
)


@command_options
class RunsOptions(Options):
    """The options of `nfrun runs`. `limit` is None for the default."""

    limit: int | None = _number("-n", "--limit", help="How many runs to list at most. Default: 20.")
    all: bool = flag("--all", help="List all runs.")
    pipeline: Path | None = _pipeline_file()
    work: Path | None = _work()
    json: bool = json_option()
    color: str = color_option()

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        refuse_idle(("--limit", self.all and self.limit is not None, "--all lists all runs"))


@command_options
class ShowOptions(Options):
    """The options of `nfrun show`. If `node` is None, the whole run is shown. `run` is None for the last."""

    node: str | None = _node(help="The node to show. Left out: the run with all its nodes.")
    run: str | None = _run()
    all: bool = flag("--all", help="List all nodes, however many.")
    events: bool = flag("--events", help="Print the lines of the journal as they were written, one JSON object each.")
    pipeline: Path | None = _pipeline_file()
    work: Path | None = _work()
    json: bool = json_option()
    color: str = color_option()


@command_options
class LogsOptions(Options):
    """The options of `nfrun logs`. `attempt` is None for the last. `run` is None for the last, or one under way."""

    node: str = _node(default=MISSING)
    run: str | None = _run()
    attempt: int | None = _number("--attempt", help="Which attempt. Default: the last.")
    follow: bool = flag("-f", "--follow", help="Follow the run that is under way until the node has ended.")
    pipeline: Path | None = _pipeline_file()
    work: Path | None = _work()
    color: str = color_option()

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        refuse_idle(("--attempt", self.follow and self.attempt is not None, "--follow prints all attempts"))


@command_options
class DiffOptions(Options):
    """The options of `nfrun diff`. `before` and `after` are None for the two last runs."""

    before: str | None = declare(
        completes="run",
        metavar="BEFORE",
        help=f"The run to compare: {_RUN}. Left out: the one before with the same profile.",
    )
    after: str | None = declare(
        completes="run", metavar="AFTER", help="The run to compare it with. Left out: the last."
    )
    data: bool = flag("--data", help="Also show the first rows that differ.")
    key: str | None = declare(
        "--key", metavar="COLUMN", help="Compare rows by the values of this column. Default: by their position."
    )
    all: bool = flag("--all", help="Show all nodes that differ, however many.")
    exit_code: bool = flag("--exit-code", help="End with 1 if the runs differ.")
    pipeline: Path | None = _pipeline_file()
    work: Path | None = _work()
    json: bool = json_option()
    color: str = color_option()

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        if self.key is not None and not self.data:
            raise UsageError("it needs --data, which compares rows", "--key")


@command_options
class ReportOptions(Options):
    """The options of `nfrun report`. `file` is None for a name made of the pipeline and the number of the run."""

    run: str | None = _run()
    file: Path | None = declare(
        *("-o", "--output"),
        parse=parse_path,
        metavar="FILE",
        help="Write this file; '-' is stdout. Default: PIPELINE-NUMBER.html in the working directory.",
    )
    format: str = declare(
        "--format",
        default="html",
        choices=("html", "trace"),
        help="html: a page for browsers; trace: when what ran, for ui.perfetto.dev (PIPELINE-NUMBER.trace.json).",
    )
    pipeline: Path | None = _pipeline_file()
    work: Path | None = _work()

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        if self.file is not None and not self.file.parent.is_dir():
            raise UsageError(f"there is no folder '{self.file.parent}'", "-o")


@command_options
class OpenOptions(Options):
    """The options of `nfrun open`."""

    output: str = declare(default=MISSING, completes="output", metavar="OUTPUT", help="The output: NODE, or NODE.NAME.")
    run: str | None = _run()
    format: str = declare(
        "--format",
        default="text",
        choices=("text", "csv", "jsonl", "parquet", "arrow", "path"),
        help="How to print it. text: the first rows; path: the name of its file.",
    )
    file: Path | None = declare(
        *("-o", "--output"),
        parse=parse_path,
        metavar="FILE",
        help="Write a file, in the format of its ending; an output that is no table is copied.",
    )
    rows: int | None = _number("-n", "--rows", help="How many rows. Default: the first ones as text, otherwise all.")
    wide: bool = flag("-w", "--wide", help="All columns, however wide the terminal is.")
    pipeline: Path | None = _pipeline_file()
    work: Path | None = _work()
    color: str = color_option()

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        if self.format == "path":
            for option, given in (("-o", self.file), ("-n", self.rows), ("--wide", self.wide)):
                if given:
                    raise UsageError("--format path prints the name of a file and no rows", option)
        if self.wide and (self.format != "text" or self.file is not None):
            raise UsageError("it is for a table that is printed as text", "--wide")
        if self.file is not None:
            self._check_file(self.file)

    def _check_file(self, file: Path) -> None:
        if file.is_dir():
            raise UsageError(f"'{file}' is a folder: name a file in it", "-o")
        if not file.parent.is_dir():
            raise UsageError(f"there is no folder '{file.parent}'", "-o")
        if self.format not in ("text", format_of(file.name) or self.format):
            raise UsageError(f"'{file}' is not a name for {self.format}", "--format")


@command_options
class ShellOptions(Options):
    """The options of `nfrun shell`."""

    node: str = _node(default=MISSING)
    run: str | None = _run()
    given: Mapping[str, str] = params_option(help="Set a parameter. Default: as the run had it.")
    pipeline: Path | None = _pipeline_file()
    work: Path | None = _work()
