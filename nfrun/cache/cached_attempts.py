"""Wraps attempts with a cache lookup: on a hit, links the earlier output files into this run.

Most hits are decided before the run, see `reuse_decision.py`. Pending nodes are looked up here, once the digests of
their inputs are known. Also records which files nodes read and wrote, which cannot be found out afterwards.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nfrun.cache.cache_key import CacheKeys, dependency_digest, reader_digest
from nfrun.cache.history import RunHistory
from nfrun.cache.journal import FinishedNode
from nfrun.cache.observed_files import ObservedFiles
from nfrun.cache.reuse_decision import ReuseDecision, usable_entries
from nfrun.core.errors import Cause, HandoffError
from nfrun.core.events import Failure, NodeStarted, Outcome, OutputRef
from nfrun.core.pipeline import NodeSpec, OutputId, Pipeline
from nfrun.engine.attempt import RunAttempt, RunCoroutine
from nfrun.nodes.base import CancelToken
from nfrun.nodes.external_files import external_outputs
from nfrun.system.atomic_files import atomic_write, sync

if TYPE_CHECKING:
    from nfrun.tables.store import TableStore


class CachedAttempts:
    """Serves cache hits, and calls `run_attempt` for all other attempts.

    Reused journal entries and file checksums are recorded in `observed`. Without a
    `history`, pending nodes are misses.
    """

    def __init__(
        self,
        run_attempt: RunAttempt,
        pipeline: Pipeline,
        store: TableStore,
        keys: CacheKeys,
        observed: ObservedFiles,
        *,
        history: RunHistory | None,
        decisions: Mapping[str, ReuseDecision],
    ) -> None:
        self._run_attempt = run_attempt
        self._nodes = pipeline.nodes
        self._base = Path(pipeline.folder)
        self._store = store
        self._keys = keys
        self._history = history
        self._decisions = decisions
        self._observed = observed

    def __call__(self, start: NodeStarted, cancel_token: CancelToken, run_coroutine: RunCoroutine) -> Outcome:
        """Return the outcome of a cache hit, or run the attempt. Only first attempts can be hits.

        Raises HandoffError if the outputs of a hit cannot be taken over, such as on a full disk.
        """
        decision = self._decisions.get(start.node)
        if decision is not None and start.attempt == 1:
            found = (decision.hit, decision.files) if decision.hit else self._late_hit(start, decision)
            if found is not None:
                return self._hit(start, *found)
        return self._miss(start, cancel_token, run_coroutine)

    # -- cache miss ------------------------------------------------------------------------------------------------

    def _miss(self, start: NodeStarted, cancel_token: CancelToken, run_coroutine: RunCoroutine) -> Outcome:
        spec = self._nodes[start.node]
        self._observed.inputs.snapshot(spec, anew=start.attempt == 1)
        if missing := self._observed.inputs.missing(spec):
            what = f"there is no file '{missing}', which 'files' of the node names"
            return Outcome(start.node, start.attempt, Failure(Cause.NODE, "", what))
        outcome = self._run_attempt(start, cancel_token, run_coroutine)
        if outcome.failure is None:
            seen = outcome.observation
            if seen is not None:
                self._observed.seen[spec.id] = seen
            named = {**external_outputs(spec, self._base), **self._observed.inputs.written(spec)}
            if wrote := {**named, **(seen.writes if seen is not None else {})}:
                self._observed.wrote[spec.id] = wrote
        elif "" in (self._observed.inputs.snapshot(spec) or {}).values():
            return replace(outcome, failure=self._with_reuse_hints(outcome.failure, spec))
        return outcome

    def _with_reuse_hints(self, failure: Failure, spec: NodeSpec) -> Failure:
        """Add hints to the failure of a node that reads a missing file: which reused nodes may have made that file.

        It is unknown which files a script or a function writes, so every reused node in `needs` is named.
        """
        lines = [failure.details] if failure.details else []
        for need in spec.needs:
            if need in self._observed.used:
                how = "'cache: true'" if self._nodes[need].cache else "--resume"
                lines.append(f"'{need}' was reused and may have made it: without {how} it runs again")
        return replace(failure, details="\n".join(lines))

    # -- cache hit -------------------------------------------------------------------------------------------------

    def _late_hit(
        self, start: NodeStarted, decision: ReuseDecision
    ) -> tuple[FinishedNode, Mapping[OutputId, Path]] | None:
        """Look up a pending node with the digests of its inputs; waits until they are known.

        Returns the journal entry and the files of its outputs by output id, or None on a miss. Raises HandoffError.
        """
        history = self._history
        if history is None or not decision.pending:
            return None
        definition = self._keys.definition(start.node).items()
        if not any(definition <= end.key_inputs.items() for end in history.of_node(start.node)):
            return None  # no key can match, so don't wait for digests
        spec = self._nodes[start.node]
        if any(item.output not in start.inputs for item in spec.inputs):
            return None
        inputs = {
            item.output: reader_digest(self._store.wait_digest(start.inputs[item.output])) for item in spec.inputs
        }
        needs = {need: dependency_digest(hit) for need in spec.needs if (hit := self._decisions[need].hit)}
        key_inputs = self._keys.key_inputs(spec.id, inputs=inputs, needs=needs)
        named = self._observed.inputs.snapshot(spec, anew=True)
        if named is None:
            return None
        entries, recorded = history.of_node(spec.id), self._observed.files
        # `anew` and with `recheck`: nodes that have ended may have changed files.
        for finished in usable_entries(spec, entries, key_inputs, named, recorded, recheck=True)[0]:
            files = {output.id: history.find_file(finished, output.id) for output in finished.outputs}
            intact = {output: path for output, path in files.items() if path is not None}
            if len(intact) == len(files):
                return finished, intact
        return None

    def _hit(self, start: NodeStarted, finished: FinishedNode, files: Mapping[OutputId, Path]) -> Outcome:
        """Link the earlier files into this run and return an outcome with `reused` set. Raises HandoffError."""
        outputs: dict[str, OutputRef] = {}
        for output in finished.outputs:
            path = self._store.path(output.id, start.attempt) if output.id in files else None
            outputs[output.id] = ref = OutputRef(
                output.id,
                output.rows,
                output.bytes,
                output.schema,
                path,
                output.digest,
                start.attempt,
                output.size,
                output.checksum,
                output.schema_digest,
            )
            if path is not None:
                self._link(files[output.id], ref)
        for name in finished.wrote:
            try:
                self._sync(self._base / name)
            except OSError as error:
                raise HandoffError(f"cannot reuse {name}: {error.strerror}", error) from None
        self._observed.used[start.node] = finished
        return Outcome(start.node, start.attempt, outputs=outputs, reused=True)

    def _link(self, file: Path, ref: OutputRef) -> None:
        """Hard-link an earlier file into the folder of this run, which is then complete without the earlier run.

        Copies the file where it cannot be linked. Raises HandoffError.
        """
        path = Path(ref.path or "")
        try:
            try:
                os.link(file, path, follow_symlinks=False)
            except OSError:  # a file system without hard links, or the file has too many of them
                with atomic_write(path, private=True) as partial:
                    shutil.copyfile(file, partial)
            self._sync(path)
        except OSError as error:
            what = f"cannot reuse the output '{ref.id}' ({ref.size:,} bytes)"
            raise HandoffError(f"{what}: {error.strerror}", error) from None
        self._store.register_file(ref)

    def _sync(self, path: Path) -> None:
        """Fsync a file of an earlier run if this run does so: the earlier run may have run without fsync."""
        if self._store.fsync:
            sync(path)
            sync(path.parent)
