"""Declares and carries out the commands that look back at runs: each function prints what `lookback` finds.

They take no lock, change nothing but to remove what killed runs left, and import what they need inside themselves.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfrun.cli.exit_codes import EXIT_FAILED, EXIT_OK, print_json
from nfrun.core.errors import UsageError
from nfrun.core.values import KW_ONLY, MISSING, frozen
from nfrun.session.options import (
    Options,
    color_option,
    declare,
    flag,
    json_option,
    params_option,
    parse_number,
    parse_path,
    work_option,
)
from nfrun.system.std_streams import path_for_stdout, stdout_for_text
from nfrun.tables.formats import format_of

if TYPE_CHECKING:
    from nfrun.history.journal import FinishedOutput, RecordedNode
    from nfrun.history.work_dir import WorkDir
    from nfrun.lookback.layout import Look
    from nfrun.lookback.run_reference import ListedRun
    from nfrun.system.logs.redaction import Redactor
    from nfrun.system.std_streams import Messages

_STDOUT = Path("-")
_RUN = "a number, an id, last, last-ok, or last~2 for the second before the last"

_node = partial(declare, completes="node", metavar="NODE", help="The node.")
_number = partial(
    declare,
    parse=partial(parse_number, most=1_000_000_000),
    wrong="not a number from 1 to 1,000,000,000",
    metavar="N",
)


@frozen
class LookOptions(Options):
    """The options of all commands that look back: whose runs are meant, and where they are."""

    _: KW_ONLY  # so that a command may have arguments that must be given
    pipeline: Path | None = declare(
        "--pipeline",
        parse=parse_path,
        metavar="FILE",
        help="The pipeline file whose runs are meant. It may also stand first. Default: all runs in the work folder "
        "that is here.",
    )
    work: Path | None = work_option(
        help="The work folder. Default: .nfrun beside the pipeline file or in the working directory.", group=""
    )


@frozen
class OneRunOptions(LookOptions):
    """The options of commands about one run. `run` is None for the last."""

    _: KW_ONLY
    run: str | None = declare("--run", completes="run", metavar="RUN", help=f"Which run: {_RUN}. Default: last.")


@frozen
class RunsOptions(LookOptions):
    """The options of `nfrun runs`. `limit` is None for the default."""

    limit: int | None = _number("-n", "--limit", help="How many runs to list at most. Default: 20.")
    all: bool = flag("--all", help="List all runs.")
    json: bool = json_option()
    color: str = color_option()


@frozen
class ShowOptions(OneRunOptions):
    """The options of `nfrun show`. If `node` is None, the whole run is shown."""

    node: str | None = _node(help="The node to show. Left out: the run with all its nodes.")
    all: bool = flag("--all", help="List all nodes, however many.")
    events: bool = flag("--events", help="Print the lines of the journal as they were written, one JSON object each.")
    json: bool = json_option()
    color: str = color_option()


@frozen
class LogsOptions(OneRunOptions):
    """The options of `nfrun logs`. `attempt` is None for the last, and `run` also for one under way."""

    node: str = _node(default=MISSING)
    attempt: int | None = _number("--attempt", help="Which attempt. Default: the last.")
    follow: bool = flag("-f", "--follow", help="Follow the run that is under way until the node has ended.")
    color: str = color_option()


@frozen
class DiffOptions(LookOptions):
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
    json: bool = json_option()
    color: str = color_option()

    def check(self) -> None:
        """Refuse a key of rows that are not compared."""
        if self.key is not None and not self.data:
            raise UsageError("it needs --data, which compares rows", "--key")


@frozen
class ReportOptions(OneRunOptions):
    """The options of `nfrun report`. `file` is None for a name made of the pipeline and the number of the run."""

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


@frozen
class OpenOptions(OneRunOptions):
    """The options of `nfrun open`."""

    output: str = declare(default=MISSING, completes="output", metavar="OUTPUT", help="The output: NODE, or NODE.NAME.")
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
    color: str = color_option()

    def check(self) -> None:
        """Refuse options of another form, and a file that cannot be written."""
        if self.format == "path":
            for option, given in (("-o", self.file), ("-n", self.rows), ("--wide", self.wide)):
                if given:
                    raise UsageError("--format path prints the name of a file and no rows", option)
        if self.wide and (self.format != "text" or self.file is not None):
            raise UsageError("it is for a table that is printed as text", "--wide")
        if self.file is not None and self.file.is_dir():
            raise UsageError(f"'{self.file}' is a folder: name a file in it", "-o")
        if self.file is not None and self.format not in ("text", format_of(self.file.name) or self.format):
            raise UsageError(f"'{self.file}' is not a name for {self.format}", "--format")


@frozen
class ShellOptions(OneRunOptions):
    """The options of `nfrun shell`."""

    node: str = _node(default=MISSING)
    given: Mapping[str, str] = params_option(help="Set a parameter. Default: as the run had it.")


def runs(options: RunsOptions, messages: Messages) -> int:
    """Print one line for each run, the newest first."""
    from nfrun.lookback.run_reference import find_work, list_runs, no_runs
    from nfrun.lookback.run_view import newest_rows, runs_json, runs_text

    work, pipeline = find_work(options.pipeline, options.work)
    limit = None if options.all else options.limit or 20  # as its help says
    rows = newest_rows(list_runs(work, pipeline), None if limit is None else limit + 1)
    if options.json:
        print_json(runs_json(rows[:limit]))
    elif not rows:
        messages(f"nfrun: {no_runs(work, pipeline)}")
    else:
        _print(runs_text(rows[:limit], look(options.color), more=len(rows[:limit]) < len(rows)))
    return EXIT_OK


def show(options: ShowOptions, messages: Messages) -> int:
    """Print a run with its nodes, or one node of it."""
    from nfrun.history.database import Database
    from nfrun.lookback.recorded_run import cells_of, read_nodes
    from nfrun.lookback.run_view import failure_lines, head_lines, node_lines, run_document

    work, run = _found(options)
    if options.events:
        with closing(Database(work)) as database:
            lines = [line for _, line in database.lines(run.id) if line and options.node in (None, line.get("node"))]
        if lines or options.node is None:
            _print(map(json.dumps, lines))
            return EXIT_OK
    nodes = read_nodes(run)
    if options.node is not None:
        if cells := cells_of(nodes, options.node):
            return _show_cells(run, options.node, cells, options)
        return _show_node(run, nodes, options.node, options)
    if options.json:
        print_json(run_document(run, nodes))
        return EXIT_OK
    shown = look(options.color)
    _print(head_lines(run, shown))
    _print(node_lines(nodes, shown, all=options.all))
    _print(failure_lines(run, nodes))
    return EXIT_OK


def _show_cells(run: ListedRun, of: str, cells: Sequence[RecordedNode], options: ShowOptions) -> int:
    from nfrun.lookback.run_view import cell_lines, cells_document, failure_lines

    if options.json:
        print_json(cells_document(run, of, cells))
        return EXIT_OK
    _print(cell_lines(of, run, cells, look(options.color), all=options.all))
    _print(failure_lines(run, cells))
    return EXIT_OK


def _show_node(run: ListedRun, nodes: Sequence[RecordedNode], name: str, options: ShowOptions) -> int:
    from nfrun.lookback.log_files import find_logs
    from nfrun.lookback.recorded_run import inputs_of, node_of
    from nfrun.lookback.reopen.first_rows import open_tables
    from nfrun.lookback.run_view import (
        check_lines,
        failure_of_node,
        input_lines,
        log_tails,
        node_head,
        node_of_run_document,
        output_lines,
    )

    node = node_of(run, nodes, name)
    inputs = dict(inputs_of(nodes, node))
    files, _ = find_logs(run, name)
    if options.json:
        paths = {str(output.id): _path(run, output) for output in node.outputs}
        print_json(node_of_run_document(run, node, inputs, files, paths))
        return EXIT_OK
    shown = look(options.color)
    _print(node_head(run, node, shown))
    _print(input_lines(node, inputs, shown))
    sys.stdout.flush()  # opening tables imports pyarrow
    tables, missing = open_tables(run, node.outputs)
    _print(output_lines(node, missing, shown))
    if tables:
        from nfrun.reports.printing import printer_on
        from nfrun.reports.table_preview import preview_of, print_preview

        sys.stdout.flush()
        printer = printer_on(sys.stdout, options.color)
        redact = _redactor(run)
        for output, table in tables.items():
            print_preview(printer, output.id, preview_of(table), str(_path(run, output) or output.stored), redact)
    _print(check_lines(node, shown))
    _print(failure_of_node(run, node))
    _print(log_tails(files, shown))
    return EXIT_OK


def _path(run: ListedRun, output: FinishedOutput) -> Path | None:
    """Return where an output is on this machine, None if that is nowhere."""
    from nfrun.history.run_history import table_path
    from nfrun.tables.places.base import path_of

    if output.stored:
        path = path_of(output.stored)
        return None if path is None else Path(path)
    return table_path(run.folder, output)


def logs(options: LogsOptions, messages: Messages) -> int:
    """Print what a node printed and logged, or follow it while it runs."""
    from nfrun.lookback.log_files import find_logs, log_lines
    from nfrun.lookback.run_reference import RUNNING, find_run, find_running, find_work, only_running

    work, pipeline = find_work(options.pipeline, options.work)
    running = find_running(work, pipeline) if options.run is None else []
    followed = only_running(running) if options.follow else None
    run = followed or find_run(work, pipeline, options.run)
    if options.follow and run.status == RUNNING:
        return _follow(work, run, options.node, messages)
    files, note = find_logs(run, options.node, options.attempt)
    if running and run.status != RUNNING:
        messages(f"nfrun: run {running[0].number} is under way: -f or --run {running[0].number} shows what it prints")
    if note:
        messages(f"nfrun: {note}")
    _print(log_lines(files))
    return EXIT_OK


def _follow(work: WorkDir, run: ListedRun, node: str, messages: Messages) -> int:
    from nfrun.lookback.log_files import find_logs, follow

    printed = False
    for line in follow(run.folder, node, lambda: run.id in work.runs_under_way()):
        print(line, flush=True)
        printed = True
    if not printed and (note := find_logs(run, node)[1]):
        messages(f"nfrun: {note}")
    return EXIT_OK


def diff(options: DiffOptions, messages: Messages) -> int:
    """Print what differs between two runs. With `exit_code`, returns 1 if something does."""
    from nfrun.lookback.reopen.current_pipeline import bound_pipeline
    from nfrun.lookback.reopen.opened_tables import RunTables
    from nfrun.lookback.run_diff import Document, diff_lines, diff_runs, find_two_runs
    from nfrun.lookback.run_reference import find_work
    from nfrun.system.logs.redaction import redact_value

    work, pipeline = find_work(options.pipeline, options.work)
    runs = find_two_runs(work, pipeline, options.before, options.after)
    tables = [RunTables(run, partial(bound_pipeline, options.pipeline, work, run)) for run in runs]

    def rows(before: FinishedOutput | None, after: FinishedOutput | None) -> Document | None:
        if not options.data:
            return None
        from nfrun.lookback.reopen.row_diff import compare_output

        return compare_output(before, after, tables, options.key)

    found = diff_runs(runs, [run.journal for run in tables], rows)
    redact = _redactor(*runs)
    if options.json:
        print_json(redact_value(found, redact))
    else:
        by = options.key or "row"
        _print(map(redact, diff_lines(found, runs, look(options.color), by=by, all=options.all)))
    return EXIT_FAILED if options.exit_code and not found["equal"] else EXIT_OK


def report(options: ReportOptions, messages: Messages) -> int:
    """Write the page of a run, or its trace, and print the name of its file."""
    from nfrun.lookback.page.html_page import page_name
    from nfrun.lookback.page.recorded_trace import recorded_trace
    from nfrun.session.report_files import check_report_file, write_report
    from nfrun.system.atomic_files import name_errors

    work, run = _found(options)
    is_trace = options.format == "trace"
    name = page_name(run.file, run.number)
    file = options.file or Path(f"{name.removesuffix('.html')}.trace.json" if is_trace else name)
    if file != _STDOUT:
        taken = {work.path.resolve(): "the work folder"}
        if options.pipeline is not None:
            taken[options.pipeline.resolve()] = "the pipeline file"
        check_report_file(file, "trace" if is_trace else "report", "-o", taken)
    page = (recorded_trace(run, _redactor(run)) if is_trace else _page(work, run, messages)).encode()
    if file == _STDOUT:
        stdout_for_text().write(page)
        return EXIT_OK
    with name_errors(file):
        write_report(file, lambda opened: opened.write(page))
    print(path_for_stdout(file))
    return EXIT_OK


def _page(work: WorkDir, run: ListedRun, messages: Messages) -> str:
    from nfrun.lookback.page.html_page import render_page
    from nfrun.lookback.page.run_data import run_data

    document = run_data(work, run, _redactor(run), [name for name in run.header.secrets if name not in os.environ])
    if hidden := document["run"].get("hidden"):
        messages.warn(hidden)
    return render_page(document)


def open_table(options: OpenOptions, messages: Messages) -> int:
    """Print the first rows of a table that a run has left, or write it to stdout or into a file; the path of a file."""
    from nfrun.core.pipeline import TABLE, form_of
    from nfrun.lookback.reopen.current_pipeline import bound_pipeline
    from nfrun.lookback.reopen.opened_tables import RunTables

    if options.format in ("arrow", "parquet") and options.file is None and sys.stdout.isatty():
        raise UsageError(
            f"{options.format} is no text for a terminal: redirect it, or write a file with -o", "--format"
        )
    work, run = _found(options)
    tables = RunTables(run, partial(bound_pipeline, options.pipeline, work, run), with_refused=True)
    output = tables.output_id(options.output)
    is_file = tables.type_of(output) != TABLE
    if failed := tables.failed_checks(output):
        messages(f"nfrun: no node reads this {form_of(tables.type_of(output))}: '{output.node}' {failed}")
    if is_file and options.format not in ("text", "path"):
        raise UsageError(f"'{output}' is no table and stays as it is: -o copies it", "--format")
    if is_file and (options.rows or options.wide):
        raise UsageError(f"'{output}' is no table, which has rows", "--rows" if options.rows else "--wide")
    if is_file and options.file is not None:
        _copy(tables.file(output), options.file)
        return EXIT_OK
    if is_file or options.format == "path":
        print(path_for_stdout(tables.file(output)))
        return EXIT_OK
    table = tables.tables([output])[output]
    if options.format == "text" and options.file is None:
        from nfrun.reports.printing import printer_on
        from nfrun.reports.table_preview import preview_of, print_preview

        preview = preview_of(table, options.rows, wide=options.wide)
        path, printer = tables.path(output), printer_on(sys.stdout, options.color)
        print_preview(printer, output, preview, None if path is None else str(path), _redactor(run), wide=options.wide)
        return EXIT_OK
    _write(table if options.rows is None else table.slice(0, options.rows), options)
    return EXIT_OK


def _copy(source: Path, target: Path) -> None:
    """Copy a file or a folder. Raises UsageError, OSError."""
    from nfrun.system.atomic_folders import copy_file, copy_folder

    if source.is_dir() and target.exists():
        raise UsageError(f"{target} is a file, and the output is a folder: name a new one", "--output")
    (copy_folder if source.is_dir() else copy_file)(source, target)


def _write(table: Any, options: OpenOptions) -> None:
    """Write a table in the format that the options ask for. Raises UsageError if the format cannot have it."""
    from nfrun.tables.file_io import write_stream, write_table
    from nfrun.tables.formats import FormatError

    try:
        if options.file is not None:
            write_table(table, options.file)
        else:
            write_stream(table, options.format, stdout_for_text())
    except FormatError as error:
        raise UsageError(str(error), "--format" if options.file is None else "-o") from None


def shell(options: ShellOptions, messages: Messages) -> int:
    """Start Python with the inputs, the values and the function of a node, and return its exit code."""
    from nfrun.code.module_space import FolderModules
    from nfrun.lookback.reopen.current_pipeline import bind_as_in, node_of, pipeline_file
    from nfrun.system.native_threads import arrow_threads, default_thread_variables, thread_variables

    work, run = _found(options)
    file = pipeline_file(options.pipeline, work, run)
    pipeline = bind_as_in(run, file, given=options.given, environ=os.environ, set_redactor=messages.set_redactor)
    node = node_of(pipeline, options.node)
    own = thread_variables(node.cpus, pipeline.env) if node.cpus > 1 else {}
    threads = {**default_thread_variables(pipeline, os.environ), **own}
    os.environ.update({**threads, **pipeline.env})  # before anything imports numpy, which pyarrow does
    time.tzset()
    import pyarrow

    from nfrun.lookback.reopen.node_shell import NodeShell, run_prompt
    from nfrun.lookback.reopen.opened_tables import RunTables

    if count := arrow_threads(threads):
        pyarrow.set_cpu_count(count)
    inputs = RunTables(run, lambda: pipeline).inputs_of(node)
    gc.enable()
    with (
        FolderModules(Path(pipeline.folder), {node.folder} - {""}) as modules,
        NodeShell(pipeline, node, run.id, {**os.environ}, inputs, messages, modules.importer) as session,
    ):
        tables_of = f", with the tables of run {run.number}" if inputs else ""
        title = f"node '{node.id}' of {pipeline.file}{tables_of}"
        return run_prompt(session.names, session.banner(title), messages)


def _found(options: Any) -> tuple[WorkDir, ListedRun]:
    """Return the work folder and the run that the options name."""
    from nfrun.lookback.run_reference import find_run, find_work

    work, pipeline = find_work(options.pipeline, options.work)
    return work, find_run(work, pipeline, options.run)


def _redactor(*runs: ListedRun) -> Redactor:
    """Return what masks the values that the secrets of these runs have now."""
    from nfrun.system.logs.redaction import Redactor

    names = {name for run in runs for name in run.header.secrets}
    return Redactor(os.environ[name] for name in sorted(names) if name in os.environ)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


def look(color: str) -> Look:
    """Return how to lay out text on stdout."""
    from nfrun.lookback.layout import Look
    from nfrun.reports.printing import is_colored

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return Look(width, is_colored(sys.stdout, color))


# The function of each command, the class of its options, and its help, as in `commands.py`.
LOOKBACK_COMMANDS: Mapping[str, tuple[Callable[[Any, Messages], int], type[Options], str]] = {
    "runs": (runs, RunsOptions, "List the runs that were kept."),
    "show": (show, ShowOptions, "Show a run, or all that is recorded of one of its nodes."),
    "logs": (logs, LogsOptions, "Print what a node printed and logged."),
    "diff": (diff, DiffOptions, "Show what differs between two runs, and why."),
    "report": (report, ReportOptions, "Write a page about a run, for browsers: one HTML file."),
    "open": (open_table, OpenOptions, "Show a table that a run has left, or write it in another format."),
    "shell": (shell, ShellOptions, "Start Python with the tables that a node had, to try it."),
}
