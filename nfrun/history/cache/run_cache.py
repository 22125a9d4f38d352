"""Joins the parts that make a run resumable: its journal, the outputs of earlier runs, and the cleanup at its end.

There is one `RunCache` for a run. `cli/run.py` connects it to the event dispatcher, the store and the executor.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from copy import copy
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, final

from nfrun.code.watch.run_watch import RunWatch
from nfrun.core.errors import HandoffError
from nfrun.core.events import NOT_SELECTED, Event, OutputRef, RunFinished
from nfrun.core.pipeline import Pipeline
from nfrun.core.plan import Plan, selected_plan
from nfrun.core.values import replace
from nfrun.engine.attempt import RunAttempt
from nfrun.history.cache.cache_key import CacheKeys
from nfrun.history.cache.cached_attempts import CachedAttempts, reused_ref
from nfrun.history.cache.check_keys import read_check_code
from nfrun.history.cache.journal_writer import JournalWriter
from nfrun.history.cache.kept_rows import RowFolders
from nfrun.history.cache.observed_files import ObservedFiles
from nfrun.history.cache.remembered_code import restore_code, save_code
from nfrun.history.cache.reuse_decision import ReuseDecider, ReuseDecision, find_selected_inputs
from nfrun.history.database import CHECKSUMS, CODE, Database, Journal
from nfrun.history.journal import RecordedNode, RunHeader
from nfrun.history.kept_tables import (
    kept_streams,
    may_be_over_budget,
    remove_over_budget,
    remove_stored_over_budget,
    remove_unrecorded,
)
from nfrun.history.run_history import RunHistory
from nfrun.nodes.folders import folders_of
from nfrun.system.atomic_files import remove, sync
from nfrun.system.checksums import FileChecksums, RememberedChecksums

if TYPE_CHECKING:
    from nfrun.tables.store import TableStore


class Reading:
    """What reads code, files and the history of a pipeline, whose name in the work folder is `name`."""

    def __init__(
        self,
        pipeline: Pipeline,
        database: Database,
        name: str,
        warn: Callable[[str], None],
        *,
        keep_bad: bool,
        verify: bool,
    ) -> None:
        work, folders = database.work, folders_of(pipeline.nodes.values())
        self.keys = CacheKeys(pipeline)
        if not verify:
            restore_code(self.keys.code, database.kept(CODE, name)[0], folders)
        self.checksums = RememberedChecksums(*database.kept(CHECKSUMS), verify=verify)
        files = FileChecksums(self.checksums)
        self.watch = RunWatch(Path(pipeline.folder), work.path, files, folders, work.store_folders())
        profile = pipeline.profile
        self.history = RunHistory(database, name, warn=warn, keep_bad=keep_bad, checksum=files.of, profile=profile)
        self.observed = ObservedFiles.of_run(pipeline, self.keys, self.watch, self.history)


@final
class RunCache:
    """The journal of one run and its cache lookups.

    Making it decides which nodes are reused, and begins the journal in `folder`, that of the run. That raises OSError.
    With `fresh` all nodes run, otherwise those in `force` and those whose result is not there. If only some nodes are
    `selected`, this is about them, and SelectionError is raised if what they read of the others is not there. `plan` is
    the plan of the nodes that run, and `given` are the outputs that they read of nodes that do not. Unless `keep`,
    tables of earlier runs and of this one are removed at its end if they take more than `budget` bytes, None for the
    default; `over_budget` has the bytes that stay and the budget, if these are more. With `fsync`, its lines survive a
    power loss. `warn` is called with warnings about damaged files. Errors of the journal go through `redact`. `watch`
    sees what attempts open. `known_outcome(start)` is that of `CachedAttempts.known`. With `verify`, no checksum of an
    earlier run is used.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        plan: Plan,
        database: Database,
        folder: Path,
        started: RunHeader,
        *,
        fresh: bool,
        force: Collection[str],
        keep: bool,
        budget: int | None = None,
        fsync: bool,
        warn: Callable[[str], None],
        redact: Callable[[str], str] = str,
        verify: bool = False,
        selected: Collection[str] | None = None,
    ) -> None:
        self._pipeline, self._folder, self._fresh = pipeline, folder, fresh
        self._database, work, name = database, database.work, started.pipeline
        self._keep, self._budget, self._store = keep, budget, started.store
        self.over_budget: tuple[int, int] | None = None
        reading = Reading(pipeline, database, name, warn, keep_bad=True, verify=verify)
        self._keys, self._observed, self._checksums = reading.keys, reading.observed, reading.checksums
        self.code, self.watch = self._keys.code, reading.watch
        self._history = reading.history
        self._decisions: Mapping[str, ReuseDecision] = {}
        with ExitStack() as on_error:
            self._given: Mapping[str, RecordedNode] = {}
            self._sources: Mapping[str, RecordedNode] = {}
            self.plan = plan
            if not fresh or selected is not None:
                self._decide(plan, force, selected)
            of_rows = work, name, started.number, self._keys, self._observed, lambda node: fresh or node in force
            of_run = pipeline, self._keys, self._observed, RowFolders(*of_rows)
            history, decisions, given = self._history, self._decisions, self._given
            self._attempts = CachedAttempts(*of_run, history=history, decisions=decisions, given=given)
            self.known_outcome = self._attempts.known
            self._read_code()
            journal = Journal(folder, database, fsync=fsync)
            on_error.callback(journal.close)
            journal.started(replace(started, versions=self._keys.versions()))
            remove_unrecorded(database, lambda: {*work.runs_under_way(), folder.name})
            if left_out := [pipeline.nodes[node] for node in self.plan.not_selected]:
                journal.add(*[RecordedNode(spec.id, NOT_SELECTED, of=spec.of, cell=spec.cell) for spec in left_out])
            if fsync:  # else a power loss could lose the names of the new folders and with them all their files
                for parent in (folder, folder.parent, work.path, *work.above):
                    sync(parent)
            save_code(self.code, database.kept(CODE, name)[1])
            on_error.pop_all()
        left, results = self.plan.not_selected, {**self._given, **self._sources}
        lines = journal, pipeline, self._keys, self._observed, redact, self._reason
        self._writer = JournalWriter(*lines, left_out=left, results=results, warn=warn)
        self._journal = journal
        self._work, self._warn, self._name = work, warn, name
        self._has_ended = self._is_refused = False

    def _decide(self, plan: Plan, force: Collection[str], selected: Collection[str] | None) -> None:
        """Decide which nodes are reused, and which outputs of the others selected nodes read."""
        observed, history = self._observed, self._history
        if self._fresh and selected is not None:
            force = selected
        decider = ReuseDecider(self._pipeline, plan, self._keys, history, observed, force=force, selected=selected)
        found = decider.decide()
        if selected is not None:
            self._given, self._sources = find_selected_inputs(self._pipeline, selected, found, history)
            self.plan = selected_plan(plan, selected, self._sources)
            observed.used.update(self._given)
            found = {name: decision for name, decision in found.items() if name in self.plan.nodes}
            found.update((name, ReuseDecision("", made_again=entry)) for name, entry in self._sources.items())
        self._decisions = found
        again = {name: decision.made_again for name, decision in found.items() if decision.made_again}
        observed.made_again.update(again)

    def _read_code(self) -> None:
        """Read the code before the run, as it may change until a node has ended."""
        for name in self._pipeline.nodes:
            self._keys.definition(name)
            self._keys.facts(name)
            spec = self._pipeline.nodes[name]
            read_check_code(spec, self.code.of(spec.folder))
            if name not in self.plan.nodes:
                continue
            if name not in self._decisions or self._decisions[name].hit is None or self._decisions[name].pending:
                self._keys.reached(name)
        if any(self._pipeline.nodes[name].map is not None for name in self.plan.nodes):
            self._observed.code.prepare()

    def gate(self, events: list[Event]) -> list[Event]:
        """Write the journal and return the events that may pass. At the end, remove the tables over the budget."""
        admitted = self._writer.admit(events)
        if self._writer.end is not None and not self._has_ended:
            self._has_ended = True
            if self._writer.error is None and not self._keep:
                self._remove_over_budget()
        return admitted

    def _remove_over_budget(self) -> None:
        try:
            if self._store or may_be_over_budget(self._work.path, self._database, self._budget):
                with self._work.pause_starts():
                    last_runs = self._database.last_runs()
                    others = last_runs.keys() - {self._name}
                    busy = [name for name in others if self._work.is_running(name)]
                    tables = [*self._database.tables(busy), *kept_streams(self._work.path, last_runs, busy)]
                    kept, budget = remove_over_budget(self._database, tables, self._budget)
                    if self._store and not busy:  # the other run may use what only its journal will name
                        from nfrun.tables.places.folder import open_place  # few runs have a place

                        remove_stored_over_budget(open_place(self._store), self._database, self._budget)
                self.over_budget = (kept, budget) if kept > budget else None
        except FileNotFoundError:
            pass  # the work folder was removed, which the end of the run says
        except OSError as error:
            where = f"{error.filename}: {error.strerror}" if error.filename else error
            self._warn(f"tables over the budget cannot be removed: {where}")
        except HandoffError as error:
            self._warn(f"tables over the budget cannot be removed: {error}")

    def forget(self) -> None:
        """Let `close` remove the run, because it is refused before any node runs."""
        self._is_refused = True

    def close(self) -> None:
        """Close the journal, and save checksums of large files."""
        self._checksums.save()
        if self._is_refused:
            self._database.remove([self._folder.name])
            remove(self._folder, ignore_errors=True)
        self._journal.close()

    def _reason(self, node: str) -> str:
        if self._fresh:
            return "--fresh"
        return self._observed.reasons.get(node) or self._decisions[node].reason

    @property
    def reused_nodes(self) -> frozenset[str]:
        """The nodes that certainly do not run: those that are not selected, and hits.

        Hits that a pending node depends on may lack their tables, and are not among them.
        """
        may_run: set[str] = set()
        for name, decision in reversed([*self._decisions.items()]):
            if decision.pending or name in may_run:
                may_run.update((name, *self._pipeline.nodes[name].upstream))
        left_out = frozenset(self._pipeline.nodes.keys() - self.plan.nodes.keys())
        return left_out.union(n for n, decision in self._decisions.items() if decision.hit and n not in may_run)

    @property
    def may_be_reused(self) -> frozenset[str]:
        """The nodes that are hits, or may turn out to be during the run."""
        return frozenset(name for name, decision in self._decisions.items() if decision.hit or decision.pending)

    @property
    def obstacles(self) -> Mapping[str, str]:
        """The reasons against reuse, by node: for their code, or the files, hosts and state that they have used.

        The reason is "" if an earlier run has told it.
        """
        found = {}
        for name in self._decisions:
            spec = self._pipeline.nodes[name]
            if not spec.cache and (why := self._keys.obstacle(name) or self._observed.obstacle(spec)):
                found[name] = "" if self._was_told(name, why) else why
        return found

    def _was_told(self, name: str, why: str) -> bool:
        """Whether the node's last run before this one had the same reason, as far as the journals show."""
        before = (end for end in self._history.of_node(name) if end.folder != self._folder)
        for last in islice(before, 1):
            is_same_code = self._keys.definition(name).items() <= last.key_inputs.items()
            return why in (last.obstacle, last.reason) or (is_same_code and why == self._keys.obstacle(name))
        return False

    @property
    def end(self) -> RunFinished | None:
        """The end of the run as it is reported, None before: without a complete journal, it is not `ok`."""
        return self._writer.end

    def note_workers(self, made_on: Mapping[tuple[str, int], str]) -> None:
        """Take the mapping that has the worker of a cluster for each attempt, by node and number, once it is made."""
        self._writer.made_on = made_on

    def is_in_program(self) -> None:
        """Say that this process is a program with modules of its own, so that results of old code are not reused."""
        self._observed.code.imported_before = list(sys.modules.values())

    def with_cache(
        self, run_attempt: RunAttempt, store: TableStore, on_error: Callable[[Exception], None]
    ) -> RunAttempt:
        """Wrap `run_attempt` with the cache lookup. Calls `on_error(error)` if the journal cannot be written.

        Each executor of a run has a `run_attempt` of its own. They share all else.
        """
        self._writer.on_error = on_error
        self._attempts.store = store
        attempts = copy(self._attempts)
        attempts.run_attempt = run_attempt
        return attempts

    @property
    def given(self) -> Mapping[str, OutputRef]:
        """The outputs of nodes that are not selected, by id, which selected nodes may read."""
        return {
            output.id: reused_ref(output)
            for end in self._given.values()
            for output in end.outputs
            if output.id not in end.absent
        }


def forecast(
    pipeline: Pipeline,
    plan: Plan,
    database: Database,
    warn: Callable[[str], None],
    *,
    force: Collection[str] = (),
    verify: bool = False,
    selected: Collection[str] | None = None,
) -> dict[str, ReuseDecision]:
    """Return what a run would decide now for every node, or for those that are `selected`. Changes no files.

    Raises OSError, and SelectionError if what the selected nodes read of the others is not there.
    """
    name = database.work.pipeline_name(pipeline)
    reading = Reading(pipeline, database, name, warn, keep_bad=False, verify=verify)
    keys, history, observed = reading.keys, reading.history, reading.observed
    found = ReuseDecider(pipeline, plan, keys, history, observed, force=force, selected=selected).decide()
    if selected is not None:
        find_selected_inputs(pipeline, selected, found, history)
    if any(spec.map is not None for spec in pipeline.nodes.values()):
        from nfrun.history.cache.kept_rows import with_row_counts

        found = with_row_counts(found, pipeline, keys, observed, database.work)
    return found
