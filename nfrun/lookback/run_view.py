"""Shows the list of runs, a run with its nodes and all of its failures, or all that is recorded of one node."""

from __future__ import annotations

import json
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from nfrun.core.pipeline import TABLE, form_of
from nfrun.core.text import ellipsize, escape_controls
from nfrun.core.values import asdict
from nfrun.history.journal import FinishedOutput, RecordedNode, RunHeader
from nfrun.history.work_dir import run_number
from nfrun.lookback.layout import NOT_RECORDED, Look, iso_time, local_time, value_text
from nfrun.lookback.log_files import last_lines
from nfrun.lookback.recorded_run import why
from nfrun.lookback.run_reference import KILLED, RUNNING, ListedRun, count_nodes
from nfrun.reports.format_units import format_calls, format_count, format_seconds, format_size
from nfrun.reports.json_document import failure_document, node_document
from nfrun.reports.last_line import counts_of_nodes
from nfrun.reports.summary import failure_text
from nfrun.system.checksums import shown_name

_COUNTED = {"ran": "ok", "reused": "reused", "failed": "failed"}


# A run in the list, and its parameters that differ from those of the run before; all of the first in the list.
RunRow = tuple[ListedRun, Mapping[str, Any]]


def newest_rows(runs: Iterable[ListedRun], limit: int | None) -> list[RunRow]:
    """Return the first `limit` of `runs`, which are the newest first; all if it is None."""
    rows: list[RunRow] = []
    before: dict[str, Mapping[str, Any]] = {}  # by pipeline, the parameters of the run before
    for run in reversed([*islice(runs, limit)]):
        rows.append((run, changed_params(before.get(run.pipeline, {}), run.header.params)))
        before[run.pipeline] = run.header.params
    return rows[::-1]


