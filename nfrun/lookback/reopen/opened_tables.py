"""Finds the tables that a run has left, checks their files and opens them.

A file is used only if its size and checksum are those in the journal. Nothing is changed or renamed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from weakref import finalize

from nfrun.core.errors import HandoffError, NotRecorded
from nfrun.core.pipeline import TABLE, NodeSpec, OutputId, Pipeline, form_of
from nfrun.core.text import closest_match, ellipsize, shortened
from nfrun.history.database import Database
from nfrun.history.journal import FinishedOutput, JournalContents, RecordedNode, reader_digest
from nfrun.history.run_history import is_intact, table_path
from nfrun.history.work_dir import WorkDir
from nfrun.lookback.command_again import command_for_tables
from nfrun.lookback.recorded_run import which_cell
from nfrun.lookback.reopen.first_rows import fetched
from nfrun.lookback.run_reference import ListedRun
from nfrun.nodes.base import NodeError
from nfrun.nodes.registry import kind_of
from nfrun.system.checksums import shown_name
from nfrun.tables.formats import FormatError
from nfrun.tables.output_files import hand_on

_MAX_LISTED = 6
_MANY = 20  # entries of so many nodes are not looked for one by one


class RunTables:
    """The tables of one run. Its methods raise NotRecorded where there is none, and HandoffError for a damaged file."""

    def __init__(
        self,
        work: WorkDir,
        run: ListedRun,
        pipeline: Callable[[], Pipeline | None] = lambda: None,
        *,
        with_refused: bool = False,
    ) -> None:
        """Look for the tables of a run in its work folder.

        `pipeline` returns the bound pipeline, None if there is none. It is called where the journal is not enough: for
        outputs by their shown names, and for tables that nfrun has not written. `with_refused`: also those that are
        kept although a check of their node failed.
        """
        self._work = work
        self.run = run
        self._pipeline = cache(pipeline)
        self._with_refused = with_refused
        self._ends: dict[str, RecordedNode] = {}
        self._refused: dict[str, RecordedNode] = {}  # the ends of nodes whose results are taken in spite of them
        self._checked: dict[OutputId, Path | None] = {}

    @cached_property
    def _database(self) -> Database:
        database = Database(self._work)
        finalize(self, database.close)
        return database

    @cached_property
    def journal(self) -> JournalContents:
        """The whole journal of the run. Of a long one, the entries of a few nodes take a tenth of the time."""
        return self._database.contents(self.run.id)

    def output_id(self, name: str) -> OutputId:
        """Return the id of the output that a user names: by its id, by the id of a node with one output, or as shown.

        The bound pipeline has the shown names. It is asked for if the journal does not have the name.
        """
        end = self._end(name)
        if end is not None:
            return self._only_output(end)
        for other in self._results(self._database.contents(self.run.id, only=[_as_json("id", name)])):
            found = other.output(name)
            if found is not None:
                return found.id
        with_result = {result.node for result in self._results(self.journal)}
        for failed in self.journal.unfinished:
            if failed.node not in with_result and name.startswith(f"{failed.node}."):
                raise NotRecorded(self._unfinished(failed))
        pipeline = self._pipeline()
        named: Mapping[str, OutputId] = pipeline.outputs if pipeline else {}
        if name in named:
            return self._found(named[name])[1].id
        raise NotRecorded(self._unknown(name, [text for text, id in named.items() if self._end(id.node) is not None]))

    def path(self, output: OutputId) -> Path | None:
        """Return the path of an intact file with this output, from this run or from any with the same content.

        None if there is none. Each file is checked once.
        """
        if output not in self._checked:
            self._checked[output] = self._find_intact(*self._found(output))
        return self._checked[output]

    def failed_checks(self, output: OutputId) -> str:
        """Return what failed of the checks for which no node reads an output, "" for one that is read."""
        end = self._refused.get(output.node)
        return "" if end is None or end.failure is None else ellipsize(end.failure.error, 200)

    def type_of(self, output: OutputId) -> str:
        """Return the type of an output: `table`, `file`, `folder`, or the ending of a file."""
        return self._found(output)[1].type

    def file(self, output: OutputId) -> Path:
        """Return the path as `path` does, or that of the source of a file. Raises NotRecorded if there is none."""
        if self.type_of(output) != TABLE:
            found: Path = self.tables([output])[output]
            return found
        path = self.path(output)
        if path is None and self._source(output) is not None:
            raise NotRecorded(f"no file of '{output}' is kept, as its node only reads files: name another format")
        if path is None and (given := self._given(output)) is not None and given.inputs[0].is_plain:
            return self.file(given.inputs[0].output)
        if path is None:
            raise self._removed([output])
        return path

    def tables(self, outputs: Iterable[OutputId]) -> dict[OutputId, Any]:
        """Return the tables of these outputs, memory-mapped, and the paths of files and folders.

        Those of nodes that only read files are read again.
        """
        wanted = list(dict.fromkeys(outputs))
        self._load(output.node for output in wanted)
        found = {output: self._table(output) for output in wanted}
        if missing := [output for output, table in found.items() if table is None]:
            raise self._removed(missing)
        return found

    def inputs_of(self, node: NodeSpec) -> dict[str, Any]:
        """Return what a node reads, by the names of its inputs: a table, or what is gathered of the cells in this run.

        Cells without a table in this run are left out. An input without any is missing if the node can do without it.
        """
        self._load(output.node for item in node.inputs for output in item.outputs)
        read = {item.name: item.read(self._has) for item in node.inputs}
        for item in node.inputs:
            if not read[item.name] and not item.optional:
                read[item.name] = (item.outputs[0],)  # `tables` says why it is not there
        tables = self.tables(output for outputs in read.values() for output in outputs)
        found: dict[str, Any] = {}
        for item in node.inputs:
            outputs, gather = read[item.name], item.gathered(read[item.name])
            if gather is not None:
                from nfrun.tables.gathered import put_together

                try:
                    found[item.name] = put_together(gather, {output: tables[output] for output in outputs})
                except FormatError as error:
                    raise NotRecorded(f"there is no table '{item.name}' of {self}: {error}") from None
            elif outputs:
                found[item.name] = tables[outputs[0]]
        return found

    def _has(self, output: OutputId) -> bool:
        end = self._ends.get(output.node)
        return end is not None and end.output(output) is not None

    def _table(self, output: OutputId) -> Any | None:
        from nfrun.tables.ipc import open_file  # it imports pyarrow

        found = self.path(output)
        if found is not None:
            return open_file(found) if self.type_of(output) == TABLE else found
        pipeline = self._source(output)
        if pipeline is None:
            return self._handed_on(output)
        table = read_source(pipeline, self._found(output)[1])
        if table is None:
            form = form_of(self.type_of(output))
            why = f"the {form} of '{output}' in {self} is not kept, and its source has changed since then"
            raise NotRecorded(f"{why} (run the pipeline again, and look at the new run)")
        return table

    def _source(self, output: OutputId) -> Pipeline | None:
        """Return the pipeline if the node of an output only reads files, so that nfrun has written no table of it."""
        recorded = self._found(output)[1]
        if recorded.file is not None or recorded.stored:
            return None
        pipeline = self._pipeline()
        if pipeline is None:
            how = "name its pipeline file with --pipeline FILE, to read its source again"
            raise NotRecorded(f"no file of '{output}' is kept in {self}: {how}")
        return pipeline if has_source(pipeline, output) else None

    def _handed_on(self, output: OutputId) -> Any | None:
        """Return the table that the node of an output has handed on; None if it reads another one now."""
        given = self._given(output)
        table = None if given is None else next(iter(self.inputs_of(given).values()), None)
        if given is None or table is None:
            return None
        read, recorded = given.inputs[0], self._found(output)[1]
        if read.is_plain and reader_digest(self._found(read.output)[1]) == reader_digest(recorded):
            return table
        return if_content_of(table, recorded) if recorded.type == TABLE else None

    def _given(self, output: OutputId) -> NodeSpec | None:
        """Return the node of an output if its table is what it reads, so that nfrun has written no other file."""
        recorded = self._found(output)[1]
        pipeline = self._pipeline() if recorded.file is None and not recorded.stored else None
        spec = pipeline.nodes.get(output.node) if pipeline is not None else None
        return spec if spec is not None and kind_of(spec).outside.hands_on else None

    def _removed(self, outputs: Sequence[OutputId]) -> NotRecorded:
        listed = shortened([f"'{output}'" for output in outputs], _MAX_LISTED)
        one = len(outputs) == 1
        form = form_of(self.type_of(outputs[0])) if one else "table"
        again = command_for_tables(self.run, dict.fromkeys(output.node for output in outputs))
        what = f"the {form}{'' if one else 's'} of {listed} in {self} {'was' if one else 'were'} removed"
        return NotRecorded(f"{what}; to make {'it' if one else 'them'} again: {again}")

    def __str__(self) -> str:
        return f"run {self.run.number}"

    def _find_intact(self, finished: RecordedNode, output: FinishedOutput) -> Path | None:
        found = self._path_of(finished, output)
        if found is not None:
            return found
        other = self._elsewhere(output)
        own = table_path(finished.folder, output)
        if other is None and own is not None and own.exists():
            again = command_for_tables(self.run, [finished.node])
            raise HandoffError(f"{own} is damaged and is not used; to make the table again: {again}")
        return other

    def _elsewhere(self, output: FinishedOutput) -> Path | None:
        """Return an intact file with the same content from another run."""
        for finished in self._database.entries(self.run.pipeline, output.id.node):
            found = finished.output(output.id)
            if found is None or reader_digest(found) != reader_digest(output):
                continue
            path = self._path_of(finished, found)
            if path is not None:
                return path
        return None

    def _path_of(self, finished: RecordedNode, output: FinishedOutput) -> Path | None:
        """Return the path of an output if it is intact, fetched if it is in a place that machines share."""
        if output.stored:
            return fetched(output)
        path = table_path(finished.folder, output)
        with suppress(FileNotFoundError):
            if path is not None and is_intact(path, output):
                return path
        return None

    def _end(self, node: str) -> RecordedNode | None:
        """Return how a node ended, None if it has not."""
        self._load([node])
        return self._ends.get(node)

    def _load(self, nodes: Iterable[str]) -> None:
        """Read the entries of these nodes from the journal."""
        new = [node for node in nodes if node not in self._ends]
        few = [_as_json("node", node) for node in new] if len(new) < _MANY else ()
        if new:
            journal = self._database.contents(self.run.id, only=few)
            self._ends |= journal.ends
            for result in self._results(journal):
                end = self._ends.get(result.node)
                if end is not None and not end.is_finished:  # of two attempts, the second may have finished
                    self._refused[result.node], self._ends[result.node] = end, result

    def _results(self, journal: JournalContents) -> tuple[RecordedNode, ...]:
        return (*journal.finished, *journal.refused) if self._with_refused else journal.finished

    def _found(self, output: OutputId) -> tuple[RecordedNode, FinishedOutput]:
        end = self._end(output.node)
        if end is not None and not end.is_finished:
            raise NotRecorded(self._unfinished(end))
        found = None if end is None else end.output(output)
        if end is None or found is None:
            raise NotRecorded(self._unknown(output))
        return end, found

    # -- messages --------------------------------------------------------------------------------------------------

    def _only_output(self, end: RecordedNode) -> OutputId:
        if not end.is_finished:
            raise NotRecorded(self._unfinished(end))
        unnamed = next((output.id for output in end.outputs if output.id == OutputId(end.node)), None)
        if unnamed is not None or len(end.outputs) == 1:  # failed rows may stand beside one without a name
            return unnamed or end.outputs[0].id
        if end.outputs:
            ids = shortened([output.id for output in end.outputs], _MAX_LISTED)
            raise NotRecorded(f"'{end.node}' has several outputs in {self}: name one of {ids}")
        wrote = f": it wrote {shortened([*map(shown_name, end.wrote)], _MAX_LISTED)}" if end.wrote else ""
        raise NotRecorded(f"'{end.node}' gave no table in {self}{wrote}")

    def _unfinished(self, end: RecordedNode) -> str:
        if end.failure is not None:
            return f"'{end.node}' {end.status} in {self} and handed on no table: {ellipsize(end.failure.error, 200)}"
        what = f"'{end.node}' was {end.status} in {self}"
        if end.status == "skipped":
            return f"{what}, because '{end.because}' failed: it handed on no table"
        return f"{what} and handed on no table{': ' if end.because else ''}{end.because}"

    def _unknown(self, name: str, shown: Iterable[str] = ()) -> str:
        ids = [output.id for end in self._results(self.journal) for output in end.outputs]
        ends = self.journal.ends
        if which := which_cell(name, {id: end.of for id, end in ends.items()}):
            return which
        known = dict.fromkeys([*ids, *ends, *shown])
        close = closest_match(name, known)
        if close:
            return f"{self} has no output '{ellipsize(name)}': did you mean '{close}'?"
        state = "" if self.journal.ended else f" that has ended in it (it is {self.run.status})"
        has = f"it has {shortened(list(known), _MAX_LISTED)}" if known else "no node has ended in it"
        return f"{self} has no output '{ellipsize(name)}'{state}: {has}"


def _as_json(key: str, value: str) -> str:
    """Return a key and its value as they stand in a journal."""
    return f'"{key}": {json.dumps(value)}'


def has_source(pipeline: Pipeline, output: OutputId) -> bool:
    """Return whether the node of an output only reads files of this machine, which are its source."""
    spec = pipeline.nodes.get(output.node)
    return spec is not None and kind_of(spec).outside.is_source(spec)


def read_source(pipeline: Pipeline, output: FinishedOutput) -> Any | None:
    """Return the table of an output whose node has a source, or the path of its source, if that is a file.

    None if the source has another content now.
    """
    from nfrun.lookback.reopen.rerun_context import rerun_context  # it imports the engine
    from nfrun.tables.file_table import FileTable  # it imports pyarrow

    spec = pipeline.nodes[output.id.node]
    try:
        value = kind_of(spec).runs.run(rerun_context(pipeline, spec, {}, Path(os.devnull)))[output.id.name]
        if isinstance(value, FileTable):
            value.load()
        if isinstance(value, Path):
            ref = hand_on(output.id, 1, value, output.type)
            return value if reader_digest(ref) == reader_digest(output) else None
    except (NodeError, FormatError):  # a file is gone, or is no table any more
        return None
    return if_content_of(value, output)


def if_content_of(value: Any, output: FinishedOutput) -> Any | None:
    """Return the table of a value if it has the content that an output had, else None."""
    from nfrun.tables.output_files import hashed, in_memory

    stored = in_memory(output.id, 1, value, None)
    ref = stored.ref if stored.ref.digest else hashed(stored.ref, stored.table)
    return stored.table if reader_digest(ref) == reader_digest(output) else None
