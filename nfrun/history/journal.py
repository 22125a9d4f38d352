"""Defines the lines of a run's journal: how it was started, how each node ended, and the files of outputs.

A line is a JSON object in the database of the work folder. `cache/journal_writer.py` makes them from the events of a
run, `database.py` writes and finds them, and `run_history.py` looks for results among them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from nfrun.core.contracts import CheckResult, failed_checks
from nfrun.core.errors import Cause
from nfrun.core.events import Failure, Frame, NodeFinished
from nfrun.core.map_spec import MapCounts
from nfrun.core.pipeline import NOTHING, TABLE, OutputId
from nfrun.core.values import MISSING, asdict, field, fields, frozen, values_of

# JSON keys that differ from the field names. They stay, so that existing lines remain readable.
_JSON_KEYS = {"key_inputs": "parts", "duration": "took", "schema_digest": "traits", "cell": "matrix"}

RESULTS = ("finished", "refused")  # events of lines with a result; the checks of a refused one failed
OF_ANOTHER_VERSION = (TypeError, LookupError, AttributeError, ValueError)  # what a line raises that is not understood


RUNS_LAST = "it runs when all other nodes have ended"  # the reason of the nodes under `on_failure` and `finally`
STORE = "store"  # the folder for places in a work folder
_SECOND = 1_000_000  # lines have whole microseconds, which are written three times as fast as fractions


@cache
def _defaults(kind: Any) -> dict[str, Any]:
    made = ((each, each.default_factory) for each in fields(kind))
    return {each.name: each.default if make is MISSING else make() for each, make in made}


def given_fields(value: Any) -> dict[str, Any]:
    """Return the fields of a value that differ from their defaults, by name."""
    kind: Any = type(value)
    defaults = _defaults(kind)
    items = zip(defaults, values_of(*defaults)(value), strict=True)
    return {name: found for name, found in items if found is not defaults[name] and found != defaults[name]}


class LineFields:
    """The fields of a class of values that a line has, by their JSON keys."""

    def __init__(self, *names: str) -> None:
        self._names = {_JSON_KEYS.get(name, name): name for name in names}
        self._values = values_of(*names)

    def as_json(self, value: Any) -> dict[str, Any]:
        """Return the fields by their JSON keys. Not `asdict`: it copies all values, which takes ten times as long."""
        return dict(zip(self._names, self._values(value), strict=True))

    def of_line(self, line: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of a line by the names of their fields, without those that a newer nfrun has added."""
        names = self._names
        return {names[key]: value for key, value in line.items() if key in names}


def names_of(cls: type[Any]) -> tuple[str, ...]:
    """Return the names of the fields of a class of values."""
    return tuple([each.name for each in fields(cls)])


@frozen
class FinishedOutput:
    """An output of a finished node.

    `file` is the name of its Arrow file, None where the run did not need the file. It is in the folder of the run
    `home`, "" for the run of this journal. `size` is in bytes, and `checksum` is that of the whole file. `shown`: it is
    among the outputs of the pipeline. `checksum` of an output that is no table is its digest. One in a place that
    machines share has no `file`, but an address `stored`. The other fields are as in `nfrun.core.events.OutputRef`.
    """

    id: OutputId
    rows: int
    bytes: int
    schema: str
    digest: str
    size: int
    checksum: str
    file: str | None = None
    schema_digest: str = ""
    home: str = ""
    shown: bool = False
    type: str = TABLE
    stored: str = ""


@frozen
class NodeTimes:
    """The start and the end of the last attempt at a node, in seconds since the run began, and the seconds between.

    All others are seconds: `queued` from when it was ready until it started, `inputs` it waited for its inputs, and
    `handoff` to hand on its outputs. `cpu` and `gil_wait` are as in `Outcome`.
    """

    started: float
    ended: float
    queued: float
    inputs: float = 0.0
    handoff: float = 0.0
    cpu: float = 0.0
    gil_wait: float = 0.0


