"""Decides before a run which nodes are cache hits, and gives the reason for each miss.

A node downstream of a miss may still be a hit, once the digests of its inputs are known. It is marked `pending`, and
`cached_attempts.py` decides during the run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from nfrun.code.fingerprint import Fingerprints
from nfrun.code.function_lookup import PROGRAM
from nfrun.code.watch.seen_files import RecordedFiles
from nfrun.core.contracts import failed_checks
from nfrun.core.errors import SelectionError
from nfrun.core.file_source import DIGEST_OF_FILES
from nfrun.core.map_spec import MapCounts
from nfrun.core.pipeline import NodeSpec, OutputId, Pipeline
from nfrun.core.plan import Plan, selected_plan
from nfrun.core.values import frozen
from nfrun.history.cache.cache_key import FOR_EFFECT, CacheKeys, KeyInputs, cache_key, dependency_digest, with_files
from nfrun.history.cache.change_text import changes, files_as_inputs
from nfrun.history.cache.check_keys import checks_to_make, refusal
from nfrun.history.cache.observed_files import ObservedFiles
from nfrun.history.database import definition_of
from nfrun.history.journal import RecordedNode, reader_digest
from nfrun.history.run_history import RunHistory
from nfrun.nodes.folders import folder_of
from nfrun.nodes.registry import kind_of
from nfrun.system.checksums import LAYOUT, shown_name

NO_CACHE = "it has 'cache: false'"
NEVER_FINISHED = "it has not finished in any run that is kept"


@frozen
class ReuseDecision:
    """Whether a node is a cache hit, and otherwise the reason why it runs.

    `hit` is the journal entry that is reused, None on a miss. `reason` is for people, and empty on a hit. `pending`:
    the node becomes a hit during the run, or stays one, if its inputs turn out to be those of an earlier run.
    `made_again` is the journal entry of a node that runs only because a table of it was removed. `checks` are those of
    its checks that are made on the tables that are there. `rows` counts the rows of a mapped node that runs, if these
    are known before.
    """

    reason: str
    hit: RecordedNode | None = None
    pending: bool = False
    made_again: RecordedNode | None = None
    checks: tuple[str, ...] = ()
    rows: MapCounts | None = None

    @property
    def is_sure(self) -> bool:
        """Whether the node is surely reused, whatever other nodes give."""
        return self.hit is not None and not self.pending


class ReuseDecider:
    """Decides which nodes are reused. The nodes in `force` run.

    If only some nodes are `selected`, no table of another one is made again. Of the others, the decisions say what they
    would do if they were selected: only the results of those that are surely reused are those of the present pipeline.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        plan: Plan,
        keys: CacheKeys,
        history: RunHistory,
        observed: ObservedFiles,
        *,
        force: Collection[str] = (),
        selected: Collection[str] | None = None,
    ) -> None:
        self._nodes = pipeline.nodes
        self._folder = Path(pipeline.folder)
        self._selected = pipeline.nodes if selected is None else selected
        self._shown = pipeline.outputs
        self._last = pipeline.last_nodes.values()
        self._order = [name for stage in plan.stages for name in stage]
        self._keys = keys
        self._history = history
        self._observed = observed
        self._force = force
        self._read = {output for spec in self._nodes.values() for item in spec.inputs for output in item.outputs}
        self._match: dict[str, RecordedNode] = {}
        self._reader_digests: dict[OutputId, str] = {}
        self._reasons: dict[str, str] = {}  # of those that run
        self._pending: set[str] = set()
        self._made_again: dict[str, str] = {}  # the reasons of nodes that run only because a table was removed
        # Hits that depend on such a node, which may give other tables now, and hits of which a check is to be made.
        self._unsure: set[str] = set()
        self._checks: dict[str, tuple[str, ...]] = {}  # of nodes that are selected: those that are to be made

    def decide(self) -> dict[str, ReuseDecision]:
        """Decide for every node, in the order of the stages, whether it is reused."""
        for name in self._order:
            if why := self._look_up(name):
                self._reasons[name] = why
        self._require_tables()
        return {name: self._decision(name) for name in self._order}

    def _decision(self, name: str) -> ReuseDecision:
        if name in self._reasons:
            return ReuseDecision(self._reasons[name], pending=self._is_pending(name))
        if name in self._made_again:
            return ReuseDecision(self._made_again[name], made_again=self._match[name])
        if self._unsure and not self._unsure.isdisjoint(self._nodes[name].upstream):
            self._unsure.add(name)
        checks = self._checks.get(name, ())
        return ReuseDecision("", self._match[name], pending=name in self._unsure, checks=checks)

    def _is_pending(self, name: str) -> bool:
        # A node under `needs` passes no content to this one, so there is none that could turn out to be unchanged.
        return name in self._pending and not any(need in self._reasons for need in self._nodes[name].needs)

    # -- cache lookup ------------------------------------------------------------------------------------------------

    def _look_up(self, name: str) -> str:
        """Look the node up in the history. Returns the reason for a miss, empty on a hit."""
        spec = self._nodes[name]
        if name in self._force:
            return "--force"
        if spec.cache is False:
            return "no module has its function" if spec.body.startswith(f"{PROGRAM}:") else NO_CACHE
        if self._history.last(name) is None:
            return NEVER_FINISHED
        if obstacle := self._keys.obstacle(name):
            return obstacle
        definition = self._keys.definition(name)
        last = None if self._history.has_definition(name, definition) else self._history.compared(name)
        if last is not None and (changed := changes(definition_of(last.key_inputs), definition)):
            return changed
        runs = next((need for need in spec.upstream if need not in self._match), None)
        if runs is not None:  # so its inputs may change
            return self._upstream_reason(name, runs)
        files = self._observed.inputs.snapshot(spec)
        if files is None:
            return self._observed.obstacle(spec)
        inputs = {output: self._reader_digests[output] for output in self._read_by(spec)}
        needs = {need: dependency_digest(self._match[need]) for need in spec.needs}
        key_inputs = self._keys.key_inputs(name, inputs=inputs, needs=needs)
        of_checks = self._keys.code.of(spec.folder), self._reader_digests
        seen = self._observed.files
        entry, why = find_hit(spec, self._history, key_inputs, files, seen, *of_checks, read=self._read)
        return why if entry is None else self._reuse(spec, entry)

    def _reuse(self, spec: NodeSpec, entry: RecordedNode) -> str:
        """Note the entry that a node reuses, and its outputs that are not absent. Returns why it cannot.

        Where a check of it is to be made again, that may make an output absent, so its readers are not sure.
        """
        if spec.contracts:
            code, is_selected = self._keys.code.of(spec.folder), spec.id in self._selected
            checks = checks_to_make(spec, entry, code, self._reader_digests, is_selected=is_selected)
            if checks and not is_selected:
                return "a check of it is to be made first"
            if checks:
                self._unsure.add(spec.id)
                self._checks[spec.id] = checks
        absent = entry.absent if spec.contracts else ()
        self._match[spec.id] = entry
        self._reader_digests.update((o.id, reader_digest(o)) for o in entry.outputs if o.id not in absent)
        return ""

    def _read_by(self, spec: NodeSpec) -> list[OutputId]:
        """Return the outputs of reused nodes that a node reads, if those of the others are absent."""
        known = self._reader_digests.__contains__
        return [output for item in spec.inputs for output in item.read(known)]

    def _upstream_reason(self, name: str, runs: str) -> str:
        what = "which runs" if runs in self._selected else "which is out of date"
        if runs in self._nodes[name].needs:
            return f"it needs '{runs}', {what}"
        self._pending.add(name)
        return f"it reads '{runs}', {what}"

    # -- tables that were removed ------------------------------------------------------------------------------------

    def _require_tables(self) -> None:
        """Let nodes run again whose tables were removed, if the run shows them or a node reads them that surely runs.

        If a pending node turns out to run, its attempt reports the tables that it lacks, see `cached_attempts.py`.
        """
        runs = [name for name in self._order if name in self._reasons and name in self._selected]
        left = [name for name in runs if not self._may_be_hit(name)]
        left += [output.node for output in self._shown.values() if self._require_output(output, "the run shows it")]
        left += [
            name
            for name in self._checks
            for output in self._nodes[name].contracts
            if self._require_output(OutputId(name, output), "a check of it is to be made")
        ]
        left += [
            output.node
            for spec in self._last
            for item in spec.inputs
            for output in item.outputs
            if self._require_output(output, f"'{spec.id}' reads it")
        ]
        while left:
            name = left.pop()
            for output in self._read_by(self._nodes[name]):
                if self._require_output(output, f"'{name}' reads it"):
                    left.append(output.node)
        self._unsure.update(self._made_again)

    def _may_be_hit(self, name: str) -> bool:
        if not self._is_pending(name):
            return False
        return self._history.has_definition(name, self._keys.definition(name))

    def _require_output(self, output: OutputId, reader: str) -> bool:
        """Return whether the node of a needed output must make it again. `reader` is the part of the reason about it.

        A node that had no such output then would not have it now.
        """
        name = output.node
        if name not in self._selected or name in self._reasons or name in self._made_again:
            return False
        if self._match[name].output(output) is None:
            return False
        spec = self._nodes[name]
        if kind_of(spec).outside.source_path(spec, folder_of(spec, self._folder)) is not None:
            return False  # its file is there, as its key says
        if self._history.find(self._match[name], output) is not None:
            return False
        self._made_again[name] = made_again_for(reader)
        return True


