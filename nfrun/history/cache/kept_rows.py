"""Finds the results of the calls of mapped nodes that earlier runs have left, and that this run may use.

They lie in a folder for each definition: the function's code, its values, the inputs that every call gets whole, named
files and packages. No id of a node is in it, and no setting that only says how rows share a call. Beside the results of
a run lie the files that its calls were seen to read: if one has changed, those results are not used.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nfrun.code.watch.seen_files import MOST_SHOWN
from nfrun.core.errors import HandoffError
from nfrun.core.events import NodeStarted
from nfrun.core.map_spec import KeptRows, MapCounts, MapForm
from nfrun.core.observation import Observation
from nfrun.core.pipeline import NodeSpec, OutputId, Pipeline
from nfrun.core.text import ellipsize
from nfrun.core.values import replace
from nfrun.history.cache.cache_key import CacheKeys, KeyInputs, input_digest, with_files
from nfrun.history.cache.observed_files import ObservedFiles
from nfrun.history.cache.reuse_decision import ReuseDecision
from nfrun.history.journal import reader_digest
from nfrun.history.kept_tables import MAP, FolderUse, mark_used
from nfrun.history.run_history import table_path
from nfrun.history.work_dir import WorkDir, run_number
from nfrun.rows.stream_files import READS, files_read, write_reads
from nfrun.system.checksums import text_checksum
from nfrun.system.os_errors import reason

if TYPE_CHECKING:
    from nfrun.tables.store import TableStore


_NOT_OF_CALLS = frozenset({"node", "schema", "outputs", "order", "cpus"})  # key inputs that change no result of a call
_VERSION = "1"


class RowFolders:
    """Finds the folder with the results of calls for the nodes of one run.

    `pipeline` and `number` are those of the run. Nodes for which `is_forced` is true use no earlier results.
    """

    def __init__(
        self,
        work: WorkDir,
        pipeline: str,
        number: int,
        keys: CacheKeys,
        observed: ObservedFiles,
        is_forced: Callable[[str], bool],
    ) -> None:
        self._work, self._pipeline, self._number = work, pipeline, number
        self._run = f"{number:010}"
        self._keys, self._observed, self._is_forced = keys, observed, is_forced
        self._unfinished: dict[Path, set[str]] = {}  # nodes that have not ended well, by folder
        self._reads: dict[str, Mapping[str, str]] = {}  # by calls of earlier runs, by node
        self._folders: dict[str, Path] = {}  # by node
        self._lock = threading.Lock()
        observed.on_uncertain = self.rule_out

    def kept_rows(self, spec: NodeSpec, start: NodeStarted, store: TableStore) -> KeptRows | None:
        """Return where the results of a node's calls are kept; None if none are. Waits for the digests of whole inputs.

        Raises HandoffError.
        """
        if spec.map is None or not may_keep_rows(spec, self._keys):
            return None
        read = {output for item in spec.inputs if item.name != spec.map.over for output in item.outputs}
        digests = {ref.id: reader_digest(store.wait_digest(ref)) for ref in start.inputs.values() if ref.id in read}
        name = name_of_folder(spec, self._keys, self._observed, digests)
        if name is None:
            return None
        folder = self._folders[spec.id] = self._work.path / MAP / name
        outdated = () if self._is_forced(spec.id) else _outdated(folder, self._observed)
        try:
            with self._lock:
                self._unfinished.setdefault(folder, set()).add(spec.id)
                self._mark(folder, cached=spec.cache is True)
            under_way = _runs_under_way(self._work) - {self._run}
            # Runs get their numbers in order, so none with a lower number begins.
            ended = min([self._run, *under_way])
        except OSError as error:
            raise HandoffError(f"cannot write to {folder}: {reason(error)}", error) from error
        if self._is_forced(spec.id):
            return KeptRows(str(folder), self._run, use_kept=False, ended=ended)
        outdated = (*outdated, *under_way)  # those may still be ruled out by their run
        used = [read for name, read in files_read(folder).items() if not name.startswith(outdated)]
        self._reads[spec.id] = {file: checksum for read in used for file, checksum in read.items()}
        return KeptRows(str(folder), self._run, outdated=outdated, ended=ended)

    def reads(self, node: str) -> Mapping[str, str]:
        """Return the checksums of the files that calls of earlier runs have read whose results a node may have used."""
        return self._reads.get(node, {})

    def finished(self, node: str) -> None:
        """Note that a node has ended well, so that its results may be removed like others."""
        with self._lock, suppress(OSError):
            for folder, nodes in self._unfinished.items():
                if node in nodes:
                    nodes.remove(node)
                    self._mark(folder)

    def rule_out(self, node: str) -> None:
        """Let no later run use the results of a node's calls in this run: they may have run other code."""
        if (folder := self._folders.get(node)) is not None:
            with suppress(OSError):
                write_reads(folder / f"{self._run}-{READS}", {"": "its code or a file that it names was changed"})

    def _mark(self, folder: Path, *, cached: bool = False) -> None:
        mark_used(folder, FolderUse(self._pipeline, self._number, cached, bool(self._unfinished[folder])))


