"""Makes the outcomes of cache hits: the outputs are those of an earlier run, and their files stay there."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from nfrun.core.errors import HandoffError
from nfrun.core.events import NodeStarted, Outcome, OutputRef
from nfrun.core.map_counts import MapCounts
from nfrun.core.pipeline import Pipeline
from nfrun.core.values import replace
from nfrun.history.cache.observed_files import ObservedFiles
from nfrun.history.cache.outdated_results import OutdatedResults
from nfrun.history.cache.reuse_decision import ReuseDecision
from nfrun.history.journal import FinishedNode, FinishedOutput
from nfrun.history.run_history import RunHistory, table_path
from nfrun.nodes.folders import folder_of
from nfrun.nodes.registry import kind_of
from nfrun.system.atomic_files import sync


class Hits:
    """Makes the outcomes of cache hits, and records their journal entries in `observed`.

    With `fsync`, the files of a hit are synced, since the run that wrote them may have run without that.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        observed: ObservedFiles,
        outdated: OutdatedResults,
        *,
        history: RunHistory | None,
        decisions: Mapping[str, ReuseDecision],
        fsync: bool,
    ) -> None:
        self._nodes = pipeline.nodes
        self._shown = frozenset(pipeline.outputs.values())
        self._base = Path(pipeline.folder)
        self._observed = observed
        self._outdated = outdated
        self._history = history
        self._decisions = decisions
        self._fsync = fsync

    def known(self, start: NodeStarted) -> Outcome | None:
        """Return the outcome of a hit that was decided before the run, if that takes no work; None for all others."""
        decision = self._decisions.get(start.node)
        if decision is None or decision.hit is None or decision.pending or start.attempt > 1:
            return None
        if self._fsync or self._nodes[start.node].contracts or self._outdated.may_differ(start.node):
            return None
        self._outdated.begin(start)
        with suppress(OSError):  # then the attempt meets it again, and reports it
            return self.outcome(start, decision.hit)
        return None

    def outcome(self, start: NodeStarted, finished: FinishedNode) -> Outcome:
        """Return an outcome with `reused` set, and the outputs of an earlier run. Raises HandoffError.

        No file is opened here, but when a node reads it or the run shows it. Then `OutputRef.path` says where it is.
        """
        found = [self._with_home(finished, output) for output in finished.outputs]
        refs: dict[str, OutputRef] = {}
        counts = None if finished.map is None else MapCounts(finished.map.rows, finished.map.rows)
        if counts is not None or any(
            output is not own for (output, _), own in zip(found, finished.outputs, strict=True)
        ):
            finished = replace(finished, outputs=tuple(output for output, _ in found), map=counts)
        self._observed.used[start.node] = finished
        source = self.source_of(start.node)
        for output, file in found:
            is_used = output.shown or self._fsync
            path = source or file or (table_path(finished.folder, output) if is_used else None)
            refs[output.id] = reused_ref(output, path, start.attempt)
            if path is not None and self._fsync and output.file:
                self._sync(path, f"the output '{output.id}' ({output.size:,} bytes)")
        for name in finished.wrote if self._fsync else ():
            self._sync(self._base / name, name)
        return Outcome(start.node, start.attempt, outputs=refs, reused=True, map=counts)

    def with_homes(self, finished: FinishedNode) -> FinishedNode:
        """Return an entry of an earlier run whose outputs say which run has their files."""
        return replace(finished, outputs=tuple([self._with_home(finished, output)[0] for output in finished.outputs]))

    def source_of(self, node: str) -> Path | None:
        """Return the path of the file or folder that a node hands on where it is, None if it makes what it gives."""
        spec = self._nodes[node]
        return kind_of(spec).outside.source_path(spec, folder_of(spec, self._base))

    def _with_home(self, finished: FinishedNode, output: FinishedOutput) -> tuple[FinishedOutput, Path | None]:
        """Return the output with where it is: for a shown one, where it still is, and its file on this machine."""
        found = self._history.find(finished, output.id) if self._history and output.id in self._shown else None
        path, stored = (found.path, found.stored or "") if found else (None, output.stored)
        file, shown = output.file, output.id in self._shown
        home = output.home or (finished.folder.name if file and finished.folder is not None else "")
        if path is not None:
            file, home = path.name, path.parent.name
        elif stored:
            file, home = None, ""
        if (file, home, shown, stored) == (output.file, output.home, output.shown, output.stored):
            return output, path  # as in most runs; to make another one takes as long as all the rest
        return replace(output, file=file, home=home, shown=shown, stored=stored), path

    def _sync(self, path: Path, what: str) -> None:
        """Fsync a file of an earlier run and its folders, since that run may have run without fsync."""
        try:
            with suppress(FileNotFoundError):  # it was removed, and is made again if a node reads it
                sync(path)
                sync(path.parent)
                sync(path.parent.parent)
        except OSError as error:
            raise HandoffError(f"cannot reuse {what}: {error.strerror}", error) from None


def reused_ref(output: FinishedOutput, path: Path | None = None, attempt: int = 1) -> OutputRef:
    """Return the reference to an output of an earlier run. `path` is its file, if it is known already."""
    return OutputRef(
        output.id,
        output.rows,
        output.bytes,
        output.schema,
        None if path is None else str(path),
        output.digest,
        attempt,
        output.size,
        output.checksum,
        output.schema_digest,
        type=output.type,
        stored=(output.stored or None) if path is None else None,
    )
