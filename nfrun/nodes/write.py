"""The kind `write`: writes a table to a file, or copies a file or a folder, atomically.

`tables/file_io.py` implements the formats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.errors import HandoffError
from nfrun.core.output_types import FOLDER, TABLE, ending_of, form_of
from nfrun.core.pipeline import NodeSpec, has_expression
from nfrun.core.text import ellipsize
from nfrun.nodes.base import Kind, NodeContext, NodeDiagnostic, check_gathered, check_makes_tables, output_name
from nfrun.system.os_errors import reason
from nfrun.tables import formats


def check(node: NodeSpec, lookup: FunctionLookup) -> Iterator[NodeDiagnostic]:
    """Check that a write node has one input and no `with` values, and writes to a path of a known format."""
    if len(node.inputs) != 1:
        what = f"a write node has exactly one input; this one has {len(node.inputs)}"
        hint = "write each with a node of its own" if node.inputs else "name it with 'inputs'"
        yield NodeDiagnostic(("inputs",) if node.inputs else ("write",), what, hint, at_key=True, counts=True)
    yield from check_gathered(node)
    yield from check_makes_tables(node)
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
    elif node.inputs and node.inputs[0].type != TABLE:
        yield from _check_file(node, node.inputs[0].type)
    elif formats.format_of(node.body) is None:
        known = f"known are {' '.join(formats.ENDINGS)}"
        yield NodeDiagnostic(("write",), "the ending of this file does not tell its format", known)


def _check_file(node: NodeSpec, type: str) -> Iterator[NodeDiagnostic]:
    """Check the path that a file or a folder is written to: that of a folder ends in `/`."""
    name, path = node.inputs[0].name, node.body.rstrip("/")
    if form_of(type) == FOLDER and path == node.body:
        what = f"'{name}' is a folder, and this is the path of a file"
        yield NodeDiagnostic(("write",), what, f"a folder takes the place of another: write: {ellipsize(path)}/")
    elif form_of(type) != FOLDER and path != node.body:
        what = f"'{name}' is a file, and this is the path of a folder"
        yield NodeDiagnostic(("write",), what, f"name the file: write: {ellipsize(node.body)}{name}{ending_of(type)}")
    elif form_of(type) == FOLDER and Path(path).name in ("", ".", ".."):
        yield NodeDiagnostic(("write",), "a folder is written in the place of another", "name one: write: out/site/")


def run(context: NodeContext) -> Mapping[str, Any]:
    """Write the input to a temporary file and rename it. The output is one row: path, rows, bytes.

    A file or a folder is copied; it has no rows. Raises FormatError, and HandoffError if it cannot be written.
    """
    item = context.node.inputs[0]
    if item.type != TABLE:
        return _row(context, None, _copied(context, context.file(item.name), item.type))
    from nfrun.tables.file_io import write_table

    table = context.table(context.node.inputs[0].name)
    try:
        size = write_table(table, context.folder / context.node.body, fsync=context.fsync)
    except OSError as error:
        what = f"cannot write {context.node.body} ({table.nbytes:,} bytes)"
        raise HandoffError(f"{what}: {reason(error)}", error) from error
    return _row(context, table.num_rows, size)


def _row(context: NodeContext, rows: int | None, size: int) -> Mapping[str, Any]:
    """Return the output, with the path as the file has it, so that its content is the same in every folder."""
    import pyarrow as pa

    row = {"path": [context.node.body], "rows": pa.array([rows], pa.int64()), "bytes": [size]}
    return {output_name(context.node): pa.table(row)}


def _copied(context: NodeContext, source: Path, type: str) -> int:
    """Copy a file or a folder to the path of the node. Returns its size in bytes."""
    from nfrun.system.atomic_folders import copy_file, copy_folder

    target = context.folder / context.node.body.rstrip("/")
    try:
        copy = copy_folder if form_of(type) == FOLDER else copy_file
        copy(source, target, fsync=context.fsync)
        return sum(path.stat().st_size for path in (source, *source.rglob("*")) if path.is_file())
    except OSError as error:
        raise HandoffError(f"cannot write {context.node.body}: {reason(error)}", error) from error


def _written_files(node: NodeSpec, folder: Path) -> Mapping[str, Path]:
    """Return the file that a node writes, or its folder and the files that are in it now."""
    path = node.body.rstrip("/")
    if not node.inputs or form_of(node.inputs[0].type) != FOLDER:
        return {node.body: folder / node.body}
    found = {path: folder / path}
    for inner in sorted((folder / path).rglob("*")):
        if inner.is_file():
            found[f"{path}/{inner.relative_to(folder / path)}"] = inner
    return found


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
    external_outputs=_written_files,
    uses_environment=False,
    has_side_effects=True,
)