def made_again_for(reader: str) -> str:
    """Return why a node runs whose table was removed; `reader` says who needs it."""
    return f"its table is made again, as {reader}"


def why_refused(
    entry: RecordedNode, spec: NodeSpec, history: RunHistory, code: Fingerprints, digests: Mapping[OutputId, str]
) -> str:
    """Return why a result whose checks failed cannot be used, "" for all others.

    One of them is as it was then, or a table of it was removed. `digests` are those of what the checks refer to.
    """
    failed = failed_checks(entry.checks)
    if not failed or (why := refusal(spec, entry, code, digests)):
        return why if failed else ""
    is_kept = all(history.find(entry, output.id) for output in entry.outputs)
    return "" if is_kept else f"its check '{failed[0].name}' failed, and its table is not kept"


def find_hit(
    spec: NodeSpec,
    history: RunHistory,
    key_inputs: KeyInputs,
    named: Mapping[str, str],
    recorded: RecordedFiles,
    code: Fingerprints,
    digests: Mapping[OutputId, str],
    *,
    read: Collection[OutputId],
    shown: Collection[OutputId] = (),
    recheck: bool = False,
) -> tuple[RecordedNode | None, str]:
    """Return the journal entry of a node that it reuses, or None and why it runs.

    `key_inputs` are the node's without its files, and `named` the checksums of the files that it names. `code` and
    `digests` are those of `why_refused`. The entry has those outputs that are `read`, and the tables that are `shown`.
    """
    reasons: list[str] = []
    for entry in _usable_entries(spec, history, key_inputs, named, recorded, reasons, recheck=recheck):
        given = {output.id for output in entry.outputs}
        if why := why_refused(entry, spec, history, code, digests):
            reasons.append(why)
        elif all(output in given for output in spec.output_ids if output in read) and all(
            history.find(entry, output) for output in given if output in shown
        ):
            return entry, ""
    if (last := history.compared(spec.id)) is None:
        return None, "its code or inputs changed while it last ran"
    key_inputs = with_files(key_inputs, named, last.wrote)
    if last.key == cache_key(key_inputs):
        return None, next(filter(None, reasons), "its earlier run lacks an output that is read now")
    return None, changes(last.key_inputs, key_inputs)


