"""The kind `pipeline`: the nodes of another file take its place. The kind `input`: a table that is given to that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nfrun.nodes.base import Kind, NodeContext, check_gathered, output_name


def _run(context: NodeContext) -> Mapping[str, Any]:
    raise AssertionError("a pipeline node is expanded when planning")


def _hand_on(context: NodeContext) -> Mapping[str, Any]:
    """Return the table or the path that the including file gives, by reference."""
    return {output_name(context.node): context.table(context.node.inputs[0].name)}


PIPELINE = Kind(
    name="pipeline",
    schema={
        "title": "Another pipeline",
        "description": "A pipeline file, relative to this one. Its nodes take the place of this node. 'inputs' give "
        "its inputs, 'with' its params; what its 'outputs' name can be read.",
        "type": "string",
        "pattern": r"\.ya?ml$",
        "patternErrorMessage": "write the path of a pipeline file, such as clean.yaml",
        "examples": ["clean.yaml"],
    },
    check=lambda node, lookup: check_gathered(node),
    run=_run,
    no_map="it stands at the nodes of the other file",
    expression_hint="which files are read is the same in every run",
    synonyms=("subpipeline", "sub_pipeline", "subworkflow", "workflow", "include", "dag_file"),
    is_expanded=True,
    uses_environment=False,
)

INPUT = Kind(
    name="input",
    schema={},
    run=_hand_on,
    is_written=False,
    hands_on=True,
    columns=lambda node, inputs, files: (next(iter(inputs.values()), None), None),
    uses_environment=False,
)
