"""Writes a run as one JSON document: `nfrun run --json`. Its keys are stable: users rely on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from nfrun.core.events import NOT_SELECTED, Event, RunFinished
from nfrun.core.output_types import TABLE
from nfrun.core.pipeline import NOTHING, NodeSpec, Pipeline
from nfrun.reports.run_record import NodeRecord, RunRecord
from nfrun.reports.shown_places import path_here
from nfrun.system.logs.node_logs import LOG, STREAMS, log_path


def run_document(
    record: RunRecord, pipeline: Pipeline, run: str, logs: Path, stream: IO[str], peak_rss: Callable[[], int]
) -> RunDocument:
    """Return the reporter for a run of a pipeline. `run` is its id."""
    return RunDocument(
        record,
        stream,
        run=run,
        name=pipeline.name,
        outputs=pipeline.outputs,
        logs=logs,
        peak_rss=peak_rss,
        disabled=pipeline.disabled,
        nodes={**pipeline.nodes, **pipeline.disabled_nodes},
    )


class RunDocument:
    """A reporter that writes the document when the run has ended.

    `nodes` are those of the pipeline, `outputs` maps the shown names to output ids, and `disabled` the nodes that
    planning has taken out to the reasons. `logs` is the folder with the logs of nodes. `peak_rss()` returns the peak
    memory of the process in bytes.
    """

    name = "on stdout"

    def __init__(
        self,
        record: RunRecord,
        stream: IO[str],
        *,
        run: str,
        name: str,
        outputs: Mapping[str, str],
        logs: Path,
        peak_rss: Callable[[], int],
        disabled: Mapping[str, str] = NOTHING,
        nodes: Mapping[str, NodeSpec] = NOTHING,
    ) -> None:
        self._record = record
        self._stream = stream
        self._run = run
        self._name = name
        self._specs = nodes
        self._outputs = outputs
        self._logs = logs
        self._peak_rss = peak_rss
        self._disabled = disabled

    event_types = ()

    def event(self, event: Event) -> None:
        """Do nothing: the record keeps the state of the run."""

    def close(self) -> None:
        """Write the document."""
        json.dump(self.as_json(), self._stream, indent=2)
        self._stream.write("\n")
        self._stream.flush()

    def as_json(self, end: RunFinished | None = None) -> dict[str, Any]:
        """Return the document. Times are seconds, rounded to microseconds. `end` is that of a run that goes on."""
        record, end = self._record, self._record.end or end
        # Leave out outputs without a digest: a run that was cut short may have refs that were never published.
        refs = {name: ref for name, id in self._outputs.items() if (ref := record.refs.get(id)) and ref.digest}
        return {
            "run": self._run,
            "name": self._name,
            "status": end.status if end else "failed",
            "error": (end.error or None) if end else "the run did not end",
            "counts": record.counts(),
            "wall_s": _round(end.at if end else record.at),
            "sequential_s": _round(record.sequential),
            "critical_path_s": _round(record.critical_path()[1]),
            "critical_path": record.critical_path()[0],
            "peak_rss_bytes": self._peak_rss(),
            "stages": [
                {
                    "index": stage.index,
                    "nodes": list(stage.names),
                    "wall_s": _round(stage.wall),
                    "busy_s": _round(stage.busy),
                }
                for stage in record.stages()
            ],
            "nodes": {
                **{name: self._node(name, record.nodes[name]) for name in record.names},
                **{
                    name: self._absent_node(name, NodeRecord(0, NOT_SELECTED))
                    for name in record.plan.not_selected
                    if name not in record.nodes
                },
                **{
                    name: self._absent_node(name, NodeRecord(0, "disabled", because=reason))
                    for name, reason in self._disabled.items()
                },
            },
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

    def _absent_node(self, name: str, node: NodeRecord) -> dict[str, Any]:
        return {**self._node(name, node), "stage": None}

    def _node(self, name: str, node: NodeRecord) -> dict[str, Any]:
        spec = self._specs.get(name)
        failure = node.failure
        logs = {stream: log_path(self._logs, name, node.attempts, stream) for stream in (*STREAMS, LOG)}
        return {
            **({"of": spec.of, "matrix": dict(spec.cell)} if spec and spec.of else {}),
            "status": node.status,
            "stage": node.stage,
            "attempts": node.attempts,
            "started_s": None if node.started is None else _round(node.started),
            "took_s": _round(node.duration),
            "queued_s": _round(node.queue_wait),
            "handoff_s": _round(node.handoff),
            "cpu_s": _round(node.cpu),
            "locked_s": _round(node.gil_wait),
            "rows": node.rows,
            "bytes": node.bytes,
            "error": failure.error if failure else None,
            "because": node.because or None,
            **({"tolerated": True} if node.tolerated else {}),
            **({"checks": [check.as_json() for check in node.checks]} if node.checks else {}),
            **({"map": node.map.as_json()} if node.map is not None else {}),
            "logs": {stream: str(path) for stream, path in logs.items() if path.exists()},
        }


def _round(value: float) -> float:
    return round(value, 6)
