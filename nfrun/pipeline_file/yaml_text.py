"""Writes a document as YAML that nfrun reads back as the same values."""

from __future__ import annotations

from typing import Any

import yaml

from nfrun.core.errors import SpecError
from nfrun.pipeline_file.yaml.document import parse

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
    if not text.isprintable() or any(sign in text for sign in "{}[],#&*!|>'\"%@`\\"):
        return False
    try:
        return [parse(written, "").root for written in (f"- {text}", f"{{a: {text}}}")] == [[text], {"a": text}]
    except SpecError:
        return False


_Dumper.add_representer(str, _represent_text)