@frozen
class FailedAttempt:
    """An attempt at a node after which another one was made, which was ready after `delay` more seconds.

    It was `queued` before. Times are as in `NodeTimes`.
    """

    started: float
    ended: float
    delay: float
    queued: float
    error: str


@frozen
class RecordedNode:
    """How a node ended in a run, as the history has it.

    `status` is `ok`, `reused`, `failed`, `skipped`, `cancelled` or `not_selected`. The outputs of an `ok` or a `reused`
    one are in place, or they are kept although its checks failed.

    `key` is the cache key and `key_inputs` what it was computed from; `key` is None where not all key inputs could be
    determined, and for nodes that run last. `wrote` are the checksums of files that the node wrote outside of the work
    folder, by their names in the pipeline file, and `reads` those of the files that its code opened, as in
    `nfrun.core.observation`. `obstacle` says why the entry is reused only with `cache: true`, "" if nothing is against
    it. `cached`: the pipeline file says `cache: true`. `folder` is the folder of the run; it is not written down. Only
    nodes that are `ok` or `reused` have any of these.

    `started` is in seconds since the run began, None if the node never started. `duration` is that of the last attempt
    in seconds, and `reason` says why the node ran, or was to run. Of a reused one, `duration` and `attempts` are those
    of the run `home`, in which it ran, and `reason` is "". `home` is "" for this run.

    `failure` is None unless it failed. `because` is the failed node that a skipped one needs, or why a node was
    cancelled. `inputs` are the ids of the outputs that a node may read that did not finish. `tolerated`: that it failed
    or was skipped does not let the run fail.

    A cell has its matrix under `of`, and in `cell` its value on each axis. `checks` are the results of its checks, each
    with its key. `map` counts the rows of a mapped node. `times` and `failed` are what `last_times` and `earlier` read.
    `memory` is the peak of its worker process in bytes, 0 if it had none, and `worker` the address of the worker of a
    cluster that made the last attempt. A node that was reused has none of these.

    Older journals have few of these.
    """

    node: str
    status: str
    key: str | None = None
    key_inputs: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    outputs: tuple[FinishedOutput, ...] = ()
    wrote: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    duration: float = 0.0
    cached: bool = False
    folder: Path | None = None
    reads: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    obstacle: str = ""
    started: float | None = None
    attempts: int = 0
    reason: str = ""
    home: str = ""
    failure: Failure | None = None
    because: str = ""
    inputs: tuple[str, ...] = ()
    tolerated: bool = False
    of: str = ""
    cell: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    checks: tuple[CheckResult, ...] = ()
    map: MapCounts | None = None
    times: tuple[int, ...] = ()
    failed: tuple[tuple[int, int, int, int, str], ...] = ()
    memory: int = 0
    worker: str = ""

    @property
    def is_finished(self) -> bool:
        """Whether it has its outputs: it ran, or was a cache hit."""
        return self.status in ("ok", "reused")

    @property
    def reused(self) -> bool:
        """Whether it was a cache hit."""
        return self.status == "reused"

    @property
    def absent(self) -> frozenset[str]:
        """The outputs that are absent, since a check with `severity: skip` does not hold."""
        return frozenset(check.output for check in self.checks if check.severity == "skip" and not check.ok)

    def output(self, id: str) -> FinishedOutput | None:
        """Return the output with this id, None where the node has none."""
        return next((output for output in self.outputs if output.id == id), None)

    @property
    def rows(self) -> int | None:
        """The number of rows of all outputs, None without outputs."""
        return sum(output.rows for output in self.outputs) if self.outputs else None

    @property
    def last_times(self) -> NodeTimes | None:
        """The times of the last attempt, None where they are not recorded, as in the journals of an older nfrun."""
        known = [value / _SECOND for value in self.times[: len(NodeTimes.__match_args__)]]
        return NodeTimes(*known) if len(known) >= 3 else None

    @property
    def earlier(self) -> tuple[FailedAttempt, ...]:
        """The attempts before the last one."""
        found = [([time / _SECOND for time in times], error) for *times, error in self.failed]
        return tuple([FailedAttempt(times[0], times[1], times[2], times[3], error) for times, error in found])

    @property
    def work(self) -> float:
        """The seconds that all attempts took, as far as they are recorded; `duration` is that of the last one."""
        return self.duration + sum(attempt.ended - attempt.started for attempt in self.earlier)


