"""Writes a run as one JSON document: `nfrun run --json`, and `$NFRUN_REPORT` for the nodes that run last.

What it says of a node and of a failure is also in `nfrun show --json` and in the page of a run. Its keys are stable:
users rely on them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from nfrun.core.events import AllNodesEnded, Event, Failure, RunFinished
from nfrun.core.pipeline import TABLE
from nfrun.core.values import asdict, field, mutable
from nfrun.reports.format_units import path_here
from nfrun.reports.line_reporter import NoEvents
from nfrun.reports.run_record import NodeRecord, RunRecord
from nfrun.system.logs.node_logs import LOG, STREAMS, log_path

if TYPE_CHECKING:
    from nfrun.history.journal import RecordedNode

_OF_CALLS = ("retry_after", "rows", "sample", "is_certain", "is_final")  # of a failure, left out where there is none


@mutable
class RunDocument(NoEvents):
    """A reporter that writes the document to `stream` when the run has ended.

    `run` is the id of the run, `logs` the folder with the logs of nodes. `peak_rss()` returns the peak memory of the
    process in bytes.
    """

    record: RunRecord
    run: str
    logs: Path
    peak_rss: Callable[[], int]
    stream: IO[str] | None = None

    name = "on stdout"

    def close(self) -> None:
        """Write the document."""
        assert self.stream is not None
        self.stream.write(json.dumps(self.as_json(), indent=2) + "\n")
        self.stream.flush()

    def as_json(self, end: RunFinished | None = None) -> dict[str, Any]:
        """Return the document. Times are seconds, rounded to microseconds. `end` is that of a run that goes on."""
        record, end, outputs = self.record, self.record.end or end, self.record.pipeline.outputs
        # Leave out outputs without a digest: a run that was cut short may have refs that were never published.
        refs = {name: ref for name, id in outputs.items() if (ref := record.refs.get(id)) and ref.digest}
        return {
            "run": self.run,
            "name": record.pipeline.name,
            "status": end.status if end else "failed",
            "error": (end.error or None) if end else "the run did not end",
            "counts": record.counts(),
            "wall_s": _round(end.at if end else record.at),
            "sequential_s": _round(record.sequential),
            "critical_path_s": _round(record.critical_path()[1]),
            "critical_path": record.critical_path()[0],
            "peak_rss_bytes": self.peak_rss(),
            "stages": [
                {
                    "index": stage.index,
                    "nodes": list(stage.names),
                    "wall_s": _round(stage.wall),
                    "busy_s": _round(stage.busy),
                }
                for stage in record.stages()
            ],
            "nodes": {name: self._node(name, node) for name, node in record.all_nodes().items()},
            "outputs": {
                name: {
                    **({"type": ref.type} if ref.type != TABLE else {}),
                    "path": path_here(ref),
                    **({"stored": ref.stored} if ref.is_remote else {}),
                    "rows": ref.rows if ref.type == TABLE else None,
                    "bytes": ref.bytes,
                    "digest": ref.digest,
                }
                for name, ref in refs.items()
            },
        }

    def _node(self, name: str, node: NodeRecord) -> dict[str, Any]:
        pipeline = self.record.pipeline
        spec = pipeline.nodes.get(name) or pipeline.disabled_nodes.get(name)
        logs = {stream: log_path(self.logs, name, node.attempts, stream) for stream in (*STREAMS, LOG)}
        return {
            **node_document(node, spec.of if spec else "", spec.cell if spec else {}, node.duration),
            "stage": node.stage if node.stage >= 0 else None,
            "queued_s": _round(node.queue_wait),
            "handoff_s": _round(node.handoff),
            "cpu_s": _round(node.cpu),
            "locked_s": _round(node.gil_wait),
            "bytes": node.bytes,
            "logs": {stream: str(path) for stream, path in logs.items() if path.exists()},
        }


def node_document(node: NodeRecord | RecordedNode, of: str, cell: Mapping[str, Any], took: float) -> dict[str, Any]:
    """Return what all documents say of a node, which is a `cell` of the matrix `of` if this is not ""."""
    return {
        **({"of": of, "matrix": dict(cell)} if of else {}),
        "status": node.status,
        "attempts": node.attempts,
        "started_s": None if node.started is None else _round(node.started),
        "took_s": _round(took),
        "rows": node.rows,
        "error": node.failure.error if node.failure else None,
        "because": node.because or None,
        **({"tolerated": True} if node.tolerated else {}),
        **({"checks": [check.as_json() for check in node.checks]} if node.checks else {}),
        **({"map": node.map.as_json()} if node.map is not None else {}),
    }


def failure_document(failure: Failure) -> dict[str, Any]:
    """Return a failure as JSON values."""
    found = {name: value for name, value in asdict(failure).items() if value or name not in _OF_CALLS}
    return {**found, "cause": str(failure.cause)}


def _round(value: float) -> float:
    return round(value, 6)


@mutable
class EndReport:
    """A reporter that writes what `document(end)` returns to `path` when all nodes have ended, and sets `written`.

    `write(path, text)` writes the file.
    """

    path: Path
    document: Callable[[RunFinished], dict[str, Any]]
    write: Callable[[Path, str], object]
    written: threading.Event = field(default_factory=threading.Event)

    name = "for the last nodes"
    event_types = (AllNodesEnded,)

    def event(self, event: Event) -> None:
        """Write the document. Raises OSError."""
        if isinstance(event, AllNodesEnded):
            self.write(self.path, json.dumps(self.document(event.end), indent=2) + "\n")
            self.written.set()
