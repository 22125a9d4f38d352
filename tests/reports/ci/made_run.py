"""A run of every sort of node, made of events, for the tests of what CI systems read."""

from __future__ import annotations

from collections.abc import Sequence

from nfrun.core.contracts import CheckResult
from nfrun.core.errors import Cause, SourceSpan
from nfrun.core.events import (
    NOT_SELECTED,
    Event,
    Failure,
    Frame,
    NodeCancelled,
    NodeFailed,
    NodeFinished,
    NodeRetrying,
    NodeSkipped,
    NodeStarted,
    OutputRef,
    RunFinished,
    RunStarted,
)
from nfrun.core.pipeline import Input, NodeSpec, OutputId, Pipeline
from nfrun.core.plan import Node, Plan, make_plan
from nfrun.core.values import replace
from nfrun.reports.run_record import RunRecord

HOSTILE = "\x1b[31m\x00\ufffe</failure>]]>&\"'<script>\ud800 ::error::x ##[stop-commands]t | `a` \u202e\r\n%0A"
ERROR = Failure(
    Cause.NODE,
    "KeyError",
    HOSTILE,
    (Frame("steps.py", 21, "score", "return table[price]"),),
    "caused by rain",
    ("orders: 2 rows, id: int64",),
)
LOST = Failure(Cause.LOST, "", "the worker process ended")
HELD = CheckResult("unique: id", "etl@DE/clean", "error", True, 0, 10)
WARNED = CheckResult(f"hostile {HOSTILE}", "etl@DE/clean", "warn", False, 3, 10, "/w/rows.arrow", shown=({"id": "1"},))
SKIPPED = CheckResult("rows: min 5", "etl@DE/clean.small", "skip", False, reason="it has 1 row")
BROKEN = CheckResult("not_null: id", "checked", "error", False, 2, 10)


def spec(id: str, line: int, *reads: str, **settings: object) -> NodeSpec:
    inputs = tuple(Input(read, OutputId(read)) for read in reads)
    made = NodeSpec(id, "python", "steps:score", inputs, {}, (), (), {}, source=SourceSpan("etl.yaml", line, 3))
    return replace(made, **settings)


NODES = [
    spec("orders", 3),
    spec("old", 4),
    spec("fit@lr", 5, "orders", cell={"model": "lr"}),
    spec("fit@rf", 5, "orders", cell={"model": "rf"}),
    spec("etl@DE/clean", 2, "orders", source=SourceSpan("sub/clean.yaml", 2, 3)),
    spec("checked", 6, "orders"),
    spec("may_fail", 7),
    spec("after", 8, "fit@rf"),
    spec("late", 9),
    spec("left_out", 10),
]
OFF, CLOSING = spec("off", 11), spec("notify", 12, section="finally")


def pipeline(name: str = "shop") -> Pipeline:
    return Pipeline(
        "etl.yaml",
        "/w",
        name,
        "",
        {},
        {},
        {node.id: node for node in NODES},
        {},
        disabled={"off": "its 'if' is false"},
        disabled_nodes={"off": OFF},
        finally_={"notify": CLOSING},
    )


def plan() -> Plan:
    nodes = [Node(n.id, n.upstream, reads=tuple(i.output for i in n.inputs)) for n in NODES if n.id != "left_out"]
    return replace(make_plan(nodes, slots=2), not_selected=("left_out",))


def ref(id: str, rows: int = 10) -> OutputRef:
    return OutputRef(OutputId(id), rows, 80, "id: int64", f"/w/{id}.arrow", "xxh3_128:00")


EVENTS: list[Event] = [
    RunStarted(0.0, 9, 2),
    NodeFinished(0.01, "old", 1, {"old": ref("old")}, reused=True),
    NodeStarted(0.02, "orders", 1),
    NodeFinished(1.02, "orders", 1, {"orders": ref("orders")}, duration=0.9, publish_wait=0.05),
    NodeStarted(1.05, "fit@lr", 1, {"orders": ref("orders")}, queue_wait=0.03),
    NodeStarted(1.05, "fit@rf", 1, {"orders": ref("orders")}, queue_wait=0.03),
    NodeRetrying(1.25, "fit@lr", 1, 0.5, LOST, duration=0.2),
    NodeStarted(1.3, "etl@DE/clean", 1, {"orders": ref("orders")}, queue_wait=0.28),
    NodeFinished(
        1.6,
        "etl@DE/clean",
        1,
        {"etl@DE/clean": ref("etl@DE/clean", 7)},
        duration=0.25,
        input_waits={OutputId("orders"): 0.02},
        checks=(HELD, WARNED, SKIPPED),
        absent=(OutputId("etl@DE/clean", "small"),),
    ),
    NodeStarted(1.75, "fit@lr", 2, {"orders": ref("orders")}),
    NodeFailed(2.0, "fit@rf", 1, ERROR, duration=0.9),
    NodeSkipped(2.0, "after", "fit@rf"),
    NodeStarted(2.0, "checked", 1, {"orders": ref("orders")}),
    NodeFailed(
        2.1, "checked", 1, Failure(Cause.CHECK, "", "failed its check 'not_null: id'"), duration=0.1, checks=(BROKEN,)
    ),
    NodeStarted(2.1, "may_fail", 1),
    NodeFailed(2.2, "may_fail", 1, Failure(Cause.NODE, "ValueError", "odd"), duration=0.1, tolerated=True),
    NodeFinished(2.5, "fit@lr", 2, {"fit@lr": ref("fit@lr", 1)}, duration=0.7),
    NodeCancelled(2.5, "late", "node 'fit@rf' failed"),
    NodeStarted(2.6, "notify", 1),
    NodeFailed(2.7, "notify", 1, LOST, duration=0.1),
    RunFinished(2.8, "failed", cause=Cause.NODE),
]
STATUSES = {
    "orders": "ok",
    "old": "reused",
    "fit@lr": "ok",
    "fit@rf": "failed",
    "etl@DE/clean": "ok",
    "checked": "failed",
    "may_fail": "failed",
    "after": "skipped",
    "late": "cancelled",
    "left_out": NOT_SELECTED,
    "notify": "failed",
}


def record_of(events: Sequence[Event] = EVENTS, of: Pipeline | None = None) -> RunRecord:
    record = RunRecord(plan(), of or pipeline())
    for event in events:
        record.event(event)
    return record
