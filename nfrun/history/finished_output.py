"""Defines what a journal has of an output of a finished node."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nfrun.core.output_types import TABLE
from nfrun.core.pipeline import OutputId
from nfrun.core.values import frozen
from nfrun.history.line_fields import LineFields
from nfrun.history.present_address import present_address


@frozen
class FinishedOutput:
    """An output of a finished node.

    `file` is the name of its Arrow file, None where the run did not need the file. It is in the folder of the run
    `home`, "" for the run of this journal. `size` is in bytes, and `checksum` is that of the whole file. `shown`: it is
    among the outputs of the pipeline. `checksum` of an output that is no table is its digest. One in a place that
    machines share has no `file`, but an address `stored`. The other fields are as in `nfrun.core.events.OutputRef`.
    """

    id: OutputId
    rows: int
    bytes: int
    schema: str
    digest: str
    size: int
    checksum: str
    file: str | None = None
    schema_digest: str = ""
    home: str = ""
    shown: bool = False
    type: str = TABLE
    stored: str = ""


_OUTPUT, _TABLE = LineFields(FinishedOutput), LineFields(FinishedOutput, "type", "stored")  # most are such tables


def output_line(output: FinishedOutput) -> dict[str, Any]:
    """Return an output as the line of its node has it."""
    return (_OUTPUT if output.stored or output.type != TABLE else _TABLE).as_json(output)


def output_of_line(node: str, found: Mapping[str, Any], folder: Path) -> FinishedOutput:
    """Return an output in the line of a node; its id there is that of the node, and a dot and its name if it has one.

    `folder` is that of the run.
    """
    values = {**_OUTPUT.of_line(found), "id": OutputId(node, found["id"][len(node) + 1 :])}
    if values.get("stored"):
        values["stored"] = present_address(values["stored"], folder)
    return FinishedOutput(**values)
