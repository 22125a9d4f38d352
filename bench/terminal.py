"""Measures what a run pays for being shown on a terminal: a frame of the live view, and keeping the record.

Neither may depend on the number of nodes, or of the cells of a matrix.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

from bench.measure import Line, Sample, clocked, interleaved, versus
from bench.noop import layers
from nfrun.core.events import Event, NodeFinished, NodeStarted
from nfrun.core.pipeline import NodeSpec, Pipeline
from nfrun.core.plan import Node, Plan, make_plan
from nfrun.reports.progress.live_view import LiveView
from nfrun.reports.run_record import RunRecord

_SMALL, _LARGE = 1_000, 100_000
_FRAMES = 200


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Measure both in runs of 1,000 and of 100,000 nodes of which half have ended."""
    plans = {count: _plan(count) for count in (_SMALL, _LARGE)}
    frames = interleaved({count: partial(_frames, plan) for count, plan in plans.items()}, repeat)
    what = f"live view, a frame: {_LARGE:,} nodes / {_SMALL:,}"
    yield versus(what, frames[_LARGE], frames[_SMALL], "<= 1.5", each=_FRAMES)
    matrices = interleaved({count: partial(_frames, plan, of="fit") for count, plan in plans.items()}, repeat)
    what = f"live view of a matrix, a frame: {_LARGE:,} cells / {_SMALL:,}"
    yield versus(what, matrices[_LARGE], matrices[_SMALL], "<= 1.5", each=_FRAMES)
    records = interleaved({count: partial(_fold, plan) for count, plan in plans.items()}, repeat)
    per_node = {count: [Sample(s.cpu / count, s.wall / count) for s in records[count]] for count in plans}
    yield versus(f"record, a node of {_LARGE:,} / of {_SMALL:,}", per_node[_LARGE], per_node[_SMALL], "<= 1.5")
    folds = {"cells": partial(_fold, plans[_LARGE], of="fit"), "nodes": partial(_fold, plans[_LARGE])}
    found = interleaved(folds, repeat)
    yield versus(f"record of {_LARGE:,}: a cell / a node", found["cells"], found["nodes"], "", each=_LARGE)


def _plan(count: int) -> Plan:
    return make_plan([Node(name, needs) for name, needs in layers(count).items()], slots=8)


def _events(plan: Plan) -> list[Event]:
    names = [name for stage in plan.stages for name in stage]
    ended = names[: len(names) // 2]
    events: list[Event] = []
    for name in ended:
        events += [NodeStarted(1.0, name, 1), NodeFinished(2.0, name, 1, duration=1.0)]
    return [*events, *[NodeStarted(2.0, name, 1) for name in names[len(ended) : len(ended) + 8]]]


def _record(plan: Plan, of: str) -> RunRecord:
    """Return a new record; its nodes are the cells of a matrix `of` that name, if there is one."""
    return RunRecord(plan, _pipeline(len(plan.nodes), of))


@cache
def _pipeline(count: int, of: str) -> Pipeline:
    ids = {name: f"{of}@{name}" if of else name for name in layers(count)}
    cell = {"value": 1} if of else {}
    nodes = {name: NodeSpec(id, "python", "", (), {}, (), (), {}, cell=cell) for name, id in ids.items()}
    return Pipeline("many.yaml", "", "many", "", {}, {}, nodes, {})


def _frames(plan: Plan, of: str = "") -> Sample:
    record = _record(plan, of)
    for event in _events(plan):
        record.event(event)
    view = LiveView(record, io.StringIO(), colored=True)
    view.tick()  # the first frame looks for the first open stage

    def draw() -> None:
        for _ in range(_FRAMES):
            view.tick()

    return clocked(draw)


def _fold(plan: Plan, of: str = "") -> Sample:
    record, events = _record(plan, of), _events(plan)

    def fold() -> None:
        for event in events:
            record.event(event)

    return clocked(fold)
