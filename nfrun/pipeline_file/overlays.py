"""Lays over the document of a pipeline file what stands elsewhere in it: a profile, and nodes for its inputs.

Profiles are checked, too. An input becomes a node that alone reads its file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from nfrun.core.errors import Diagnostic, SourceSpan, SpecError
from nfrun.core.text import did_you_mean, ellipsize, shortened
from nfrun.core.values import replace
from nfrun.nodes.read import READ
from nfrun.pipeline_file.findings import Findings, unknown
from nfrun.pipeline_file.parameters import param_of, type_of, value_problem
from nfrun.pipeline_file.yaml.document import Document, Keys, entries, mapping
from nfrun.tables.formats import ARROW, READ_OPTIONS

VARIABLE = "NFRUN_PROFILE"
_MAX_LISTED = 6


def inside_profile(path: Keys) -> Keys:
    """Return the path of a value in a profile as that of the value that it replaces; other paths as they are."""
    return path[2:] if path[:1] == ("profiles",) else path


def check_profiles(found: Findings) -> None:
    """Report parameters in profiles that are wrong, whichever of them is used. The rest is checked where it is used."""
    params = mapping(found.document.root.get("params"))
    for name, profile in entries(found.document.root.get("profiles")):
        for param, value in mapping(mapping(profile).get("params")).items():
            path = ("profiles", name, "params", param)
            if param not in params:
                found.report(path, *unknown("parameter", param, params), at_key=True)
            elif found.bad.isdisjoint((path, ("params", param))) and (
                wrong := value_problem(param_of(param, params[param]), value)
            ):
                found.report(path, *wrong)


def with_profile(found: Findings, name: str) -> Document:
    """Return the document of a file with one of its profiles laid over it. Raises SpecError if it has none such.

    Values of the profile are found in the file where the profile has them.
    """
    document = found.document
    profiles = mapping(document.root.get("profiles"))
    if name not in profiles:
        hint = did_you_mean(name, profiles, f"there is {shortened([*profiles], _MAX_LISTED)}")
        what = f"there is no profile '{ellipsize(name)}'; {hint if profiles else 'the file has no profiles'}"
        raise SpecError([Diagnostic(SourceSpan(document.file), what)])
    profile = profiles[name]
    if ("profiles", name) in found.bad or not isinstance(profile, dict):
        return document
    root, moved = dict(document.root), dict[Keys, Keys]()
    for path, value in _replaced(document.root, profile):
        target = root
        for step in path[:-1]:
            target[step] = dict(mapping(target.get(step)))
            target = target[step]
        target[path[-1]] = value
        moved[path] = ("profiles", name, *(path[:-1] if path[0] == "params" else path))
    return replace(document, root=root, moved=moved)


def _replaced(root: Mapping[str, Any], profile: Mapping[str, Any]) -> Iterator[tuple[Keys, Any]]:
    """Yield the values of a profile, each with its path in the file that it is laid over."""
    for name, value in entries(profile.get("params")):
        declared = root["params"][name]
        if not isinstance(declared, dict):
            yield ("params", name, "type"), type_of(declared)
        yield ("params", name, "default"), value
    for section in ("env", "resources"):
        for name, value in entries(profile.get(section)):
            yield (section, name), value
    for key, value in entries(profile.get("defaults")):
        if key in ("env", "resources"):
            yield from ((("defaults", key, name), item) for name, item in entries(value))
        else:
            yield ("defaults", key), value
    for key in ("jobs", "work"):
        if key in profile:
            yield (key,), profile[key]


_GIVEN_TABLE = re.compile(r"\binputs/[0-9a-f]{32}\.arrow$")  # a file that has a table which a program has given


def with_inputs(found: Findings, given: Mapping[str, str]) -> Document:
    """Return the document of a file with a `read` node for each of its inputs, before the other nodes.

    One that must be given reads no file, \"\". `given` has files to read instead, as absolute paths or URIs. Raises
    SpecError if there is no such input.
    """
    document = found.document
    inputs = mapping(document.root.get("inputs"))
    for name in given:
        if name not in inputs:
            raise SpecError([Diagnostic(SourceSpan(document.file), *unknown("input", name, inputs))])
    if not inputs:
        return document
    nodes: dict[str, Any] = {}
    moved: dict[Keys, Keys] = {}
    for name, value in inputs.items():
        body = {key: item for key, item in mapping(value).items() if ("inputs", name, key) not in found.wrong}
        is_path = isinstance(value, str) and ("inputs", name) not in found.wrong
        file = value if is_path else body.get(READ.name, "")
        if name in given:
            file = given[name].removeprefix(f"{found.folder}{os.sep}")
            if _GIVEN_TABLE.search(file) and isinstance(options := body.get("with"), dict):
                # Its reader has options that are for other formats than Arrow files.
                of_others = ("format", *(key for key, formats in READ_OPTIONS.items() if ARROW not in formats))
                body["with"] = {key: value for key, value in options.items() if key not in of_others}
        nodes[name] = {**body, READ.name: file}
        moved["nodes", name] = ("inputs", name)
        if READ.name not in body:
            moved["nodes", name, READ.name] = ("inputs", name)
        found.bad |= {("nodes", *path[1:]) for path in found.bad if path[:2] == ("inputs", name)}
        found.wrong |= {("nodes", *path[1:]) for path in found.wrong if path[:2] == ("inputs", name)}
    root = {**document.root, "nodes": {**nodes, **mapping(document.root.get("nodes"))}}
    return replace(document, root=root, moved={**document.moved, **moved})


def as_of_node(path: Keys) -> Keys:
    """Return the path of a value of an input as that in the node that is made of it; other paths as they are."""
    if path[:1] != ("inputs",):
        return path
    return ("nodes", *path[1:]) if len(path) > 2 else ("nodes", *path[1:], READ.name)
