"""All that can happen in a run: outcomes go into the scheduler, events come out. Values only; decides nothing.

Times (`at`) are seconds since the run began, durations are seconds. The JSON form of an event (`to_json`) is a promise
to users of `--events`: fields may be added, none is renamed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, TypeVar, dataclass_transform

GIL_WAIT_SECONDS = 0.05  # a node that waited less for the interpreter's lock has nothing to gain

_Value = TypeVar("_Value")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[_Value]) -> type[_Value]:
    """A dataclass that the type checker holds to be frozen, and that is not at run time.

    Freezing makes every field a call when a value is made: 0.9 us instead of 0.3, several times a node.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)


NOTHING: Mapping[str, Any] = {}  # one for all attempts that read, hand on and wait for nothing


def _nothing() -> Mapping[str, Any]:
    return NOTHING


@value
class OutputRef:
    """An output of a node as it travels between nodes: what it is and where it lies, never the table itself.

    `id` is `node` or `node.output`; `bytes` counts the table's buffers in memory; `schema` is one line of
    `column: type` pairs; `path` is the Arrow IPC file, None while there is none, and `size` the bytes in it; `digest`
    is that of the content, None until it has been computed; `checksum` is that of the file as a whole, None where
    nobody had all of it in hand; `traits` stands for what readers see beside the content,
    such as metadata of the schema, None where no file was written.
    """

    id: str
    rows: int
    bytes: int
    schema: str
    path: str | None = None
    digest: str | None = None
    attempt: int = 1
    size: int | None = None
    checksum: str | None = None
    schema_digest: str | None = None


@value
class Frame:
    """One line of a user's traceback: `file`, `line` counted from 1, the function's name and the source text."""

    file: str
    line: int
    function: str
    source: str


@value
class Failure:
    """Why an attempt failed. Strings only: it crosses the borders of processes and hosts.

    `kind` is `error` (the node raised or exited with a status), `timeout`, `io` (nfrun could not read or write a file;
    never retried), `cancelled` or `lost` (its worker vanished). `details` is text to show as it is, such as the end of
    a shell node's stderr; `inputs` is one line for each input, `name: rows, schema`.
    """

    kind: str
    type: str
    message: str
    frames: tuple[Frame, ...] = ()
    details: str = ""
    inputs: tuple[str, ...] = ()


@value
class Outcome:
    """What an executor says about one attempt.

    `lost` says why the worker vanished: not the node's fault, so it has a budget of its own. `took` is seconds of work,
    measured where the work was; `published` seconds waited to hand the outputs on; `opened` seconds waited for each
    input, by output id. `cpu` is the CPU seconds of the thread that did the work, `locked` the seconds that it waited
    for the interpreter's lock, as far as could be seen (see `engine/gil_contention.py`). `reused`: nothing was done,
    as the outputs are those of an earlier run.
    """

    node: str
    attempt: int
    failure: Failure | None = None
    lost: str | None = None
    outputs: Mapping[str, OutputRef] = field(default_factory=_nothing)
    duration: float = 0.0
    publish_wait: float = 0.0
    input_waits: Mapping[str, float] = field(default_factory=_nothing)
    cpu: float = 0.0
    gil_wait: float = 0.0
    reused: bool = False


@value
class RunStarted:
    """The first event. `nodes` and `slots` are counts."""

    at: float
    nodes: int
    slots: int


@value
class NodeStarted:
    """At once the order to an executor and the fact for the reports. `queued`: seconds between ready and started."""

    at: float
    node: str
    attempt: int
    inputs: Mapping[str, OutputRef] = field(default_factory=_nothing)
    queue_wait: float = 0.0


@value
class NodeFinished:
    """An attempt ended well. `outputs` by output id; the seconds and `reused` are those of its `Outcome`."""

    at: float
    node: str
    attempt: int
    outputs: Mapping[str, OutputRef] = field(default_factory=_nothing)
    duration: float = 0.0
    publish_wait: float = 0.0
    input_waits: Mapping[str, float] = field(default_factory=_nothing)
    cpu: float = 0.0
    gil_wait: float = 0.0
    reused: bool = False


@value
class NodeRetrying:
    """An attempt failed and the next one starts after `delay` seconds."""

    at: float
    node: str
    attempt: int
    delay: float
    failure: Failure
    duration: float = 0.0


@value
class NodeFailed:
    """The last attempt failed. `took` in seconds."""

    at: float
    node: str
    attempt: int
    failure: Failure
    duration: float = 0.0


@value
class NodeSkipped:
    """Never started, since it needs `because`, which failed."""

    at: float
    node: str
    because: str


@value
class NodeCancelled:
    """Never started, or stopped before its end: the run was cancelled, or another node failed."""

    at: float
    node: str
    why: str


@value
class AttemptStopped:
    """The order to an executor to stop this attempt; what it says afterwards no longer counts after a timeout."""

    at: float
    node: str
    attempt: int
    why: str


@value
class OutputReleased:
    """No reader is left, and the run does not keep this output."""

    at: float
    output: str
    ref: OutputRef


@value
class OutputPublished:
    """The output's content is settled: its digest is known and, unless nothing is written, its file is in place."""

    at: float
    output: str
    ref: OutputRef


@value
class NodeLogged:
    """A line that a node printed or logged. `level` is `stdout`, `stderr` or a logging level in lower case."""

    at: float
    node: str
    level: str
    text: str


@value
class NodeProgressed:
    """How far a node says it is: `done` of `total`, in units of the node's own; `total` None if it cannot say."""

    at: float
    node: str
    done: float
    total: float | None


@value
class RunFinished:
    """The last event. `status` is `ok`, `failed` or `cancelled`; `error` says what broke outside of any node."""

    at: float
    status: str
    error: str = ""


Event = (
    RunStarted
    | NodeStarted
    | NodeFinished
    | NodeRetrying
    | NodeFailed
    | NodeSkipped
    | NodeCancelled
    | AttemptStopped
    | OutputReleased
    | OutputPublished
    | NodeLogged
    | NodeProgressed
    | RunFinished
)

# Fields whose JSON key is another word: users know the key.
JSON_KEYS = {
    "duration": "took",
    "publish_wait": "published",
    "input_waits": "opened",
    "queue_wait": "queued",
    "gil_wait": "locked",
    "schema_digest": "traits",
}
_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")


def event_name(kind: type[Any]) -> str:
    """The name of an event in JSON: `NodeStarted` is `node_started`."""
    return _WORD.sub("_", kind.__name__).lower()


def to_json(event: Event) -> dict[str, Any]:
    """The event as JSON values: its name under `event`, then its fields."""
    return {"event": event_name(type(event)), **_plain(event)}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {JSON_KEYS.get(f.name, f.name): _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