def may_keep_rows(spec: NodeSpec, keys: CacheKeys) -> bool:
    """Return whether results of the calls of a mapped node are kept, and used again."""
    return spec.map is not None and spec.map.reuse and spec.cache is not False and not keys.calls_obstacle(spec.id)


def name_of_folder(
    spec: NodeSpec, keys: CacheKeys, observed: ObservedFiles, digests: Mapping[OutputId, str]
) -> str | None:
    """Return the name of the folder with results of a node's calls, None if it cannot be known.

    `digests` are those of the inputs that every call gets as a whole.
    """
    named = observed.inputs.snapshot(spec)
    if named is None or spec.map is None:
        return None
    key_inputs = with_files(definition_of_calls(keys.definition(spec.id), spec), named)
    whole = [item for item in spec.inputs if item.name != spec.map.over]
    key_inputs = {**key_inputs, **{f"input {item.name}": input_digest(item, digests) for item in whole}}
    return text_checksum(json.dumps([_VERSION, sorted(key_inputs.items())]))


def _runs_under_way(work: WorkDir) -> set[str]:
    """Return the beginnings of the names of results of runs that are under way."""
    return {f"{run_number(run):010}" for run in work.runs_under_way()}


def _outdated(folder: Path, observed: ObservedFiles) -> tuple[str, ...]:
    """Return the names of the results in a folder that are not used: a file that their calls have read has changed."""
    recorded = observed.files
    return tuple(name for name, read in files_read(folder).items() if recorded.now(read, recheck=True) != read)


def definition_of_calls(definition: KeyInputs, spec: NodeSpec) -> KeyInputs:
    """Return the key inputs of a node on which the results of its calls depend, beside the inputs and files."""
    assert spec.map is not None
    without = {*_NOT_OF_CALLS, f"cells {spec.map.over}"}  # rows of the mapped input are keyed by content
    without |= {f"value {name}" for name in (spec.plugin.after if spec.plugin is not None else ())}
    kept = {name: value for name, value in definition.items() if name not in without and not name.startswith("map")}
    return {**kept, "explode": str(spec.map.explode)}


def with_kept_reads(seen: Observation | None, reads: Mapping[str, str]) -> Observation:
    """Return the observation of a node, with the files that were read for the kept results that it has used."""
    seen = seen or Observation()
    changed = next((name for name, checksum in reads.items() if seen.reads.get(name, checksum) != checksum), None)
    obstacle = seen.obstacle or (f"{ellipsize(changed, MOST_SHOWN)} changed while it ran" if changed else "")
    return replace(seen, reads={**reads, **seen.reads}, obstacle=obstacle)


def with_row_counts(
    decisions: Mapping[str, ReuseDecision], pipeline: Pipeline, keys: CacheKeys, observed: ObservedFiles, work: WorkDir
) -> dict[str, ReuseDecision]:
    """Return the decisions with the rows of the mapped nodes that run, as far as these can be known.

    That is where all inputs are surely those of an earlier run.
    """
    found = dict(decisions)
    for node, decision in decisions.items():
        spec = pipeline.nodes[node]
        if decision.hit is None and may_keep_rows(spec, keys):
            found[node] = replace(decision, rows=_counts(spec, decisions, keys, observed, work))
    return found


def _counts(
    spec: NodeSpec, decisions: Mapping[str, ReuseDecision], keys: CacheKeys, observed: ObservedFiles, work: WorkDir
) -> MapCounts | None:
    """Return how many rows the input has, and how many of them have results.

    None if an input may change, or the table is not there.
    """
    map = spec.map
    paths: dict[OutputId, Path | None] = {}
    digests: dict[OutputId, str] = {}
    for output in (output for item in spec.inputs for output in item.outputs):
        decision = decisions.get(output.node)
        hit = decision.hit if decision is not None and decision.is_sure else None
        if hit is None or (recorded := hit.output(output)) is None:
            return None
        paths[output], digests[output] = table_path(hit.folder, recorded), reader_digest(recorded)
    over = next((item for item in spec.inputs if map is not None and item.name == map.over), None)
    path = paths[over.output] if over is not None and over.is_plain else None
    name = name_of_folder(spec, keys, observed, digests)
    if map is None or path is None or name is None or not path.is_file():
        return None
    from nfrun.rows.work import MapWork
    from nfrun.tables.ipc import open_file

    form, table, folder = map.form or MapForm(), open_file(path), work.path / MAP / name
    if not folder.is_dir():
        return MapCounts(table.num_rows)
    columns = None if form.takes_table else form.named_in(table.column_names)
    if not {*map.by, *form.columns} <= {*table.column_names}:
        return None
    kept = KeptRows(str(folder), "", outdated=(*_outdated(folder, observed), *_runs_under_way(work)))
    found = MapWork(table, map, columns, kept, name=spec.local_name)
    return MapCounts(found.rows, found.reused)