@frozen
class RunHeader:
    """The first line of a run.

    `run` is the id of the run, `pipeline` the name that `WorkDir.pipeline_name` gives. `number` counts the runs in a
    work folder from 1. `at` is when it began, in seconds since 1970. `command` are the words of the command line, none
    for a run that a Python program made. `params` are the values of the parameters; in both, secrets are masked.
    `versions` has nfrun, Python, pyarrow and the packages that count for the keys of the nodes. `host` is the name of
    the machine, and `secrets` are the names of the variables with secrets. `profile` is the one that was
    laid over the file, "" for none. `inputs` are the files that were given with `--input`, those below
    the folder of the pipeline relative to it. `store` is the address of the place into which workers put outputs, ""
    for none. `date` is that which expressions read, "" if none does. Older journals have none of these.
    """

    run: str
    pipeline: str
    number: int
    at: float = 0.0
    command: tuple[str, ...] = ()
    params: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    versions: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    host: str = ""
    secrets: tuple[str, ...] = ()
    profile: str = ""
    inputs: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    store: str = ""
    date: str = ""


@frozen
class RunEnding:
    """The last line of a run. `status` is `ok`, `failed` or `cancelled`.

    `at` is when it ended, in seconds since 1970, and `duration` the seconds between the first and the last event.
    `counts` has the number of nodes by status: ok, reused, failed, skipped, cancelled and, in a run with a selection,
    not_selected. `error` is the message of an error outside of any node, "" if there was none. Older journals have
    only the status.
    """

    status: str
    at: float = 0.0
    duration: float = 0.0
    counts: Mapping[str, int] = field(default_factory=lambda: NOTHING)
    error: str = ""


@frozen
class JournalContents:
    """The contents of a journal.

    `started` is None where the first line is missing or damaged. `finished` and `unfinished` are in the order of the
    lines. `ending` is None where the run was killed or is still running. `refused` are the results that are kept
    although a check failed: their nodes are among the unfinished, too.
    """

    folder: Path
    started: RunHeader | None
    finished: tuple[RecordedNode, ...]
    unfinished: tuple[RecordedNode, ...] = ()
    ending: RunEnding | None = None
    refused: tuple[RecordedNode, ...] = ()

    @property
    def ends(self) -> dict[str, RecordedNode]:
        """The nodes that have ended, by id, in the order of the lines; those that did not finish come last.

        A node has a second line if its table was made again, or was to be: that one counts.
        """
        return {end.node: end for end in (*self.finished, *self.unfinished)}

    @property
    def ended(self) -> str:
        """The status of the run: `ok`, `failed` or `cancelled`, "" where it was killed or is still running."""
        return self.ending.status if self.ending is not None else ""


_OF_ATTEMPTS = ("times", "failed", "memory", "worker")  # not of nodes that were reused
_ADDED = ("checks", "map", *_OF_ATTEMPTS)  # what not all nodes have
_ENTRY = ("key", "key_inputs", "wrote", "duration", "reused", "cached", "reads", "obstacle")
_FINISHED = LineFields("node", *_ENTRY, "started", "attempts", "reason", "home")
_UNFINISHED = LineFields(
    *("node", "status", "failure", "attempts", "started", "duration", "because", "reason", "inputs", "tolerated")
)
_CELL = LineFields("of", "cell")
_READ = LineFields(*(name for name in names_of(RecordedNode) if name not in ("outputs", "folder", *_ADDED)))
_FAILURE, _FRAME, _STARTED, _ENDED, _CHECKED = (
    LineFields(*names_of(cls)) for cls in (Failure, Frame, RunHeader, RunEnding, CheckResult)
)


