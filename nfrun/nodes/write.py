"""The kind `write`: writes a table to a file or a folder, or copies a file or a folder, atomically.

`tables/file_io.py` implements the formats, and `tables/table_folders.py` writes folders of tables.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.errors import HandoffError, Problem
from nfrun.core.pipeline import FOLDER, TABLE, NodeSpec, ending_of, form_of, has_expression
from nfrun.core.text import did_you_mean, ellipsize
from nfrun.core.values import replace
from nfrun.nodes.base import NodeContext, check_gathered, check_makes_tables, output_name
from nfrun.nodes.folders import from_base
from nfrun.nodes.kind import Code, Kind, Outside, Runs, Says
from nfrun.nodes.schemas import check_value
from nfrun.system.os_errors import reason
from nfrun.tables import formats

_COLUMNS: Mapping[str, Any] = {
    "type": ["string", "array"],
    "description": "a column, or a list of columns, such as [country]",
    "minLength": 1,
    "minItems": 1,
    "uniqueItems": True,
    "items": {"type": "string", "minLength": 1},
}
_OPTIONS = {
    "type": "object",
    "properties": {
        "format": {"enum": [*formats.FORMATS]},
        "mode": {"enum": ["replace", "partitions"]},
        "partition": _COLUMNS,
        "replace": _COLUMNS,
    },
    "additionalProperties": False,
}


def check(node: NodeSpec, lookup: FunctionLookup) -> Iterator[Problem]:
    """Check that a write node has one input, and writes to a path of a known format or to a folder."""
    if len(node.inputs) != 1:
        what = f"a write node has exactly one input; this one has {len(node.inputs)}"
        hint = "write each with a node of its own" if node.inputs else "name it with 'inputs'"
        yield Problem(("inputs",) if node.inputs else ("write",), what, hint, at_key=True, counts=True)
    yield from check_gathered(node)
    yield from check_makes_tables(node)
    if len(node.outputs) > 1:
        hint = "leave 'outputs' out: it is a row with path, rows and bytes"
        yield Problem(("outputs",), "a write node has one output", hint, at_key=True)
    yield from check_options(node)
    if has_expression(node.body):
        return
    if any(c < " " or c == "\x7f" for c in node.body):
        what = f"'{ellipsize(node.body)}' has a control character"
        yield Problem(("write",), what, "no file should have such a name")
    elif "://" in node.body:
        hint = "write to a path, and let a 'run' node copy it"
        yield Problem(("write",), "a write node cannot write to a URI", hint)
    elif node.body.endswith("/") and _holds_pipeline(node.body, lookup.folder):
        what = "what is written takes the place of a folder, and the pipeline file is in this one"
        yield Problem(("write",), what, "name another one: write: out/site/")
    elif node.inputs and node.inputs[0].type != TABLE:
        yield from _check_file(node, node.inputs[0].type)
    elif not node.body.endswith("/") and formats.format_of(node.body) is None:
        known = f"known are {' '.join(formats.ENDINGS)}"
        yield Problem(("write",), "the ending of this file does not tell its format", known)


def _holds_pipeline(body: str, folder: Path) -> bool:
    target, base = Path(os.path.realpath(folder / body)), Path(os.path.realpath(folder))
    return target == base or target in base.parents


def _check_file(node: NodeSpec, type: str) -> Iterator[Problem]:
    """Check the path that a file or a folder is written to: that of a folder ends in `/`."""
    name, path = node.inputs[0].name, node.body.rstrip("/")
    if form_of(type) == FOLDER and path == node.body:
        what = f"'{name}' is a folder, and this is the path of a file"
        yield Problem(("write",), what, f"a folder takes the place of another: write: {ellipsize(path)}/")
    elif form_of(type) != FOLDER and path != node.body:
        what = f"'{name}' is a file, and this is the path of a folder"
        yield Problem(("write",), what, f"name the file: write: {ellipsize(node.body)}{name}{ending_of(type)}")


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
    """Record the files in each folder that has been replaced: the node runs again if they change."""
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


def check_options(node: NodeSpec) -> Iterator[Problem]:
    """Check the names and values under `with`, also while expressions stand there."""
    is_table = not node.inputs or node.inputs[0].type == TABLE
    is_folder = node.body.endswith("/")
    if not is_table or not (is_folder or has_expression(node.body)):
        for name in node.with_:
            what, hint = "a write node takes no values for what is no table", "remove it"
            if is_table:
                what = f"'{name}' is for a folder, and this is the path of a file"
                hint = f"write: {ellipsize(str(PurePath(node.body).with_suffix('')))}/"
            yield Problem(("with", name), what, hint, at_key=True)
        return
    wrong = [*check_value(_OPTIONS, node.with_, "a write node", evaluated=False)] if node.with_ else []
    yield from (replace(found, path=("with", *found.path)) for found in wrong)
    if node.with_.get("mode") == "partitions" and "partition" not in node.with_:
        what = "'mode: partitions' replaces some of the partitions, and there is no 'partition'"
        yield Problem(("with", "mode"), what, "name the columns: partition: [country]")
    elif is_folder and not wrong:
        yield from _check_replaced(node)


def _check_replaced(node: NodeSpec) -> Iterator[Problem]:
    """Check that `replace` has the first of the columns under `partition`. Warn where it should be there."""
    columns, replaced, mode = _columns(node, "partition"), _columns(node, "replace"), node.with_.get("mode", "replace")
    if any(map(has_expression, (*columns, *replaced, *([mode] if isinstance(mode, str) else [])))):
        return
    if "replace" not in node.with_:
        if mode == "partitions" and len(columns) > 1:
            what = f"each combination of {', '.join(map(ellipsize, columns))} is replaced alone: a row that moves"
            hint = f"put the columns that a run replaces first, and name them: replace: [{ellipsize(columns[0])}]"
            yield Problem(("with", "mode"), f"{what} to another one is there twice", hint, is_warning=True)
    elif mode != "partitions":
        what = "'replace' says what 'mode: partitions' replaces, and this node replaces the whole folder"
        yield Problem(("with", "replace"), what, "write mode: partitions, or remove it", at_key=True)
    elif [*columns[: len(replaced)]] != [*replaced]:
        what = "'replace' must have the first columns of 'partition', in their order"
        yield Problem(("with", "replace"), what, f"these are {', '.join(map(ellipsize, columns))}")


def options_of(node: NodeSpec) -> dict[str, Any]:
    """Return the arguments of `write_folder` for the values of a node."""
    partition = _columns(node, "partition")
    return {
        "format": node.with_.get("format", "parquet"),
        "partition": partition,
        "replace": (_columns(node, "replace") or partition) if node.with_.get("mode") == "partitions" else (),
    }


def _columns(node: NodeSpec, option: str) -> Sequence[str]:
    value = node.with_.get(option, [])
    return [value] if isinstance(value, str) else value


def check_partition(
    node: NodeSpec, schemas: Mapping[str, Any], files: Mapping[str, Path]
) -> tuple[None, Problem | None]:
    """Return that the columns of the output are not known, and what is wrong with the columns under `partition`."""
    item = node.inputs[0]
    names = schemas[item.name].names if item.name in schemas else []
    for column in _columns(node, "partition") if names else ():
        if column not in names and not has_expression(column):
            what = f"'{item.output}' is partitioned by the column '{ellipsize(column)}', which it does not have"
            return None, Problem(("with", "partition"), what, did_you_mean(column, names))
    return None, None


WRITE = Kind(
    name="write",
    says=Says(
        check=check,
        columns=check_partition,
        uses_columns=lambda node: "partition" in node.with_,
        synonyms=("sink", "save", "target"),
        is_template=True,
    ),
    runs=Runs(run, has_side_effects=True),
    outside=Outside(outputs=_written_files, stays_here=lambda node: True),
    code=Code(uses_environment=False),
)
