"""Joins what makes a run resumable: its journal, what earlier runs have left, and what of it all is left at the end.

One `Book` for a run. Knows neither how the run is made nor who else hears of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from nfrun.cache.cache_key import Keys
from nfrun.cache.cached_attempts import Make, Notes, Recall
from nfrun.cache.history import Past
from nfrun.cache.journal import Journal, Started
from nfrun.cache.journal_writer import Journaling
from nfrun.cache.reuse_decision import Choice, choose, reusable
from nfrun.cache.work_dir import JOURNAL, WorkFolder
from nfrun.core.events import Event, Ref, RunFinished
from nfrun.core.pipeline import NodeSpec, Pipeline
from nfrun.core.plan import Plan
from nfrun.core.text import escape
from nfrun.engine.event_dispatch import Telling
from nfrun.nodes.external_files import Reads, written_by
from nfrun.system.atomic_files import naming, sync
from nfrun.tables.store import Store

LASTING = ("auto", "mmap")  # ways to hand on that leave files which another run can go on from
# Between two looks at what has ended: a kill loses no more than that and what is being written.
_PAUSE_SECONDS = 0.005


class _Passing:
    """A report that only passes on."""

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self.event = tell

    def close(self) -> None:
        pass


class Book:
    """What one run writes down, and what it takes from others."""

    def __init__(
        self,
        pipeline: Pipeline,
        folder: Path,
        journal: Journal,
        *,
        past: Past | None,
        choices: Mapping[str, Choice],
        keys: Keys,
        reads: Reads,
        keep: bool,
    ) -> None:
        self._pipeline = pipeline
        self._folder = folder
        self._past = past
        self._choices = choices
        self._keys = keys
        self._keep = keep
        self._notes = Notes(reads)
        self._broken: Callable[[str], None] = lambda message: None
        self._journaling = Journaling(journal, pipeline, keys, self._notes, self._tell_broken)
        self._telling: Telling | None = None

    @classmethod
    def opened(
        cls,
        pipeline: Pipeline,
        plan: Plan,
        work: WorkFolder,
        folder: Path,
        started: Started,
        *,
        resume: bool,
        keep: bool,
        durable: bool,
    ) -> Book:
        """Begin the journal in the folder of the run, and choose what of earlier runs is reused. Raises OSError."""
        keys, reads = Keys(pipeline), Reads(Path(pipeline.folder))
        past, choices = None, {}
        if may := reusable(pipeline, resume=resume):
            past = Past(work, work.name_of(pipeline), warn=_warn, keep_bad=True)
            choices = _chosen(pipeline, plan, keys, past, may, reads)
        for name in pipeline.nodes:  # of the code as it is now, and not as it will be when the node has ended
            keys.definition(name)
        with naming(folder / JOURNAL):
            journal = Journal(folder, durable=durable)
            journal.started(started)
        if durable:  # else all that is in them may be found under no name
            for above in (folder, folder.parent, work.path, *work.above):
                sync(above)
        return cls(pipeline, folder, journal, past=past, choices=choices, keys=keys, reads=reads, keep=keep)

    @property
    def settled(self) -> frozenset[str]:
        """The nodes that certainly do not run."""
        return frozenset(name for name, choice in self._choices.items() if choice.finished is not None)

    def telling(self, tell: Callable[[Event], None]) -> Callable[[Event], None]:
        """What writes events down and passes them on to `tell` behind that: what people hear of is on the disk."""

        def pass_on(event: Event) -> None:
            # That all went well is not told of a run whose journal does not have it.
            if isinstance(event, RunFinished) and event.status == "ok" and self._journaling.error:
                event = replace(event, status="failed", error=self._journaling.error)
            tell(event)

        self._telling = Telling([self._journaling, _Passing(pass_on)], pause=_PAUSE_SECONDS)
        return self._telling.tell

    def recalling(self, make: Make, store: Store, broken: Callable[[str], None]) -> Make:
        """What makes attempts by `make` or reuses. `broken(message)` is told when the journal cannot be written."""
        self._broken = broken
        return Recall(
            make,
            self._pipeline,
            store,
            self._keys,
            self._folder,
            self._notes,
            past=self._past,
            choices=self._choices,
        )

    def _tell_broken(self, message: str) -> None:
        self._broken(message)

    def close(self) -> str:
        """Write what is left to be written; returns what went wrong with any of it."""
        if self._telling is not None:
            self._telling.close()
        stopped = self._telling is not None and self._telling.stopped
        return self._journaling.error or ("the journal of the run is not complete" if stopped else "")

    def tidy(self, refs: Mapping[str, Ref]) -> None:
        """After a run that ended well: remove the files of outputs that it neither shows nor is asked to keep.

        Also those that it has taken over from runs that did not end well.
        """
        if self._keep:
            return
        shown = frozenset(self._pipeline.outputs.values())
        nodes = self._pipeline.nodes
        gone = [Path(ref.path) for id, ref in refs.items() if ref.path and id not in shown and not _cached(nodes, id)]
        if self._past is not None:
            for name, finished in self._notes.used.items():
                if not nodes[name].cache:
                    gone += self._past.left(finished)
        for path in gone:
            with suppress(OSError):
                path.unlink()


def _cached(nodes: Mapping[str, NodeSpec], output: str) -> bool:
    return nodes[output.partition(".")[0]].cache is True


def foreseen(pipeline: Pipeline, plan: Plan, work: WorkFolder) -> dict[str, Choice]:
    """What `--resume` would make of every node, if nothing changes until then. Changes nothing itself."""
    past = Past(work, work.name_of(pipeline), warn=_warn, keep_bad=False)
    reads = Reads(Path(pipeline.folder))
    return _chosen(pipeline, plan, Keys(pipeline), past, reusable(pipeline, resume=True), reads)


def _chosen(
    pipeline: Pipeline, plan: Plan, keys: Keys, past: Past, may: frozenset[str], reads: Reads
) -> dict[str, Choice]:
    base = Path(pipeline.folder)
    return choose(pipeline, plan, keys, past, may=may, sources=reads.before, wrote=lambda spec: written_by(spec, base))


def _warn(message: str) -> None:
    print(f"nfrun: warning: {escape(message)}", file=sys.stderr)
