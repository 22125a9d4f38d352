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

from nfrun.cache.cache_key import Keys, key_of, same_for_readers
from nfrun.cache.history import Past
from nfrun.cache.journal import Finished
from nfrun.cache.reuse_decision import Choice
from nfrun.core.errors import HandoffError, refusal
from nfrun.core.events import Failure, NodeStarted, Outcome, Ref
from nfrun.core.pipeline import NodeSpec, Pipeline
from nfrun.engine.attempt import Wait
from nfrun.nodes.base import Stop
from nfrun.nodes.external_files import Reads, written_by
from nfrun.system.atomic_files import sync
from nfrun.tables.output_files import file_of
from nfrun.tables.store import Store

Make = Callable[[NodeStarted, Stop, Wait], Outcome]


@dataclass
class Notes:
    """What is known only while nodes run: earlier ends that were `used`, files that nodes read, checksums of others
    that they `wrote`."""

    reads: Reads
    used: dict[str, Finished] = field(default_factory=dict)
    wrote: dict[str, Mapping[str, str]] = field(default_factory=dict)


class Recall:
    """Makes attempts by `make`, or reuses. `folder` is that of the run; what has to be noted goes into `notes`."""

    def __init__(
        self,
        make: Make,
        pipeline: Pipeline,
        store: Store,
        keys: Keys,
        folder: Path,
        notes: Notes,
        *,
        past: Past | None,
        choices: Mapping[str, Choice],
    ) -> None:
        self._make = make
        self._nodes = pipeline.nodes
        self._base = Path(pipeline.folder)
        self._store = store
        self._keys = keys
        self._folder = folder
        self._past = past
        self._choices = choices
        self._notes = notes

    def __call__(self, start: NodeStarted, stop: Stop, wait: Wait) -> Outcome:
        """Make the attempt, or reuse. Never raises."""
        choice = self._choices.get(start.node)
        if choice is not None and start.attempt == 1:
            try:
                found = (choice.finished, choice.files) if choice.finished else self._found(start, choice)
                if found is not None:
                    return self._reused(start, *found)
            except HandoffError as error:
                return Outcome(start.node, start.attempt, Failure("io", refusal(error), str(error)))
        return self._made(start, stop, wait)

    # -- an attempt ------------------------------------------------------------------------------------------------

    def _made(self, start: NodeStarted, stop: Stop, wait: Wait) -> Outcome:
        spec = self._nodes[start.node]
        self._notes.reads.before(spec)
        outcome = self._make(start, stop, wait)
        if spec.kind == "write" and outcome.failure is None and outcome.lost is None:
            self._notes.wrote[spec.id] = written_by(spec, self._base)
        if spec.kind == "read" and outcome.failure is not None and self._notes.reads.before(spec) == {spec.body: ""}:
            return replace(outcome, failure=self._with_makers(outcome.failure, spec))
        return outcome

    def _with_makers(self, failure: Failure, spec: NodeSpec) -> Failure:
        """With who may have made the file that is not there: nobody can know what a script or a function writes."""
        lines = [failure.details] if failure.details else []
        for need in spec.needs:
            if need in self._notes.used:
                how = "'cache: true'" if self._nodes[need].cache else "--resume"
                lines.append(f"'{need}' was reused and may have made it: without {how} it runs again")
        return replace(failure, details="\n".join(lines))

    # -- what is there already -------------------------------------------------------------------------------------

    def _found(self, start: NodeStarted, choice: Choice) -> tuple[Finished, Mapping[str, Path]] | None:
        """What the node gave when its inputs were what they are now. Raises HandoffError."""
        past = self._past
        if past is None or not choice.open:
            return None
        definition = self._keys.definition(start.node).items()
        if not any(definition <= end.parts.items() for end in past.ends(start.node)):
            return None  # nor can the key be the same: there is no need to wait for any digest
        spec = self._nodes[start.node]
        if any(item.output not in start.inputs for item in spec.inputs):
            return None
        inputs = {item.output: same_for_readers(self._store.known(start.inputs[item.output])) for item in spec.inputs}
        needs = {need: finished.key or "" for need in spec.needs if (finished := self._choices[need].finished)}
        looked = self._notes.reads.before(spec) or {}
        parts = self._keys.parts(spec.id, inputs=inputs, needs=needs, files=looked)
        for finished in past.find(key_of(parts)):
            if finished.wrote and written_by(spec, self._base) != finished.wrote:
                continue
            files = {output.id: past.file(finished, output.id) for output in finished.outputs}
            sound = {output: path for output, path in files.items() if path is not None}
            if len(sound) == len(files):
                return finished, sound
        return None

    def _reused(self, start: NodeStarted, finished: Finished, files: Mapping[str, Path]) -> Outcome:
        """Raises HandoffError."""
        outputs: dict[str, Ref] = {}
        for output in finished.outputs:
            path = file_of(self._folder, output.id, start.attempt) if output.id in files else None
            outputs[output.id] = ref = Ref(
                output.id,
                output.rows,
                output.bytes,
                output.schema,
                path,
                output.digest,
                start.attempt,
                output.size,
                traits=output.traits,
            )
            if path is not None:
                self._take(files[output.id], ref)
        for name in finished.wrote:
            try:
                self._sync(self._base / name)
            except OSError as error:
                raise HandoffError(f"cannot reuse {name}: {error.strerror}") from None
        self._notes.used[start.node] = finished
        return Outcome(start.node, start.attempt, outputs=outputs, reused=True)

    def _take(self, file: Path, ref: Ref) -> None:
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
        if self._store.durable:
            sync(path)
            sync(path.parent)
