"""Defines what a run and the hosts of its attempts send to each other, and its form as JSON with a version number.

Values of nfrun's own classes become objects with the name of the class under `$`; fields with their default are left
out. Nothing is pickled, and no other classes are made from a text.
"""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from nfrun import __version__
from nfrun.cluster.frames import VERSION
from nfrun.core.budgets import Budget
from nfrun.core.contracts import Check, CheckResult, Contract
from nfrun.core.errors import Cause, SourceSpan
from nfrun.core.events import CallOutcome, CallStarted, ChecksStarted, Failure, Frame, NodeStarted, Outcome, OutputRef
from nfrun.core.file_source import FileSource, SourceFile
from nfrun.core.map_spec import MapCounts, MapForm, MapSpec
from nfrun.core.observation import Observation, SharedObservation
from nfrun.core.pipeline import NOTHING, Axis, Gather, Input, NodeSpec, OutputId, Param, Pipeline, Retry, StaticHalf
from nfrun.core.values import MISSING, field, fields, frozen, is_value
from nfrun.engine.executors.worker import AttemptOrder, CallOrder
from nfrun.rows.piece import Piece
from nfrun.rows.recorder import WorkerData

_TAG = "$"


class WireError(ValueError):
    """A text is not what this version of nfrun sends."""


@frozen
class HostConfig:
    """The settings that all attempts of a run on a host share.

    `run` names the run, different from all other runs that may use the cluster, and `run_id` is what its nodes see.
    `pipeline` has no nodes. `store` is the URI of the place for outputs, in which the archive `code` has the files of
    the project; `base` is the folder of the pipeline in it, and `root` the absolute path that the top of the archive
    has on the machine of the run. `environ` has the variables that lie over the environment of the host. `started` is
    when the run started, in seconds since 1970. `folders`, `fsync`, `arrow_on_all_cores` and `grace` are those of the
    run: the folders of `folders_of`, whether files survive a power loss, whether Arrow's pool has a thread for each
    core of the host, and the seconds that an attempt has to stop. `logs` and `evidence` are the folders of the log
    files and of the files with failing rows on the machine of the run, as messages show them. A host must have nfrun in
    this `version`, and these `modules`.
    """

    run: str
    run_id: str
    pipeline: Pipeline
    store: str
    code: str = ""
    base: str = ""
    root: str = ""
    environ: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    started: float = 0.0
    folders: tuple[str, ...] = ()
    fsync: bool = False
    arrow_on_all_cores: bool = False
    grace: float = 5.0
    logs: str = ""
    evidence: str = ""
    version: str = __version__
    modules: tuple[str, ...] = ()


@frozen
class RemoteOrder:
    """An attempt, or a call of a mapped node, that a host is to make.

    `token` names this execution: no other one has it, also not of the same attempt. All outputs that the `order` reads
    are `stored`, and so is the mapped input of a call: `input` of its data is the complete URI. `variables` are those
    that its process has from its start.
    """

    token: str
    config: HostConfig
    order: AttemptOrder
    variables: Mapping[str, str] = field(default_factory=lambda: NOTHING)


@frozen
class Told:
    """A message of an attempt before its end. `what` is the kind of the message, and `given` its content.

    | `what` | `given` |
    | --- | --- |
    | `begun` | nothing: its work begins, and its timeout counts from now |
    | `printed` | `stdout` or `stderr`, and bytes |
    | `skipped` | a stream, or `log`; how many bytes are left out, between what was sent and what follows |
    | `logged` | lines, each with its level |
    | `progressed` | how much is done, and the total or None |
    """

    token: str
    what: str
    given: tuple[Any, ...] = ()


@frozen
class Ended:
    """An attempt has ended. Without an `outcome` it is lost, and `lost` says why.

    `records` are the results of a call of a mapped node as they stand in a stream; those that are too long lie in the
    store under the name `stored_records`. `evidence` maps the paths of files with failing rows, as they are in the
    results of checks, to their names in the store. `named` are the files in the copy of the project that the node may
    have read, with their checksums.
    """

    token: str
    outcome: Outcome | None = None
    lost: str = ""
    records: bytes = b""
    stored_records: str = ""
    evidence: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    named: Mapping[str, str] = field(default_factory=lambda: NOTHING)


@frozen
class Answer:
    """The answer of a host that can make the attempts of a run: its versions of Python and of installed packages."""

    versions: Mapping[str, str]


# -- the form as text --------------------------------------------------------------------------------------------------


