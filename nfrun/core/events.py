"""Defines outcomes, which go into the scheduler, and events, which come out of it.

Times (`at`) are seconds since the run began; durations and waits are seconds. Their JSON form (`to_json`) is a
promise to users of `--events`: fields may be added, but none is renamed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from nfrun.core.contracts import CheckResult
from nfrun.core.errors import Cause, HandoffError, cause_of, error_text
from nfrun.core.file_source import FileSource
from nfrun.core.map_spec import FailedCall, KeptRows, MapCounts, OpenedMap, PiecePath
from nfrun.core.observation import Observation
from nfrun.core.pipeline import NOTHING, TABLE, OutputId
from nfrun.core.values import field, fields, frozen, is_value, replace, values_of

GIL_WAIT_SECONDS = 0.05  # a node with a shorter GIL wait gains nothing from a process
# JSON keys that differ from the name of the field. Users rely on them.
JSON_KEYS = {
    "cause": "kind",
    "duration": "took",
    "publish_wait": "published",
    "input_waits": "opened",
    "queue_wait": "queued",
    "gil_wait": "locked",
    "schema_digest": "traits",
}
_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")


@frozen
class OutputRef:
    """Refers to an output of a node: describes the table and its file, but does not hold the table.

    `bytes` is the size of the table's buffers in memory. `schema` is one line of `column: type` pairs. `path` is the
    Arrow IPC file, None while there is none, and `size` its size in bytes. `digest` is that of the content, None until
    it is computed. `checksum` is that of the file's bytes, None until a run with a journal has computed it.
    `schema_digest` covers what readers see besides the content, such as schema metadata; None if no file was written.
    `files` are those of a `read` node, if queries read them in place of the table: then `bytes` is their size, and
    `digest` that of their content.
    An output whose `type` is no table has no rows and no schema: `path` is the file or the folder, `bytes` and `size`
    are the size of what is in it. `stored` is the address of the output in a place that machines share, without
    credentials; None if it is not in one. One that another machine has made has no `path`.
    """

    id: OutputId
    rows: int
    bytes: int
    schema: str
    path: str | None = None
    digest: str | None = None
    attempt: int = 1
    size: int | None = None
    checksum: str | None = None
    schema_digest: str | None = None
    files: FileSource | None = None
    type: str = TABLE
    stored: str | None = None

    @property
    def is_remote(self) -> bool:
        """Whether the output is in a place that machines share, and has no path on this machine."""
        return self.path is None and self.stored is not None


@frozen
class Frame:
    """One frame of a traceback in user code: file, line (from 1), name of the function, and source line."""

    file: str
    line: int
    function: str
    source: str


@frozen
class Failure:
    """Says why an attempt failed. It holds only plain values, since it is sent between processes and hosts.

    `details` is text that is shown unchanged, such as the end of a shell node's stderr. `inputs` has one line for each
    input: `name: rows, schema`. `errno` is that of the system's error, None without one. `retry_after` is how many
    seconds to wait before the next attempt, if the error says so. `rows` says which rows of a mapped input failed, such
    as `row 37 of 200`, `sample` shows the first. `is_certain`: it fails whichever rows it is for; `is_final`: for good.
    """

    cause: Cause
    type: str
    message: str
    frames: tuple[Frame, ...] = ()
    details: str = ""
    inputs: tuple[str, ...] = ()
    errno: int | None = None
    retry_after: float | None = None
    rows: str = ""
    sample: str = ""
    is_certain: bool = False
    is_final: bool = False

    @property
    def error(self) -> str:
        """The type and the message in one line. An error without a message of its own has its type as the message."""
        return self.message if self.type in ("", self.message) else f"{self.type}: {self.message}"


def nfrun_failure(error: BaseException, node: Failure | None = None) -> Failure:
    """Return the failure for an error in nfrun's own code. `node` is the failure of the node itself, shown as well."""
    cause, type_name = cause_of(error), type(error).__name__
    number = error.errno if isinstance(error, OSError | HandoffError) else None
    bug = "this is a bug in nfrun, please report it" if cause is Cause.INTERNAL else ""
    if node is not None:
        lines = (node.details, f"then nfrun itself failed: {type_name}: {error_text(error)}", bug)
        return replace(node, cause=cause, details="\n".join(filter(None, lines)), errno=number)
    if isinstance(error, HandoffError):
        type_name = "PermissionError" if cause is Cause.PERMISSION else ""
    return Failure(cause, type_name, error_text(error), details=bug, errno=number)


