"""Carries out the commands that look back at runs: each function prints what `nfrun.lookback` finds.

They take no lock, change nothing, and import what they need inside themselves.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from nfrun.cli.exit_codes import EXIT_OK, print_json
from nfrun.cli.lookback_options import LogsOptions, RunsOptions, ShowOptions

if TYPE_CHECKING:
    from nfrun.cache.work_dir import WorkDir
    from nfrun.lookback.layout import Look
    from nfrun.lookback.run_list import ListedRun
    from nfrun.system.std_streams import Messages


def runs(options: RunsOptions, messages: Messages) -> int:
    """Print one line for each run, the newest first."""
    from nfrun.lookback.run_list import list_runs
    from nfrun.lookback.runs_view import newest_rows, runs_json, runs_text
    from nfrun.lookback.work_folder import find_work

    work, pipeline = find_work(options.pipeline, options.work)
    limit = None if options.all else options.limit
    rows = newest_rows(list_runs(work, pipeline), None if limit is None else limit + 1)
    if options.json:
        print_json(runs_json(rows[:limit]))
    elif not rows:
        messages(f"nfrun: no run {f'of {options.pipeline} ' if options.pipeline else ''}is kept in {work.path}")
    else:
        _print(runs_text(rows[:limit], look(options.color), more=len(rows[:limit]) < len(rows)))
    return EXIT_OK


def show(options: ShowOptions, messages: Messages) -> int:
    """Print a run with its nodes, or one node of it."""
    from nfrun.lookback.recorded_run import read_nodes
    from nfrun.lookback.run_reference import LAST, find_run
    from nfrun.lookback.run_view import failure_lines, head_lines, node_lines, run_document
    from nfrun.lookback.work_folder import find_work

    run = find_run(*find_work(options.pipeline, options.work), options.run or LAST)
    if options.node is not None:
        return _show_node(run, options.node, options)
    if options.json:
        print_json(run_document(run, read_nodes(run)))
        return EXIT_OK
    shown = look(options.color)
    _print(head_lines(run, shown))
    sys.stdout.flush()  # a long journal takes a while to read
    nodes = read_nodes(run)
    _print(node_lines(nodes, shown, all=options.all))
    _print(failure_lines(run, nodes))
    return EXIT_OK


def _show_node(run: ListedRun, name: str, options: ShowOptions) -> int:
    from nfrun.lookback.log_files import find_logs
    from nfrun.lookback.node_view import failure_of_node, input_lines, log_tails, node_document, node_head, output_lines
    from nfrun.lookback.recorded_run import read_inputs, read_node

    node = read_node(run, name)
    inputs = dict(read_inputs(run, node))
    files = find_logs(run, name).files
    if options.json:
        print_json(node_document(run, node, inputs, files, {}))
        return EXIT_OK
    shown = look(options.color)
    _print(node_head(run, node, shown))
    _print(input_lines(inputs, shown))
    for output in node.outputs:
        _print(output_lines(output, shown))
    _print(failure_of_node(run, node))
    _print(log_tails(files, shown))
    return EXIT_OK


def logs(options: LogsOptions, messages: Messages) -> int:
    """Print what a node printed and logged, or follow it while it runs."""
    from nfrun.lookback.log_files import find_logs, log_lines
    from nfrun.lookback.run_list import RUNNING
    from nfrun.lookback.run_reference import LAST, find_run, find_running
    from nfrun.lookback.work_folder import find_work

    work, pipeline = find_work(options.pipeline, options.work)
    running = find_running(work, pipeline) if options.run is None else None
    run = running if running and options.follow else find_run(work, pipeline, options.run or LAST)
    if options.follow and options.attempt is None and run.status == RUNNING:
        return _follow(work, run, options.node, messages)
    found = find_logs(run, options.node, options.attempt)
    if running and running.id != run.id:
        messages(f"nfrun: run {running.number} is under way: -f or --run {running.number} shows what it prints")
    if found.note:
        messages(f"nfrun: {found.note}")
    _print(log_lines(found.files))
    return EXIT_OK


def _follow(work: WorkDir, run: ListedRun, node: str, messages: Messages) -> int:
    from nfrun.lookback.log_files import find_logs
    from nfrun.lookback.log_follower import follow
    from nfrun.lookback.run_list import runs_under_way

    printed = False
    for line in follow(run.folder, node, lambda: run.id in runs_under_way(work)):
        print(line, flush=True)
        printed = True
    if not printed and (note := find_logs(run, node).note):
        messages(f"nfrun: {note}")
    return EXIT_OK


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


def look(color: str) -> Look:
    """Return how to lay out text on stdout."""
    from nfrun.cli.consoles import is_colored
    from nfrun.lookback.layout import Look

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return Look(width, is_colored(sys.stdout, color))
