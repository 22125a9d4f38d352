"""Finds the tables that a run has left, checks their files and opens them.

A file is used only if its size and checksum are those in the journal. Nothing is changed or renamed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

from nfrun.core.errors import NotRecorded
from nfrun.core.pipeline import TABLE, NodeSpec, OutputId, Pipeline, form_of
from nfrun.core.text import ellipsize, shortened
from nfrun.history.database import read_journal
from nfrun.history.journal import FinishedOutput, JournalContents, RecordedNode, reader_digest
from nfrun.lookback.command_again import command_for_tables
from nfrun.lookback.recorded_run import hint_of, which_cell
from nfrun.lookback.reopen.first_rows import intact_output
from nfrun.lookback.run_reference import ListedRun
from nfrun.nodes.base import NodeError
from nfrun.nodes.registry import kind_of
from nfrun.system.checksums import shown_name
from nfrun.tables.formats import FormatError
from nfrun.tables.output_files import hand_on

_MAX_LISTED = 6


class RunTables:
    """The tables of one run. Its methods raise NotRecorded where there is none, and HandoffError for a damaged file."""

    def __init__(
        self,
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
        self.run = run
        self._pipeline = cache(pipeline)
        self._with_refused = with_refused
        self._intact = cache(partial(intact_output, run))

    @cached_property
    def journal(self) -> JournalContents:
        """The journal of the run."""
        return read_journal(self.run.folder)

    @cached_property
    def _ends(self) -> dict[str, RecordedNode]:
        """How the nodes ended. Of those whose results are taken although a check failed, these results."""
        ends = self.journal.ends
        refused = self.journal.refused if self._with_refused else ()
        failed = {name for name, end in ends.items() if not end.is_finished}  # of two attempts, the second may not have
        return ends | {result.node: result for result in refused if result.node in failed}

    def output_id(self, name: str) -> OutputId:
        """Return the id of the output that a user names: by its id, by the id of a node with one output, or as shown.

        The bound pipeline has the shown names. It is asked for if the journal does not have the name.
        """
        if name in self._ends:
            return self._only_output(self._ends[name])
        for end in self._ends.values():
            if (found := end.output(name)) is not None:
                return found.id
            if not end.is_finished and name.startswith(f"{end.node}."):
                raise NotRecorded(self._unfinished(end))
        pipeline = self._pipeline()
        named: Mapping[str, OutputId] = pipeline.outputs if pipeline else {}
        if name in named:
            return self._found(named[name]).id
        raise NotRecorded(self._unknown(name, [text for text, id in named.items() if id.node in self._ends]))

    def path(self, output: OutputId) -> Path | None:
        """Return the path of the intact file of an output, None if nfrun has written none. Each is checked once."""
        recorded = self._found(output)
        return self._intact(recorded) if recorded.file is not None or recorded.stored else None

    def failed_checks(self, output: OutputId) -> str:
        """Return what failed of the checks for which no node reads an output, "" for one that is read."""
        failure = self.journal.ends[output.node].failure
        return "" if failure is None else ellipsize(failure.error, 200)

    def type_of(self, output: OutputId) -> str:
        """Return the type of an output: `table`, `file`, `folder`, or the ending of a file."""
        return self._found(output).type

    def file(self, output: OutputId) -> Path:
        """Return the path as `path` does, or that of the source of a file. Raises NotRecorded if there is none."""
        if self.type_of(output) != TABLE:
            found: Path = self.tables([output])[output]
            return found
        path = self.path(output)
        if path is None:
            raise NotRecorded(f"no file of '{output}' alone is kept: name another format")
        return path

    def tables(self, outputs: Iterable[OutputId]) -> dict[OutputId, Any]:
        """Return the tables of these outputs, memory-mapped, and the paths of files and folders.

        Those of nodes that only read files are read again.
        """
        return {output: self._table(output) for output in dict.fromkeys(outputs)}

    def inputs_of(self, node: NodeSpec) -> dict[str, Any]:
        """Return what a node reads, by the names of its inputs: a table, or what is gathered of the cells in this run.

        Cells without a table in this run are left out. An input without any is missing if the node can do without it.
        """
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

    def _table(self, output: OutputId) -> Any:
        from nfrun.tables.ipc import open_file  # it imports pyarrow

        found = self.path(output)
        if found is not None:
            return open_file(found) if self.type_of(output) == TABLE else found
        pipeline = self._pipeline()
        if pipeline is None:
            how = "name its pipeline file with --pipeline FILE, to read its source again"
            raise NotRecorded(f"no file of '{output}' is kept in {self}: {how}")
        table = self._read_again(pipeline, self._found(output))
        if table is None:
            form = form_of(self.type_of(output))
            why = f"the {form} of '{output}' in {self} is not kept, and its source has changed since then"
            raise NotRecorded(f"{why} (run the pipeline again, and look at the new run)")
        return table

    def _read_again(self, pipeline: Pipeline, output: FinishedOutput) -> Any | None:
        """Return the table or the path that the node of an output reads or hands on; None if it is another one now."""
        spec = pipeline.nodes.get(output.id.node)
        if spec is None or kind_of(spec).outside.is_source(spec):
            return None if spec is None else read_source(pipeline, output)
        if not kind_of(spec).outside.hands_on:
            again = command_for_tables(self.run, [output.id.node])
            raise NotRecorded(
                f"no {form_of(output.type)} of '{output.id}' is kept in {self}; to make it again: {again}"
            )
        (item,) = spec.inputs
        if item.is_plain and reader_digest(self._found(item.output)) == reader_digest(output):
            return self._table(item.output)
        return None if item.is_plain else if_content_of(self.inputs_of(spec).get(item.name), output)

    def __str__(self) -> str:
        return f"run {self.run.number}"

    def _found(self, output: OutputId) -> FinishedOutput:
        end = self._ends.get(output.node)
        if end is not None and not end.is_finished:
            raise NotRecorded(self._unfinished(end))
        found = None if end is None else end.output(output)
        if found is None:
            raise NotRecorded(self._unknown(output))
        return found

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
        if which := which_cell(name, {id: end.of for id, end in self._ends.items()}):
            return which
        ids = [output.id for end in self._ends.values() for output in end.outputs]
        state = "" if self.journal.ended else f" that has ended in it (it is {self.run.status})"
        hint = hint_of(name, dict.fromkeys([*ids, *self._ends, *shown]), "it has")
        return f"{self} has no output '{ellipsize(name)}'{state}: {hint}"


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
        return if_content_of(value, output)
    except (NodeError, FormatError):  # a file is gone, or is no table any more
        return None


def if_content_of(value: Any, output: FinishedOutput) -> Any | None:
    """Return the path or the table of a value if it has the content that an output had, else None."""
    from nfrun.tables.output_files import hashed, in_memory

    if isinstance(value, Path):
        ref = hand_on(output.id, 1, value, output.type)
        return value if reader_digest(ref) == reader_digest(output) else None
    if value is None:
        return None
    stored = in_memory(output.id, 1, value, None)
    ref = stored.ref if stored.ref.digest else hashed(stored.ref, stored.table)
    return stored.table if reader_digest(ref) == reader_digest(output) else None
