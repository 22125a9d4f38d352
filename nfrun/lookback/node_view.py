"""Shows all that is recorded of one node of a run: `nfrun show NODE`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nfrun.core.output_types import TABLE, form_of
from nfrun.core.text import ellipsize, escape_controls
from nfrun.core.values import asdict
from nfrun.history.journal import FinishedOutput
from nfrun.history.work_dir import run_number
from nfrun.lookback.layout import NOT_RECORDED, Look, local_time
from nfrun.lookback.log_files import last_lines
from nfrun.lookback.recorded_run import RecordedNode, why
from nfrun.lookback.run_list import ListedRun
from nfrun.lookback.run_view import failure_of, node_json
from nfrun.lookback.runs_view import run_json
from nfrun.reports.format_units import format_calls, format_count, format_seconds, format_size
from nfrun.system.checksums import shown_name

_MAX_FILES = 20
_LAST_LINES = 10
_VERBS = {"ok": "ran", "reused": "was reused", "skipped": "was skipped", "cancelled": "was cancelled"}

Inputs = Mapping[str, FinishedOutput | None]


def node_head(run: ListedRun, node: RecordedNode, look: Look) -> Iterator[str]:
    """Yield when and why a node ran, what it read and what it wrote."""
    yield look.paint(f"node '{node.node}' in run {run.number}: ", "bold") + look.paint(_end(node), node.status)
    finished = node.finished
    yield from look.fields(
        [
            ("why it ran", node.reason or NOT_RECORDED if node.status in ("ok", "failed") else ""),
            ("why it did not run", "" if node.status in ("ok", "failed") else why(node)),
            ("ran in run", str(run_number(finished.home) or finished.home) if finished else ""),
            ("started", _started(run, node)),
            ("attempts", _attempts(node)),
            ("spent", _spent(node)),
            ("memory", f"{format_size(node.memory)} at most" if node.memory else ""),
            ("worker", escape_controls(node.worker)),
            ("calls", "" if node.map is None else format_calls(node.map)),
            ("read", _files(finished.reads if finished else {})),
            ("wrote", _files(finished.wrote if finished else {})),
            ("not reused", finished.obstacle if finished else ""),
        ]
    )


def _attempts(node: RecordedNode) -> str:
    """Return the number of attempts, and why those before the last one failed."""
    failed = [f"{format_seconds(each.ended - each.started)}: {ellipsize(each.error, 200)}" for each in node.failed]
    return "\n".join([str(node.attempts), *failed]) if node.attempts else ""


def _spent(node: RecordedNode) -> str:
    """Return for what the last attempt took its time, "" if that is not recorded."""
    times = node.times
    if times is None or node.status not in ("ok", "failed"):
        return ""
    found = {"queued": times.queued, "waiting for inputs": times.inputs, "working": node.duration}
    found |= {"handing on": times.handoff, "of CPU": times.cpu}
    return ", ".join(f"{format_seconds(value)} {what}" for what, value in found.items() if value or what == "working")


def _end(node: RecordedNode) -> str:
    took = f", {format_seconds(node.duration)}" if node.status in ("ok", "failed") else ""
    return f"{_VERBS.get(node.status, node.status)}{took}"


def _started(run: ListedRun, node: RecordedNode) -> str:
    if node.status == "reused" or node.started is None or not run.header.at:
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
        cells = node.finished.key_inputs.get(f"cells {name}") if node.finished else None
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
        yield failure_of(run, node, [])


def log_tails(files: Mapping[str, Path], look: Look) -> Iterator[str]:
    """Yield the path and the last lines of each log file of the last attempt."""
    for stream, path in files.items():
        yield from ("", f"{look.paint(stream, 'bold')}  {look.paint(escape_controls(str(path)), 'dim')}")
        yield from (f"  {line}" for line in last_lines(path, _LAST_LINES))


def node_document(
    run: ListedRun, node: RecordedNode, inputs: Inputs, files: Mapping[str, Path], paths: Mapping[str, Path | None]
) -> dict[str, Any]:
    """Return a node as a JSON document. `files` are its logs by stream, `paths` the files of its outputs by id."""
    finished = node.finished
    return {
        "run": run_json(run),
        "node": node.node,
        **node_json(node),
        "home": (finished.home if finished else "") or None,
        "inputs": {name: None if output is None else _output_json(output) for name, output in inputs.items()},
        "outputs": {
            output.id: {**_output_json(output), "path": _text(paths.get(output.id))} for output in node.outputs
        },
        "key": finished.key if finished else None,
        "key_inputs": dict(finished.key_inputs) if finished else {},
        "reads": dict(finished.reads) if finished else {},
        "wrote": {shown_name(name): checksum for name, checksum in finished.wrote.items()} if finished else {},
        "times": None if node.times is None else {f"{name}_s": value for name, value in asdict(node.times).items()},
        "failed_attempts": [asdict(attempt) for attempt in node.failed],
        "memory": node.memory or None,
        "worker": node.worker or None,
        "obstacle": (finished.obstacle if finished else "") or None,
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
