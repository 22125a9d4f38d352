"""Makes a document of one node of a pipeline file: its inputs are given, and all other nodes are left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nfrun.core.output_types import TABLE
from nfrun.core.values import replace
from nfrun.pipeline_file.yaml.document import Document

_KEPT = ("name", "params", "env", "secrets", "resources", "defaults", "profiles")
# Keys of the node that are about other nodes, or about whether it runs at all.
_LEFT_OUT = ("inputs", "needs", "if", "continue_on_error", "cache", "executor", "tags")
_DEFAULTS_LEFT_OUT = ("continue_on_error", "cache", "executor")


def node_part(document: Document, node: str, types: Mapping[str, str], with_: Mapping[str, Any]) -> Document:
    """Return the document of a file with this node alone.

    `types` has the types of its inputs, each of which becomes an input of the file, called `input_name`. `with_` has
    values in place of those that the file gives. Problems have the places that they have in the file.
    """
    root = document.root
    body = {key: value for key, value in root["nodes"][node].items() if key not in _LEFT_OUT}
    body["inputs"] = {name: input_name(node, name) for name in types}
    if with_:
        body["with"] = {**body.get("with", {}), **with_}
    if "checks" in body:
        body["checks"] = [*_own_checks(body["checks"])]
    if isinstance(body.get("outputs"), dict):
        body["outputs"] = {name: _own_output(value) for name, value in body["outputs"].items()}
    part = {key: root[key] for key in _KEPT if key in root}
    if "defaults" in part:
        part["defaults"] = {key: value for key, value in part["defaults"].items() if key not in _DEFAULTS_LEFT_OUT}
    if axes := _axes(root, node):
        part["matrix"] = axes
    given = {
        input_name(node, name): {} if type == TABLE else {"outputs": {"file": type}} for name, type in types.items()
    }
    return replace(document, root={**part, **({"inputs": given} if given else {}), "nodes": {node: body}})


def input_name(node: str, name: str) -> str:
    """Return the name of the input of the file for an input of the node: its own, unless the node has that name."""
    return name if name.lower() != node.lower() else f"given_{name}"


def _axes(root: Mapping[str, Any], node: str) -> dict[str, Any]:
    """Return the axes that the file declares at its top, or other nodes than this one."""
    found = dict(root["matrix"]) if isinstance(root.get("matrix"), dict) else {}
    for name, body in root["nodes"].items():
        if name != node and isinstance(body, dict) and isinstance(body.get("matrix"), dict):
            found.update(body["matrix"])
    return found


def _own_output(value: Any) -> Any:
    if not isinstance(value, dict) or "checks" not in value:
        return value
    return {**value, "checks": [*_own_checks(value["checks"])]}


def _own_checks(checks: Iterable[Any]) -> Iterable[Any]:
    """Return the checks that are about the table alone."""
    return (check for check in checks if not (isinstance(check, dict) and "references" in check))