def changed_params(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a run that the run before did not have with these values."""
    return {name: value for name, value in now.items() if name not in before or before[name] != value}


def runs_text(rows: list[RunRow], look: Look, *, more: bool = False) -> Iterator[str]:
    """Yield the lines of the list. `more`: there are older runs, which are left out."""
    several = len({run.pipeline for run, _ in rows}) > 1
    headings = ["run", "when", "status", *_COUNTED, "time", "pipeline", "parameters"]
    cells = [
        [
            str(run.number),
            local_time(run.at, short=True),
            run.status,
            *_counts(run),
            duration_text(run),
            run.file + (f" ({run.pipeline[-6:]})" if run.pipeline != run.file else ""),
            params_text(changed),
        ]
        for run, changed in rows
    ]
    if not several:
        del headings[-2]
        for cell in cells:
            del cell[-2]
    yield from look.columns(headings, cells, right={"run", *_COUNTED, "time"})
    if more:
        yield look.paint("… and older runs: 'nfrun runs --all' lists all", "dim")


def runs_json(rows: list[RunRow]) -> dict[str, Any]:
    """Return the list as a JSON document."""
    return {"runs": [{**run_json(run), "changed_params": dict(changed)} for run, changed in rows]}


def run_json(run: ListedRun) -> dict[str, Any]:
    """Return a run as JSON values, null for values that are not recorded."""
    return {
        "run": run.id,
        "number": run.number,
        "pipeline": run.pipeline,
        "status": run.status,
        "started": iso_time(run.at),
        "ended": iso_time(run.ending.at if run.ending else None),
        "wall_s": None if run.duration is None else round(run.duration, 6),
        "counts": count_nodes(run),
        "error": (run.ending.error if run.ending else "") or None,
        "params": dict(run.header.params),
        "inputs": dict(run.header.inputs),
    }


def duration_text(run: ListedRun) -> str:
    """Return the duration of a run for people."""
    return NOT_RECORDED if run.duration is None else format_seconds(run.duration)


def params_text(params: Mapping[str, Any]) -> str:
    """Return parameters on one line: `country=FR, day=3`."""
    return ", ".join(f"{name}={value_text(value)}" for name, value in params.items())


def _counts(run: ListedRun) -> list[str]:
    counts = count_nodes(run)
    return [f"{counts[status]:,}" if status in counts else NOT_RECORDED for status in _COUNTED.values()]


_MAX_NODES = 50


def head_lines(run: ListedRun, look: Look) -> Iterator[str]:
    """Yield the lines about a run as a whole: its status, start, duration, command line and parameters."""
    yield look.paint(f"run {run.number} of {escape_controls(run.file)}: ", "bold") + look.paint(_end(run), run.status)
    header = run.header
    versions = ", ".join(f"{package} {version}" for package, version in header.versions.items())
    yield from look.fields(
        [
            ("started", local_time(run.at)),
            ("host", header.host or NOT_RECORDED),
            ("command", _command(header)),
            ("profile", header.profile),
            ("parameters", params_text(header.params)),
            ("inputs", params_text(header.inputs)),
            ("versions", versions or NOT_RECORDED),
            ("folder", str(run.folder)),
            ("error", run.ending.error if run.ending else ""),
        ]
    )


def _command(header: RunHeader) -> str:
    if header.command:
        return shlex.join(header.command)
    return "a Python program"


def _end(run: ListedRun) -> str:
    counts = counts_of_nodes(count_nodes(run))
    took = "" if run.duration is None else format_seconds(run.duration)
    status = {RUNNING: "is under way", KILLED: "was killed, or its folder was copied while it ran"}.get(run.status)
    return ", ".join(filter(None, (status or run.status, *counts, took)))


def node_lines(nodes: Sequence[RecordedNode], look: Look, *, all: bool) -> Iterator[str]:
    """Yield a line for each node, at most 50 unless `all`: the failed first, then those that ran, the reused last.

    The cells of a matrix that ended alike have one line, unless `all` or they failed.
    """
    groups: dict[tuple[str, str], list[RecordedNode]] = {}
    for node in nodes:
        name = node.of if node.of and node.status != "failed" and not all else node.node
        groups.setdefault((name, node.status), []).append(node)
    shown = list(groups.values()) if all else list(groups.values())[:_MAX_NODES]
    if not shown:
        return
    yield ""
    headings = ["node", "status", "time", "rows", "why it ran"]
    yield from look.columns(headings, map(_row, shown), right={"time", "rows"})
    left = len(nodes) - sum(map(len, shown))
    if left:
        yield look.paint(f"… and {format_count(left, 'more node')}: 'nfrun show --all' lists all", "dim")


def cell_lines(of: str, run: ListedRun, nodes: Sequence[RecordedNode], look: Look, *, all: bool) -> Iterator[str]:
    """Yield the cells of a matrix as a table with their values on the axes, at most 50 unless `all`."""
    counts = ", ".join(counts_of_nodes(Counter(node.status for node in nodes)))
    yield look.paint(f"node '{of}' in run {run.number}: {format_count(len(nodes), 'cell')}, ", "bold") + counts
    yield ""
    shown = nodes if all else nodes[:_MAX_NODES]
    axes = list(nodes[0].cell)
    rows = [[*(_value(node.cell.get(axis)) for axis in axes), *_row([node])[1:]] for node in shown]
    yield from look.columns([*axes, "status", "time", "rows", "why it ran"], rows, right={"time", "rows"})
    if len(nodes) > len(shown):
        left = format_count(len(nodes) - len(shown), "more cell")
        yield look.paint(f"… and {left}: 'nfrun show {of} --all' lists all", "dim")
    yield look.paint(f"'nfrun show {nodes[0].node}' shows one", "dim")


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _row(nodes: Sequence[RecordedNode]) -> list[str]:
    """Return the texts in the line of a node, or of cells with one status: sums, and the reason if all share it."""
    first, rows = nodes[0], [node.rows for node in nodes if node.rows is not None]
    name = first.node if len(nodes) == 1 else f"{first.of} ({len(nodes):,})"
    took = sum(node.duration for node in nodes)
    attempts = f" ({first.attempts} attempts)" if first.attempts > 1 and len(nodes) == 1 else ""
    reasons = dict.fromkeys(why(node) for node in nodes)
    return [
        name,
        first.status,
        format_seconds(took) if first.status in ("ok", "failed") else NOT_RECORDED,
        f"{sum(rows):,}" if rows else NOT_RECORDED,
        f"{next(iter(reasons))}{attempts}" if len(reasons) == 1 else f"{len(reasons):,} reasons",
    ]


def failure_lines(run: ListedRun, nodes: Sequence[RecordedNode]) -> Iterator[str]:
    """Yield all failures of a run, each as at the end of a run."""
    skipped: dict[str, list[str]] = defaultdict(list)
    for node in nodes:
        skipped[node.because].append(node.node)
    for node in nodes:
        if node.status == "failed":
            yield failure_text(node.node, node, run.file, skipped[node.node])


def run_document(run: ListedRun, nodes: Sequence[RecordedNode]) -> dict[str, Any]:
    """Return a run with its nodes as a JSON document."""
    header = run.header
    return {
        **run_json(run),
        "command": list(header.command) or None,
        "profile": header.profile or None,
        "host": header.host or None,
        "versions": dict(header.versions),
        "folder": str(run.folder),
        "nodes": {node.node: node_json(node) for node in nodes},
    }


def cells_document(run: ListedRun, of: str, nodes: Sequence[RecordedNode]) -> dict[str, Any]:
    """Return the cells of a matrix as a JSON document."""
    return {"run": run_json(run), "node": of, "cells": {node.node: node_json(node) for node in nodes}}


def node_json(node: RecordedNode) -> dict[str, Any]:
    """Return a node as JSON values."""
    return {
        **node_document(node, node.of, node.cell, node.work),
        "attempts": node.attempts or None,
        "why": node.reason or None,
        "failure": None if node.failure is None else failure_document(node.failure),
    }


_MAX_FILES = 20
_LAST_LINES = 10
_VERBS = {"ok": "ran", "reused": "was reused", "skipped": "was skipped", "cancelled": "was cancelled"}

Inputs = Mapping[str, FinishedOutput | None]


def node_head(run: ListedRun, node: RecordedNode, look: Look) -> Iterator[str]:
    """Yield when and why a node ran, what it read and what it wrote."""
    yield look.paint(f"node '{node.node}' in run {run.number}: ", "bold") + look.paint(_end_of_node(node), node.status)
    yield from look.fields(
        [
            ("why it ran", node.reason or NOT_RECORDED if node.status in ("ok", "failed") else ""),
            ("why it did not run", "" if node.status in ("ok", "failed") else why(node)),
            ("ran in run", str(run_number(node.home) or node.home)),
            ("started", _started(run, node)),
            ("attempts", _attempts(node)),
            ("spent", _spent(node)),
            ("memory", f"{format_size(node.memory)} at most" if node.memory else ""),
            ("worker", escape_controls(node.worker)),
            ("calls", "" if node.map is None else format_calls(node.map)),
            ("read", _files(node.reads)),
            ("wrote", _files(node.wrote)),
            ("not reused", node.obstacle),
        ]
    )


def _attempts(node: RecordedNode) -> str:
    """Return the number of attempts, and why those before the last one failed."""
    failed = [f"{format_seconds(each.ended - each.started)}: {ellipsize(each.error, 200)}" for each in node.earlier]
    return "\n".join([str(node.attempts), *failed]) if node.attempts else ""


def _spent(node: RecordedNode) -> str:
    """Return for what the last attempt took its time, "" if that is not recorded."""
    times = node.times
    if times is None or node.status not in ("ok", "failed"):
        return ""
    found = {"queued": times.queued, "waiting for inputs": times.inputs, "working": node.duration}
    found |= {"handing on": times.handoff, "of CPU": times.cpu}
    return ", ".join(f"{format_seconds(value)} {what}" for what, value in found.items() if value or what == "working")


def _end_of_node(node: RecordedNode) -> str:
    took = f", {format_seconds(node.duration)}" if node.status in ("ok", "failed") else ""
    return f"{_VERBS.get(node.status, node.status)}{took}"


def _started(run: ListedRun, node: RecordedNode) -> str:
    if node.status == "reused" or node.started is None:
        return ""
    return f"{local_time(run.header.at + node.started)}, {format_seconds(node.started)} after the run began"


def _files(files: Mapping[str, str]) -> str:
    shown = [f"{shown_name(name)}{'' if checksum else ' (missing)'}" for name, checksum in files.items()]
    more = [f"… and {format_count(len(shown) - _MAX_FILES, 'more file')}"] if len(shown) > _MAX_FILES else []
    return "\n".join(name.replace("\n", "\\n") for name in (*shown[:_MAX_FILES], *more))


def input_lines(node: RecordedNode, inputs: Inputs, look: Look) -> Iterator[str]:
    """Yield the inputs of a node, each with its size and schema, or the number of cells that it gathers."""
    if inputs:
        yield from ("", look.paint("inputs", "bold"))
    for name, output in inputs.items():
        cells = node.key_inputs.get(f"cells {name}")
        if cells:
            yield f"  {name}: {format_count(int(cells.partition(' ')[0]), 'cell')}"
        elif output is None:
            yield f"  {name}: {NOT_RECORDED}"
        else:
            yield from _output(output, name if output.id == name else f"{name} = {output.id}")


def output_lines(node: RecordedNode, notes: Mapping[str, str], look: Look) -> Iterator[str]:
    """Yield the outputs of a node, each with its size and schema.

    `notes` say why some tables cannot be shown, and where files are.
    """
    if node.outputs:
        yield from ("", look.paint("outputs", "bold"))
    for output in node.outputs:
        yield from _output(output, output.id)
        if output.id in notes:
            yield f"    {escape_controls(notes[output.id])}"


def _output(output: FinishedOutput, name: str) -> Iterator[str]:
    if output.type != TABLE:
        yield f"  {escape_controls(name)}: {form_of(output.type)}, {format_size(output.bytes)}"
        return
    yield f"  {escape_controls(name)}: {format_count(output.rows, 'row')}, {format_size(output.bytes)}"
    yield f"    {escape_controls(output.schema) or 'no columns'}"


def check_lines(node: RecordedNode, look: Look) -> Iterator[str]:
    """Yield the checks of a node, each with how it went and, if rows fail, where the first of them are kept."""
    if node.checks:
        yield from ("", look.paint("checks", "bold"))
    several = len({check.output for check in node.checks}) > 1
    for check in node.checks:
        of = f" of {check.output}" if several else ""
        word = "ok" if check.ok else {"error": "failed"}.get(check.severity, check.severity)
        allowed = f" ({check.failing:,} of {check.rows:,} rows fail, which is allowed)" if check.failing else ""
        told = allowed if check.ok else f": {check.text}"
        yield f"  {look.paint(word, {'ok': 'ok', 'failed': 'failed'}.get(word, 'skipped'))}  " + escape_controls(
            f"{check.name}{of}{told}"
        )
        if check.path:
            yield f"    {look.paint(escape_controls(check.path), 'dim')}"


def failure_of_node(run: ListedRun, node: RecordedNode) -> Iterator[str]:
    """Yield the failure of the node as at the end of a run, if it failed."""
    if node.failure is not None:
        yield failure_text(node.node, node, run.file, [])


def log_tails(files: Mapping[str, Path], look: Look) -> Iterator[str]:
    """Yield the path and the last lines of each log file of the last attempt."""
    for stream, path in files.items():
        yield from ("", f"{look.paint(stream, 'bold')}  {look.paint(escape_controls(str(path)), 'dim')}")
        yield from (f"  {line}" for line in last_lines(path, _LAST_LINES))


def node_of_run_document(
    run: ListedRun, node: RecordedNode, inputs: Inputs, files: Mapping[str, Path], paths: Mapping[str, Path | None]
) -> dict[str, Any]:
    """Return a node as a JSON document. `files` are its logs by stream, `paths` the files of its outputs by id."""
    times = node.times
    return {
        "run": run_json(run),
        "node": node.node,
        **node_json(node),
        "home": node.home or None,
        "inputs": {name: None if output is None else _output_json(output) for name, output in inputs.items()},
        "outputs": {
            output.id: {**_output_json(output), "path": _text(paths.get(output.id))} for output in node.outputs
        },
        "key": node.key,
        "key_inputs": dict(node.key_inputs),
        "reads": dict(node.reads),
        "wrote": {shown_name(name): checksum for name, checksum in node.wrote.items()},
        "times": None if times is None else {f"{name}_s": value for name, value in asdict(times).items()},
        "failed_attempts": [asdict(attempt) for attempt in node.earlier],
        "memory": node.memory or None,
        "worker": node.worker or None,
        "obstacle": node.obstacle or None,
        "logs": {stream: str(path) for stream, path in files.items()},
    }


def _output_json(output: FinishedOutput) -> dict[str, Any]:
    return {
        "output": output.id,
        **({"type": output.type} if output.type != TABLE else {}),
        "rows": output.rows,
        "bytes": output.bytes,
        "schema": output.schema,
        "digest": output.digest,
        **({"stored": output.stored} if output.stored else {}),
    }


def _text(path: Path | None) -> str | None:
    return str(path) if path is not None and path.exists() else None
