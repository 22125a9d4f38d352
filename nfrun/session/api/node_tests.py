"""Runs one node of a pipeline file with given inputs: for tests, and to try a node out."""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from nfrun.core.errors import UsageError
from nfrun.core.pipeline import NOTHING, Input, NodeSpec, Pipeline
from nfrun.core.text import ellipsize, shortened
from nfrun.nodes.registry import kind_of
from nfrun.pipeline_file.built_document import BuiltPipeline, input_name, node_part
from nfrun.pipeline_file.loader import read_pipeline
from nfrun.session.api.errors import errors_for_programs
from nfrun.session.api.pipelines import LoadedPipeline, PathLike
from nfrun.session.api.results import Result, hint_of

_MOST_LISTED = 8


class NodePipeline(LoadedPipeline):
    """A node of a file alone, as a pipeline whose inputs are those of the node."""

    def __init__(self, path: PathLike, id: str, given: Mapping[str, Any], with_: Mapping[str, Any]) -> None:
        super().__init__(path)
        pipeline, document = read_pipeline(self.path)
        self.node = _node(pipeline, id)
        _check_given(self.node, given)
        _check_values(self.node, with_)
        # Where an input is not given, the node goes without it.
        types = {item.name: item.type for item in self.node.inputs if item.name in given}
        self._part = BuiltPipeline(node_part(document, self.node.id, types, with_), {})

    def _built(self) -> BuiltPipeline | None:
        return self._part


def run_node(
    file: PathLike,
    id: str,
    inputs: Mapping[str, Any] = NOTHING,
    *,
    params: Mapping[str, Any] = NOTHING,
    with_: Mapping[str, Any] = NOTHING,
    profile: str | None = None,
    work: PathLike | None = None,
) -> Any:
    """Run one node of a pipeline file with its checks, on a thread of this process, and return its output.

    `inputs` are tables, rows or paths by the names that the node has for them; `with_` values win over those of the
    file. `id` may be a cell, such as `score@DE`. What the node waits for, its condition, and checks that compare with
    other nodes are left out. Returns the table or the path of its one output, None if it made none, and a mapping by
    names if it has several outputs. The run stays in the work folder `work`; without it, nothing stays when Python
    ends.

    Raises RunFailed if the node or a check of it fails, and what `run` raises.
    """
    __tracebackhide__ = True  # pytest shows the line of the test
    with errors_for_programs():
        pipeline = NodePipeline(file, id, inputs, with_)
    folder = Path(work) if work is not None else Path(tempfile.mkdtemp(prefix="nfrun-"))
    if work is None:
        atexit.register(partial(shutil.rmtree, folder, ignore_errors=True))
    given = {input_name(pipeline.node.id, name): value for name, value in inputs.items()}
    try:
        result = pipeline.run(
            params=params, inputs=given, profile=profile, work=folder, executor="thread", until=id, fresh=True
        )
    except UsageError as error:
        if error.option != "until":
            raise
        raise UsageError(str(error).replace("until: ", "id: ", 1), "id") from None
    _print_logs(result, id)
    return outputs_of(result.check(), pipeline.node, id)


def _print_logs(result: Result, id: str) -> None:
    """Print what the node has printed: a test that captures prints, or shows those of a failed test, gets it."""
    for name in (name for name in result.nodes if name == id):
        print(result.nodes[name].log(), end="")
        print(result.nodes[name].log("stderr"), end="", file=sys.stderr)


def outputs_of(result: Result, node: NodeSpec, id: str) -> Any:
    """Return the output of a node that has run, or all of them by their names."""
    made = {name: result[f"{id}.{name}" if name else id] for name in node.outputs or ("",) if result.has(id, name)}
    return made if len(node.outputs) > 1 else next(iter(made.values()), None)


def _node(pipeline: Pipeline, id: str) -> NodeSpec:
    """Return the node with this id, or the node with this cell. Raises UsageError."""
    if not isinstance(id, str):
        raise UsageError(f"{ellipsize(repr(id), 60)} is no id of a node", "id")
    name = id if id in pipeline.nodes else id.partition("@")[0]
    node = pipeline.nodes.get(name)
    if node is None:
        inside = " (of a sub-pipeline, name its own file)" if "/" in id else ""
        raise UsageError(f"there is no node '{ellipsize(id)}'{inside}; {hint_of(name, pipeline.nodes)}", "id")
    if node.axes and name == id:
        what = f"'{id}' has the {'axis' if len(node.axes) == 1 else 'axes'} {', '.join(node.axes)}"
        raise UsageError(f"{what}: name one cell of it, as in '{id}{'@…' * len(node.axes)}'", "id")
    return node


def _check_given(node: NodeSpec, given: Mapping[str, Any]) -> None:
    """Raise UsageError if inputs are given that the node does not have, or lack that it needs."""
    names = [item.name for item in node.inputs]
    for name in given:
        if name not in names:
            raise UsageError(f"'{node.id}' has no input {name!r}; {hint_of(name, names)}", "inputs")
    if lacking := [item.name for item in node.inputs if item.name not in given and not item.optional]:
        raise UsageError(f"'{node.id}' also reads {shortened(lacking, _MOST_LISTED)}", "inputs")
    if dicts := [item.name for item in node.inputs if _is_dict(item) and item.name in given]:
        raise UsageError(
            f"'{dicts[0]}' is a mapping of cells, which cannot be given: call the function itself", "inputs"
        )


def _check_values(node: NodeSpec, with_: Mapping[str, Any]) -> None:
    """Raise UsageError for a value that the node does not have. Of a function, the reader checks what it takes."""
    for name in with_ if not kind_of(node).runs.calls_code else ():
        if name not in node.with_:
            raise UsageError(f"'{node.id}' has no value {name!r}; {hint_of(name, node.with_)}", "with_")


def _is_dict(item: Input) -> bool:
    return item.gather is not None and item.gather.form == "dict"
