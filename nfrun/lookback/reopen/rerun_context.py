"""Makes one attempt at a node outside of a run: what its kind gets when the user, or a command, runs it again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nfrun.core.events import NodeStarted, OutputRef
from nfrun.core.pipeline import NOTHING, Input, NodeSpec, OutputId, Pipeline
from nfrun.core.text import file_stem
from nfrun.core.values import replace
from nfrun.engine.attempt_context import AttemptContext, AttemptSettings
from nfrun.nodes.base import CancelToken
from nfrun.nodes.returned_tables import to_table
from nfrun.tables.gathered import flattened
from nfrun.tables.ipc import write_file
from nfrun.tables.output_files import WorkerStore


def rerun_context(
    pipeline: Pipeline,
    node: NodeSpec,
    inputs: Mapping[str, Any],
    scratch: Path,
    run: str = "",
    environ: Mapping[str, str] = NOTHING,
    **settings: Any,
) -> AttemptContext:
    """Return what the kind of a node gets for an attempt whose `inputs` are given.

    These are tables or what makes one, paths of files, or mappings of these. Files are made in the folder `scratch`,
    and stay there. `settings` are more of `AttemptSettings`.
    """
    values: dict[OutputId, Any] = {}
    items = tuple([_given(item, inputs[item.name], values) if item.name in inputs else item for item in node.inputs])
    node = replace(node, inputs=items)
    store = _GivenTables(scratch, values)
    # Whoever needs the table of a `FileTable` loads it.
    here = AttemptSettings(
        replace(pipeline, nodes={node.id: node}),
        *(store, run, scratch, environ),
        in_files=frozenset({node.id}),
        **settings,
    )
    types = {output: item.type for item in items for output in item.outputs}
    given: dict[str, OutputRef] = {output: OutputRef(output, 0, 0, "", type=types[output]) for output in values}
    return AttemptContext(here, NodeStarted(0.0, node.id, 1, given), CancelToken(), asyncio.run)


def _given(item: Input, value: Any, values: dict[OutputId, Any]) -> Input:
    """Add the value of an input to `values`, and return the input as one that reads it.

    Its outputs get other ids, since two inputs that have read the same output may have different values now.
    """
    if item.gather is None or item.gather.form != "dict":
        output = _of_input(item.output, item)
        values[output] = value
        return replace(item, output=output, alternative=None, gather=None)
    cells = {output: _of_input(output, item) for output in item.gather.cells}
    values.update({cells[output]: cell for output, cell in flattened(item.gather, value)})
    gather = replace(item.gather, cells={cells[output]: on for output, on in item.gather.cells.items()})
    return replace(item, alternative=None, gather=gather)


def _of_input(output: OutputId, item: Input) -> OutputId:
    return OutputId(f"{output.node}/{item.name}", output.name)  # its cell is as before


class _GivenTables(WorkerStore):
    """Hands on values that are given in place of outputs. Writes them into a folder where a file is needed."""

    def __init__(self, folder: Path, values: Mapping[OutputId, Any]) -> None:
        super().__init__(folder)
        self._values = values

    def open(self, ref: OutputRef) -> Any:
        value = self._values[ref.id]
        return value if isinstance(value, Path) else whole_table(to_table(value))

    def file(self, ref: OutputRef) -> Path:
        value = self.open(ref)
        if isinstance(value, Path):
            return value
        self._folder.mkdir(exist_ok=True)
        path = self._folder / f"{file_stem(ref.id)}.arrow"
        write_file(value, path)
        return path


def whole_table(value: Any) -> Any:
    """Return the table of a reader, and other tables as they are."""
    return value.read_all() if hasattr(value, "read_all") else value
