"""Checks that the `map` of a node fits its inputs, its outputs and its kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.errors import Problem
from nfrun.core.map_spec import ERRORS, MapSpec
from nfrun.core.output_types import TABLE, form_of
from nfrun.core.pipeline import NodeSpec
from nfrun.core.text import did_you_mean, ellipsize
from nfrun.core.values import replace
from nfrun.nodes.registry import KINDS, kind_of
from nfrun.pipeline_file.findings import Findings
from nfrun.pipeline_file.settings import FIXED, is_evaluated
from nfrun.pipeline_file.yaml.document import Keys


def outputs_of(outputs: tuple[str, ...], map: MapSpec | None, kind: str, with_: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of a node's outputs with that of the failed rows, if it collects them, or those of its kind."""
    added = (ERRORS,) if map is not None and map.collects else KINDS[kind].says.added_outputs(with_) if kind else ()
    return (*(outputs or ("",)), *added) if added else outputs


def check_map_entries(found: Findings, path: Keys, value: str | Mapping[str, Any]) -> None:
    """Reject expressions in entries of a `map` that are fixed, and entries that do not go together."""
    fixed: dict[Keys, Any] = {("map",): value} if isinstance(value, str) else {("map", k): value.get(k) for k in FIXED}
    for steps, item in fixed.items():
        if not is_evaluated(item):
            hint = "which input is cut" if steps[-1] in ("map", "over") else f"'{steps[-1]}'"
            found.report((*path, *steps), "an expression is not evaluated here", f"{hint} is the same in every run")
    if isinstance(value, str):
        return
    other = next((key for key in ("by", "parts") if key in value), "")
    if "batch" in value and other:
        what = f"a map has either 'batch' or '{other}'"
        hint = "remove one: with 'batch' a piece has N rows, with 'by' it has whole groups"
        found.report((*path, "map", "batch"), what, hint, at_key=True)


def check_maps(found: Findings, nodes: Mapping[str, NodeSpec]) -> None:
    """Reject a `map` of a node that has no such input, or makes something else than one table."""
    for name, spec in nodes.items():
        if spec.map is not None and ("nodes", name, "map") not in found.bad:
            for wrong in _problems(spec, found.document.root["nodes"][name]):
                found.add(wrong, ("nodes", name))


def add_map_forms(nodes: dict[str, NodeSpec], functions: FunctionLookup) -> None:
    """Add to the `map` of each node what its function takes."""
    for name, spec in nodes.items():
        maps = kind_of(spec).maps if spec.map is not None and spec.kind else None
        if spec.map is not None and maps is not None and spec.body:
            nodes[name] = replace(spec, map=replace(spec.map, form=maps.form(spec, functions)))


def _problems(spec: NodeSpec, body: Mapping[str, Any]) -> Iterator[Problem]:
    assert spec.map is not None
    where = ("map", "over") if isinstance(body["map"], dict) else ("map",)
    if spec.kind and kind_of(spec).maps is None:
        yield Problem(("map",), f"a {spec.kind} node has no 'map'", kind_of(spec).says.no_map, at_key=True)
        return
    over = next((item for item in spec.inputs if item.name == spec.map.over), None)
    if over is None:
        names = [item.name for item in spec.inputs]
        hint = did_you_mean(spec.map.over, names, f"there is {', '.join(names)}" if names else "it has no inputs")
        what = f"'{spec.declared}' has no input '{ellipsize(spec.map.over)}' to map over"
        yield Problem(where, what, hint)
    elif over.gather and over.gather.form == "dict":
        what = f"'{over.name}' is gathered as a mapping, and a map cuts one table"
        yield Problem(where, what, "gather: concat")
    elif over.type != TABLE:
        what = f"'{over.name}' is a {form_of(over.type)}, and a map cuts a table"
        yield Problem(where, what, "read it in a node before this one")
    elif over.optional:
        what = f"'{over.name}' is optional, and a map needs something to cut"
        yield Problem(where, what, "leave 'optional' out")
    if not spec.map.collects and isinstance(body["map"], dict) and "max_failed" in body["map"]:
        what = "'max_failed' counts failed rows that are collected"
        yield Problem(("map", "max_failed"), what, "on_error: collect", at_key=True)
    yield from _output_problems(spec)


def _output_problems(spec: NodeSpec) -> Iterator[Problem]:
    assert spec.map is not None
    own = [name for name in spec.outputs if name]
    if spec.map.collects:
        own = own[:-1]
        if ERRORS in own:
            what = f"'{ERRORS}' is the output with the failed rows"
            yield Problem(("outputs",), what, "rename yours", at_key=True)
            return
    for name in own:
        if (type := spec.type_of(name)) != TABLE:
            what = f"'{name}' is a {form_of(type)}, and pieces are joined as tables"
            yield Problem(("map",), what, "return a table, and make the file in a node behind")
            return
    if len(own) > 1:
        what = f"a node with a 'map' has one output, and this one has {len(own)}"
        yield Problem(("outputs",), what, "return one table, and split it in a node behind", at_key=True)
