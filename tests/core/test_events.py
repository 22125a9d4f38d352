"""The JSON form of the events. It is stable: fields may be added, but none is renamed."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import get_args

import pytest

from nfrun.core.errors import Cause
from nfrun.core.events import (
    JSON_KEYS,
    NOTHING,
    AllNodesEnded,
    AttemptStopped,
    CallEnded,
    Event,
    Failure,
    Frame,
    NodeCancelled,
    NodeFailed,
    NodeFinished,
    NodeLogged,
    NodeProgressed,
    NodeRetrying,
    NodeSkipped,
    NodeStarted,
    NodeWaiting,
    Outcome,
    OutputPublished,
    OutputRef,
    OutputReleased,
    RunFinished,
    RunStarted,
    event_name,
    to_json,
)

REF = OutputRef("a.left", 3, 24, "x: int64", "/tmp/a.arrow", "xxh3:1", 2, 512)
REF_JSON = {
    "id": "a.left",
    "rows": 3,
    "bytes": 24,
    "schema": "x: int64",
    "path": "/tmp/a.arrow",
    "digest": "xxh3:1",
    "attempt": 2,
    "size": 512,
    "checksum": None,
    "traits": None,
    "type": "table",
}
FAILURE = Failure(
    Cause.NODE, "KeyError", "'x'", (Frame("steps.py", 7, "join", "row['x']"),), "stderr", ("a: 3 rows, x",)
)
FAILURE_JSON = {
    "kind": "error",
    "type": "KeyError",
    "message": "'x'",
    "frames": [{"file": "steps.py", "line": 7, "function": "join", "source": "row['x']"}],
    "details": "stderr",
    "inputs": ["a: 3 rows, x"],
    "errno": None,
    "retry_after": None,
    "rows": "",
    "sample": "",
    "is_certain": False,
    "is_final": False,
}

PROMISED: list[tuple[Event, dict[str, object]]] = [
    (RunStarted(0.0, 3, 2), {"event": "run_started", "at": 0.0, "nodes": 3, "slots": 2}),
    (
        NodeStarted(0.5, "a", 1, {"a.left": REF}, 0.25),
        {
            "event": "node_started",
            "at": 0.5,
            "node": "a",
            "attempt": 1,
            "inputs": {"a.left": REF_JSON},
            "queued": 0.25,
            "granted": {},
        },
    ),
    (
        NodeFinished(1.0, "a", 2, {"a.left": REF}, 0.5, 0.1, {"b": 0.2}),
        {
            "event": "node_finished",
            "at": 1.0,
            "node": "a",
            "attempt": 2,
            "outputs": {"a.left": REF_JSON},
            "took": 0.5,
            "published": 0.1,
            "opened": {"b": 0.2},
        },
    ),
    (
        NodeRetrying(1.0, "a", 1, 2.0, FAILURE, 0.5),
        {
            "event": "node_retrying",
            "at": 1.0,
            "node": "a",
            "attempt": 1,
            "delay": 2.0,
            "failure": FAILURE_JSON,
            "took": 0.5,
        },
    ),
    (
        NodeFailed(1.0, "a", 1, FAILURE, 0.5),
        {"event": "node_failed", "at": 1.0, "node": "a", "attempt": 1, "failure": FAILURE_JSON, "took": 0.5}
        | {"tolerated": False},
    ),
    (NodeSkipped(1.0, "b", "a"), {"event": "node_skipped", "at": 1.0, "node": "b", "because": "a", "tolerated": False}),
    (
        NodeWaiting(1.0, "b", 2),
        {"event": "node_waiting", "at": 1.0, "node": "b", "attempt": 2, "for_budget": False},
    ),
    (NodeCancelled(1.0, "b", "why"), {"event": "node_cancelled", "at": 1.0, "node": "b", "why": "why"}),
    (
        AttemptStopped(1.0, "b", 3, "timeout"),
        {"event": "attempt_stopped", "at": 1.0, "node": "b", "attempt": 3, "why": "timeout"},
    ),
    (
        CallEnded(1.0, "b", 3, 7),
        {"event": "call_ended", "at": 1.0, "node": "b", "attempt": 3, "call": 7},
    ),
    (
        OutputReleased(1.0, "a.left", REF),
        {"event": "output_released", "at": 1.0, "output": "a.left", "ref": REF_JSON},
    ),
    (
        OutputPublished(1.0, "a.left", REF),
        {"event": "output_published", "at": 1.0, "output": "a.left", "ref": REF_JSON},
    ),
    (
        NodeLogged(1.0, "a", "stdout", "hello"),
        {"event": "node_logged", "at": 1.0, "node": "a", "level": "stdout", "text": "hello"},
    ),
    (
        NodeProgressed(1.0, "a", 3.0, None),
        {"event": "node_progressed", "at": 1.0, "node": "a", "done": 3.0, "total": None},
    ),
    (
        AllNodesEnded(8.0, RunFinished(8.0, "ok")),
        {"event": "all_nodes_ended", "at": 8.0, "end": {"at": 8.0, "status": "ok", "error": "", "kind": None}},
    ),
    (
        RunFinished(9.0, "failed", "disk full"),
        {"event": "run_finished", "at": 9.0, "status": "failed", "error": "disk full"},
    ),
]


@pytest.mark.parametrize(("event", "promised"), PROMISED, ids=lambda value: type(value).__name__)
def test_an_event_in_json_has_the_promised_names_and_values(event: Event, promised: dict[str, object]) -> None:
    assert {key: to_json(event)[key] for key in promised} == promised


@pytest.mark.parametrize("event", [event for event, _ in PROMISED], ids=lambda event: type(event).__name__)
def test_an_event_in_json_begins_with_its_name_and_has_all_fields(event: Event) -> None:
    as_json = to_json(event)
    assert list(as_json) == ["event", *(JSON_KEYS.get(f.name, f.name) for f in fields(event))]
    assert json.loads(json.dumps(as_json, allow_nan=False)) == as_json


@pytest.mark.parametrize("cause", Cause)
def test_a_failure_in_json_has_a_kind_and_denied_permission_is_one_of_io(cause: Cause) -> None:
    as_json = json.loads(json.dumps(to_json(NodeFailed(1.0, "a", 1, Failure(cause, "", "denied", errno=13)))))
    kind = "io" if cause is Cause.PERMISSION else cause.value
    assert (as_json["failure"]["kind"], as_json["failure"]["errno"]) == (kind, 13)


def test_every_event_has_a_promised_json_form_a_unique_name_and_a_time() -> None:
    kinds = get_args(Event)
    assert {type(event) for event, _ in PROMISED} == set(kinds)
    assert len({event_name(kind) for kind in kinds}) == len(kinds)
    assert all(fields(kind)[0].name == "at" for kind in kinds)


def test_the_name_of_an_event_is_in_lower_case_with_underscores() -> None:
    assert event_name(NodeStarted) == "node_started"
    assert event_name(RunFinished) == "run_finished"


def test_mappings_without_a_value_are_one_shared_empty_mapping() -> None:
    assert Outcome("a", 1).outputs is NodeStarted(0.0, "a", 1).inputs is NOTHING
    assert NOTHING == {}


def test_an_outcome_without_a_failure_is_ok() -> None:
    outcome = Outcome("a", 1)
    assert (outcome.failure, outcome.outputs, outcome.duration) == (None, {}, 0.0)
