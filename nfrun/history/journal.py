"""Defines the lines of a run's journal: how it was started, how each node ended, and the files of outputs.

A line is a JSON object in the database of the work folder, with the event that it is about and the fields of a value
of this module. `cache/journal_writer.py` makes the values from the events of a run, `database.py` writes and finds
their lines, and `run_history.py` looks for results among them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nfrun.core.contracts import CheckResult, failed_checks
from nfrun.core.events import Failure, OutputRef
from nfrun.core.map_spec import MapCounts
from nfrun.core.pipeline import NOTHING, TABLE, OutputId
from nfrun.core.values import field, frozen
from nfrun.history.json_values import as_json, given_fields, value_of

STARTED, ENDED, UNFINISHED = "started", "ended", "unfinished"  # events of lines
RESULTS = ("finished", "refused")  # events of lines with a result; the checks of a refused one failed
RUNS_LAST = "it runs when all other nodes have ended"  # the reason of the nodes under `on_failure` and `finally`


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
    with its key. `map` counts the rows of a mapped node. `times` are those of the last attempt, None if there was none,
    and `earlier` are the attempts before it. `memory` is the peak of its worker process in bytes, 0 if it had none, and
    `worker` the address of the worker of a cluster that made the last attempt. A node that was reused has none of these
    four.
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
    times: NodeTimes | None = None
    earlier: tuple[FailedAttempt, ...] = ()
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
    for none. `date` is that which expressions read, "" if none does.
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
    not_selected. `error` is the message of an error outside of any node, "" if there was none.
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


def line_of(event: str, value: Any) -> str:
    """Return the line of a value."""
    found = given_fields(value)
    found.pop("folder", None)
    return as_json({"event": event, **found})


def event_of(node: RecordedNode) -> str:
    """Return the event of the line of a node."""
    return RESULTS[bool(failed_checks(node.checks))] if node.is_finished else UNFINISHED


def contents_of(folder: Path, lines: Iterable[dict[str, Any]]) -> JournalContents:
    """Return the contents of these lines of the run with this folder."""
    found: dict[str, list[Any]] = {event: [] for event in (STARTED, ENDED, UNFINISHED, *RESULTS)}
    for line in lines:
        if (event := line.get("event")) == STARTED:
            found[event].append(value_of(RunHeader, line))
        elif event == ENDED:
            found[event].append(value_of(RunEnding, line))
        elif event in found:
            found[event].append(node_of(line, folder))
    started, ended, unfinished, finished, refused = found.values()
    ends = (each[-1] if each else None for each in (started, ended))
    return JournalContents(folder, next(ends), (*finished,), (*unfinished,), next(ends), (*refused,))


def node_of(line: dict[str, Any], folder: Path) -> RecordedNode:
    """Return the node whose line this is. `folder` is that of the run."""
    node = line["node"]
    for output in line.get("outputs", ()):
        output["id"] = OutputId(node, output["id"][len(node) + 1 :])
    if line["event"] in RESULTS:
        line["folder"] = folder
    return value_of(RecordedNode, line)


def reader_digest(output: OutputRef | FinishedOutput) -> str:
    """Return the digest of an output for its readers: of its content and its schema."""
    return f"{output.digest or ''} {output.schema_digest or ''}"
