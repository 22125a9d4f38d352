"""Makes nodes of the inputs at the top of a pipeline file: alone, each reads its file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from nfrun.core.errors import Diagnostic, SourceSpan, SpecError
from nfrun.core.text import closest_match, ellipsize
from nfrun.core.values import replace
from nfrun.nodes.read import READ
from nfrun.pipeline_file.findings import Findings
from nfrun.pipeline_file.yaml.document import Document, Keys, entries
from nfrun.tables.formats import ARROW, READ_OPTIONS

_GIVEN_TABLE = re.compile(r"\binputs/[0-9a-f]{32}\.arrow$")  # a file that has a table which a program has given


def with_inputs(found: Findings, given: Mapping[str, str]) -> Document:
    """Return the document of a file with a `read` node for each of its inputs, before the other nodes.

    One that must be given reads no file, \"\". `given` has files to read instead, as absolute paths or URIs. Raises
    SpecError if there is no such input.
    """
    document = found.document
    inputs = document.root.get("inputs")
    inputs = inputs if isinstance(inputs, dict) else {}
    for name in given:
        if name not in inputs:
            guess = closest_match(name, inputs)
            hint = f"did you mean '{guess}'?" if guess else f"its inputs: {', '.join(inputs) or 'none'}"
            what = f"the pipeline has no input '{ellipsize(name)}'"
            raise SpecError([Diagnostic(SourceSpan(document.file), what, hint)])
    if not inputs:
        return document
    nodes: dict[str, Any] = {}
    moved: dict[Keys, Keys] = {}
    for name, value in inputs.items():
        given_body = value if isinstance(value, dict) else {}
        body = {key: item for key, item in given_body.items() if ("inputs", name, key) not in found.wrong}
        is_path = isinstance(value, str) and ("inputs", name) not in found.wrong
        file = value if is_path else body.get(READ.name, "")
        if name in given:
            file = given[name].removeprefix(f"{found.folder}{os.sep}")
            body = _for_table(body) if _GIVEN_TABLE.search(file) else body
        nodes[name] = {**body, READ.name: file}
        moved["nodes", name] = ("inputs", name)
        if READ.name not in body:
            moved["nodes", name, READ.name] = ("inputs", name)
        found.bad |= {("nodes", *path[1:]) for path in found.bad if path[:2] == ("inputs", name)}
        found.wrong |= {("nodes", *path[1:]) for path in found.wrong if path[:2] == ("inputs", name)}
    own = document.root.get("nodes")
    root = {**document.root, "nodes": {**nodes, **dict(entries(own) if isinstance(own, dict) else ())}}
    return replace(document, root=root, moved={**document.moved, **moved})


def _for_table(body: dict[str, Any]) -> dict[str, Any]:
    """Return an input without those options of its reader that are for other formats than Arrow files."""
    if not isinstance(options := body.get("with"), dict):
        return body
    of_others = ("format", *(key for key, formats in READ_OPTIONS.items() if ARROW not in formats))
    return {**body, "with": {key: value for key, value in options.items() if key not in of_others}}


def as_of_node(path: Keys) -> Keys:
    """Return the path of a value of an input as that in the node that is made of it; other paths as they are."""
    if path[:1] != ("inputs",):
        return path
    return ("nodes", *path[1:]) if len(path) > 2 else ("nodes", *path[1:], READ.name)
