"""The kind `write`: a table becomes a file, all of it or nothing. Knows no formats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.errors import HandoffError
from nfrun.core.pipeline import NodeSpec, has_expression
from nfrun.nodes.base import NodeContext, NodeDiagnostic
from nfrun.system.os_errors import reason
from nfrun.tables import formats


def check(node: NodeSpec, library: FunctionLookup) -> Iterator[NodeDiagnostic]:
    """A write node takes one input and no options, and writes to a path."""
    if len(node.inputs) != 1:
        what = f"a write node has exactly one input; this one has {len(node.inputs)}"
        hint = "write each with a node of its own" if node.inputs else "name it with 'inputs'"
        yield NodeDiagnostic(("inputs",) if node.inputs else ("write",), what, hint, at_key=True, counts=True)
    if len(node.outputs) > 1:
        hint = "leave 'outputs' out: it is a row with path, rows and bytes"
        yield NodeDiagnostic(("outputs",), "a write node has one output", hint, at_key=True)
    for name in node.with_:
        yield NodeDiagnostic(("with", name), "a write node takes no values", "remove it", at_key=True)
    if has_expression(node.body):
        return
    if "://" in node.body:
        hint = "write to a path, and let a 'run' node copy it"
        yield NodeDiagnostic(("write",), "a write node cannot write to a URI", hint)
    elif formats.format_of(node.body) is None:
        known = f"known are {' '.join(formats.ENDINGS)}"
        yield NodeDiagnostic(("write",), "the ending of this file does not tell its format", known)


def run(job: NodeContext) -> Mapping[str, Any]:
    """Write the input beside its final name and rename it. The output is one row: path, rows, bytes.

    Raises `nfrun.tables.formats.FormatError`, and HandoffError where the system refuses.
    """
    import pyarrow as pa

    from nfrun.tables.file_io import write_table

    table = job.table(job.node.inputs[0].name)
    try:
        size = write_table(table, job.folder / job.node.body, fsync=job.fsync)
    except OSError as error:
        raise HandoffError(f"cannot write {job.node.body} ({table.nbytes:,} bytes): {reason(error)}") from error
    name = job.node.outputs[0] if job.node.outputs else ""
    # The path as the file has it, so that the content of this output is the same in every folder.
    return {name: pa.table({"path": [job.node.body], "rows": [table.num_rows], "bytes": [size]})}