def started_line(started: RunHeader) -> dict[str, Any]:
    """Return the first line of a run."""
    return {"event": "started", **_STARTED.as_json(started)}


def ended_line(ending: RunEnding) -> dict[str, Any]:
    """Return the last line of a run."""
    return {"event": "ended", **_ENDED.as_json(ending)}


def node_line(node: RecordedNode) -> dict[str, Any]:
    """Return the line of a node that has ended."""
    if node.is_finished:
        line = {"event": RESULTS[bool(failed_checks(node.checks))], **_FINISHED.as_json(node)}
        line["outputs"] = [output_line(output) for output in node.outputs]
    else:
        line = {"event": "unfinished", **_UNFINISHED.as_json(node)}
        line["failure"] = node.failure and asdict(node.failure)
    if node.of:
        line |= _CELL.as_json(node)
    if node.checks:
        line["checks"] = [_CHECKED.as_json(check) for check in node.checks]
    if node.map is not None:
        line["map"] = {**node.map.as_json(), "busy": round(node.map.busy, 6)}
    for name in _OF_ATTEMPTS:
        if value := getattr(node, name):
            line[name] = value
    return line


def contents_of(folder: Path, lines: Iterable[dict[str, Any]]) -> JournalContents:
    """Return what the lines of the run with this folder say, without those that are not understood."""
    started: RunHeader | None = None
    nodes: dict[str, list[RecordedNode]] = {kind: [] for kind in (*RESULTS, "unfinished")}
    ending: RunEnding | None = None
    for line in lines:
        kind = line.get("event")
        try:
            if kind == "started":
                started = header_of(line)
            elif kind in nodes:
                nodes[kind].append(_node_of_line(line, folder))
            elif kind == "ended":
                ending = ending_of(line)
        except OF_ANOTHER_VERSION:
            continue
    finished, refused, unfinished = map(tuple, nodes.values())
    return JournalContents(folder, started, finished, unfinished, ending, refused)


def header_of(line: Mapping[str, Any]) -> RunHeader:
    """Return the header that a line is. Raises OF_ANOTHER_VERSION."""
    texts = {key: tuple(line.get(key, ())) for key in ("command", "secrets")}
    return RunHeader(**{**_STARTED.of_line(line), **texts})


def ending_of(line: Mapping[str, Any]) -> RunEnding:
    """Return the ending that a line is. Raises OF_ANOTHER_VERSION."""
    return RunEnding(**_ENDED.of_line(line))


def finished_node(line: Mapping[str, Any], folder: Path) -> RecordedNode | None:
    """Return the result whose line this is, None if it is no such line."""
    try:
        return _node_of_line(line, folder) if line.get("event") in RESULTS else None
    except OF_ANOTHER_VERSION:
        return None


def _node_of_line(line: Mapping[str, Any], folder: Path) -> RecordedNode:
    more: dict[str, Any]
    if line["event"] in RESULTS:
        more = {
            "status": "reused" if line.get("reused") else "ok",
            **{"key": line["key"], "key_inputs": line["parts"], "wrote": line["wrote"], "folder": folder},
            "outputs": tuple([output_of_line(line["node"], output, folder) for output in line["outputs"]]),
            **{"started": line.get("started", 0.0), "attempts": line.get("attempts", 1)},
        }
    else:
        failure = line.get("failure") and _failure(line["failure"])
        more = {"status": line["status"], "failure": failure, "inputs": tuple(line.get("inputs", ()))}
    return RecordedNode(**{**_READ.of_line(line), **_added(line), **more})