def _usable_entries(
    spec: NodeSpec,
    history: RunHistory,
    key_inputs: KeyInputs,
    named: Mapping[str, str],
    recorded: RecordedFiles,
    reasons: list[str],
    *,
    recheck: bool,
) -> Iterator[RecordedNode]:
    """Yield the journal entries of a node that can be reused. Adds to `reasons` why others with its key cannot.

    The files that the code read and wrote must be unchanged. If those that it read are, an obstacle also rules out all
    older entries, and so does that the node ran for its effect.
    """
    # By the named files that a node wrote, which are not in its key.
    keys = {frozenset[str](): cache_key(with_files(key_inputs, named, ()))}
    for entry in history.of_key(spec.id, keys[frozenset()]):
        written = frozenset(named.keys() & entry.wrote.keys())
        if written not in keys:
            keys[written] = cache_key(with_files(key_inputs, named, written))
        if entry.key != keys[written]:
            continue
        files = recorded.now(entry.reads, recheck=recheck)
        has_effect = not entry.outputs or kind_of(spec).runs.for_effect  # such as a script that uploads a file
        if has_effect and (spec.cache is not True or entry != history.last(spec.id)):
            of_effect = f"{'' if entry.outputs else 'it gave no output, so '}{FOR_EFFECT}"
            reasons.append("it has done something else since then" if spec.cache is True else of_effect)
            break
        elif entry.map is not None and entry.map.failed:
            rows = "row" if entry.map.failed == 1 else "rows"
            reasons.append(f"{entry.map.failed:,} {rows} had failed")
        elif files != entry.reads:
            changed = [name for name in entry.reads if files[name] != entry.reads[name]]
            reasons.append(changes(files_as_inputs(entry.reads, changed), files_as_inputs(files, changed)))
        elif entry.obstacle and spec.cache is not True:
            reasons.append(entry.obstacle)
            break
        elif wrong := [
            name for name, now in recorded.now(entry.wrote, recheck=recheck).items() if now != entry.wrote[name]
        ]:
            what = f"the folder {shown_name(wrong[0])}" if wrong[0].endswith(LAYOUT) else f"the file {wrong[0]}"
            reasons.append(f"{what}, which it wrote, is gone or has changed")
        else:
            yield entry


