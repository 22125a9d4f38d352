"""Writes and reads the journal of a run: which nodes have finished, their cache keys and the files of their outputs.

A journal is a file of JSON lines, each with a checksum. Lines are only appended, each with one write, so that a killed
run leaves all earlier lines readable. `journal_writer.py` decides when to write a line; `history.py` uses the lines.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from nfrun.cache.work_dir import JOURNAL, WorkDir
from nfrun.core.pipeline import NOTHING, OutputId
from nfrun.system.atomic_files import read_regular_file
from nfrun.system.checksums import line_checksum

VERSION = 1
_CHECK = ', "check": "'
_CHECK_LENGTH = len(_CHECK) + 16 + len('"}')


@dataclass(frozen=True, slots=True)
class FinishedOutput:
    """An output of a finished node.

    `file` is the name of its Arrow file in the folder of the run, None where that run did not need the file. `size` is
    in bytes, and `checksum` is that of the whole file. The other fields are as in `nfrun.core.events.OutputRef`. Older
    journals have no `schema_digest`.
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


@dataclass(frozen=True, slots=True)
class FinishedNode:
    """A finished node whose outputs are in place.

    `key` is the cache key and `key_inputs` what it was computed from; `key` is None where not all key inputs could be
    determined. `wrote` are the checksums of files that the node wrote outside of the work folder, by their names in the
    pipeline file, and `reads` those of the files that its code opened, as in `nfrun.core.observation`. `obstacle` says
    why the entry is reused only with `cache: true`, "" if nothing is against it. `duration` is in seconds. `reused`:
    the node was a cache hit. `cached`: the pipeline file says `cache: true`. `folder` is the folder of the run; it is
    not written to the journal. Older journals have neither `reads` nor `obstacle`.
    """

    node: str
    key: str | None
    key_inputs: Mapping[str, str]
    outputs: tuple[FinishedOutput, ...]
    wrote: Mapping[str, str]
    duration: float = 0.0
    reused: bool = False
    cached: bool = False
    folder: Path | None = None
    reads: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    obstacle: str = ""

    def output(self, id: str) -> FinishedOutput | None:
        """Return the output with this id, None where the node has none."""
        return next((output for output in self.outputs if output.id == id), None)


@dataclass(frozen=True, slots=True)
class RunHeader:
    """The first line of a journal.

    `run` is the id of the run, `pipeline` the name that `WorkDir.pipeline_name` gives. `number` counts the runs in a
    work folder from 1.
    """

    run: str
    pipeline: str
    number: int
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class JournalContents:
    """The contents of a journal.

    `started` is None where the first line is missing or damaged. `finished` is in the order of the lines. `ended` is
    `ok`, `failed` or `cancelled`, and empty where the run was killed or is still running.
    """

    folder: Path
    started: RunHeader | None
    finished: tuple[FinishedNode, ...]
    ended: str = ""


# JSON keys that differ from the field names. They stay, so that existing journals remain readable.
_JSON_KEYS = {"key_inputs": "parts", "duration": "took", "schema_digest": "traits"}
_FIELDS = {key: field for field, key in _JSON_KEYS.items()}
_OUTPUT = tuple((field.name, _JSON_KEYS.get(field.name, field.name)) for field in fields(FinishedOutput))
_FINISHED = tuple(
    (field.name, _JSON_KEYS.get(field.name, field.name))
    for field in fields(FinishedNode)
    if field.name not in ("outputs", "folder")
)


class Journal:
    """Writes a journal. Not thread-safe.

    With `fsync`, every line survives a power loss before the next one is written.
    """

    def __init__(self, folder: Path, *, fsync: bool = False) -> None:
        """Create the journal in the folder of the run. Raises OSError, also where there is one already."""
        self.path = folder / JOURNAL
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._file: int | None = os.open(self.path, flags, 0o600)
        self._fsync = fsync

    def started(self, started: RunHeader) -> None:
        """Write the first line. Raises OSError."""
        self._write({"event": "started", **asdict(started)})

    def finished(self, finished: FinishedNode) -> None:
        """Write the line of a finished node. Raises OSError."""
        # Not `asdict`: it copies all values and takes ten times as long as the rest.
        line = {key: getattr(finished, name) for name, key in _FINISHED}
        outputs = [{key: getattr(output, name) for name, key in _OUTPUT} for output in finished.outputs]
        self._write({"event": "finished", **line, "outputs": outputs})

    def ended(self, status: str) -> None:
        """Write the last line. Raises OSError."""
        self._write({"event": "ended", "status": status})

    def close(self) -> None:
        """Close the file. Closing again does nothing."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _write(self, line: Mapping[str, Any]) -> None:
        assert self._file is not None
        data = with_checksum(json.dumps(line))
        if os.write(self._file, data) != len(data):  # the disk is full; readers skip the torn line
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self._fsync:
            os.fsync(self._file)


def next_number(last: int | None, work: WorkDir) -> int:
    """Return the number of the next run.

    `last` is the number of the last run. If it is None, all journals are read to find it. Raises OSError then.
    """
    if last is None:
        runs = [read_journal(folder).started for folder in work.run_folders()]
        last = max((run.number for run in runs if run is not None), default=0)
    return last + 1


def with_checksum(text: str) -> bytes:
    """Turn a JSON object into a line of a journal, with its checksum."""
    return f'{text[:-1]}{_CHECK}{line_checksum(text.encode())}"}}\n'.encode()


def read_journal(folder: Path) -> JournalContents:
    """Read the journal of a run. Skips lines that are torn or damaged.

    A missing or unreadable journal gives empty contents, except that PermissionError is raised. `finished` is empty if
    the journal has another version.
    """
    started: RunHeader | None = None
    finished: list[FinishedNode] = []
    ended = ""
    try:
        lines = read_regular_file(folder / JOURNAL).split(b"\n")
    except PermissionError:  # another user's journal exists: don't treat it as missing
        raise
    except OSError:
        lines = []
    for data in lines:
        line = _verified_object(data)
        kind = line.pop("event", None)
        try:
            if kind == "started":
                started = RunHeader(**line)
            elif kind == "finished":
                outputs = tuple(_output(line["node"], **_as_fields(output)) for output in line.pop("outputs"))
                finished.append(FinishedNode(**_as_fields(line), outputs=outputs, folder=folder))
            elif kind == "ended":
                ended = str(line["status"])
        except (TypeError, LookupError, AttributeError):
            continue  # written by another version
    if started is not None and started.version != VERSION:
        finished = []
    return JournalContents(folder, started, tuple(finished), ended)


def _output(node: str, *, id: str, **fields: Any) -> FinishedOutput:
    """Return an output of the node; its id in the file is that of the node, and a dot and its name if it has one."""
    return FinishedOutput(OutputId(node, id[len(node) + 1 :]), **fields)


def _as_fields(line: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the JSON keys of a line to field names."""
    return {_FIELDS.get(key, key): value for key, value in line.items()}


def _verified_object(line: bytes) -> dict[str, Any]:
    """Return the object in a line; empty where the checksum does not match."""
    text, check = line[:-_CHECK_LENGTH] + b"}", line[-_CHECK_LENGTH:]
    if check != f'{_CHECK}{line_checksum(text)}"}}'.encode():
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