@frozen
class Outcome:
    """The result of one attempt, as its executor reports it.

    `failure` is None on success. `outputs` and `input_waits` are keyed by output id; an attempt whose checks failed may
    have outputs, too, until somebody keeps or discards them. `duration` is the
    seconds of work, measured where the work ran; `publish_wait` the seconds waited to publish the outputs;
    `input_waits` the seconds waited for each input. `cpu` is the CPU seconds of the thread that did the work, and
    `gil_wait` an estimate of the seconds it waited for the GIL (see `engine/gil_contention.py`). `reused` marks a cache
    hit: the node did not run, and the outputs are those of an earlier run. `observation` has the files, hosts
    and process state that it used, None if it used none that count. `lacking` are inputs whose tables were removed:
    the node did not run, and starts again once the nodes that make them have run. `absent` are outputs of a node that
    succeeded, which its readers go without. `missed`: it was only looked up, and no earlier result can be reused.
    `checks` are the results of the checks of its outputs. `memory` is the peak of its worker process in bytes, 0 if it
    had none. `map` counts the rows of a mapped node that has ended.
    """

    node: str
    attempt: int
    failure: Failure | None = None
    outputs: Mapping[str, OutputRef] = field(default_factory=lambda: NOTHING)
    duration: float = 0.0
    publish_wait: float = 0.0
    input_waits: Mapping[OutputId, float] = field(default_factory=lambda: NOTHING)
    cpu: float = 0.0
    gil_wait: float = 0.0
    reused: bool = False
    observation: Observation | None = None
    lacking: tuple[OutputRef, ...] = ()
    absent: tuple[OutputId, ...] = ()
    missed: bool = False
    checks: tuple[CheckResult, ...] = ()
    map: MapCounts | None = None
    memory: int = 0


@frozen
class MapOpened(Outcome):
    """The outcome of the first attempt at a mapped node, whose input is open. Its calls follow."""

    opened: OpenedMap = field(kw_only=True)


@frozen
class CallOutcome(Outcome):
    """The outcome of an order of calls of a mapped node.

    `made` is how many of these have given a result: the one behind them has failed, if there is a `failure`, and the
    rest were not made. None: all, or if there is a failure, none.
    """

    call: int = field(kw_only=True)
    made: int | None = None


@frozen
class RunStarted:
    """The run began. The first event; `nodes` and `slots` are counts."""

    at: float
    nodes: int
    slots: int


@frozen
class _NodeEvent:
    """The fields that all events of a node begin with."""

    at: float
    node: str


@frozen
class _AttemptEvent(_NodeEvent):
    """The fields that all events of an attempt at a node begin with."""

    attempt: int


@frozen
class NodeStarted(_AttemptEvent):
    """An attempt starts. Executors take it as an order, reporters as a fact.

    `inputs` are keyed by output id. `queue_wait` is the seconds between ready and started. `granted` has the numbers of
    the units that the attempt holds, by budget. It is None for an attempt that holds nothing of the budgets yet: it may
    only reuse an earlier result.
    """

    inputs: Mapping[str, OutputRef] = field(default_factory=lambda: NOTHING)
    queue_wait: float = 0.0
    granted: Mapping[str, tuple[int, ...]] | None = field(default_factory=lambda: NOTHING)

    @property
    def key(self) -> tuple[str, int, int]:
        """The node, the number of the attempt, and that of the call, 0 for the attempt itself."""
        return self.node, self.attempt, 0

    @property
    def on_loop(self) -> bool:
        """Whether it is a coroutine, which occupies no thread."""
        return False

    def outcome(self, failure: Failure | None = None, **fields: Any) -> Outcome:
        """Return an outcome of it, with these fields."""
        return Outcome(self.node, self.attempt, failure, **fields)


