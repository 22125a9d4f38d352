"""Where secrets are taken out of what leaves a run: events on their way to whoever hears of them, errors, and stderr.

Everything else of nfrun sees values as they are. Knows no reports.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

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
from nfrun.core.pipeline import Pipeline
from nfrun.logs.redaction import Redactor


def redactor_of(pipeline: Pipeline, environ: Mapping[str, str]) -> Redactor:
    """What hides the secrets of the pipeline, as far as they have values."""
    return Redactor(environ[name] for name in pipeline.secrets if name in environ)


def redact_events(redactor: Redactor, emit: Callable[[Event], None]) -> Callable[[Event], None]:
    """What passes events on to `tell` with their texts redacted. Names of nodes and paths of files stay."""
    if not redactor:
        return emit
    return lambda event: emit(redacted(event, redactor))


def redacted(event: Event, redactor: Redactor) -> Event:
    """The event with all text in it redacted that may come from a node."""
    if isinstance(event, NodeLogged):
        return replace(event, text=redactor(event.text))
    if isinstance(event, NodeFailed | NodeRetrying):
        return replace(event, failure=_failure(event.failure, redactor))
    if isinstance(event, RunFinished):
        return replace(event, error=redactor(event.error))
    if isinstance(event, NodeCancelled | AttemptStopped):
        return replace(event, why=redactor(event.why))
    if isinstance(event, NodeStarted):
        return replace(event, inputs={id: _ref(ref, redactor) for id, ref in event.inputs.items()})
    if isinstance(event, NodeFinished):
        return replace(event, outputs={id: _ref(ref, redactor) for id, ref in event.outputs.items()})
    if isinstance(event, OutputPublished | OutputReleased):
        return replace(event, ref=_ref(event.ref, redactor))
    return event


def redact_diagnostic(problem: Diagnostic, redactor: Redactor) -> Diagnostic:
    """The problem with all text in it redacted; the line of the file that it shows too."""
    where = replace(problem.span, text=redactor(problem.span.text))
    return Diagnostic(where, redactor(problem.message), redactor(problem.hint))


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
    )


def _ref(ref: OutputRef, redactor: Redactor) -> OutputRef:
    return replace(ref, schema=redactor(ref.schema))  # it has the names of columns
