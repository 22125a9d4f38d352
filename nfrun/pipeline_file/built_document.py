"""Documents that are not a whole file: those that a program has built, and single nodes of a file with given inputs.

Writes a document as YAML that nfrun reads back as the same values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from nfrun.core.errors import SourceSpan
from nfrun.core.pipeline import TABLE
from nfrun.core.values import field, frozen, replace
from nfrun.pipeline_file.yaml.document import Document, Keys, Source, parse, plain_scalar

CONTROL = "[\x00-\x08\x0b-\x1f\x7f-\x9f]"  # characters that no file has, not even escaped


@frozen
class BuiltDocument(Document):
    """A document without a text. `places` has the call that gave the value at a path, or one that is around it."""

    places: Mapping[Keys, SourceSpan] = field(default_factory=dict)

    def place(self, path: Keys, *, at_key: bool = False, start: int = 0, length: int = 0) -> SourceSpan:
        """Return the place of the call that gave the value at `path`: it has no place for each key or character."""
        path = self.written(path)
        found = next((self.places[path[:i]] for i in range(len(path), -1, -1) if path[:i] in self.places), None)
        return found or SourceSpan(self.file)

    def start_of_entry(self, section: str, key: str) -> SourceSpan:
        """Return the place of the call that made the entry, without the text of the line."""
        return replace(self.span(section, key), length=1, text="")


@frozen
class BuiltPipeline:
    """A pipeline that a program has built: its document, and those functions of nodes that no module has, by name.

    The document may also be a part of that of a file.
    """

    document: Document
    functions: Mapping[str, Callable[..., Any]]


def built_document(file: str, root: Mapping[str, Any], places: Mapping[Keys, SourceSpan]) -> BuiltDocument:
    """Return a document with these values, as if they stood in `file`, which need not exist."""
    return BuiltDocument(file, root, Source(file, ""), places=places)


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
    body = _alone(body)
    if isinstance(body.get("outputs"), dict):
        body["outputs"] = {name: _alone(value) for name, value in body["outputs"].items()}
    part = {key: root[key] for key in _KEPT if key in root}
    if "defaults" in part:
        part["defaults"] = {key: value for key, value in part["defaults"].items() if key not in _DEFAULTS_LEFT_OUT}
    # The axes that the file declares at its top, or in other nodes than this one.
    others = [other for name, other in root["nodes"].items() if name != node and isinstance(other, dict)]
    declared = [matrix for of in (root, *others) if isinstance(matrix := of.get("matrix"), dict)]
    if axes := {axis: source for matrix in declared for axis, source in matrix.items()}:
        part["matrix"] = axes
    given = {
        input_name(node, name): {} if type == TABLE else {"outputs": {"file": type}} for name, type in types.items()
    }
    return replace(document, root={**part, **({"inputs": given} if given else {}), "nodes": {node: body}})


def input_name(node: str, name: str) -> str:
    """Return the name of the input of the file for an input of the node: its own, unless the node has that name."""
    return name if name.lower() != node.lower() else f"given_{name}"


def _alone(value: Any) -> Any:
    """Return a node or an output with those checks that are about its table alone."""
    if not isinstance(value, dict) or "checks" not in value:
        return value
    checks = [check for check in value["checks"] if not (isinstance(check, dict) and "references" in check)]
    return {**value, "checks": checks}


_ORDER = (
    *("name", "description", "params", "env", "secrets", "timezone", "inputs", "matrix", "resources", "defaults"),
    *("profiles", "nodes", "on_failure", "finally", "outputs"),
)


def yaml_text(root: dict[str, Any]) -> str:
    """Return the text of a file with these values."""
    ordered = {**{key: root[key] for key in _ORDER if key in root}, **root}
    how: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "default_flow_style": False, "width": 110}
    text = yaml.dump(ordered, Dumper=_Dumper, **how)
    assert parse(text, "a built pipeline").root == root
    return str(text)


class _Dumper(yaml.SafeDumper):
    """Quotes the texts that nfrun would read as something else."""

    def ignore_aliases(self, data: object) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # A text of several lines stands under its key as it is, if it can.
    is_whole = all(line == line.rstrip() and line.isprintable() for line in text.split("\n"))
    if "\n" in text and is_whole and not text.startswith((" ", "\n")):
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|")
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if _is_plain(text) else '"')


def _is_plain(text: str) -> bool:
    """Return whether nfrun reads a text without quotes as this text, on a line and inside of `{}`."""
    return re.fullmatch(r"[A-Za-z_/][\w ./-]*(?<! )", text) is not None and plain_scalar(text) == text


_Dumper.add_representer(str, _represent_text)
