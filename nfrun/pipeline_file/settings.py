"""Turns settings of nodes, as the file has them, into fields of `NodeSpec`, and checks the `map` of nodes.

A setting may hold expressions. Then its field is filled once these are evaluated, and it is checked like a written one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.errors import Problem
from nfrun.core.map_spec import DEFAULT_BATCH, ERRORS, FAIL, MapSpec
from nfrun.core.pipeline import NO_RETRY, TABLE, NodeSpec, Retry, form_of
from nfrun.core.text import did_you_mean, ellipsize
from nfrun.core.values import replace
from nfrun.nodes.base import is_evaluated
from nfrun.nodes.mapped_run import NO_MAP
from nfrun.nodes.registry import KINDS, kind_of
from nfrun.pipeline_file.findings import Findings
from nfrun.pipeline_file.yaml.document import Keys, mapping
from nfrun.system.units import LONGEST, parse_size, to_seconds

# The settings that may hold expressions; `env` and `files` may, too, and are texts anyway.
WITH_EXPRESSIONS = ("timeout", "retries", "resources", "executor", "cache", "map")

Report = Callable[[Keys, str], object]  # takes the steps from the node to a value, and what is wrong with it


def fields_of(settings: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """Return the fields of a node for these settings, which hold no expressions and match the schema."""
    fields: dict[str, Any] = {key: settings[key] for key in ("executor", "cache") if key in settings}
    if "timeout" in settings:
        fields["timeout"] = _seconds(("timeout",), settings["timeout"], report)
    if "retries" in settings:
        given = settings["retries"]
        given = given if isinstance(given, dict) else {"max": given}
        retries: dict[str, Any] = {"max": int(given["max"])}
        for key in [key for key in given if key != "max"]:
            is_delay = key.endswith("delay")
            retries[key] = _seconds(("retries", key), given[key], report) if is_delay else float(given[key])
        fields["retry"] = Retry(**retries) if given != {"max": 0} else NO_RETRY
    if "resources" in settings:
        amounts = {"cpu": 1.0}
        for name, value in settings["resources"].items():
            amounts[name] = float(parse_size(value) if isinstance(value, str) else value)
            if not math.isfinite(amounts[name]):
                report(("resources", name), f"'{name}' must be a number or a size, not {amounts[name]}")
        fields["cpu"] = amounts.pop("cpu")
        fields["amounts"] = {name: amount for name, amount in amounts.items() if amount and math.isfinite(amount)}
    if "map" in settings:
        fields["map"] = map_of(settings["map"])
    return fields


def setting_path(root: Any, node: Keys, steps: Keys) -> Keys:
    """Return the path of a value in a setting of a node: in the node itself, or in the defaults of the file.

    `steps` lead from the node to the value. `resources` are merged key by key.
    """
    own = root[node[0]][node[1]]
    is_own = steps[0] in own
    if is_own and steps[0] == "resources" and len(steps) > 1:
        is_own = steps[1] in own["resources"]
    return (*node, *steps) if is_own else ("defaults", *steps)


def merged_resources(*parts: Any) -> dict[str, Any]:
    """Return resources merged key by key, the last ones over the first."""
    return {name: value for part in parts if isinstance(part, dict) for name, value in part.items()}


def _seconds(path: Keys, value: str | float, report: Report) -> float:
    """Convert a duration to seconds. Rejects one longer than a year."""
    found = to_seconds(value)
    if found > LONGEST:
        report(path, f"'{path[-1]}' is longer than a year")
    return found


# The entries that decide which outputs there are, and with what the function is called. They are no expressions.
FIXED = ("over", "on_error", "explode")
_IN_PLACE = {"batch": DEFAULT_BATCH, "parts": 1}  # until the expressions are evaluated


def map_of(value: str | Mapping[str, Any]) -> MapSpec:
    """Return the map for what a node has under `map`, which matches the schema and holds no expressions."""
    if isinstance(value, str):
        return MapSpec(value)
    by, parts, keep = _names(value.get("by", ())), value.get("parts", 0), value.get("keep")
    most = value.get("max_failed", "10%")  # a number of rows, or a percentage
    return MapSpec(
        over=value["over"],
        batch=value.get("batch", 0 if by or parts else DEFAULT_BATCH),
        by=by,
        parts=parts,
        keep=None if keep is None else _names(keep),
        explode=value.get("explode", False),
        on_error=value.get("on_error", FAIL),
        max_failed=most if isinstance(most, int) else float(most.strip().rstrip("% ")) / 100,
        reuse=value.get("reuse", True),
    )


def unbound_map(value: str | Mapping[str, Any]) -> MapSpec:
    """Return the map with other values in the place of those whose expressions are not evaluated yet."""
    if isinstance(value, str):
        return MapSpec(value)
    known = {key: item for key, item in value.items() if key in ("over", "by") or is_evaluated(item)}
    return map_of({**{key: item for key, item in _IN_PLACE.items() if key in value}, **known})


def _names(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def outputs_of(outputs: tuple[str, ...], map: MapSpec | None, kind: str, with_: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of a node's outputs with that of the failed rows, if it collects them, or those of its kind."""
    added = (ERRORS,) if map is not None and map.collects else KINDS[kind].says.added_outputs(with_) if kind else ()
    return (*(outputs or ("",)), *added) if added else outputs


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
    other = next((key for key in ("by", "parts") if key in mapping(body["map"])), "")
    if other and "batch" in body["map"]:
        what, hint = f"a map has either 'batch' or '{other}'", "with 'batch' a piece has N rows, with 'by' whole groups"
        yield Problem(("map", "batch"), what, f"remove one: {hint}", at_key=True)
    if spec.kind and kind_of(spec).maps is None:
        yield Problem(("map",), f"a {spec.kind} node has no 'map'", NO_MAP, at_key=True)
        return
    over = next((item for item in spec.inputs if item.name == spec.map.over), None)
    if over is None:
        names = [item.name for item in spec.inputs]
        hint = did_you_mean(spec.map.over, names, f"there is {', '.join(names)}" if names else "it has no inputs")
        what = f"'{spec.declared}' has no input '{ellipsize(spec.map.over)}' to map over"
        yield Problem(where, what, hint)
    elif over.type != TABLE or over.optional or (over.gather and over.gather.form == "dict"):
        what = f"a map cuts one table that is always there, and '{over.name}' is none"
        yield Problem(where, what, "gather cells by concat, leave out 'optional', and read files in a node before")
    if not spec.map.collects and isinstance(body["map"], dict) and "max_failed" in body["map"]:
        what = "'max_failed' counts failed rows that are collected"
        yield Problem(("map", "max_failed"), what, "on_error: collect", at_key=True)
    yield from _output_problems(spec)


def _output_problems(spec: NodeSpec) -> Iterator[Problem]:
    assert spec.map is not None
    own = spec.own_outputs
    if spec.map.collects and ERRORS in own:
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
