"""Wraps attempts with a cache lookup: on a hit, the node does not run.

Most hits are decided before the run, see `reuse_decision.py`, and need no attempt: `known` has their outcomes. Pending
nodes are looked up here, once the digests of their inputs are known. The table of a hit may have been removed: an
attempt that reads it does nothing but report what it lacks, and the scheduler has it made again. If that gives another
table than before, the results that were made of the old one count as removed too: `OutdatedResults`. Also records
which files nodes read and wrote, which cannot be found out afterwards.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nfrun.core.errors import Cause, HandoffError, NotStored
from nfrun.core.events import (
    CallsEnded,
    CallStarted,
    ChecksStarted,
    Failure,
    MapOpened,
    MapStarted,
    NodeFinished,
    NodeStarted,
    Outcome,
    OutputRef,
)
from nfrun.core.file_source import DIGEST_OF_FILES
from nfrun.core.map_spec import MapCounts
from nfrun.core.pipeline import NOTHING, NodeSpec, OutputId, Pipeline
from nfrun.core.values import replace
from nfrun.engine.attempt import RunAttempt
from nfrun.engine.attempt_context import RunCoroutine
from nfrun.history.cache.cache_key import CacheKeys, dependency_digest
from nfrun.history.cache.check_keys import recorded_results, with_keys
from nfrun.history.cache.kept_rows import RowFolders, with_kept_reads
from nfrun.history.cache.observed_files import ObservedFiles
from nfrun.history.cache.reuse_decision import (
    ReuseDecision,
    find_hit,
    made_again_for,
    why_refused,
)
from nfrun.history.journal import FinishedOutput, RecordedNode, reader_digest
from nfrun.history.run_history import RunHistory, table_path
from nfrun.nodes.base import CancelToken
from nfrun.nodes.external_files import external_outputs, failure_without
from nfrun.nodes.folders import folder_of
from nfrun.nodes.registry import kind_of

if TYPE_CHECKING:
    from nfrun.tables.store import TableStore


_MOST_LACKED = 2


class CachedAttempts:
    """Serves cache hits, and makes all other attempts with `run_attempt`, whose outputs are in `store`.

    Reused journal entries and file checksums are recorded in `observed`.
    Nodes that are `given` have results in earlier runs and are not in this one: nothing makes these again.
    """

    run_attempt: RunAttempt  # both are set before the first attempt is made
    store: TableStore

    def __init__(
        self,
        pipeline: Pipeline,
        keys: CacheKeys,
        observed: ObservedFiles,
        rows: RowFolders,
        *,
        history: RunHistory,
        decisions: Mapping[str, ReuseDecision],
        given: Collection[str] = (),
    ) -> None:
        self._nodes = pipeline.nodes
        self._shown = frozenset(pipeline.outputs.values())
        self._read = {output for spec in pipeline.nodes.values() for item in spec.inputs for output in item.outputs}
        self._base = Path(pipeline.folder)
        self._keys = keys
        self._history = history
        self._decisions = decisions
        self._given = given
        self._rows = rows
        self._observed = observed
        self._lacked: dict[tuple[str, str], set[object]] = {}  # when a node lacked an output
        self._missed: set[str] = set()  # nodes that were looked up, without a result to reuse
        self.outdated = OutdatedResults(self._nodes)

    def __call__(self, start: NodeStarted, cancel_token: CancelToken, run_coroutine: RunCoroutine) -> Outcome:
        """Return the outcome of a cache hit, or run the attempt. Only first attempts can be hits.

        An attempt that holds nothing of the budgets yet does not run: without a hit its outcome is `missed`.

        Raises HandoffError if the file of an input, or of an output that the run shows, cannot be taken over.
        """
        if isinstance(start, CallStarted):
            return self._run_attempt(start, cancel_token, run_coroutine)
        if isinstance(start, CallsEnded):
            return self._ended(start, self._run_attempt(start, cancel_token, run_coroutine))
        if start.node not in self._nodes:  # it runs last, in every run, with what is there
            there = {id: ref for id, ref in start.inputs.items() if self.store.holds(ref) or self._register(ref)}
            return self._run_attempt(replace(start, inputs=there), cancel_token, run_coroutine)
        if outdated := self.outdated.begin(start):
            self._observed.outdated.update(ref.id.node for ref in outdated)
            return self._await(start, outdated, "a table that it had read was made again and is another one now")
        decision = self._decisions.get(start.node)
        is_lookup = start.granted is None
        if decision is not None and start.attempt == 1 and (is_lookup or start.node not in self._missed):
            late = decision.pending or self.outdated.may_differ(start.node)
            hit = self._late_hit(start, decision) if late else decision.hit
            if hit is not None and (checked := self._checked_hit(start, hit, cancel_token, run_coroutine)) is not None:
                return checked
        if lacking := self._lacking(start):
            return self._await_removed(start, lacking, f"'{start.node}' reads it")
        if is_lookup:
            self._missed.add(start.node)
            return Outcome(start.node, start.attempt, missed=True)
        return self._miss(start, cancel_token, run_coroutine)

    def _run_attempt(self, start: NodeStarted, cancel_token: CancelToken, run_coroutine: RunCoroutine) -> Outcome:
        """Make an attempt. Where it finds that an input is not in its place any more, the node of that runs again."""
        try:
            outcome = self.run_attempt(start, cancel_token, run_coroutine)
        except NotStored as error:
            outcome = start.outcome(lacking=tuple(start.inputs[id] for id in error.outputs))
        if outcome.memory:
            self._observed.memory[start.node] = max(outcome.memory, self._observed.memory.get(start.node, 0))
        if outcome.lacking:  # a worker names them as they were sent to it
            lacking = tuple(start.inputs.get(ref.id, ref) for ref in outcome.lacking)
            return self._await_removed(start, lacking, f"'{start.node}' reads it")
        return outcome

    # -- cache miss ------------------------------------------------------------------------------------------------

    def _miss(self, start: NodeStarted, cancel_token: CancelToken, run_coroutine: RunCoroutine) -> Outcome:
        spec = self._nodes[start.node]
        self._observed.inputs.snapshot(spec, anew=start.attempt == 1)
        if missing := self._observed.inputs.missing(spec):
            return Outcome(start.node, start.attempt, failure_without(missing, spec, self._base))
        order = start
        if spec.map is not None:
            kept = self._rows.kept_rows(spec, start, self.store)
            order = MapStarted(start.at, *start.key[:2], start.inputs, start.queue_wait, start.granted, kept)
        return self._ended(start, self._run_attempt(order, cancel_token, run_coroutine))

    def _ended(self, start: NodeStarted, outcome: Outcome) -> Outcome:
        """Record the files that a successful attempt has used. Returns its outcome, with these."""
        spec = self._nodes[start.node]
        if isinstance(outcome, MapOpened):
            return outcome
        if outcome.checks and (outcome.failure is None or outcome.outputs):
            code, referred = self._keys.code.of(spec.folder), self._referred(start)
            outcome = replace(outcome, checks=with_keys(outcome.checks, spec, code, referred))
        if outcome.failure is None or outcome.outputs:
            if spec.map is not None:
                if outcome.failure is None:
                    self._rows.finished(spec.id)
                if reads := self._rows.reads(spec.id):
                    outcome = replace(outcome, observation=with_kept_reads(outcome.observation, reads))
            seen = outcome.observation
            if seen is not None:
                self._observed.seen[spec.id] = seen
            named = {**external_outputs(spec, self._base), **self._observed.inputs.written(spec)}
            if wrote := {**named, **(seen.writes if seen is not None else {})}:
                self._observed.wrote[spec.id] = wrote
            if outcome.failure is not None:
                return self._refused(outcome)
            before = self.outdated.again.get(spec.id)
            if before is not None and self._digests(outcome.outputs.values()) != before:
                self.outdated.replaced(spec.id, start.attempt)
        elif spec.map is not None and self._observed.inputs.recheck(spec) is None:
            self._rows.rule_out(spec.id)
        return outcome

    def _refused(self, outcome: Outcome) -> Outcome:
        """Keep the outputs of an attempt whose checks failed: if these are others in the next run, it need not run."""
        if not self.store.persistent:
            return outcome
        self._observed.refused[outcome.node, outcome.attempt] = NodeFinished.of(0.0, outcome)
        for ref in outcome.outputs.values():
            self.store.commit(ref)
            self.store.release(ref)
        return replace(outcome, outputs=NOTHING)

    # -- tables of inputs ------------------------------------------------------------------------------------------

    def _lacking(self, start: NodeStarted) -> tuple[OutputRef, ...]:
        """Register the files of inputs that the store does not hold. Returns the inputs whose files were removed.

        A query reads the user's files, never a table that was made of them: the order of its rows may depend on that.
        """
        missing = [ref for ref in start.inputs.values() if not self.store.holds(ref)]
        reads_source_files = kind_of(self._nodes[start.node]).runs.reads_source_files
        return tuple(
            ref
            for ref in missing
            if (reads_source_files and (ref.digest or "").startswith(DIGEST_OF_FILES)) or not self._register(ref)
        )

    def _await_removed(self, start: NodeStarted, lacking: tuple[OutputRef, ...], reader: str) -> Outcome:
        """Return the outcome of an attempt that lacks outputs, as `reader` reads them.

        It is a failure if they were made again too often: something takes them away.
        """
        for ref in lacking:  # several calls of an attempt may find it gone
            times = self._lacked.setdefault((start.node, ref.id), set())
            times.add(start.attempt if start.key[2] else object())
        if again := next((ref for ref in lacking if len(self._lacked[start.node, ref.id]) > _MOST_LACKED), None):
            where = f" from {again.stored or again.path}" if again.stored or again.path else ""
            what = f"'{again.id}' was removed{where} {_MOST_LACKED + 1} times while the run was under way"
            return start.outcome(Failure(Cause.IO, "", what))
        return self._await(start, lacking, made_again_for(reader))

    def _await(self, start: NodeStarted, lacking: tuple[OutputRef, ...], reason: str) -> Outcome:
        """Return the outcome of an attempt that needs other nodes to run again first, for this reason."""
        for maker in dict.fromkeys(ref.id.node for ref in lacking):
            if maker in self._given:
                what = f"a table of '{maker}' was removed, or is out of date, since the run began"
                return start.outcome(Failure(Cause.IO, "", f"{what}: '{maker}' is not selected (--until {start.node})"))
            if (used := self._observed.used.get(maker)) is None:
                known = self._digests(ref for ref in lacking if ref.id.node == maker)
                self.outdated.again[maker] = {**self.outdated.again.get(maker, {}), **known}
            else:
                self.outdated.again[maker] = {output.id: reader_digest(output) for output in used.outputs}
                self._observed.made_again[maker] = used
                self._history.forget(used)
            self._observed.reasons[maker] = reason
        return start.outcome(lacking=lacking)

    def _digests(self, refs: Iterable[OutputRef]) -> dict[OutputId, str]:
        """Return the reader digests of outputs that this run has made, without those that nobody knows any more."""
        found = {}
        for ref in refs:
            with suppress(HandoffError):  # it is released
                found[ref.id] = reader_digest(self.store.wait_digest(ref))
        return found

    def _register(self, ref: OutputRef) -> bool:
        """Register an output with the store, where it is. Returns False if it is nowhere."""
        finished = self._observed.used.get(ref.id.node) if ref.id.node not in self._observed.made_again else None
        if (source := self._source_of(ref.id.node)) is not None:
            ref = replace(ref, path=str(source), stored=None)
        elif finished is not None:
            if (found := self._history.find(finished, ref.id)) is None:
                return False
            ref = reused_ref(found, table_path(finished.folder, found), ref.attempt)
        if not ref.is_remote and (ref.path is None or not Path(ref.path).exists()):
            return False
        self.store.register_file(ref)
        return True

    def _fetched(self, output: OutputId, hit: RecordedNode, attempt: int) -> OutputRef | None:
        """Register an output of an earlier run that is read now. Returns its reference, None if it is nowhere."""
        if (found := self._history.find(hit, output)) is None:
            return None
        ref = reused_ref(found, table_path(hit.folder, found), attempt)
        self.store.register_file(ref)
        try:
            self.store.file(ref)
        except NotStored:
            self._history.forget(hit)
            return None
        return ref

    # -- cache hit -------------------------------------------------------------------------------------------------

    def _late_hit(self, start: NodeStarted, decision: ReuseDecision) -> RecordedNode | None:
        """Look up a pending node with the digests of its inputs; waits until they are known.

        Returns the journal entry, or None on a miss. Raises HandoffError.
        """
        history = self._history
        if not history.has_definition(start.node, self._keys.definition(start.node)):
            return None  # no key can match, so don't wait for digests
        spec = self._nodes[start.node]
        inputs = {ref.id: reader_digest(self.store.wait_digest(ref)) for ref in start.inputs.values()}
        used, made_again = self._observed.used, self._observed.made_again
        reused = {need: used.get(need) or made_again.get(need) for need in spec.needs}
        needs = {need: dependency_digest(entry) for need, entry in reused.items() if entry is not None}
        if len(needs) < len(spec.needs):
            return None
        key_inputs = self._keys.key_inputs(spec.id, inputs=inputs, needs=needs)
        named = self._observed.inputs.snapshot(spec, anew=True)
        if named is None:
            return None
        # `anew` and with `recheck`: nodes that have ended may have changed files.
        of_checks, seen, shown = (self._keys.code.of(spec.folder), inputs), self._observed.files, self._shown
        hit, why = find_hit(
            spec, history, key_inputs, named, seen, *of_checks, read=self._read, shown=shown, recheck=True
        )
        if hit is None:
            self._observed.reasons[spec.id] = why
        return hit

    def _checked_hit(
        self, start: NodeStarted, hit: RecordedNode, cancel_token: CancelToken, run_coroutine: RunCoroutine
    ) -> Outcome | None:
        """Return the outcome of a cache hit whose checks hold, made again where they are others than then.

        None if a table that is to be checked was removed: then the node runs.
        """
        spec = self._nodes[start.node]
        if not spec.contracts:
            return self._hit(start, hit)
        code, referred = self._keys.code.of(spec.folder), self._referred(start)
        # What its checks refer to was not known before the run.
        if why := why_refused(hit, spec, self._history, code, referred):
            self._observed.reasons[spec.id] = why
            return None
        results = recorded_results(spec, hit, code, referred)
        if results is None:
            made: dict[str, OutputRef] = {}
            for name in spec.contracts:
                ref = self._fetched(OutputId(spec.id, name), hit, start.attempt)
                if ref is None:
                    self._observed.reasons[spec.id] = "a check of its table is to be made, and the table is not kept"
                    return None
                made[ref.id] = ref
            inputs = {id: ref for id, ref in start.inputs.items() if id in referred}  # the checks read no others
            if lacking := self._lacking(replace(start, inputs=inputs)):
                return self._await_removed(start, lacking, f"a check of '{start.node}' reads it")
            order = ChecksStarted(start.at, start.node, start.attempt, inputs, made=made)
            checked = self._run_attempt(order, cancel_token, run_coroutine)
            if checked.failure is not None and not checked.checks:
                return checked
            seen = checked.observation
            read_more = seen is not None and bool(seen.reads or seen.hosts or seen.obstacle)
            results = with_keys(checked.checks, spec, code, referred, read_more=read_more)
            if checked.failure is not None:
                refused = replace(hit, outputs=self._with_homes(hit), checks=results)
                self._observed.refused[start.node, start.attempt] = refused
                return checked
        hit = replace(hit, checks=results)
        absent = tuple(output for output in spec.output_ids if output in hit.absent)
        return replace(self._hit(start, hit), checks=results, absent=absent)

    def _referred(self, start: NodeStarted) -> dict[OutputId, str]:
        """Return the reader digests of the outputs that the checks of a node refer to; waits until they are known."""
        spec = self._nodes[start.node]
        refs = [start.inputs.get(output) for item in spec.references for output in item.outputs]
        return {ref.id: reader_digest(self.store.wait_digest(ref)) for ref in refs if ref is not None}

    # -- outcomes of hits ------------------------------------------------------------------------------------------

    def known(self, start: NodeStarted) -> Outcome | None:
        """Return the outcome of a hit that was decided before the run, if that takes no work; None for all others."""
        decision = self._decisions.get(start.node)
        if decision is None or decision.hit is None or decision.pending or start.attempt > 1:
            return None
        if self._nodes[start.node].contracts or self.outdated.may_differ(start.node):
            return None
        self.outdated.begin(start)
        with suppress(OSError):  # then the attempt meets it again, and reports it
            return self._hit(start, decision.hit)
        return None

    def _hit(self, start: NodeStarted, finished: RecordedNode) -> Outcome:
        """Return an outcome with `reused` set, and the outputs of an earlier run. Raises HandoffError.

        No file is opened here, but when a node reads it or the run shows it. Then `OutputRef.path` says where it is.
        """
        found = self._with_homes(finished)
        counts = None if finished.map is None else MapCounts(finished.map.rows, finished.map.rows)
        if counts is not None or found != finished.outputs:
            finished = replace(finished, outputs=found, map=counts)
        self._observed.used[start.node] = finished
        source = self._source_of(start.node)
        refs: dict[str, OutputRef] = {}
        for output in found:
            path = source or (table_path(finished.folder, output) if output.shown else None)
            refs[output.id] = reused_ref(output, path, start.attempt)
        return Outcome(start.node, start.attempt, outputs=refs, reused=True, map=counts)

    def _with_homes(self, finished: RecordedNode) -> tuple[FinishedOutput, ...]:
        """Return the outputs of an entry with the runs that have their files: of shown ones, where they still are."""
        found = []
        for output in finished.outputs:
            shown = output.id in self._shown
            at = (self._history.find(finished, output.id) if shown else None) or output
            home = at.home or (finished.folder.name if at.file and finished.folder is not None else "")
            is_same = (home, shown) == (at.home, at.shown)  # as in most runs: to make another one takes long
            found.append(at if is_same else replace(at, home=home, shown=shown))
        return tuple(found)

    def _source_of(self, node: str) -> Path | None:
        """Return the path of the file or folder that a node hands on where it is, None if it makes what it gives."""
        spec = self._nodes[node]
        return kind_of(spec).outside.source_path(spec, folder_of(spec, self._base))


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


class OutdatedResults:
    """The results that no node may read any more, so that no node reads two versions of a table. Thread-safe.

    A node that draws without a seed gives another table when a removed one is made again. Some results may have been
    made of the old one by then: reused or computed. `again` has, for each node that runs again although it has ended,
    the reader digests of the outputs that are known of its earlier attempt.
    """

    def __init__(self, nodes: Mapping[str, NodeSpec]) -> None:
        self._nodes = nodes
        self.again: dict[str, dict[OutputId, str]] = {}
        self._lock = threading.Lock()
        self._newest: dict[str, int] = {}  # the attempts that made tables which have become other ones, by node
        self._behind: set[str] = set()  # the nodes that depend on these tables
        self._old: set[str] = set()  # of these, the nodes that have not begun again since then

    def begin(self, start: NodeStarted) -> tuple[OutputRef, ...]:
        """Record that an attempt starts, unless inputs of it are outdated. Returns these."""
        if start.node not in self._behind:
            return ()  # if it comes to be behind one now, it has begun with the old table
        with self._lock:
            if not (outdated := tuple(filter(self._is_outdated, start.inputs.values()))):
                self._old.discard(start.node)
            return outdated

    def _is_outdated(self, ref: OutputRef) -> bool:
        return ref.id.node in self._old or ref.attempt < self._newest.get(ref.id.node, 0)

    def may_differ(self, node: str) -> bool:
        """Return whether the node depends on a table whose content has changed in this run."""
        return node in self._behind

    def replaced(self, node: str, attempt: int) -> None:
        """Record that this attempt gave a node another table than its readers have had so far."""
        readers: dict[str, list[str]] = {}
        for name, spec in self._nodes.items():
            for item in spec.inputs:
                for output in item.outputs:
                    readers.setdefault(output.node, []).append(name)
        behind, left = {node}, [node]
        while left:
            new = set(readers.get(left.pop(), ())) - behind
            behind |= new
            left += new
        with self._lock:
            self._newest[node] = attempt
            self._old |= behind - {node}
            self._behind |= behind - {node}
