"""Checks that the names of nodes and outputs, and with them those of their files, do not clash."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nfrun.core.output_types import TABLE
from nfrun.core.pipeline import NOTHING
from nfrun.core.text import ellipsize
from nfrun.pipeline_file.findings import Findings
from nfrun.pipeline_file.yaml.document import Keys
from nfrun.system.atomic_files import PARTIAL

_DEVICES = frozenset(["con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))])
_OWN_ENDINGS = (PARTIAL, ".bad")


def check_names(found: Findings, sections: Mapping[str, Mapping[str, Any]]) -> None:
    """Reject node names that differ only in case, or not at all, and names of Windows devices."""
    seen: dict[str, tuple[str, str]] = {}
    for place in ((section, name) for section, nodes in sections.items() for name in nodes):
        name, first = place[1], seen.setdefault(place[1].lower(), place)
        line = "" if first == place else f"(line {found.document.key_span(*first).line})"
        if first[1] != name:
            what = f"'{ellipsize(name)}' differs from '{ellipsize(first[1])}' {line} only in case"
            found.report(place, what, "files would clash on some systems: rename one", at_key=True)
        elif first != place:
            found.report(place, f"there is a node '{ellipsize(name)}' already {line}", "rename one", at_key=True)
        if name.lower() in _DEVICES:
            found.report(place, f"'{name}' is the name of a device on Windows", "rename it", at_key=True)


def read_outputs(found: Findings, path: Keys, value: Any) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Return the names of the outputs of the node at `path`, and the types of those that are no tables.

    Rejects names that differ only in case, and endings that mark files of nfrun.
    """
    seen: dict[str, str] = {}
    for step, name in enumerate(value):
        if seen.setdefault(name.lower(), name) != name:
            what = f"'{name}' differs from '{seen[name.lower()]}' only in case"
            at: Keys = (*path, "outputs", name if isinstance(value, dict) else step)
            hint = "files would clash on some systems: rename one"
            found.report(at, what, hint, at_key=isinstance(value, dict))
    types: dict[str, str] = {}
    for name, form in value.items() if isinstance(value, dict) else ():
        kind = form.get("type", TABLE) if isinstance(form, dict) else form
        if kind.endswith(_OWN_ENDINGS):
            what = f"'{kind}' is the ending of files that nfrun has not finished or does not use"
            found.report((*path, "outputs", name, "type"), what, "name another")
        elif kind != TABLE:
            types[name] = kind
    return tuple(value), types or NOTHING
