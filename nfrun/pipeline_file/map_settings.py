"""Turns what a node has under `map` into a `MapSpec`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nfrun.core.map_spec import DEFAULT_BATCH, FAIL, MapSpec
from nfrun.core.pipeline import has_expression

# The entries that decide which outputs there are, and with what the function is called. They are no expressions.
FIXED = ("over", "on_error", "explode")
_IN_PLACE = {"batch": DEFAULT_BATCH, "parts": 1}  # until the expressions are evaluated


def map_of(value: str | Mapping[str, Any]) -> MapSpec:
    """Return the map for what a node has under `map`, which matches the schema and holds no expressions."""
    if isinstance(value, str):
        return MapSpec(value)
    by, parts, keep = _names(value.get("by", ())), value.get("parts", 0), value.get("keep")
    return MapSpec(
        over=value["over"],
        batch=value.get("batch", 0 if by or parts else DEFAULT_BATCH),
        by=by,
        parts=parts,
        keep=None if keep is None else _names(keep),
        explode=value.get("explode", False),
        on_error=value.get("on_error", FAIL),
        max_failed=_amount(value.get("max_failed", "10%")),
        reuse=value.get("reuse", True),
    )


def unbound_map(value: str | Mapping[str, Any]) -> MapSpec:
    """Return the map with other values in the place of those whose expressions are not evaluated yet."""
    if isinstance(value, str):
        return MapSpec(value)
    known = {key: item for key, item in value.items() if key in ("over", "by") or not is_unbound(item)}
    return map_of({**{key: item for key, item in _IN_PLACE.items() if key in value}, **known})


def is_unbound(value: Any) -> bool:
    """Whether there is an expression in an entry."""
    return any(map(is_unbound, value)) if isinstance(value, list) else isinstance(value, str) and has_expression(value)


def _names(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _amount(value: int | str) -> int | float:
    """Return a number of rows as it is, and a percentage as a share."""
    return value if isinstance(value, int) else float(value.strip().rstrip("% ")) / 100
