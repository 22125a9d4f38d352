"""Turns settings of nodes, as the file has them, into fields of `NodeSpec`.

A setting may hold expressions. Then its field is filled once these are evaluated, and it is checked like a written one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from nfrun.core.map_spec import MapSpec
from nfrun.core.pipeline import NO_RETRY, Retry, has_expression
from nfrun.pipeline_file.map_settings import map_of
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
        fields["retry"] = _retry(settings["retries"], report)
    if "executor" in settings:
        fields["executor"] = settings["executor"]
    if "cache" in settings:
        fields["cache"] = settings["cache"]
    if "resources" in settings:
        fields |= _resources(settings["resources"], report)
    if "map" in settings:
        fields["map"] = _map(settings["map"], report)
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


def _resources(given: Mapping[str, Any], report: Report) -> dict[str, Any]:
    amounts: dict[str, float] = {}
    for name, value in given.items():
        amount = float(parse_size(value) if isinstance(value, str) else value)
        if not math.isfinite(amount):
            report(("resources", name), f"'{name}' must be a number or a size, not {amount}")
        elif name != "cpu" and amount:
            amounts[name] = amount
    return {"cpu": float(given.get("cpu", 1.0)), "amounts": amounts}


def _map(given: str | Mapping[str, Any], report: Report) -> MapSpec:
    found = map_of(given)
    if isinstance(found.max_failed, float) and found.max_failed > 1:
        report(("map", "max_failed"), "'max_failed' is more than 100%")
    return found


def _seconds(path: Keys, value: str | float, report: Report) -> float:
    """Convert a duration to seconds. Rejects one longer than a year."""
    found = to_seconds(value)
    if found > LONGEST:
        report(path, f"'{path[-1]}' is longer than a year")
    return found


def _retry(value: Any, report: Report) -> Retry:
    if not isinstance(value, dict):
        return Retry(max=int(value)) if value else NO_RETRY
    settings: dict[str, Any] = {"max": int(value["max"])}
    for key, setting in value.items():
        if key.endswith("delay"):
            settings[key] = _seconds(("retries", key), setting, report)
        elif key != "max":
            settings[key] = float(setting)
    return Retry(**settings)
