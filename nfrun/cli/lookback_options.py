"""Declares the options of the commands that look back at runs: `runs`, `show`, `logs`, `diff`, `open` and `shell`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from nfrun.cli.exit_codes import UsageError
from nfrun.cli.option_values import parse_number, parse_path
from nfrun.cli.options import Options, _color, _flag, _json, _option, _options, _params
from nfrun.core.values import MISSING
from nfrun.tables.formats import format_of

_RUN = "a number, an id, last, last-ok, or last~2 for the second before the last"

_pipeline_file = partial(
    _option,
    "--pipeline",
    parse=parse_path,
    metavar="FILE",
    help="The pipeline file whose runs are meant. Default: all runs in the work folder that is here.",
)
_work = partial(
    _option,
    "--work",
    parse=partial(parse_path, what="folder"),
    metavar="DIR",
    help="The work folder. Default: .nfrun beside the pipeline file or in the working directory.",
)
_run = partial(_option, "--run", metavar="RUN", help=f"Which run: {_RUN}. Default: last.")
_node = partial(_option, metavar="NODE", help="The node.")
_number = partial(
    _option,
    parse=partial(parse_number, most=1_000_000_000),
    wrong="not a number from 1 to 1,000,000,000",
    metavar="N",
)


@_options
class RunsOptions(Options):
    """The options of `nfrun runs`."""

    limit: int = _number("-n", "--limit", default="20", help="How many runs to list at most.")
    all: bool = _flag("--all", help="List all runs.")
    pipeline: Path | None = _pipeline_file()
    work: Path | None = _work()
    json: bool = _json()
    color: str = _color()


@_options
class ShowOptions(Options):
    """The options of `nfrun show`. If `node` is None, the whole run is shown. `run` is None for the last."""

    node: str | None = _node(help="The node to show. Left out: the run with all its nodes.")
    run: str | None = _run()
    all: bool = _flag("--all", help="List all nodes, however many.")
    pipeline: Path | None = _pipeline_file()
    work: Path | None = _work()
    json: bool = _json()
    color: str = _color()


@_options
class LogsOptions(Options):
    """The options of `nfrun logs`. `attempt` is None for the last. `run` is None for the last, or one under way."""

    node: str = _node(default=MISSING)
    run: str | None = _run()
    attempt: int | None = _number("--attempt", help="Which attempt. Default: the last.")
    follow: bool = _flag("-f", "--follow", help="Follow the run that is under way until the node has ended.")
    pipeline: Path | None = _pipeline_file()
    work: Path | None = _work()
    color: str = _color()


@_options
class DiffOptions(Options):
    """The options of `nfrun diff`. `before` and `after` are None for the two last runs."""

    before: str | None = _option(metavar="[RUN]", help=f"The run to compare: {_RUN}. Left out: the one before.")
    after: str | None = _option(metavar="[RUN]", help="The run to compare it with. Left out: the last.")
    data: bool = _flag("--data", help="Also show the first rows that differ.")
    key: str | None = _option(
        "--key", metavar="COLUMN", help="Compare rows by the values of this column. Default: by their position."
    )
    all: bool = _flag("--all", help="Show all nodes that differ, however many.")
    exit_code: bool = _flag("--exit-code", help="End with 1 if the runs differ.")
    pipeline: Path | None = _pipeline_file()
    work: Path | None = _work()
    json: bool = _json()
    color: str = _color()

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        if self.key is not None and not self.data:
            raise UsageError("it needs --data, which compares rows", "--key")


@_options
class OpenOptions(Options):
    """The options of `nfrun open`."""

    output: str = _option(default=MISSING, metavar="OUTPUT", help="The output: NODE, or NODE.NAME.")
    run: str | None = _run()
    format: str = _option(
        "--format",
        default="text",
        choices=("text", "csv", "jsonl", "parquet", "arrow", "path"),
        help="How to print it. text: the first rows; path: the name of its file.",
    )
    file: Path | None = _option(
        *("-o", "--output"),
        parse=parse_path,
        metavar="FILE",
        help="Write a file, in the format of its ending; an output that is no table is copied.",
    )
    rows: int | None = _number("-n", "--rows", help="How many rows. Default: the first ones as text, otherwise all.")
    wide: bool = _flag("-w", "--wide", help="All columns, however wide the terminal is.")
    pipeline: Path | None = _pipeline_file()
    work: Path | None = _work()
    color: str = _color()

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


@_options
class ShellOptions(Options):
    """The options of `nfrun shell`."""

    node: str = _node(default=MISSING)
    run: str | None = _run()
    given: Mapping[str, str] = _params(help="Set a parameter. Default: as the run had it.")
    pipeline: Path | None = _pipeline_file()
    work: Path | None = _work()
