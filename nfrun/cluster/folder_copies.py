"""Compares the copies of the project's folder, which hosts have, with the folder itself.

The copy is made when the run begins. What a node writes into it stays there, and what changes in the folder meanwhile,
such as by a node that writes a file on the machine of the run, does not reach it. Nor do files that do not travel.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePath

from nfrun.core.errors import Cause
from nfrun.core.events import Failure, NodeStarted, Outcome
from nfrun.core.observation import Observation
from nfrun.core.pipeline import NOTHING, NodeSpec
from nfrun.core.values import replace
from nfrun.nodes.external_files import ExternalInputs, external_outputs
from nfrun.nodes.registry import kind_of
from nfrun.system.checksums import FileChecksums

_OTHERS = "?"  # in place of the checksum of a file that nodes have changed in the copy: it is none of the project
_INSTEAD = "give it to the node as an input, or run the node here (executor: thread)"
_CHANGED = f"'{{}}' has changed since the run began, and workers have the folder as it was then: {_INSTEAD}"
_NOT_THERE = f"'{{}}' is not on workers, which have the folder of the pipeline without hidden files: {_INSTEAD}"

State = tuple[int, ...]


def packed_states(folder: Path) -> dict[str, State]:
    """Return the states of all files below a folder, by path, in which every change shows."""
    return {path: _state(path) for above, _, names in os.walk(folder) for path in (f"{above}/{name}" for name in names)}


class NamedInCopy:
    """The files in the copy of a host that a node reads: those that its text names, and those that it is seen to open.

    `base` is the folder of the pipeline in the copy, `packed` has the states of the files as they have come, and `env`
    the variables of the file. Make it before the attempt.
    """

    def __init__(
        self, spec: NodeSpec, base: Path, work: Path, env: Mapping[str, str], packed: Mapping[str, State]
    ) -> None:
        self._spec, self._base, self._packed = spec, base, packed
        self._files = ExternalInputs(base, work, env)
        self._is_remote = bool(kind_of(spec).outside.remote(spec))  # to ask for its version takes a request
        self._before = NOTHING if self._is_remote else self._files.snapshot(spec) or NOTHING

    def seen(self, outcome: Outcome) -> Outcome:
        """Return the outcome of the attempt with the files that it has written: in the folder itself they are not."""
        if outcome.failure is not None or self._is_remote:
            return outcome
        wrote = {**external_outputs(self._spec, self._base), **self._files.written(self._spec)}
        if not wrote:
            return outcome
        seen = outcome.observation or Observation()
        return replace(outcome, observation=replace(seen, writes={**wrote, **seen.writes}))

    def read(self, outcome: Outcome) -> dict[str, str]:
        """Return the checksums of the files that an attempt may have read; "" for a missing one."""
        reads = outcome.observation.reads if outcome.observation is not None else NOTHING
        found: dict[str, str] = {}
        for name, checksum in {**self._before, **reads}.items():
            if not name.endswith(("/", "/.", "**")):
                path = os.path.normpath(self._base / name)
                came = self._packed.get(path)
                found[name] = checksum if (came == _state(path) if checksum else came is None) else _OTHERS
        return found


def with_changes(
    outcome: Outcome, start: NodeStarted, read: Mapping[str, str], spec: NodeSpec, base: Path, checksums: FileChecksums
) -> Outcome:
    """Return the outcome of an attempt on a worker as a failure if it has read a file that is another one here.

    `read` are the files that it may have read there, with their checksums. `base` is the folder of the pipeline.
    """
    if outcome.failure is not None and not kind_of(spec).outside.remote(spec):
        named = ExternalInputs(base, checksums=checksums).snapshot(spec) or NOTHING
        read = {**dict.fromkeys(named, ""), **read}
    for told in _differences(read, base, checksums, has_failed=outcome.failure is not None):
        failed = Failure(Cause.NODE, "", told)
        if outcome.failure is not None:
            failed = replace(outcome.failure, details="\n".join(filter(None, (outcome.failure.details, told))))
        return start.outcome(failed, duration=outcome.duration)
    return outcome


def _differences(read: Mapping[str, str], base: Path, checksums: FileChecksums, *, has_failed: bool) -> Iterator[str]:
    for name, there in read.items():
        with suppress(OSError):
            path = Path(os.path.normpath(base / name))
            if there == _OTHERS or not path.is_file() or checksums.of(path, recheck=True) == there:
                continue
            # A library may look for a hidden file, or one elsewhere, and do without it.
            is_ours = not path.is_absolute() or path.is_relative_to(base)
            is_hidden = any(part.startswith(".") for part in PurePath(name).parts if part != "..")
            if there:
                yield _CHANGED.format(name)
            elif has_failed or (is_ours and not is_hidden):
                yield _NOT_THERE.format(name)


def _state(path: str) -> State:
    with suppress(OSError):
        found = os.stat(path)  # noqa: PTH116  (for each file of the project)
        return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino
    return ()
