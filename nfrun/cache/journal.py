"""The journal of a run: which nodes have finished, under which keys, and what files hold their outputs.

Lines of JSON that are only ever added, each with a checksum and written at once, so that whatever kills a run, all that
came before can be read. Knows how a line looks and not when there is one: see `journaling` and `past`.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from nfrun.cache.work_dir import JOURNAL, WorkDir
from nfrun.system.atomic_files import read_regular_file
from nfrun.system.checksums import line_checksum

VERSION = 1
_CHECK = ', "check": "'
_END = len(_CHECK) + 16 + len('"}')


@dataclass(frozen=True, slots=True)
class FinishedOutput:
    """An output of a node that has finished.

    `file` is the name of its Arrow file in the folder of the run, with `size` in bytes and `checksum` of the file as a
    whole; None where that run did not need the file. The rest is as in `nfrun.core.events.OutputRef`. Older journals
    have no `schema_digest`.
    """

    id: str
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
    """A node that has finished, and whose outputs are in place.

    `key` stands for all that they depend on, `parts` for each of these by name; there is no key where not all can be
    known. `wrote` are checksums of files that the node wrote elsewhere, by their names in the pipeline's file.
    `cached`: the file said `cache: true`. `folder` is that of the run.
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

    def output(self, id: str) -> FinishedOutput | None:
        """The output of this id, None where the node gave none."""
        return next((output for output in self.outputs if output.id == id), None)


@dataclass(frozen=True, slots=True)
class RunHeader:
    """The first line: which run of which pipeline, by `WorkFolder.name_of` it, this is. `number` counts the runs of a
    work folder from 1."""

    run: str
    pipeline: str
    number: int
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class JournalContents:
    """What a journal tells. `started` is None where its first line is not there or is damaged; `ended` is `ok`,
    `failed` or `cancelled`, and empty where the run was killed or still runs."""

    folder: Path
    started: RunHeader | None
    finished: tuple[FinishedNode, ...]
    ended: str = ""


# Keys of a line by the fields that they hold, the other way round for reading. The keys of today stay readable.
_JSON_KEYS = {"key_inputs": "parts", "duration": "took", "schema_digest": "traits"}
_FIELDS = {key: field for field, key in _JSON_KEYS.items()}
_OUTPUT = tuple((field.name, _JSON_KEYS.get(field.name, field.name)) for field in fields(FinishedOutput))
_FINISHED = tuple(
    (field.name, _JSON_KEYS.get(field.name, field.name))
    for field in fields(FinishedNode)
    if field.name not in ("outputs", "folder")
)


class Journal:
    """Writes one. Not for several threads. `durable`: every line survives a power loss before the next is written."""

    def __init__(self, folder: Path, *, fsync: bool = False) -> None:
        """Raises OSError."""
        self.path = folder / JOURNAL
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(self.path, flags, 0o600)
        self._fsync = fsync

    def started(self, started: RunHeader) -> None:
        """Write the first line. Raises OSError, as all do."""
        self._write({"event": "started", **asdict(started)})

    def finished(self, finished: FinishedNode) -> None:
        """Write that a node has finished."""
        # Not `asdict`, which copies whatever is in it and takes ten times as long as the rest.
        line = {key: getattr(finished, name) for name, key in _FINISHED}
        outputs = [{key: getattr(output, name) for name, key in _OUTPUT} for output in finished.outputs]
        self._write({"event": "finished", **line, "outputs": outputs})

    def ended(self, status: str) -> None:
        """Write the last line."""
        self._write({"event": "ended", "status": status})

    def close(self) -> None:
        os.close(self._file)

    def _write(self, line: Mapping[str, Any]) -> None:
        data = with_checksum(json.dumps(line))
        if os.write(self._file, data) != len(data):  # the disk took a part of it: this one does not count
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self._fsync:
            os.fsync(self._file)


def next_number(last: int | None, work: WorkDir) -> int:
    """The number of the next run. `last` is that of the last one, None where only the journals can tell."""
    if last is None:
        runs = [read_journal(folder).started for folder in work.run_folders()]
        last = max((run.number for run in runs if run is not None), default=0)
    return last + 1


def with_checksum(text: str) -> bytes:
    """A JSON object as a line of a journal."""
    return f'{text[:-1]}{_CHECK}{line_checksum(text.encode())}"}}\n'.encode()


def read_journal(folder: Path) -> JournalContents:
    """What the journal of a run tells. Lines that are torn or damaged are left out, whatever is in them.

    Raises PermissionError.
    """
    started: RunHeader | None = None
    finished: list[FinishedNode] = []
    ended = ""
    try:
        lines = read_regular_file(folder / JOURNAL).split(b"\n")
    except PermissionError:  # of somebody else's run: it is there, and nobody is to think that it is not
        raise
    except OSError:
        lines = []
    for data in lines:
        line = _object(data)
        kind = line.pop("event", None)
        try:
            if kind == "started":
                started = RunHeader(**line)
            elif kind == "finished":
                outputs = tuple(FinishedOutput(**_as_fields(output)) for output in line.pop("outputs"))
                finished.append(FinishedNode(**_as_fields(line), outputs=outputs, folder=folder))
            elif kind == "ended":
                ended = str(line["status"])
        except (TypeError, LookupError, AttributeError):
            continue  # of another version
    if started is not None and started.version != VERSION:
        finished = []
    return JournalContents(folder, started, tuple(finished), ended)


def _as_fields(line: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a line by the names of the fields that hold them."""
    return {_FIELDS.get(key, key): value for key, value in line.items()}


def _object(line: bytes) -> dict[str, Any]:
    """The object in a line; empty where it is not what was written."""
    text, check = line[:-_END] + b"}", line[-_END:]
    if check != f'{_CHECK}{line_checksum(text)}"}}'.encode():
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