def find_selected_inputs(
    pipeline: Pipeline, selected: Collection[str], decisions: Mapping[str, ReuseDecision], history: RunHistory
) -> tuple[dict[str, RecordedNode], dict[str, RecordedNode]]:
    """Return the entries of the nodes that are not selected and whose results are used by selected ones or last ones.

    The second are those of nodes that only read files of this machine, and whose tables are not kept: they read the
    files again, which are unchanged. Raises SelectionError if a selected node that may run needs a result that is not
    there.
    """
    given: dict[str, RecordedNode] = {}
    sources: dict[str, RecordedNode] = {}
    wrong: list[str] = []
    for reader, name in _needed(pipeline, selected):
        decision, reads = decisions[name], _reads(reader, name)
        if decision.is_sure and decision.hit is not None:
            given[name] = decision.hit
        if reader.id in pipeline.last_nodes or decisions[reader.id].is_sure:
            continue  # the first go without what is not there, the others read nothing
        if not decision.is_sure or decision.hit is None:
            what = f"has no result that is up to date ({decision.reason or 'a table that it reads is made again'})"
            wrong.append(_message(name, reader, what))
        elif _reads_source_files(reader, decision.hit) or any(
            history.find(decision.hit, output) is None for output in reads
        ):
            if kind_of(pipeline.nodes[name]).outside.is_source(pipeline.nodes[name]):
                sources[name] = decision.hit
            else:
                wrong.append(_message(name, reader, "its table is not kept", ", or keep it (cache: true)"))
    if wrong:
        more = f" (and {len(wrong) - 1:,} more)" if len(wrong) > 1 else ""
        raise SelectionError(wrong[0] + more)
    return {name: end for name, end in given.items() if name not in sources}, sources


def plan_without_results(pipeline: Pipeline, plan: Plan, selected: Collection[str], why: str) -> Plan:
    """Return the plan of the selected nodes for a run that uses no results of earlier ones.

    Raises SelectionError if one of them needs a node that is not selected. `why` is the reason that it tells.
    """
    for reader, name in _needed(pipeline, selected):
        if reader.id not in pipeline.last_nodes:
            raise SelectionError(_message(name, reader, why))
    return selected_plan(plan, selected)


def _needed(pipeline: Pipeline, selected: Collection[str]) -> Iterator[tuple[NodeSpec, str]]:
    """Yield each selected node, or one that runs last, with each node that it needs and that is not selected."""
    for spec in (*(pipeline.nodes[name] for name in pipeline.nodes if name in selected), *pipeline.last_nodes.values()):
        for name in spec.upstream:
            if name not in selected:
                yield spec, name


def _reads_source_files(reader: NodeSpec, hit: RecordedNode) -> bool:
    """Return whether the reader is a query over the files that were read: it reads them, not the table."""
    of_files = any(output.digest.startswith(DIGEST_OF_FILES) for output in hit.outputs)
    return of_files and kind_of(reader).runs.reads_source_files


def _reads(reader: NodeSpec, name: str) -> list[OutputId]:
    return [output for item in reader.inputs for output in item.outputs if output.node == name]


def _message(name: str, reader: NodeSpec, what: str, more: str = "") -> str:
    return f"'{name}' is not selected, and {what}: select it too (--until {reader.id}){more}"
