"""Tests of redaction: events, diagnostics and text written to stderr contain no secrets."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from typing import Any, get_args

import pytest

from nfrun.core.contracts import CheckResult
from nfrun.core.errors import Cause, Diagnostic, SourceSpan
from nfrun.core.events import (
    ChecksStarted,
    Event,
    Failure,
    Frame,
    NodeFinished,
    NodeLogged,
    NodeStarted,
    OutputRef,
    RunFinished,
    to_json,
)
from nfrun.system.logs.redaction import Redactor, redact_diagnostic, redact_events, redacted

VALUE = "hunter2"
REDACTOR = Redactor([VALUE])
# These fields are not redacted: names from the pipeline file and paths in the work folder have to stay usable.
UNREDACTED = {
    "id",
    "path",
    "digest",
    "node",
    "because",
    "output",
    "status",
    "kind",
    "level",
    "inputs",
    "outputs",
    "opened",
    "made",
    "name",
    "severity",
    "key",
}


def event_with_secrets(kind: type[Any]) -> Any:
    """Make an event that has the secret in all of its texts."""
    return kind(**{field.name: _value(field.name, str(field.type)) for field in fields(kind)})


def _value(name: str, kind: str) -> Any:
    if name == "failure":
        frames = (Frame(f"{VALUE}.py", 1, VALUE, f"x = '{VALUE}'"),)
        return Failure(Cause.NODE, VALUE, f"m {VALUE}", frames, f"d {VALUE}", (f"t: 1 row, {VALUE}: int64",))
    if name == "ref":
        return OutputRef("a", 1, 2, f"{VALUE}: int64", f"/{VALUE}/a.1.arrow")
    if name in ("inputs", "outputs", "made"):
        return {"a": _value("ref", "")}
    if name == "checks":
        shown = ({"a": VALUE},)
        return (CheckResult("unique: a", "a", "warn", False, 1, 2, f"/{VALUE}", f"{VALUE} is late", shown, "0123"),)
    if name == "absent":
        return ()
    if name == "opened":
        return {"a": 1.0}
    return {"str": f"a {VALUE} b", "bool": False}.get(kind, 1)


def texts(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Return all texts in an event with the names of their fields."""
    if is_dataclass(value):
        return [found for field in fields(value) for found in texts(getattr(value, field.name), field.name)]
    if isinstance(value, dict):
        return [found for item in value.values() for found in texts(item, name)]
    if isinstance(value, tuple):
        return [found for item in value for found in texts(item, f"{name}[]")]
    return [(name, value)] if isinstance(value, str) else []


@pytest.mark.parametrize("kind", [*get_args(Event), ChecksStarted])
def test_event_fields_that_come_from_nodes_are_redacted(kind: type[Any]) -> None:
    event = event_with_secrets(kind)
    before, after = texts(event), texts(redacted(event, REDACTOR))
    assert len(before) == len(after)
    for (name, old), (_, new) in zip(before, after, strict=True):
        assert new == (old if name in UNREDACTED else old.replace(VALUE, "***")), name


def test_without_secrets_events_are_passed_on_unchanged() -> None:
    emitted: list[Event] = []
    assert redact_events(Redactor([]), emitted.append) == emitted.append
    redact_events(REDACTOR, emitted.append)(NodeLogged(1.0, "a", "info", f"a {VALUE}"))
    assert emitted == [NodeLogged(1.0, "a", "info", "a ***")]


def test_the_event_itself_is_not_changed() -> None:
    event = NodeFinished(0.0, "a", 1, {"a": OutputRef("a", 1, 2, f"{VALUE}: int64")})
    redacted(event, REDACTOR)
    assert VALUE in json.dumps(to_json(event))
    assert redacted(NodeStarted(0.0, "a", 1), REDACTOR) == NodeStarted(0.0, "a", 1)
    assert redacted(RunFinished(0.0, "ok"), REDACTOR) == RunFinished(0.0, "ok")


def test_diagnostics_are_redacted() -> None:
    problem = Diagnostic(SourceSpan("p.yaml", 2, 3, 4, f"  a: {VALUE}"), f"'{VALUE}' is wrong", f"not {VALUE}")
    expected = Diagnostic(SourceSpan("p.yaml", 2, 3, 4, "  a: ***"), "'***' is wrong", "not ***")
    assert redact_diagnostic(problem, REDACTOR) == expected
