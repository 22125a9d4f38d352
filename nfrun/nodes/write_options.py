"""The values of `with` in a `write` node: how a table is written to a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from nfrun.core.output_types import TABLE
from nfrun.core.pipeline import NodeSpec, has_expression
from nfrun.core.text import closest_match, ellipsize
from nfrun.nodes.base import NodeDiagnostic
from nfrun.tables import formats

_OPTIONS = ("format", "mode", "partition", "replace")
_OF_COLUMNS = {"partition": "country", "replace": "day"}  # with an example of a column
_MODES = ("replace", "partitions")
# Modes that other tools have: what is against them, and what to use.
_OTHER_MODES = {
    "append": (
        "a second run would write the rows twice",
        "mode: partitions replaces the partitions that the input has",
    ),
    "upsert": ("files have no keys", "join the old and the new rows in a sql node, and write them with mode: replace"),
}


def check_options(node: NodeSpec) -> Iterator[NodeDiagnostic]:
    """Check the names and values under `with`, also while expressions stand there."""
    if node.inputs and node.inputs[0].type != TABLE:
        for name in node.with_:
            what = "a write node takes no values for what is no table"
            yield NodeDiagnostic(("with", name), what, "remove it", at_key=True)
        return
    is_folder = node.body.endswith("/")
    for name, value in node.with_.items():
        if name not in _OPTIONS:
            guess = closest_match(name, _OPTIONS)
            hint = f"did you mean '{guess}'?" if guess else f"there is {', '.join(_OPTIONS)}"
            yield NodeDiagnostic(("with", name), f"a write node has no option '{ellipsize(name)}'", hint, at_key=True)
        elif not is_folder and not has_expression(node.body):
            if name == "format":
                what, hint = "the ending of a file tells its format", "remove it"
            else:
                what, hint = f"'{name}' is for a folder, and this is the path of a file", f"write: {_as_folder(node)}"
            yield NodeDiagnostic(("with", name), what, hint, at_key=True)
        elif wrong := _wrong_value(name, value):
            yield NodeDiagnostic(("with", name), *wrong)
    if node.with_.get("mode") == "partitions" and "partition" not in node.with_:
        what = "'mode: partitions' replaces some of the partitions, and there is no 'partition'"
        yield NodeDiagnostic(("with", "mode"), what, "name the columns: partition: [country]")
    elif is_folder and not any(name in node.with_ and _wrong_value(name, node.with_[name]) for name in _OF_COLUMNS):
        yield from _check_replaced(node)


def _check_replaced(node: NodeSpec) -> Iterator[NodeDiagnostic]:
    """Check that `replace` has the first of the columns under `partition`. Warn where it should be there."""
    columns, replaced, mode = _columns(node, "partition"), _columns(node, "replace"), node.with_.get("mode", "replace")
    if any(map(has_expression, (*columns, *replaced, *([mode] if isinstance(mode, str) else [])))):
        return
    if "replace" not in node.with_:
        if mode == "partitions" and len(columns) > 1:
            what = f"each combination of {', '.join(map(ellipsize, columns))} is replaced alone: a row that moves"
            hint = f"put the columns that a run replaces first, and name them: replace: [{ellipsize(columns[0])}]"
            yield NodeDiagnostic(("with", "mode"), f"{what} to another one is there twice", hint, is_warning=True)
    elif mode != "partitions":
        what = "'replace' says what 'mode: partitions' replaces, and this node replaces the whole folder"
        yield NodeDiagnostic(("with", "replace"), what, "write mode: partitions, or remove it", at_key=True)
    elif unknown := next((name for name in replaced if name not in columns), None):
        guess = closest_match(unknown, columns)
        what = f"'replace' names the column '{ellipsize(unknown)}', and 'partition' does not"
        yield NodeDiagnostic(("with", "replace"), what, f"did you mean '{guess}'?" if guess else "")
    elif [*columns[: len(replaced)]] != [*replaced]:
        first = [*replaced, *(name for name in columns if name not in replaced)]
        what = "'replace' must have the first columns of 'partition', in their order"
        hint = f"put them first: partition: [{', '.join(map(ellipsize, first))}]"
        yield NodeDiagnostic(("with", "replace"), what, hint)


def _as_folder(node: NodeSpec) -> str:
    return ellipsize(f"{PurePath(node.body).with_suffix('')}/")


def _wrong_value(name: str, value: object) -> tuple[str, str] | None:
    """Return what is wrong with the value of an option, and a hint; None if nothing is."""
    if isinstance(value, str) and has_expression(value):
        return None
    if name in _OF_COLUMNS:
        return _wrong_columns(name, value)
    allowed = _MODES if name == "mode" else formats.FORMATS
    if value in allowed:
        return None
    if name == "mode" and isinstance(value, str) and value in _OTHER_MODES:
        why, hint = _OTHER_MODES[value]
        return f"there is no mode '{value}': {why}", hint
    guess = closest_match(value, allowed) if isinstance(value, str) else None
    return f"'{name}' must be one of {', '.join(allowed)}", f"did you mean '{guess}'?" if guess else ""


def _wrong_columns(name: str, value: object) -> tuple[str, str] | None:
    columns = [value] if isinstance(value, str) else value
    if not isinstance(columns, list) or not columns or not all(isinstance(item, str) and item for item in columns):
        return f"'{name}' must be a list of columns", f"for example {name}: [{_OF_COLUMNS[name]}]"
    twice = next((item for item in columns if columns.count(item) > 1), None)
    if twice is not None:
        return f"'{name}' names the column '{ellipsize(twice)}' twice", "name it once"
    return None


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
) -> tuple[None, NodeDiagnostic | None]:
    """Return that the columns of the output are not known, and what is wrong with the columns under `partition`."""
    item = node.inputs[0]
    names = schemas[item.name].names if item.name in schemas else []
    for column in _columns(node, "partition") if names else ():
        if column not in names and not has_expression(column):
            guess = closest_match(column, names)
            what = f"'{item.output}' is partitioned by the column '{ellipsize(column)}', which it does not have"
            return None, NodeDiagnostic(("with", "partition"), what, f"did you mean '{guess}'?" if guess else "")
    return None, None
