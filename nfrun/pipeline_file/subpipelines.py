"""Reads the pipeline files that nodes name, and replaces these nodes by the nodes of those pipelines.

Checks what the nodes give to the pipelines. Nothing behind this knows of sub-pipelines, except by `/` in ids and the
files in `NodeSpec.source`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nfrun.core.errors import SourceSpan, SpecError
from nfrun.core.pipeline import TABLE, Input, NodeSpec, OutputId, Pipeline
from nfrun.core.text import ellipsize
from nfrun.core.values import field, mutable, replace
from nfrun.nodes.base import is_evaluated
from nfrun.nodes.folders import relative_folder
from nfrun.nodes.pipeline import INPUT
from nfrun.pipeline_file.axes import MAX_ID
from nfrun.pipeline_file.conditions import of_sections, unread_outputs
from nfrun.pipeline_file.findings import Findings, unknown
from nfrun.pipeline_file.parameters import value_problem
from nfrun.pipeline_file.references import includes, input_path
from nfrun.pipeline_file.yaml.document import Document, Keys
from nfrun.system.file_search import inner_folder


def expand_included(pipeline: Pipeline, made: Mapping[str, Pipeline], problems: Findings) -> Pipeline:
    """Return the pipeline with the nodes of other pipelines in the place of the nodes that name them.

    `made` has the expanded pipeline of each such node by its id. Ids that are too long are added to the `problems`.
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
            problems.report(("nodes", spec.declared, spec.kind), what, "give shorter names")
        nodes |= found
    shown = {name: outputs.get(id, id) for name, id in pipeline.outputs.items()}
    secrets = dict.fromkeys([*pipeline.secrets, *(name for other in made.values() for name in other.secrets)])
    return replace(
        pipeline,
        nodes=nodes,
        outputs=shown if pipeline.names_outputs else unread_outputs(nodes),
        secrets=tuple(secrets),
        **of_sections(pipeline, expansion.rewired),
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
        is_inner = any(output in of for output in (item.output, *item.outputs))
        return _renamed(item, lambda output: of.get(output, output)) if is_inner else item

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
    return _renamed(item, lambda output: OutputId(prefix + output.node, output.name))


def _renamed(item: Input, name: Callable[[OutputId], OutputId]) -> Input:
    """Return an input that reads other outputs in the place of its own."""
    gather = item.gather and replace(item.gather, cells={name(output): at for output, at in item.gather.cells.items()})
    return replace(
        item, output=name(item.output), gather=gather, alternative=item.alternative and name(item.alternative)
    )


MAX_LEVELS = 16
# What a node that is another pipeline may have beside its kind.
_KEYS = frozenset(("inputs", "with", "matrix", "if", "needs", "tags", "continue_on_error", "description"))

Read = Callable[[str, "Including", tuple[SourceSpan, ...]], tuple[Pipeline, Document]]


@mutable
class Including:
    """The files that lead to the one that is read, each with its name to show, and all that have been read.

    A file with a mistake is None there: its problems are told already.
    """

    chain: tuple[tuple[str, str], ...] = ()
    known: dict[str, tuple[Pipeline, Document] | None] = field(default_factory=dict)


def read_included(
    found: Findings, nodes: dict[str, NodeSpec], including: Including, read: Read
) -> dict[str, tuple[Pipeline, Document]]:
    """Return the pipelines that nodes name, by the paths in the file, and give these nodes the outputs of them."""
    others: dict[str, tuple[Pipeline, Document]] = {}
    for name, spec in nodes.items():
        path: Keys = ("nodes", name)
        if not includes(spec):
            continue
        for key in found.document.root["nodes"][name]:
            if key not in (spec.kind, *_KEYS) and (*path, key) not in found.bad:
                what = f"a {spec.kind} node has no '{ellipsize(key)}'"
                found.report((*path, key), what, f"it stands in {ellipsize(spec.body) or 'its file'}", at_key=True)
        other = _read(found, (*path, spec.kind), spec.body, including, read) if spec.body else None
        if other is None:
            found.unclear.add(name)
            continue
        others[spec.body] = other
        pipeline = other[0]
        shown = {
            n: (pipeline.nodes[id.node], id.name) for n, id in pipeline.outputs.items() if id.node in pipeline.nodes
        }
        types = {n: kind for n, (maker, output) in shown.items() if (kind := maker.type_of(output)) != TABLE}
        found.of_cells |= {OutputId(name, n) for n, (maker, _) in shown.items() if maker.axes}
        nodes[name] = replace(spec, outputs=tuple(pipeline.outputs) if pipeline.names_outputs else (), types=types)
        _check_inputs(found, path, spec, pipeline)
        _check_values(found, path, spec, pipeline)
    return others


def _read(found: Findings, path: Keys, body: str, including: Including, read: Read) -> tuple[Pipeline, Document] | None:
    """Return the pipeline in the file that a node names. Reports why there is none."""
    if path in found.bad:
        return None
    file = found.folder / body
    real, names = os.path.realpath(file), [real for real, _ in including.chain]
    shown = os.path.join(os.path.dirname(found.document.file), body)  # noqa: PTH118, PTH120
    if os.path.realpath(plain := os.path.normpath(shown)) == real:
        shown = plain
    if real in names:
        circle = " -> ".join([*(name for _, name in including.chain[names.index(real) :]), Path(body).name])
        found.report(path, f"'{ellipsize(body)}' includes itself: {ellipsize(circle, 300)}")
        return None
    if len(including.chain) > MAX_LEVELS:
        found.report(
            path, f"'{ellipsize(body)}' is at level {len(including.chain)} of sub-pipelines, and at most {MAX_LEVELS}"
        )
        return None
    known = os.path.join(os.path.realpath(file.parent), file.name)  # noqa: PTH118  (a link has the folder that it is in)
    if known not in including.known:
        place = found.document.span(*path)
        inner = Including((*including.chain, (real, Path(body).name)), including.known)
        try:
            including.known[known] = read(shown, inner, (replace(place, included=()), *place.included))
        except SpecError as error:
            including.known[known] = None
            for each in error.diagnostics:
                if each.span.line:
                    found.diagnostics.append(each)
                else:  # the file cannot be read
                    found.report(path, f"'{ellipsize(body, 200)}': {each.message}", each.hint)
            found.mark_wrong(path)
    return including.known[known]


def _check_inputs(found: Findings, path: Keys, spec: NodeSpec, other: Pipeline) -> None:
    for item in spec.inputs:
        if item.name not in other.inputs:
            what, hint = unknown("input", item.name, other.inputs, f"'{ellipsize(spec.body)}'")
            named = isinstance(found.document.root["nodes"][spec.id]["inputs"], dict)
            found.report(input_path(found, spec, item), what, hint, at_key=named)
    given = {item.name for item in spec.inputs}
    for name in other.inputs if (*path, "inputs") not in found.bad else ():
        if name not in given and not other.nodes[name].body:
            what = f"'{ellipsize(spec.body)}' must be given the input '{name}'"
            found.report((*path, spec.kind), what, f"inputs: {{{name}: NODE}}")


def _check_values(found: Findings, path: Keys, spec: NodeSpec, other: Pipeline) -> None:
    for name, value in spec.with_.items():
        where = (*path, "with", name)
        if name not in other.params:
            of = f"'{ellipsize(spec.body)}'"
            found.report(where, *unknown("parameter", name, other.params, of), at_key=True)
        elif is_evaluated(value) and (wrong := value_problem(other.params[name], value, spec.body)):
            found.report(where, *wrong)
    for name, param in other.params.items() if (*path, "with") not in found.bad else ():
        if param.required and name not in spec.with_:
            what = f"'{ellipsize(spec.body)}' must be given the parameter '{name}'"
            found.report((*path, spec.kind), what, f"with: {{{name}: …}}")


def with_included(pipeline: Pipeline, document: Document) -> list[tuple[Pipeline, Document]]:
    """Return the pipeline and all that it includes, directly or through others, each file once, with its document."""
    found = {pipeline.file: (pipeline, document)}
    left = [pipeline]
    for one in left:
        new = [other for other in one.included.values() if other.file not in found]
        found |= {other.file: (other, document.others[other.file]) for other in new}
        left += new
    return [*found.values()]
