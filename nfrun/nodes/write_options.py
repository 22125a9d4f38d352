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

_OPTIONS = ("format", "mode", "partition")
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


def _as_folder(node: NodeSpec) -> str:
    return ellipsize(f"{PurePath(node.body).with_suffix('')}/")


def _wrong_value(name: str, value: object) -> tuple[str, str] | None:
    """Return what is wrong with the value of an option, and a hint; None if nothing is."""
    if isinstance(value, str) and has_expression(value):
        return None
    if name == "partition":
        return _wrong_columns(value)
    allowed = _MODES if name == "mode" else formats.FORMATS
    if value in allowed:
        return None
    if name == "mode" and isinstance(value, str) and value in _OTHER_MODES:
        why, hint = _OTHER_MODES[value]
        return f"there is no mode '{value}': {why}", hint
    guess = closest_match(value, allowed) if isinstance(value, str) else None
    return f"'{name}' must be one of {', '.join(allowed)}", f"did you mean '{guess}'?" if guess else ""


def _wrong_columns(value: object) -> tuple[str, str] | None:
    columns = [value] if isinstance(value, str) else value
    if not isinstance(columns, list) or not columns or not all(isinstance(item, str) and item for item in columns):
        return "'partition' must be a list of columns", "for example partition: [country]"
    twice = next((item for item in columns if columns.count(item) > 1), None)
    if twice is not None:
        return f"'partition' names the column '{ellipsize(twice)}' twice", "name it once"
    return None


def options_of(node: NodeSpec) -> dict[str, Any]:
    """Return the arguments of `write_folder` for the values of a node."""
    return {
        "format": node.with_.get("format", "parquet"),
        "partition": _columns(node),
        "only_partitions": node.with_.get("mode") == "partitions",
    }


def _columns(node: NodeSpec) -> Sequence[str]:
    value = node.with_.get("partition", [])
    return [value] if isinstance(value, str) else value


def check_partition(
    node: NodeSpec, schemas: Mapping[str, Any], files: Mapping[str, Path]
) -> tuple[None, NodeDiagnostic | None]:
    """Return that the columns of the output are not known, and what is wrong with the columns under `partition`."""
    item = node.inputs[0]
    names = schemas[item.name].names if item.name in schemas else []
    for column in _columns(node) if names else ():
        if column not in names and not has_expression(column):
            guess = closest_match(column, names)
            what = f"'{item.output}' is partitioned by the column '{ellipsize(column)}', which it does not have"
            return None, NodeDiagnostic(("with", "partition"), what, f"did you mean '{guess}'?" if guess else "")
    return None, None
