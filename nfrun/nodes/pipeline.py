"""The kind `pipeline`: the nodes of another file take its place. The kind `input`: a table that is given to that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nfrun.nodes.base import NodeContext, check_gathered, output_name
from nfrun.nodes.kind import Code, Kind, Outside, Runs, Says


def _hand_on(context: NodeContext) -> Mapping[str, Any]:
    """Return the table or the path that the including file gives, by reference."""
    return {output_name(context.node): context.table(context.node.inputs[0].name)}


PIPELINE = Kind(
    name="pipeline",
    says=Says(
        check=lambda node, lookup: check_gathered(node),
        synonyms=("subpipeline", "sub_pipeline", "subworkflow", "workflow", "include", "dag_file"),
        expression_hint="which files are read is the same in every run",
    ),
)

INPUT = Kind(
    name="input",
    says=Says(in_files=False, columns=lambda node, inputs, files: (next(iter(inputs.values()), None), None)),
    runs=Runs(_hand_on),
    outside=Outside(hands_on=True),
    code=Code(uses_environment=False),
)