def _added(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that few lines have, or only those of nodes that ran."""
    found: dict[str, Any] = {"times": tuple(map(int, line.get("times", ())))}
    if "memory" in line:
        found |= {"memory": int(line["memory"]), "worker": str(line.get("worker", ""))}
    elif "worker" in line:
        found["worker"] = str(line["worker"])
    if "checks" in line:
        found["checks"] = _checks(line)
    if counts := line.get("map"):
        found["map"] = MapCounts(
            **{name: counts[name] for name in ("rows", "reused", "failed", "calls", "busy") if name in counts}
        )
    if "failed" in line:
        found["failed"] = tuple([(*map(int, times), str(error)) for *times, error in line["failed"]])
    return found


def _checks(line: Mapping[str, Any]) -> tuple[CheckResult, ...]:
    found = [_CHECKED.of_line(check) for check in line.get("checks", ())]
    return tuple([CheckResult(**{**check, "shown": tuple(check.get("shown", ()))}) for check in found])


def _failure(found: Mapping[str, Any]) -> Failure:
    frames = tuple([Frame(**_FRAME.of_line(frame)) for frame in found["frames"]])
    values = {"cause": Cause(found["cause"]), "frames": frames, "inputs": tuple(found["inputs"])}
    return Failure(**{**_FAILURE.of_line(found), **values})


def present_address(address: str, run: Path) -> str:
    """Return the address of a place, or of what is in it, that a run with this folder has written to its journal."""
    head, mark, rest = address.rpartition(f"/{STORE}/")
    if not mark or not head.startswith("file:"):
        return address
    id, _, name = rest.partition("/")
    place = _present(f"{head}{mark}{id}", id, run.parent.parent)
    return f"{place}/{name}" if name else place


@cache
def _present(address: str, id: str, work: Path) -> str:
    from urllib.parse import unquote, urlsplit

    here = work / STORE / id
    is_moved = not os.path.isdir(unquote(urlsplit(address).path)) and here.is_dir()  # noqa: PTH112
    return here.absolute().as_uri() if is_moved else address


_TABLE = LineFields(*names_of(FinishedOutput)[:-2])  # most are such tables
_OUTPUT = LineFields(*names_of(FinishedOutput))


def output_line(output: FinishedOutput) -> dict[str, Any]:
    """Return an output as the line of its node has it."""
    return (_OUTPUT if output.stored or output.type != TABLE else _TABLE).as_json(output)


def output_of_line(node: str, found: Mapping[str, Any], folder: Path) -> FinishedOutput:
    """Return an output in the line of a node; its id there is that of the node, and a dot and its name if it has one.

    `folder` is that of the run.
    """
    values = {**_OUTPUT.of_line(found), "id": OutputId(node, found["id"][len(node) + 1 :])}
    if values.get("stored"):
        values["stored"] = present_address(values["stored"], folder)
    return FinishedOutput(**values)


def line_of_times(started: float, queued: float, end: NodeFinished) -> tuple[int, ...]:
    """Return the times of a node that has finished as its line has them."""
    waits = end.input_waits
    return (
        int(started * _SECOND),
        int(end.at * _SECOND),
        int(queued * _SECOND),
        int(sum(waits.values()) * _SECOND) if waits else 0,
        int(end.publish_wait * _SECOND),
        int(end.cpu * _SECOND),
        int(end.gil_wait * _SECOND),
    )


def line_of_end(started: float, queued: float, ended: float) -> tuple[int, ...]:
    """Return the times of a node that did not finish as its line has them."""
    return int(started * _SECOND), int(ended * _SECOND), int(queued * _SECOND)


def line_of_attempt(attempt: FailedAttempt) -> tuple[int, int, int, int, str]:
    """Return a failed attempt as the line of its node has it."""
    times = attempt.started, attempt.ended, attempt.delay, attempt.queued
    started, ended, delay, queued = [int(value * _SECOND) for value in times]
    return started, ended, delay, queued, attempt.error
