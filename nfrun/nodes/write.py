"""The kind `write`: writes a table to a file, atomically. `tables/file_io.py` implements the formats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.errors import HandoffError
from nfrun.core.pipeline import NodeSpec, has_expression
from nfrun.core.text import ellipsize
from nfrun.nodes.base import Kind, NodeContext, NodeDiagnostic, check_gathered, output_name
from nfrun.system.os_errors import reason
from nfrun.tables import formats


def check(node: NodeSpec, lookup: FunctionLookup) -> Iterator[NodeDiagnostic]:
    """Check that a write node has one input and no `with` values, and writes to a path of a known format."""
    if len(node.inputs) != 1:
        what = f"a write node has exactly one input; this one has {len(node.inputs)}"
        hint = "write each with a node of its own" if node.inputs else "name it with 'inputs'"
        yield NodeDiagnostic(("inputs",) if node.inputs else ("write",), what, hint, at_key=True, counts=True)
    yield from check_gathered(node)
    if len(node.outputs) > 1:
        hint = "leave 'outputs' out: it is a row with path, rows and bytes"
        yield NodeDiagnostic(("outputs",), "a write node has one output", hint, at_key=True)
    for name in node.with_:
        yield NodeDiagnostic(("with", name), "a write node takes no values", "remove it", at_key=True)
    if has_expression(node.body):
        return
    if any(c < " " or c == "\x7f" for c in node.body):
        what = f"'{ellipsize(node.body)}' has a control character"
        yield NodeDiagnostic(("write",), what, "no file should have such a name")
    elif "://" in node.body:
        hint = "write to a path, and let a 'run' node copy it"
        yield NodeDiagnostic(("write",), "a write node cannot write to a URI", hint)
    elif formats.format_of(node.body) is None:
        known = f"known are {' '.join(formats.ENDINGS)}"
        yield NodeDiagnostic(("write",), "the ending of this file does not tell its format", known)


def run(context: NodeContext) -> Mapping[str, Any]:
    """Write the input to a temporary file and rename it. The output is one row: path, rows, bytes.

    Raises FormatError, and HandoffError if the file cannot be written.
    """
    import pyarrow as pa

    from nfrun.tables.file_io import write_table

    table = context.table(context.node.inputs[0].name)
    try:
        size = write_table(table, context.folder / context.node.body, fsync=context.fsync)
    except OSError as error:
        what = f"cannot write {context.node.body} ({table.nbytes:,} bytes)"
        raise HandoffError(f"{what}: {reason(error)}", error) from error
    # The path as the file has it, so that the content of this output is the same in every folder.
    row = {"path": [context.node.body], "rows": [table.num_rows], "bytes": [size]}
    return {output_name(context.node): pa.table(row)}


WRITE = Kind(
    name="write",
    schema={
        "title": "Write a file",
        "description": "The file that its one input is written to, all of it or nothing. May hold ${{ expressions }}.",
        "type": "string",
        "pattern": r"\S",
        "examples": ["out/late.parquet"],
    },
    check=check,
    run=run,
    setting_hints={"format": "the file's extension sets it"},
    synonyms=("sink", "save", "target"),
    is_template=True,
    external_outputs=lambda node, folder: {node.body: folder / node.body},
    uses_environment=False,
    has_side_effects=True,
)
