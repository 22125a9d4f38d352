"""Compares the copies of the project's folder, which hosts have, with the folder itself.

The copy is made when the run begins. What a node writes into it stays there, and what changes in the folder meanwhile,
such as by a node that writes a file on the machine of the run, does not reach it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from nfrun.core.errors import Cause
from nfrun.core.events import Failure, Outcome
from nfrun.core.observation import Observation
from nfrun.core.pipeline import NOTHING, NodeSpec
from nfrun.core.values import replace
from nfrun.nodes.external_files import ExternalInputs, external_outputs
from nfrun.nodes.registry import KINDS
from nfrun.system.checksums import FileChecksums

_CHANGED = (
    "'{}' has changed since the run began, and nodes on workers see the folder of the pipeline as it was then: "
    "give it to the node as an input, or run the node here (executor: thread)"
)


class NamedInCopy:
    """The files in the copy of a host that the text of a node names, from before an attempt until after it.

    `base` is the folder of the pipeline in the copy, and `env` the variables of the file. `before` has the checksums of
    those that it may read.
    """

    def __init__(self, spec: NodeSpec, base: Path, work: Path, env: Mapping[str, str]) -> None:
        self._spec, self._base = spec, base
        self._files = ExternalInputs(base, work, env)
        is_remote = bool(KINDS[spec.kind].remote_input(spec))  # to ask for its version takes a request
        self.before = NOTHING if is_remote else self._files.snapshot(spec) or NOTHING

    def seen(self, outcome: Outcome) -> Outcome:
        """Return the outcome of the attempt with the files that it has written: in the folder itself they are not."""
        if outcome.failure is not None or KINDS[self._spec.kind].remote_input(self._spec):
            return outcome
        wrote = {**external_outputs(self._spec, self._base), **self._files.written(self._spec)}
        if not wrote:
            return outcome
        seen = outcome.observation or Observation()
        return replace(outcome, observation=replace(seen, writes={**wrote, **seen.writes}))


def with_changes(outcome: Outcome, named: Mapping[str, str], base: Path, started: float) -> Outcome:
    """Return the outcome of an attempt on a worker as a failure if it has read a file that is another one here.

    `named` are the files that its text names, with their checksums there. `base` is the folder of the pipeline.
    `started` is when the run began, in seconds since 1970: a file that has not changed since is not older there.
    """
    reads = outcome.observation.reads if outcome.observation is not None else NOTHING
    for name in _changed({**named, **reads}, base, started):
        told = _CHANGED.format(name)
        if outcome.failure is None:
            failed = Failure(Cause.NODE, "", told)
        else:
            failed = replace(outcome.failure, details="\n".join(filter(None, (outcome.failure.details, told))))
        return Outcome(outcome.node, outcome.attempt, failed, duration=outcome.duration, call=outcome.call)
    return outcome


def _changed(there: Mapping[str, str], base: Path, started: float) -> Iterator[str]:
    checksum = FileChecksums().of
    for name, its_checksum in there.items():
        path = base / name
        if name.endswith(("/", "/.", "**")) or os.path.isabs(name):  # noqa: PTH117  (the machines may differ there)
            continue
        with suppress(OSError):
            if path.is_file() and path.stat().st_ctime >= started and checksum(path) != its_checksum:
                yield name
