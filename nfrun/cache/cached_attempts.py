"""Makes no attempt at a node whose outputs are there from an earlier run: hands those on in their place.

Knows what was chosen before the run, and decides the rest when a node's inputs are known. Notes what files nodes read
and wrote, which nobody can find out afterwards.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from nfrun.cache.cache_key import CacheKeys, cache_key, reader_digest
from nfrun.cache.history import RunHistory
from nfrun.cache.journal import FinishedNode
from nfrun.cache.reuse_decision import ReuseDecision
from nfrun.core.errors import HandoffError, io_failure_type
from nfrun.core.events import Failure, NodeStarted, Outcome, OutputRef
from nfrun.core.pipeline import NodeSpec, Pipeline
from nfrun.engine.attempt import RunCoroutine
from nfrun.nodes.base import CancelToken
from nfrun.nodes.external_files import ExternalInputs, external_outputs
from nfrun.system.atomic_files import sync
from nfrun.tables.output_files import output_path
from nfrun.tables.store import TableStore

RunAttempt = Callable[[NodeStarted, CancelToken, RunCoroutine], Outcome]


@dataclass
class ObservedFiles:
    """What is known only while nodes run: earlier ends that were `used`, files that nodes read, checksums of others
    that they `wrote`."""

    inputs: ExternalInputs
    used: dict[str, FinishedNode] = field(default_factory=dict)
    wrote: dict[str, Mapping[str, str]] = field(default_factory=dict)


class CachedAttempts:
    """Makes attempts by `make`, or reuses. `folder` is that of the run; what has to be noted goes into `notes`."""

    def __init__(
        self,
        run_attempt: RunAttempt,
        pipeline: Pipeline,
        store: TableStore,
        keys: CacheKeys,
        folder: Path,
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
        self._folder = folder
        self._history = history
        self._decisions = decisions
        self._observed = observed

    def __call__(self, start: NodeStarted, cancel_token: CancelToken, run_coroutine: RunCoroutine) -> Outcome:
        """Make the attempt, or reuse. Never raises."""
        decision = self._decisions.get(start.node)
        if decision is not None and start.attempt == 1:
            try:
                found = (decision.hit, decision.files) if decision.hit else self._late_hit(start, decision)
                if found is not None:
                    return self._hit(start, *found)
            except HandoffError as error:
                return Outcome(start.node, start.attempt, Failure("io", io_failure_type(error), str(error)))
        return self._miss(start, cancel_token, run_coroutine)

    # -- an attempt ------------------------------------------------------------------------------------------------

    def _miss(self, start: NodeStarted, cancel_token: CancelToken, run_coroutine: RunCoroutine) -> Outcome:
        spec = self._nodes[start.node]
        self._observed.inputs.snapshot(spec)
        outcome = self._run_attempt(start, cancel_token, run_coroutine)
        if spec.kind == "write" and outcome.failure is None and outcome.lost is None:
            self._observed.wrote[spec.id] = external_outputs(spec, self._base)
        if (
            spec.kind == "read"
            and outcome.failure is not None
            and self._observed.inputs.snapshot(spec) == {spec.body: ""}
        ):
            return replace(outcome, failure=self._with_makers(outcome.failure, spec))
        return outcome

    def _with_makers(self, failure: Failure, spec: NodeSpec) -> Failure:
        """With who may have made the file that is not there: nobody can know what a script or a function writes."""
        lines = [failure.details] if failure.details else []
        for need in spec.needs:
            if need in self._observed.used:
                how = "'cache: true'" if self._nodes[need].cache else "--resume"
                lines.append(f"'{need}' was reused and may have made it: without {how} it runs again")
        return replace(failure, details="\n".join(lines))

    # -- what is there already -------------------------------------------------------------------------------------

    def _late_hit(self, start: NodeStarted, decision: ReuseDecision) -> tuple[FinishedNode, Mapping[str, Path]] | None:
        """What the node gave when its inputs were what they are now. Raises HandoffError."""
        history = self._history
        if history is None or not decision.pending:
            return None
        definition = self._keys.definition(start.node).items()
        if not any(definition <= end.key_inputs.items() for end in history.of_node(start.node)):
            return None  # nor can the key be the same: there is no need to wait for any digest
        spec = self._nodes[start.node]
        if any(item.output not in start.inputs for item in spec.inputs):
            return None
        inputs = {
            item.output: reader_digest(self._store.wait_digest(start.inputs[item.output])) for item in spec.inputs
        }
        needs = {need: finished.key or "" for need in spec.needs if (finished := self._decisions[need].hit)}
        looked = self._observed.inputs.snapshot(spec) or {}
        key_inputs = self._keys.key_inputs(spec.id, inputs=inputs, needs=needs, files=looked)
        for finished in history.with_key(cache_key(key_inputs)):
            if finished.wrote and external_outputs(spec, self._base) != finished.wrote:
                continue
            files = {output.id: history.find_file(finished, output.id) for output in finished.outputs}
            sound = {output: path for output, path in files.items() if path is not None}
            if len(sound) == len(files):
                return finished, sound
        return None

    def _hit(self, start: NodeStarted, finished: FinishedNode, files: Mapping[str, Path]) -> Outcome:
        """Raises HandoffError."""
        outputs: dict[str, OutputRef] = {}
        for output in finished.outputs:
            path = output_path(self._folder, output.id, start.attempt) if output.id in files else None
            outputs[output.id] = ref = OutputRef(
                output.id,
                output.rows,
                output.bytes,
                output.schema,
                path,
                output.digest,
                start.attempt,
                output.size,
                schema_digest=output.schema_digest,
            )
            if path is not None:
                self._link(files[output.id], ref)
        for name in finished.wrote:
            try:
                self._sync(self._base / name)
            except OSError as error:
                raise HandoffError(f"cannot reuse {name}: {error.strerror}") from None
        self._observed.used[start.node] = finished
        return Outcome(start.node, start.attempt, outputs=outputs, reused=True)

    def _link(self, file: Path, ref: OutputRef) -> None:
        """Have the file under a name of this run too: whatever becomes of the earlier one, this is complete."""
        path = Path(ref.path or "")
        try:
            try:
                os.link(file, path, follow_symlinks=False)
            except OSError:  # a file system without links, or too many of them
                partial = path.with_name(f"{path.name}.partial")
                shutil.copyfile(file, partial)
                partial.chmod(0o444)
                partial.replace(path)
            self._sync(path)
        except OSError as error:
            raise HandoffError(f"cannot reuse the output '{ref.id}' ({ref.size:,} bytes): {error.strerror}") from None
        self._store.reuse(ref)

    def _sync(self, path: Path) -> None:
        """Have a file of an earlier run last, which that run may not have seen to, if this one shall."""
        if self._store.fsync:
            sync(path)
            sync(path.parent)
