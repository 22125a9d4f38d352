"""Takes disabled nodes out of a pipeline.

These are the nodes whose `if` is false, and those that lack their outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nfrun.core.pipeline import Input, NodeSpec, OutputId, Pipeline
from nfrun.core.plan import make_stages
from nfrun.core.values import replace

_IF_IS_FALSE = "its 'if' is false"


def without_disabled(pipeline: Pipeline) -> Pipeline:
    """Return the pipeline without the nodes that are disabled: `disabled` has their reasons.

    A node whose `if` is false is disabled, and so is one with an input that is absent, unless it says what to do then.
    What planning knows not to be needed is left out of the inputs of the others, too.
    """
    if pipeline.last_nodes:
        specs = {name: spec for name, spec in pipeline.last_nodes.items() if not spec.if_}
        disabled = dict.fromkeys(specs, _IF_IS_FALSE)
        sections = of_sections(pipeline, lambda spec: spec if spec.if_ else None)
        pipeline = replace(pipeline, **sections, disabled=disabled, disabled_nodes=specs)
    nodes = pipeline.nodes
    if all(spec.if_ is True and all(item.is_plain for item in spec.opened) for spec in nodes.values()):
        return pipeline
    found = _Nodes({}, {}, set())
    for stage in make_stages({name: spec.upstream for name, spec in nodes.items()}):
        for name in stage:
            found.add(nodes[name])
    kept = {name: found.nodes[name] for name in nodes if name in found.nodes}
    outputs: Mapping[str, OutputId] = {n: id for n, id in pipeline.outputs.items() if id.node in kept}
    absent = {name: id for name, id in pipeline.outputs.items() if name not in outputs}
    if not pipeline.names_outputs:
        outputs, absent = unread_outputs(kept), {}
    disabled = {name: found.disabled[name] for name in nodes if name in found.disabled}
    specs = {name: nodes[name] for name in disabled}

    def without(spec: NodeSpec) -> NodeSpec:
        return replace(spec, inputs=tuple(item for item in spec.inputs if item.output.node not in disabled))

    return replace(
        pipeline,
        **of_sections(pipeline, without),
        nodes=kept,
        outputs=outputs,
        absent_outputs=absent,
        disabled={**disabled, **pipeline.disabled},
        disabled_nodes={**specs, **pipeline.disabled_nodes},
    )


def of_sections(pipeline: Pipeline, change: Callable[[NodeSpec], NodeSpec | None]) -> dict[str, Any]:
    """Return the nodes that run when all others have ended, changed, as fields of the pipeline."""
    sections = {"on_failure": pipeline.on_failure, "finally_": pipeline.finally_}
    return {
        section: {name: changed for name, spec in nodes.items() if (changed := change(spec)) is not None}
        for section, nodes in sections.items()
    }


def unread_outputs(nodes: Mapping[str, NodeSpec]) -> dict[str, OutputId]:
    """Return the outputs that no node reads, which a file without `outputs` shows, by their ids."""
    read = {output for spec in nodes.values() for item in spec.inputs for output in item.outputs}
    return {id: id for spec in nodes.values() for id in spec.output_ids if id not in read}


class _Nodes:
    """The nodes that stay, the reasons of those that are disabled, and the names of those that may turn out absent.

    Nodes are added in an order in which each comes after all that it depends on.
    """

    def __init__(self, nodes: dict[str, NodeSpec], disabled: dict[str, str], unsure: set[str]) -> None:
        self.nodes, self.disabled, self.unsure = nodes, disabled, unsure

    def add(self, spec: NodeSpec) -> None:
        """Add a node as it is without what is disabled, or as disabled."""
        if spec.if_ is False:
            self.disabled[spec.id] = f"the 'if' of '{spec.disabled_by}' is false" if spec.disabled_by else _IF_IS_FALSE
            return
        inputs = []
        for item in spec.inputs:
            if (present := self._present(item)) is not None:
                inputs.append(present)
            elif not item.optional:
                what = "all that it gathers" if item.gather else f"'{item.output}'"
                either = f" or '{item.alternative}'" if item.alternative else ""
                self.disabled[spec.id] = f"it reads {what}{either}, which {'are' if either else 'is'} disabled"
                return
        needs = tuple(need for need in spec.needs if need not in self.disabled)
        references = tuple([item for item in spec.references if self._present(item) is not None])
        if (tuple(inputs), references, needs) != (spec.inputs, spec.references, spec.needs):
            spec = replace(spec, inputs=tuple(inputs), references=references, needs=needs)
        self.nodes[spec.id] = spec
        skips = any(check.severity == "skip" for contract in spec.contracts.values() for check in contract.checks)
        if skips or spec.continue_on_error or any(self._may_be_absent(item) for item in inputs if not item.optional):
            self.unsure.add(spec.id)

    def _present(self, item: Input) -> Input | None:
        """Return the input as far as it is not disabled, None if all of it is."""
        alternative = item.alternative if item.alternative and item.alternative.node not in self.disabled else None
        if item.gather is not None:
            cells = {output: at for output, at in item.gather.cells.items() if output.node not in self.disabled}
            first = replace(item, gather=replace(item.gather, cells=cells), alternative=None) if cells else None
        else:
            first = None if item.output.node in self.disabled else replace(item, alternative=None)
        if first is None:
            if alternative is None:
                return None
            return replace(item, output=alternative, alternative=None, gather=None)
        if alternative is not None and self._may_be_absent(first):
            return replace(first, alternative=alternative)
        return first

    def _may_be_absent(self, item: Input) -> bool:
        return all(output.node in self.unsure for output in item.outputs)