@frozen
class NodeFinished(_AttemptEvent):
    """An attempt succeeded. The fields are those of its `Outcome`; `outputs` are keyed by output id.

    In a run with a journal, reporters get it when the node is in the journal, possibly after later events.
    """

    outputs: Mapping[str, OutputRef] = field(default_factory=lambda: NOTHING)
    duration: float = 0.0
    publish_wait: float = 0.0
    input_waits: Mapping[OutputId, float] = field(default_factory=lambda: NOTHING)
    cpu: float = 0.0
    gil_wait: float = 0.0
    reused: bool = False
    checks: tuple[CheckResult, ...] = ()
    absent: tuple[OutputId, ...] = ()
    map: MapCounts | None = None

    @staticmethod
    def of(now: float, outcome: Outcome) -> NodeFinished:
        """Return the event for the outcome of an attempt that succeeded."""
        return NodeFinished(now, *_of_finished(outcome))


_of_finished = values_of(*[each.name for each in fields(NodeFinished)][1:])  # but for the time


@frozen
class NodeWaiting(_AttemptEvent):
    """An attempt did nothing, and starts again: once tables of its inputs are made again, which were removed.

    With `for_budget` it found no result to reuse, and starts again once what it takes of the budgets is free.
    """

    for_budget: bool = False


@frozen
class NodeRetrying(_AttemptEvent):
    """An attempt failed. The next one becomes ready after `delay` seconds."""

    delay: float
    failure: Failure
    duration: float = 0.0


@frozen
class NodeFailed(_AttemptEvent):
    """The last attempt of a node failed, and with it the node. A `tolerated` failure does not fail the run."""

    failure: Failure
    duration: float = 0.0
    tolerated: bool = False
    checks: tuple[CheckResult, ...] = ()
    map: MapCounts | None = None

    @staticmethod
    def of(now: float, outcome: Outcome, failure: Failure, *, tolerated: bool) -> NodeFailed:
        """Return the event for the outcome of a node's last attempt, and the failure that it counts as."""
        node, attempt = outcome.node, outcome.attempt
        return NodeFailed(now, node, attempt, failure, outcome.duration, tolerated, outcome.checks, outcome.map)


@frozen
class ChecksStarted(NodeStarted):
    """Orders the checks of outputs that are kept to be made again. It goes to the engine only, and to no reporter."""

    made: Mapping[str, OutputRef] = field(default_factory=lambda: NOTHING)


@frozen
class NodeSkipped(_NodeEvent):
    """A node will not start, since it needs `because`, directly or not, which failed.

    `tolerated`: it lacks an input that is absent because of that node, which does not let the run fail.
    """

    because: str
    tolerated: bool = False


@frozen
class NodeCancelled(_NodeEvent):
    """A node did not start or did not finish, because the run was cancelled or another node failed."""

    why: str


@frozen
class AttemptStopped(_AttemptEvent):
    """Orders the executor to stop an attempt, or one of its calls. After a timeout, its outcome no longer counts."""

    why: str
    call: int = 0


@frozen
class CallEnded(_AttemptEvent):
    """An order of calls of a mapped node has ended. It goes to the engine only: the node's progress counts rows."""

    call: int


@frozen
class OutputReleased:
    """An output has no reader left and is not retained."""

    at: float
    output: str
    ref: OutputRef


@frozen
class OutputPublished:
    """The digest of an output is known, and its file is in place if the run writes one."""

    at: float
    output: str
    ref: OutputRef


@frozen
class NodeLogged(_NodeEvent):
    """A node printed or logged a line. `level` is `stdout`, `stderr` or a logging level in lower case."""

    level: str
    text: str


@frozen
class NodeProgressed(_NodeEvent):
    """A node reported its progress: `done` of `total`, in its own unit. `total` is None if it is not known.

    Of a mapped node these are rows, and `map` counts them so far.
    """

    done: float
    total: float | None
    map: MapCounts | None = None


