"""The kind `write`: writes a table to a file or a folder, or copies a file or a folder, atomically.

`tables/file_io.py` implements the formats, and `tables/table_folders.py` writes folders of tables. `write_options.py`
checks the values of `with`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.errors import HandoffError
from nfrun.core.output_types import FOLDER, TABLE, ending_of, form_of
from nfrun.core.pipeline import NodeSpec, has_expression
from nfrun.core.text import ellipsize
from nfrun.nodes.base import Kind, NodeContext, NodeDiagnostic, check_gathered, check_makes_tables, output_name
from nfrun.nodes.folders import from_base
from nfrun.nodes.write_options import check_options, check_partition, options_of
from nfrun.system.os_errors import reason
from nfrun.tables import formats


def check(node: NodeSpec, lookup: FunctionLookup) -> Iterator[NodeDiagnostic]:
    """Check that a write node has one input, and writes to a path of a known format or to a folder."""
    if len(node.inputs) != 1:
        what = f"a write node has exactly one input; this one has {len(node.inputs)}"
        hint = "write each with a node of its own" if node.inputs else "name it with 'inputs'"
        yield NodeDiagnostic(("inputs",) if node.inputs else ("write",), what, hint, at_key=True, counts=True)
    yield from check_gathered(node)
    yield from check_makes_tables(node)
    if len(node.outputs) > 1:
        hint = "leave 'outputs' out: it is a row with path, rows and bytes"
        yield NodeDiagnostic(("outputs",), "a write node has one output", hint, at_key=True)
    yield from check_options(node)
    if has_expression(node.body):
        return
    if any(c < " " or c == "\x7f" for c in node.body):
        what = f"'{ellipsize(node.body)}' has a control character"
        yield NodeDiagnostic(("write",), what, "no file should have such a name")
    elif "://" in node.body:
        hint = "write to a path, and let a 'run' node copy it"
        yield NodeDiagnostic(("write",), "a write node cannot write to a URI", hint)
    elif node.body.endswith("/") and _holds_pipeline(node.body, lookup.folder):
        what = "what is written takes the place of a folder, and the pipeline file is in this one"
        yield NodeDiagnostic(("write",), what, "name another one: write: out/site/")
    elif node.inputs and node.inputs[0].type != TABLE:
        yield from _check_file(node, node.inputs[0].type)
    elif not node.body.endswith("/") and formats.format_of(node.body) is None:
        known = f"known are {' '.join(formats.ENDINGS)}"
        yield NodeDiagnostic(("write",), "the ending of this file does not tell its format", known)


def _holds_pipeline(body: str, folder: Path) -> bool:
    target, base = Path(os.path.realpath(folder / body)), Path(os.path.realpath(folder))
    return target == base or target in base.parents


def _check_file(node: NodeSpec, type: str) -> Iterator[NodeDiagnostic]:
    """Check the path that a file or a folder is written to: that of a folder ends in `/`."""
    name, path = node.inputs[0].name, node.body.rstrip("/")
    if form_of(type) == FOLDER and path == node.body:
        what = f"'{name}' is a folder, and this is the path of a file"
        yield NodeDiagnostic(("write",), what, f"a folder takes the place of another: write: {ellipsize(path)}/")
    elif form_of(type) != FOLDER and path != node.body:
        what = f"'{name}' is a file, and this is the path of a folder"
        yield NodeDiagnostic(("write",), what, f"name the file: write: {ellipsize(node.body)}{name}{ending_of(type)}")


def run(context: NodeContext) -> Mapping[str, Any]:
    """Write the input to a temporary file or folder and rename it. The output has path, rows and bytes of each file.

    A file or a folder is copied: one row, and its number of rows is null. Raises FormatError, and HandoffError if it
    cannot be written.
    """
    item = context.node.inputs[0]
    if item.type != TABLE:
        return _rows(context, [(context.node.body, None, _copied(context, context.file(item.name), item.type))])
    from nfrun.tables.file_io import write_table

    table = context.table(item.name)
    try:
        if context.node.body.endswith("/"):
            return _rows(context, _written(context, table))
        size = write_table(table, context.folder / context.node.body, fsync=context.fsync)
    except OSError as error:
        what = f"cannot write {context.node.body} ({table.nbytes:,} bytes)"
        raise HandoffError(f"{what}: {reason(error)}", error) from error
    return _rows(context, [(context.node.body, table.num_rows, size)])


def _rows(context: NodeContext, files: Iterable[tuple[str, int | None, int]]) -> Mapping[str, Any]:
    """Return the output, with the paths as the file has them, so that its content is the same in every folder."""
    import pyarrow as pa

    schema = pa.schema({"path": pa.string(), "rows": pa.int64(), "bytes": pa.int64()})
    columns = [list(column) for column in zip(*files, strict=True)] or [[], [], []]
    return {output_name(context.node): pa.table(columns, schema=schema)}


def _written(context: NodeContext, table: Any) -> list[tuple[str, int | None, int]]:
    """Write a table to the folder of the node, and record its files. Returns path, rows and bytes of each."""
    from nfrun.system.checksums import FileChecksums
    from nfrun.tables.table_folders import replaced_folder, write_folder

    options = options_of(context.node)
    body, checksum, renamed = context.node.body, FileChecksums().of, from_base(context.node)
    files = write_folder(table, context.folder / body, fsync=context.fsync, **options)
    context.wrote.update((renamed(body + file.path), checksum(context.folder / body / file.path)) for file in files)
    replaced = options["replace"]
    folders = {body + replaced_folder(file.path, replaced) for file in files} if replaced else {body}
    _record_layouts(context, folders)
    return [(body + file.path, file.rows, file.bytes) for file in files]


def _record_layouts(context: NodeContext, folders: Iterable[str]) -> None:
    """Record what is in each folder that has been replaced: the node runs again if anything else comes to be there."""
    from nfrun.system.checksums import LAYOUT, layout_checksum

    renamed = from_base(context.node)
    for path in sorted(folders):
        context.wrote[renamed(path).rstrip("/") + LAYOUT] = layout_checksum(context.folder / path)


def _copied(context: NodeContext, source: Path, type: str) -> int:
    """Copy a file or a folder to the path of the node. Returns its size in bytes."""
    from nfrun.system.atomic_folders import copy_file, copy_folder

    target = context.folder / context.node.body.rstrip("/")
    try:
        copy = copy_folder if form_of(type) == FOLDER else copy_file
        copy(source, target, fsync=context.fsync)
        if form_of(type) == FOLDER:
            _record_layouts(context, [context.node.body])
        return sum(path.stat().st_size for path in (source, *source.rglob("*")) if path.is_file())
    except OSError as error:
        raise HandoffError(f"cannot write {context.node.body}: {reason(error)}", error) from error


def _written_files(node: NodeSpec, folder: Path) -> Mapping[str, Path]:
    """Return the file that a node writes, or its folder, with the files that are in it now if it is copied."""
    path = node.body.rstrip("/") or node.body
    if node.body.endswith("/") and _holds_pipeline(node.body, folder):
        return {}  # an error, see `check`
    if not node.inputs or form_of(node.inputs[0].type) != FOLDER:
        return {path: folder / path}
    found = {path: folder / path}
    for inner in sorted((folder / path).rglob("*")):
        if inner.is_file():
            found[f"{path}/{inner.relative_to(folder / path)}"] = inner
    return found


WRITE = Kind(
    name="write",
    schema={
        "title": "Write a file or a folder",
        "description": "The file or folder/ that its one input is written to, all of it or nothing. May hold "
        "${{ expressions }}.",
        "type": "string",
        "pattern": r"\S",
        "examples": ["out/late.parquet", "out/late/"],
    },
    check=check,
    run=run,
    no_map="it writes its table as a whole",
    columns=check_partition,
    uses_columns=lambda node: "partition" in node.with_,
    setting_hints={"format": "the file's extension sets it"},
    synonyms=("sink", "save", "target"),
    is_template=True,
    external_outputs=_written_files,
    uses_environment=False,
    has_side_effects=lambda node: True,
    stays_here=lambda node: True,
)