def to_text(value: Any) -> str:
    """Return a value as text. Raises WireError for types that have no form as text."""
    return json.dumps({"version": VERSION, "value": _plain(value)}, separators=(",", ":"))


def from_text(text: str) -> Any:
    """Return the value of a text. Raises WireError if it is of another version, or no text of `to_text`."""
    try:
        found = json.loads(text)
        version = found["version"]
        if version == VERSION:
            return _value(found["value"])
    except WireError:
        raise
    except (ValueError, TypeError, KeyError, LookupError, RecursionError, ArithmeticError) as error:
        raise WireError(f"a message is damaged ({type(error).__name__}: {error})") from None
    raise WireError(f"a message has version {version!r}, and this nfrun has {VERSION}")


def _plain(value: Any) -> Any:
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if is_value(value):
        return _plain_value(value)
    for name, (cls, write, _) in _FORMS.items():
        if kind is cls:
            return {_TAG: name, "v": write(value)}
    if isinstance(value, Mapping):
        if all(type(key) is str for key in value) and _TAG not in value:
            return {key: _plain(item) for key, item in value.items()}
        return {_TAG: "dict", "v": [[_plain(key), _plain(item)] for key, item in value.items()]}
    if isinstance(value, Path):
        return {_TAG: "Path", "v": str(value)}
    raise WireError(f"a {kind.__qualname__} cannot be sent")


def _plain_value(value: Any) -> dict[str, Any]:
    name = type(value).__name__
    if _CLASSES.get(name) is not type(value):
        raise WireError(f"a {name} cannot be sent")
    found: dict[str, Any] = {_TAG: name}
    for each in fields(value):
        item = getattr(value, each.name)
        default = each.default if each.default is not MISSING else None
        if each.default_factory is not MISSING and not item and item == each.default_factory():
            continue
        if each.default is MISSING or type(item) is not type(default) or item != default:
            found[each.name] = _plain(item)
    return found


def _value(found: Any) -> Any:
    if isinstance(found, list):
        return tuple([_value(item) for item in found])
    if not isinstance(found, dict):
        return found
    name = found.get(_TAG)
    if name is None:
        return {key: _value(item) for key, item in found.items()}
    if name == "dict":
        return {_value(key): _value(item) for key, item in found["v"]}
    if name in _FORMS:
        return _FORMS[name][2](found["v"])
    if (cls := _CLASSES.get(name)) is None:
        raise WireError(f"a message has a {name!r}, which this nfrun does not know")
    given = {key: _value(item) for key, item in found.items() if key != _TAG}
    if unknown := given.keys() - {each.name for each in fields(cls)}:
        raise WireError(f"a {name!r} has {min(unknown)!r}, which this nfrun does not know")
    return cls(**given)


_CLASSES: dict[str, Any] = {
    cls.__name__: cls
    for cls in (
        *(HostConfig, RemoteOrder, Told, Ended, Answer),
        *(AttemptOrder, CallOrder, Piece, WorkerData, NodeStarted, ChecksStarted, CallStarted),
        *(Pipeline, Axis, Budget, Param, NodeSpec, Input, Gather, Retry, SourceSpan, MapSpec, MapForm, StaticHalf),
        *(Contract, Check, CheckResult, Outcome, CallOutcome, OutputRef, Failure, Frame, MapCounts),
        *(FileSource, SourceFile, Observation, SharedObservation),
    )
}
# The classes that are no values of ours: how they are written, and read.
_FORMS: dict[str, tuple[type[Any], Callable[[Any], Any], Callable[[Any], Any]]] = {
    "id": (OutputId, lambda id: [id.node, id.name], lambda parts: OutputId(*map(_text, parts))),
    "list": (list, lambda items: [_plain(item) for item in items], lambda items: [_value(item) for item in items]),
    "set": (
        frozenset,
        lambda items: sorted([_plain(item) for item in items], key=json.dumps),
        lambda items: frozenset([_value(item) for item in items]),
    ),
    "bytes": (bytes, lambda data: base64.b64encode(data).decode(), base64.b64decode),
    "cause": (Cause, str, Cause),
    "date": (datetime.date, str, datetime.date.fromisoformat),
    "datetime": (datetime.datetime, datetime.datetime.isoformat, datetime.datetime.fromisoformat),
    "time": (datetime.time, str, datetime.time.fromisoformat),
    "decimal": (Decimal, str, Decimal),
    "Path": (Path, str, Path),
}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise WireError("a message is damaged (an id is two texts)")
    return value
