"""Takes plain Python values as they are, so that the results of many short calls become one table.

To make a table of one row takes about as long as all that nfrun does otherwise for a call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from nfrun.core.values import frozen
from nfrun.rows.returned import UNNAMED

_MOST_ROWS = 16  # of more rows, a table is made at once
_MOST = 1 << 63


@frozen
class PlainRows:
    """The new columns of some rows, one row for each: the name and the type of each column, and its values."""

    kinds: tuple[tuple[str, type], ...]
    columns: tuple[Sequence[Any], ...]

    @property
    def nbytes(self) -> int:
        """About how many bytes the values take in a table."""
        return sum(
            sum(map(len, values)) if kind in (str, bytes) else 8 * len(values)
            for (_, kind), values in zip(self.kinds, self.columns, strict=True)
        )


def plain_rows(value: Any, rows: int) -> PlainRows | None:
    """Return what a row-wise function returned for a few rows, if it is plain: then it makes columns of these types.

    Plain are a mapping of columns, a list of mappings and a list of values, in which all values of a column have one
    type: text, bytes, a number or a bool. None for all else, right or wrong.
    """
    columns = _columns(value, rows)
    if not columns:
        return None
    for name, values in columns.items():
        if type(name) is not str or type(values) not in (list, tuple) or len(values) != rows:
            return None
        kind = type(values[0])
        is_plain = _PLAIN.get(kind)
        if is_plain is None or not all(type(each) is kind and is_plain(each) for each in values):
            return None
    kinds = tuple([(name, type(values[0])) for name, values in columns.items()])
    return PlainRows(kinds, tuple([(*values,) for values in columns.values()]))


def together(found: Sequence[PlainRows]) -> pa.Table:
    """Return a table of rows with the same columns."""
    columns = [[each for plain in found for each in plain.columns[i]] for i in range(len(found[0].kinds))]
    return pa.table({name: pa.array(values) for (name, _), values in zip(found[0].kinds, columns, strict=True)})


def _columns(value: Any, rows: int) -> Mapping[Any, Any] | None:
    """Return the columns of what a function returned, None if they are not plain."""
    if not 0 < rows <= _MOST_ROWS:
        return None
    if type(value) is dict:
        return value
    if type(value) is not list or len(value) != rows:
        return None
    if type(value[0]) is not dict:
        return {UNNAMED: value}
    names = [*value[0]]
    if not all(type(row) is dict and [*row] == names for row in value):
        return None
    return {name: [row[name] for row in value] for name in names}


def _is_text(value: str) -> bool:
    """Return whether the text has a form in UTF-8."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


# By type: whether Arrow takes the value.
_PLAIN: Mapping[type, Callable[[Any], bool]] = {
    str: _is_text,
    int: lambda value: -_MOST <= value < _MOST,
    float: lambda value: True,
    bool: lambda value: True,
    bytes: lambda value: True,
}
