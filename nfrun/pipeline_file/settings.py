"""Turns settings of nodes, as the file has them, into fields of `NodeSpec`.

A setting may hold expressions. Then its field is filled once these are evaluated, and it is checked like a written one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from nfrun.core.map_spec import DEFAULT_BATCH, FAIL, MapSpec
from nfrun.core.pipeline import NO_RETRY, Retry, has_expression
from nfrun.pipeline_file.yaml.document import Keys, entries
from nfrun.system.units import LONGEST, parse_size, to_seconds

# The settings that may hold expressions; `env` and `files` may, too, and are texts anyway.
WITH_EXPRESSIONS = ("timeout", "retries", "resources", "executor", "cache", "map")

Report = Callable[[Keys, str], object]  # takes the steps from the node to a value, and what is wrong with it


def is_evaluated(value: Any) -> bool:
    """Whether there is no expression in a nested value."""
    if isinstance(value, str):
        return not has_expression(value)
    return all(is_evaluated(item) for _, item in entries(value))


def fields_of(settings: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """Return the fields of a node for these settings, which hold no expressions and match the schema."""
    fields: dict[str, Any] = {}
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
    if "executor" in settings:
        fields["executor"] = settings["executor"]
    if "cache" in settings:
        fields["cache"] = settings["cache"]
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
        if isinstance(most := fields["map"].max_failed, float) and most > 1:
            report(("map", "max_failed"), "'max_failed' is more than 100%")
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
