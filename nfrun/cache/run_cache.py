"""Joins what makes a run resumable: its journal, what earlier runs have left, and what of it all is left at the end.

One `Book` for a run. Knows neither how the run is made nor who else hears of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from nfrun.cache.cache_key import CacheKeys
from nfrun.cache.cached_attempts import CachedAttempts, ObservedFiles, RunAttempt
from nfrun.cache.history import RunHistory
from nfrun.cache.journal import Journal, RunHeader
from nfrun.cache.journal_writer import JournalWriter
from nfrun.cache.reuse_decision import ReuseDecision, decide_reuse, reusable
from nfrun.cache.work_dir import JOURNAL, WorkDir
from nfrun.core.events import Event, OutputRef, RunFinished
from nfrun.core.pipeline import NodeSpec, Pipeline
from nfrun.core.plan import Plan
from nfrun.core.text import escape_controls
from nfrun.engine.event_dispatch import EventDispatcher
from nfrun.nodes.external_files import ExternalInputs, external_outputs
from nfrun.system.atomic_files import name_errors, sync
from nfrun.tables.store import TableStore

PERSISTENT_HANDOFFS = ("auto", "mmap")  # ways to hand on that leave files which another run can go on from
# Between two looks at what has ended: a kill loses no more than that and what is being written.
_PAUSE_SECONDS = 0.005


class _PassOn:
    """A report that only passes on."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self.event = emit

    def close(self) -> None:
        pass


class RunCache:
    """What one run writes down, and what it takes from others."""

    def __init__(
        self,
        pipeline: Pipeline,
        folder: Path,
        journal: Journal,
        *,
        history: RunHistory | None,
        decisions: Mapping[str, ReuseDecision],
        keys: CacheKeys,
        inputs: ExternalInputs,
        keep: bool,
    ) -> None:
        self._pipeline = pipeline
        self._folder = folder
        self._history = history
        self._decisions = decisions
        self._keys = keys
        self._keep = keep
        self._observed = ObservedFiles(inputs)
        self._on_error: Callable[[str], None] = lambda message: None
        self._writer = JournalWriter(journal, pipeline, keys, self._observed, self._report_error)
        self._dispatcher: EventDispatcher | None = None

    @classmethod
    def open(
        cls,
        pipeline: Pipeline,
        plan: Plan,
        work: WorkDir,
        folder: Path,
        started: RunHeader,
        *,
        resume: bool,
        keep: bool,
        fsync: bool,
    ) -> RunCache:
        """Begin the journal in the folder of the run, and choose what of earlier runs is reused. Raises OSError."""
        keys, inputs = CacheKeys(pipeline), ExternalInputs(Path(pipeline.folder))
        history, decisions = None, {}
        if allowed := reusable(pipeline, resume=resume):
            history = RunHistory(work, work.pipeline_name(pipeline), warn=_warn, keep_bad=True)
            decisions = _decide(pipeline, plan, keys, history, allowed, inputs)
        for name in pipeline.nodes:  # of the code as it is now, and not as it will be when the node has ended
            keys.definition(name)
        with name_errors(folder / JOURNAL):
            journal = Journal(folder, fsync=fsync)
            journal.started(started)
        if fsync:  # else all that is in them may be found under no name
            for above in (folder, folder.parent, work.path, *work.above):
                sync(above)
        return cls(pipeline, folder, journal, history=history, decisions=decisions, keys=keys, inputs=inputs, keep=keep)

    @property
    def reused_nodes(self) -> frozenset[str]:
        """The nodes that certainly do not run."""
        return frozenset(name for name, decision in self._decisions.items() if decision.hit is not None)

    def journal_first(self, emit: Callable[[Event], None]) -> Callable[[Event], None]:
        """What writes events down and passes them on to `tell` behind that: what people hear of is on the disk."""

        def pass_on(event: Event) -> None:
            # That all went well is not told of a run whose journal does not have it.
            if isinstance(event, RunFinished) and event.status == "ok" and self._writer.error:
                event = replace(event, status="failed", error=self._writer.error)
            emit(event)

        self._dispatcher = EventDispatcher([self._writer, _PassOn(pass_on)], pause=_PAUSE_SECONDS)
        return self._dispatcher.emit

    def with_cache(self, run_attempt: RunAttempt, store: TableStore, on_error: Callable[[str], None]) -> RunAttempt:
        """What makes attempts by `make` or reuses. `broken(message)` is told when the journal cannot be written."""
        self._on_error = on_error
        return CachedAttempts(
            run_attempt,
            self._pipeline,
            store,
            self._keys,
            self._folder,
            self._observed,
            history=self._history,
            decisions=self._decisions,
        )

    def _report_error(self, message: str) -> None:
        self._on_error(message)

    def close(self) -> str:
        """Write what is left to be written; returns what went wrong with any of it."""
        if self._dispatcher is not None:
            self._dispatcher.close()
        stopped = self._dispatcher is not None and self._dispatcher.stopped
        return self._writer.error or ("the journal of the run is not complete" if stopped else "")

    def remove_intermediate(self, refs: Mapping[str, OutputRef]) -> None:
        """After a run that ended well: remove the files of outputs that it neither shows nor is asked to keep.

        Also those that it has taken over from runs that did not end well.
        """
        if self._keep:
            return
        shown = frozenset(self._pipeline.outputs.values())
        nodes = self._pipeline.nodes
        gone = [Path(ref.path) for id, ref in refs.items() if ref.path and id not in shown and not _cached(nodes, id)]
        if self._history is not None:
            for name, finished in self._observed.used.items():
                if not nodes[name].cache:
                    gone += self._history.leftovers(finished)
        for path in gone:
            with suppress(OSError):
                path.unlink()


def _cached(nodes: Mapping[str, NodeSpec], output: str) -> bool:
    return nodes[output.partition(".")[0]].cache is True


def forecast(pipeline: Pipeline, plan: Plan, work: WorkDir) -> dict[str, ReuseDecision]:
    """What `--resume` would make of every node, if nothing changes until then. Changes nothing itself."""
    history = RunHistory(work, work.pipeline_name(pipeline), warn=_warn, keep_bad=False)
    inputs = ExternalInputs(Path(pipeline.folder))
    return _decide(pipeline, plan, CacheKeys(pipeline), history, reusable(pipeline, resume=True), inputs)


def _decide(
    pipeline: Pipeline,
    plan: Plan,
    keys: CacheKeys,
    history: RunHistory,
    allowed: frozenset[str],
    inputs: ExternalInputs,
) -> dict[str, ReuseDecision]:
    base = Path(pipeline.folder)
    return decide_reuse(
        pipeline,
        plan,
        keys,
        history,
        allowed=allowed,
        sources=inputs.snapshot,
        wrote=lambda spec: external_outputs(spec, base),
    )


def _warn(message: str) -> None:
    print(f"nfrun: warning: {escape_controls(message)}", file=sys.stderr)