@frozen
class RunFinished:
    """The run ended. The last event; `status` is `ok`, `failed` or `cancelled`.

    `error` is the message of an error outside of any node, "" if there is none. `cause` is the gravest cause of such an
    error and of the nodes that failed, None if nothing failed.
    """

    at: float
    status: str
    error: str = ""
    cause: Cause | None = None

    def with_last(self, other: RunFinished) -> RunFinished:
        """Return the end of the run after its last nodes have ended. If one of them failed, a good run has failed."""
        causes = [cause for cause in (self.cause, other.cause) if cause is not None]
        status = other.status if self.status == "ok" else self.status
        return replace(self, at=other.at, status=status, cause=max(causes, key=list(Cause).index, default=None))

    def with_error(self, error: Exception) -> RunFinished:
        """Return the end of a run that also met this error. Its message counts only if there is no earlier one."""
        cause = max(filter(None, (self.cause, cause_of(error))), key=list(Cause).index)
        return replace(self, status="failed", error=self.error or error_text(error), cause=cause)


@frozen
class AllNodesEnded:
    """All nodes have ended, and those under `on_failure` or `finally` start. `end` is the end of the run so far."""

    at: float
    end: RunFinished


Event = (
    RunStarted
    | NodeStarted
    | NodeWaiting
    | NodeFinished
    | NodeRetrying
    | NodeFailed
    | NodeSkipped
    | NodeCancelled
    | AttemptStopped
    | CallEnded
    | OutputReleased
    | OutputPublished
    | NodeLogged
    | NodeProgressed
    | AllNodesEnded
    | RunFinished
)

STATUSES = ("ok", "reused", "failed", "skipped", "cancelled")  # that a node ends with

NOT_SELECTED = "not_selected"  # the status of a node that a selection leaves out


@frozen
class MapStarted(NodeStarted):
    """Orders the input of a mapped node to be opened. `kept` has results of earlier runs, None to keep nothing."""

    kept: KeptRows | None = None


@frozen
class CallStarted(NodeStarted):
    """Orders calls of a mapped node's function, one after the other: one for each of these pieces of its input.

    `call` counts the orders of the attempt from 1, and `tries` the calls for a piece: of several, it is the first for
    each. With `on_loop` the call is a coroutine, and the only one.
    """

    call: int = 0
    pieces: tuple[PiecePath, ...] = ()
    tries: int = 1
    on_loop: bool = False

    @property
    def key(self) -> tuple[str, int, int]:
        return self.node, self.attempt, self.call

    def outcome(self, failure: Failure | None = None, **fields: Any) -> CallOutcome:
        return CallOutcome(self.node, self.attempt, failure, call=self.call, **fields)


@frozen
class CallsEnded(NodeStarted):
    """Orders the results of a mapped node's calls to be put together.

    `failed` are the calls whose rows are handed on as errors. With a `failure` the node
    fails: that of the call for `piece`, or of no single one.
    """

    counts: MapCounts = MapCounts(0)
    failed: tuple[FailedCall, ...] = ()
    failure: Failure | None = None
    piece: PiecePath = ()


# What goes to the engine only.
FOR_ENGINE = (CallStarted, CallsEnded, CallEnded)


def event_name(kind: type[Any]) -> str:
    """Return the name of an event in JSON: `node_started` for `NodeStarted`."""
    return _WORD.sub("_", kind.__name__).lower()


def to_json(event: Event) -> dict[str, Any]:
    """Convert an event to JSON values: its name under `event`, then its fields."""
    return {"event": event_name(type(event)), **_plain(event)}


def _plain(value: Any) -> Any:
    if is_value(value):
        given = ((f.name, getattr(value, f.name)) for f in fields(value))
        # Of an OutputRef. The node says what it reads, and few outputs are stored.
        shown = ((name, found) for name, found in given if name != "files" and not (name == "stored" and found is None))
        return {JSON_KEYS.get(name, name): _plain(found) for name, found in shown}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return Cause.IO if value is Cause.PERMISSION else value  # `errno` tells them apart
