"""Turns values into the objects of journal lines, and these back into the fields of values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nfrun.core.values import fields, values_of

# JSON keys that differ from the field names. They stay, so that existing journals remain readable.
_JSON_KEYS = {"key_inputs": "parts", "duration": "took", "schema_digest": "traits", "cell": "matrix"}


class LineFields:
    """The fields of a class of values that a line has, by their JSON keys, but for those that are `left_out`."""

    def __init__(self, cls: type[Any], *left_out: str) -> None:
        names = [each.name for each in fields(cls) if each.name not in left_out]
        self._names = {_JSON_KEYS.get(name, name): name for name in names}
        self._values = values_of(*names)

    def as_json(self, value: Any) -> dict[str, Any]:
        """Return the fields by their JSON keys. Not `asdict`: it copies all values, which takes ten times as long."""
        return dict(zip(self._names, self._values(value), strict=True))

    def of_line(self, line: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of a line by the names of their fields, without those that a newer nfrun has added."""
        names = self._names
        return {names[key]: value for key, value in line.items() if key in names}
