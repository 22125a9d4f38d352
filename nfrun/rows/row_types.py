"""Tells rows apart whose values have different types, so that what is kept of a row does not depend on the others.

A list of Python values gets a type that holds them all: with 2.5 beside it, 1 is kept as a double. The next run may
find that 1 again without the 2.5. So rows with values of different types are kept apart, with types of their own. When
the result is put together, its columns get types for all of them.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pyarrow as pa

_PLAIN = frozenset({type(None), bool, int, float, str, bytes})  # Arrow's type follows from that of the value


def rows_by_type(value: Any, *, explode: bool) -> list[list[int]]:
    """Return the indices of the rows by the types of their values, in the order of the first row of each.

    `value` is what a function returned for several rows. Empty if all rows have the same types, or if the function has
    given Arrow's or numpy's types. Raises `ArrowException` for values that Arrow has no type for.
    """
    kinds = _kinds(value, explode)
    if kinds is None or len(set(kinds)) < 2:
        return []
    groups: dict[Hashable, list[int]] = {}
    for i, kind in enumerate(kinds):
        groups.setdefault(kind, []).append(i)
    return [*groups.values()]


def only_rows(value: Any, rows: Sequence[int]) -> Any:
    """Return what a function returned for some of its rows. `value` is a mapping of columns, or a list of rows."""
    if not isinstance(value, Mapping):
        found = [value[i] for i in rows]
        return [None if isinstance(row, Mapping) and not row else row for row in found]
    columns = {}
    for name, values in value.items():
        is_list = isinstance(values, list | tuple | range)
        columns[name] = [values[i] for i in rows] if is_list else pa.array(values).take(pa.array(rows))
    return columns


def _kinds(value: Any, explode: bool) -> Sequence[Hashable] | None:
    """Return the types of the values of each row, None if they are the same for all rows."""
    if isinstance(value, Mapping):
        found = [kinds for values in value.values() if (kinds := _kinds_of(values)) is not None]
        return [*zip(*found, strict=True)] if found and len({*map(len, found)}) == 1 else None
    if not isinstance(value, list | tuple):
        return None
    if explode:
        return [_kind(row) if row else None for row in value]  # a row without new rows gives no columns
    if any(isinstance(row, Mapping) for row in value):
        if any(row is not None and not isinstance(row, Mapping) for row in value):
            return None  # an error
        return [_mapping_kind(row or {}) for row in value]
    return _kinds_of(value)


def _kinds_of(values: Any) -> Sequence[Hashable] | None:
    if not isinstance(values, list | tuple):
        return None
    types = {*map(type, values)}
    if len(types) < 2 and types <= _PLAIN:
        return None
    return [_kind(each) for each in values]


def _mapping_kind(row: Mapping[Any, Any]) -> tuple[Hashable, ...]:
    return tuple((str(name), _kind(value)) for name, value in row.items())


def _kind(value: Any) -> Any:
    """Return what the type that Arrow gives to one value depends on."""
    kind: Any = type(value)
    return kind if kind in _PLAIN else str(pa.infer_type([value]))
