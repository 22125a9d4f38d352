"""Says of each input whether it is a table, a file or a folder, and rejects what cannot be put together or given."""

from __future__ import annotations

from collections.abc import Mapping

from nfrun.core.output_types import TABLE, form_of
from nfrun.core.pipeline import Input, NodeSpec, OutputId, Pipeline
from nfrun.core.text import ellipsize
from nfrun.core.values import replace
from nfrun.pipeline_file.findings import Findings
from nfrun.pipeline_file.references import input_refs
from nfrun.pipeline_file.subpipelines import includes
from nfrun.pipeline_file.yaml.document import Keys


def type_inputs(
    found: Findings,
    nodes: dict[str, NodeSpec],
    included: Mapping[str, Pipeline],
    made_by: Mapping[str, NodeSpec] | None = None,
) -> None:
    """Give the inputs of nodes their types: those of the outputs that they read, of the nodes `made_by` if given.

    `included` are the pipelines that nodes name, by their bodies.
    """
    makers = nodes if made_by is None else made_by
    if not any(spec.types for spec in makers.values()) and not any(
        other.nodes[name].types for other in included.values() for name in other.inputs
    ):
        return

    def type_of(output: OutputId) -> str:
        return makers[output.node].type_of(output.name) if output.node in makers else TABLE

    for name, spec in nodes.items():
        inputs = tuple(
            [item if (kind := type_of(item.output)) == item.type else replace(item, type=kind) for item in spec.inputs]
        )
        if inputs != spec.inputs:
            nodes[name] = replace(spec, inputs=inputs)
        for item in inputs:
            _check_gathered(found, spec, item)
            if item.alternative and form_of(type_of(item.alternative)) != form_of(item.type):
                what = f"'{item.alternative}' is a {form_of(type_of(item.alternative))}"
                what += f", and '{item.output}' is a {form_of(item.type)}"
                found.report(_path(found, spec, item, "else"), what, "both must be tables, files or folders")
        if includes(spec) and spec.body in included:
            _check_given(found, nodes[name], included[spec.body])


def _check_gathered(found: Findings, spec: NodeSpec, item: Input) -> None:
    if item.gather and item.gather.form == "concat" and item.type != TABLE:
        what = f"'{item.output}' is a {form_of(item.type)}, and only tables are put together"
        found.report(_path(found, spec, item, "gather"), what, "gather: dict")


def _check_given(found: Findings, spec: NodeSpec, other: Pipeline) -> None:
    """Check that a node gives another pipeline tables, files and folders as that expects them."""
    for item in spec.inputs:
        own = other.nodes.get(item.name) if item.name in other.inputs else None
        expected = form_of(own.type_of(own.outputs[0])) if own and own.outputs else TABLE
        if own is not None and form_of(item.type) != expected:
            what = f"'{ellipsize(spec.body)}' reads its input '{item.name}' as a {expected}"
            what += f", and '{item.output}' is a {form_of(item.type)}"
            hint = f"in {ellipsize(spec.body)}: inputs: {{{item.name}: {{outputs: {{{item.name}: {item.type}}}}}}}"
            found.report(_path(found, spec, item), what, hint)


def _path(found: Findings, spec: NodeSpec, item: Input, *inner: str) -> Keys:
    """Return the path of an input in the file, or with the long form of a value inside of it."""
    value = found.document.root[spec.section][spec.id]["inputs"]
    if isinstance(value, dict):
        return (spec.section, spec.id, "inputs", item.name, *(inner if isinstance(value[item.name], dict) else ()))
    step = next(step for step, name, _ in input_refs(value) if name == item.name)
    return (spec.section, spec.id, "inputs", *step)
