"""Replaces the nodes of a pipeline that are other pipelines by the nodes of these.

Nothing behind this knows of sub-pipelines, except by `/` in ids and the files in `NodeSpec.source`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nfrun.core.pipeline import Gather, Input, NodeSpec, OutputId, Pipeline
from nfrun.core.text import ellipsize
from nfrun.core.values import replace
from nfrun.nodes.folders import relative_folder
from nfrun.nodes.pipeline import INPUT
from nfrun.nodes.registry import kind_of
from nfrun.pipeline_file.conditions import unread_outputs
from nfrun.pipeline_file.matrix.cell_ids import MAX_ID
from nfrun.system.file_search import inner_folder

_Report = Callable[[NodeSpec, str, str], object]  # takes a node, the message and the hint


def expand_included(pipeline: Pipeline, made: Mapping[str, Pipeline], report: _Report) -> Pipeline:
    """Return the pipeline with the nodes of other pipelines in the place of the nodes that name them.

    `made` has the expanded pipeline of each such node by its id. Reports ids that are too long.
    """
    if not made:
        return pipeline
    outputs = {
        OutputId(id, name): OutputId(f"{id}/{output.node}", output.name)
        for id, other in made.items()
        for name, output in other.outputs.items()
    }
    expansion = _Expansion(made, outputs, pipeline.folder)
    nodes: dict[str, NodeSpec] = {}
    for spec in map(expansion.rewired, pipeline.nodes.values()):
        if spec.id not in made:
            nodes[spec.id] = spec
            continue
        found = {node.id: node for node in expansion.nodes_of(spec)}
        longest = max(found, key=len, default="")
        if len(longest) > MAX_ID:
            what = f"the id of a node has {len(longest)} characters, and at most {MAX_ID}: '{ellipsize(longest)}'"
            report(spec, what, "give shorter names")
        nodes |= found
    shown = {name: outputs.get(id, id) for name, id in pipeline.outputs.items()}
    secrets = dict.fromkeys([*pipeline.secrets, *(name for other in made.values() for name in other.secrets)])
    last = (
        {name: expansion.rewired(spec) for name, spec in section.items()}
        for section in (pipeline.on_failure, pipeline.finally_)
    )
    on_failure, finally_ = last
    return replace(
        pipeline,
        nodes=nodes,
        outputs=shown if pipeline.names_outputs else unread_outputs(nodes),
        secrets=tuple(secrets),
        on_failure=on_failure,
        finally_=finally_,
    )


class _Expansion:
    """Makes the nodes of the other pipelines. `outputs` maps what they show to the outputs of their nodes.

    `folder` is that of the including pipeline.
    """

    def __init__(self, made: Mapping[str, Pipeline], outputs: Mapping[OutputId, OutputId], folder: str) -> None:
        self.made, self.outputs = made, outputs
        self._folder = folder
        self._folders: dict[tuple[str, str], str] = {}

    def rewired(self, spec: NodeSpec) -> NodeSpec:
        """Return a node that reads the nodes of other pipelines, and waits for all of those that it needs."""
        inputs = tuple([self.input(item) for item in spec.inputs])
        references = tuple([self.input(item) for item in spec.references])
        needs = tuple([name for need in spec.needs for name in self.waited(need)])
        if (inputs, references, needs) == (spec.inputs, spec.references, spec.needs):
            return spec
        return replace(spec, inputs=inputs, references=references, needs=needs)

    def waited(self, need: str) -> Iterator[str]:
        if need not in self.made:
            yield need
            return
        yield from (f"{need}/{name}" for name in self.made[need].nodes)

    def input(self, item: Input) -> Input:
        """Return an input that reads what a node of another pipeline gives."""
        of = self.outputs
        if not any(output in of for output in (item.output, *item.outputs)):
            return item
        gather = item.gather and Gather(
            item.gather.form,
            item.gather.axes,
            {of.get(output, output): cell for output, cell in item.gather.cells.items()},
            item.gather.columns,
        )
        alternative = item.alternative and of.get(item.alternative, item.alternative)
        return replace(item, output=of.get(item.output, item.output), gather=gather, alternative=alternative)

    def nodes_of(self, including: NodeSpec) -> Iterator[NodeSpec]:
        """Yield the nodes that take the place of a node, those that the including file gives first."""
        other, prefix = self.made[including.id], f"{including.id}/"
        given = {item.name: item for item in including.inputs}
        by_including = "" if including.if_ else including.id
        for name, own in other.nodes.items():
            spec = _given(own, given[name], prefix) if name in given else _moved(own, prefix)
            begins = not any(id.startswith(prefix) for id in spec.upstream)
            yield replace(
                spec,
                id=prefix + spec.id,
                of=f"{including.declared}/{spec.declared}" if including.of or spec.of else "",
                cell=_cell(including, spec),
                folder=self.folder(other, spec),
                needs=(*spec.needs, *including.needs) if begins else spec.needs,
                tags=tuple(dict.fromkeys([*including.tags, *spec.tags])),
                if_=spec.if_ if including.if_ else False,
                disabled_by=prefix + spec.disabled_by if including.if_ and spec.disabled_by else by_including,
                continue_on_error=including.continue_on_error or spec.continue_on_error,
            )

    def folder(self, other: Pipeline, spec: NodeSpec) -> str:
        """Return the folder of a node of another pipeline, relative to that of this one."""
        key = other.folder, spec.folder
        if key not in self._folders:
            self._folders[key] = relative_folder(str(inner_folder(Path(other.folder), spec.folder)), self._folder)
        return self._folders[key]


def _cell(including: NodeSpec, spec: NodeSpec) -> Mapping[str, Any]:
    """Return the values of a node on the axes of the including node and on its own.

    Where both have an axis of one name, the outer one has the name of the including node in front.
    """
    if not including.cell:
        return spec.cell
    outer = {
        f"{including.declared}.{axis}" if axis in spec.cell else axis: value for axis, value in including.cell.items()
    }
    return {**outer, **spec.cell}


def _given(spec: NodeSpec, item: Input, prefix: str) -> NodeSpec:
    """Return the node that hands on what the including file gives, in the place of one that reads a file.

    What is given is held against the same schema and checks.
    """
    return NodeSpec(
        id=spec.id,
        kind=INPUT.name,
        body="",
        inputs=(item,),
        with_={},
        outputs=spec.outputs,
        needs=(),
        env={},
        types=spec.types,
        description=spec.description,
        contracts=spec.contracts,
        references=tuple([_inside(item, prefix) for item in spec.references]),
        source=spec.source,
    )


def _moved(spec: NodeSpec, prefix: str) -> NodeSpec:
    """Return a node that reads and needs the nodes of its own file by their ids in this one."""
    return replace(
        spec,
        inputs=tuple([_inside(item, prefix) for item in spec.inputs]),
        references=tuple([_inside(item, prefix) for item in spec.references]),
        needs=tuple([prefix + need for need in spec.needs]),
    )


def _inside(item: Input, prefix: str) -> Input:
    """Return an input of a node of another pipeline as it is in this one."""

    def renamed(output: OutputId) -> OutputId:
        return OutputId(prefix + output.node, output.name)

    gather = item.gather and replace(
        item.gather, cells={renamed(output): cell for output, cell in item.gather.cells.items()}
    )
    alternative = item.alternative and renamed(item.alternative)
    return replace(item, output=renamed(item.output), gather=gather, alternative=alternative)


def includes(spec: NodeSpec) -> bool:
    """Whether nodes of another file take the place of this one."""
    return bool(spec.kind) and kind_of(spec).runs.is_expanded
