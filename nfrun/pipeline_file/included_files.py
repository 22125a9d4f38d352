"""Reads the pipeline files that nodes name, and checks what these nodes give to them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from nfrun.core.errors import SourceSpan, SpecError
from nfrun.core.output_types import TABLE
from nfrun.core.pipeline import NodeSpec, OutputId, Pipeline
from nfrun.core.text import closest_match, ellipsize
from nfrun.core.values import field, mutable, replace
from nfrun.pipeline_file.findings import Findings
from nfrun.pipeline_file.parameters import env_text, has_type, type_of
from nfrun.pipeline_file.references import input_refs
from nfrun.pipeline_file.settings import is_evaluated
from nfrun.pipeline_file.subpipelines import includes
from nfrun.pipeline_file.yaml.document import Document, Keys

MAX_LEVELS = 16
# What a node that is another pipeline may have beside its kind.
_KEYS = frozenset(("inputs", "with", "matrix", "if", "needs", "tags", "continue_on_error", "description"))

Read = Callable[[Path, str, "Including", tuple[SourceSpan, ...]], tuple[Pipeline, Document]]


@mutable
class Including:
    """The files that lead to the one that is read, each with its name to show, and all that have been read.

    A file with a mistake is None there: its problems are told already.
    """

    chain: tuple[tuple[str, str], ...] = ()
    known: dict[str, tuple[Pipeline, Document] | None] = field(default_factory=dict)


def read_included(
    found: Findings, nodes: dict[str, NodeSpec], including: Including, read: Read
) -> dict[str, tuple[Pipeline, Document]]:
    """Return the pipelines that nodes name, by the paths in the file, and give these nodes the outputs of them."""
    others: dict[str, tuple[Pipeline, Document]] = {}
    for name, spec in nodes.items():
        path: Keys = ("nodes", name)
        if not includes(spec):
            continue
        for key in found.document.root["nodes"][name]:
            if key not in (spec.kind, *_KEYS) and (*path, key) not in found.bad:
                what = f"a {spec.kind} node has no '{ellipsize(key)}'"
                found.report((*path, key), what, f"it stands in {ellipsize(spec.body) or 'its file'}", at_key=True)
        other = _read(found, (*path, spec.kind), spec.body, including, read) if spec.body else None
        if other is None:
            found.unclear.add(name)
            continue
        others[spec.body] = other
        pipeline = other[0]
        types = {
            shown: kind
            for shown, output in pipeline.outputs.items()
            if output.node in pipeline.nodes and (kind := pipeline.nodes[output.node].type_of(output.name)) != TABLE
        }
        nodes[name] = replace(spec, outputs=tuple(pipeline.outputs) if pipeline.names_outputs else (), types=types)
        found.of_cells.update(
            OutputId(name, shown)
            for shown, output in pipeline.outputs.items()
            if output.node in pipeline.nodes and pipeline.nodes[output.node].axes
        )
        _check_inputs(found, path, spec, pipeline)
        _check_values(found, path, spec, pipeline)
    return others


def _read(found: Findings, path: Keys, body: str, including: Including, read: Read) -> tuple[Pipeline, Document] | None:
    """Return the pipeline in the file that a node names. Reports why there is none."""
    if path in found.bad:
        return None
    file = found.folder / body
    real, names = os.path.realpath(file), [real for real, _ in including.chain]
    shown = os.path.join(os.path.dirname(found.document.file), body)  # noqa: PTH118, PTH120
    if os.path.realpath(plain := os.path.normpath(shown)) == real:
        shown = plain
    if real in names:
        circle = " -> ".join([*(name for _, name in including.chain[names.index(real) :]), Path(body).name])
        found.report(path, f"'{ellipsize(body)}' includes itself: {ellipsize(circle, 300)}")
        return None
    if file.is_dir():
        found.report(path, f"'{ellipsize(body, 200)}' is a folder", "name a file in it")
        return None
    if not file.is_file():
        near = _nearest(Path(body), found.folder)
        found.report(path, f"there is no file '{ellipsize(body, 200)}'", f"did you mean '{near}'?" if near else "")
        return None
    if len(including.chain) > MAX_LEVELS:
        found.report(
            path, f"'{ellipsize(body)}' is at level {len(including.chain)} of sub-pipelines, and at most {MAX_LEVELS}"
        )
        return None
    known = os.path.join(os.path.realpath(file.parent), file.name)  # noqa: PTH118  (a link has the folder that it is in)
    if known not in including.known:
        place = found.document.span(*path)
        inner = Including((*including.chain, (real, Path(body).name)), including.known)
        try:
            including.known[known] = read(file, shown, inner, (replace(place, included=()), *place.included))
        except SpecError as error:
            including.known[known] = None
            found.diagnostics += error.diagnostics
            found.mark_wrong(path)
    return including.known[known]


def _nearest(path: Path, folder: Path) -> Path | None:
    """Return the path of a file with a similar name, also in a folder with a similar name; None if there is none."""
    with suppress(OSError):
        parent = path.parent
        if not (folder / parent).is_dir():
            others = [other.name for other in (folder / parent).parent.iterdir() if other.is_dir()]
            parent = parent.with_name(closest_match(parent.name, others) or parent.name)
        there = sorted(other.name for other in (folder / parent).glob("*.y*ml") if other.is_file())
        if guess := closest_match(path.name, there):
            return parent / guess
    return None


def with_place(error: SpecError, included: tuple[SourceSpan, ...]) -> SpecError:
    """Return the error with the places that include the file, where its problems do not have them."""
    return SpecError(
        [
            d if d.span.included or not included else replace(d, span=replace(d.span, included=included))
            for d in error.diagnostics
        ]
    )


def _check_inputs(found: Findings, path: Keys, spec: NodeSpec, other: Pipeline) -> None:
    steps = {name: step for step, name, _ in input_refs(found.document.root["nodes"][spec.id].get("inputs"))}
    for item in spec.inputs:
        if item.name not in other.inputs:
            guess = closest_match(item.name, other.inputs)
            hint = f"did you mean '{guess}'?" if guess else f"its inputs: {', '.join(other.inputs) or 'none'}"
            what = f"'{ellipsize(spec.body)}' has no input '{ellipsize(item.name)}'"
            named = isinstance(found.document.root["nodes"][spec.id]["inputs"], dict)
            found.report((*path, "inputs", *steps[item.name]), what, hint, at_key=named)
    given = {item.name for item in spec.inputs}
    for name in other.inputs if (*path, "inputs") not in found.bad else ():
        if name not in given and not other.nodes[name].body:
            what = f"'{ellipsize(spec.body)}' must be given the input '{name}'"
            found.report((*path, spec.kind), what, f"inputs: {{{name}: NODE}}")


def _check_values(found: Findings, path: Keys, spec: NodeSpec, other: Pipeline) -> None:
    for name, value in spec.with_.items():
        where = (*path, "with", name)
        if name not in other.params:
            guess = closest_match(name, other.params)
            hint = f"did you mean '{guess}'?" if guess else f"its parameters: {', '.join(other.params) or 'none'}"
            found.report(where, f"'{ellipsize(spec.body)}' has no parameter '{ellipsize(name)}'", hint, at_key=True)
        elif is_evaluated(value) and (wrong := value_problem(spec, other, name, value)):
            found.report(where, *wrong)
    for name, param in other.params.items() if (*path, "with") not in found.bad else ():
        if param.required and name not in spec.with_:
            what = f"'{ellipsize(spec.body)}' must be given the parameter '{name}'"
            found.report((*path, spec.kind), what, f"with: {{{name}: …}}")


def value_problem(spec: NodeSpec, other: Pipeline, name: str, value: Any) -> tuple[str, str] | None:
    """Return what is wrong with a value that a node gives to a parameter of another pipeline."""
    param = other.params[name]
    of = f"the parameter '{name}' of '{ellipsize(spec.body)}'"
    if not has_type(value, param.type):
        return f"{of} must be of type {param.type}, not {type_of(value)}", param.help
    if param.enum and value not in param.enum:
        return f"{of} must be one of {ellipsize(', '.join(map(env_text, param.enum)), 200)}", param.help
    return None


def documents_of(included: Iterable[tuple[Pipeline, Document]]) -> dict[str, Document]:
    """Return the documents of other pipelines, and of those that they include, by their files."""
    found: dict[str, Document] = {}
    for _, document in included:
        found |= {document.file: document, **document.others}
    return found
