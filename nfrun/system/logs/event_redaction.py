"""Redacts secrets in events and diagnostics before they leave a run.

Elsewhere: `node_logs.py` filters what nodes print, `system/std_streams.py` messages and stderr, and
`reports/summary.py` previews of tables.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from nfrun.core.contracts import CheckResult
from nfrun.core.errors import Diagnostic
from nfrun.core.events import (
    AttemptStopped,
    Event,
    Failure,
    NodeCancelled,
    NodeFailed,
    NodeFinished,
    NodeLogged,
    NodeRetrying,
    NodeStarted,
    OutputPublished,
    OutputRef,
    OutputReleased,
    RunFinished,
)
from nfrun.core.values import replace
from nfrun.system.logs.redaction import Redactor


def redact_events(redactor: Redactor, emit: Callable[[Event], None]) -> Callable[[Event], None]:
    """Wrap `emit` so that it gets events with redacted text. Without secrets, returns `emit` itself.

    Names of nodes and paths of outputs stay as they are.
    """
    if not redactor:
        return emit
    return lambda event: emit(redacted(event, redactor))


def redacted(event: Event, redactor: Redactor) -> Event:
    """Return the event with all text redacted that may come from a node."""
    if isinstance(event, NodeLogged):
        return replace(event, text=redactor(event.text))
    if isinstance(event, NodeFailed):
        return replace(event, failure=_failure(event.failure, redactor), checks=_checks(event.checks, redactor))
    if isinstance(event, NodeRetrying):
        return replace(event, failure=_failure(event.failure, redactor))
    if isinstance(event, RunFinished):
        return replace(event, error=redactor(event.error))
    if isinstance(event, NodeCancelled | AttemptStopped):
        return replace(event, why=redactor(event.why))
    if isinstance(event, NodeStarted):
        return replace(event, inputs={id: _ref(ref, redactor) for id, ref in event.inputs.items()})
    if isinstance(event, NodeFinished):
        outputs = {id: _ref(ref, redactor) for id, ref in event.outputs.items()}
        return replace(event, outputs=outputs, checks=_checks(event.checks, redactor))
    if isinstance(event, OutputPublished | OutputReleased):
        return replace(event, ref=_ref(event.ref, redactor))
    return event


def redact_diagnostic(diagnostic: Diagnostic, redact: Callable[[str], str]) -> Diagnostic:
    """Return the diagnostic with its message, hint and source line redacted."""
    where = replace(diagnostic.span, text=redact(diagnostic.span.text))
    return Diagnostic(where, redact(diagnostic.message), redact(diagnostic.hint))


def redact_value(value: Any, redact: Callable[[str], str]) -> Any:
    """Return a JSON value with all text in it redacted. A number that is a secret becomes a text."""
    if isinstance(value, Mapping):
        return {redact(str(key)): redact_value(item, redact) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_value(item, redact) for item in value]
    text = value if isinstance(value, str) else json.dumps(value)
    redacted = redact(text)
    return value if redacted == text else redacted


def _failure(failure: Failure, redactor: Redactor) -> Failure:
    frames = tuple(
        replace(frame, file=redactor(frame.file), function=redactor(frame.function), source=redactor(frame.source))
        for frame in failure.frames
    )
    return replace(
        failure,
        type=redactor(failure.type),
        message=redactor(failure.message),
        frames=frames,
        details=redactor(failure.details),
        inputs=tuple(map(redactor, failure.inputs)),
        rows=redactor(failure.rows),
        sample=redactor(failure.sample),
    )


def _checks(checks: tuple[CheckResult, ...], redactor: Redactor) -> tuple[CheckResult, ...]:
    """Return the results of checks with the values of columns redacted."""
    return tuple(
        replace(
            check,
            reason=redactor(check.reason),
            shown=tuple({redactor(name): redactor(value) for name, value in row.items()} for row in check.shown),
        )
        for check in checks
    )


def _ref(ref: OutputRef, redactor: Redactor) -> OutputRef:
    return replace(ref, schema=redactor(ref.schema))  # a schema has the names of columns
