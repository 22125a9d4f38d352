"""Makes a table of a function's results for the rows of a piece: one row for each, or with `explode`, several."""

from __future__ import annotations

import re
import sys
from array import array
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

import pyarrow as pa

from nfrun.core.values import frozen
from nfrun.tables.stored_form import frozen as frozen_table

UNNAMED = ""  # the name of a column that the function does not name: it gets that of the node
_PLAIN = frozenset({type(None), bool, int, float, str, bytes})  # Arrow's type follows from that of the value
_MOST_ROWS = 16  # of more rows, a table is made at once


class ReturnedError(Exception):
    """The function returned a value that does not fit its rows. `details` says what to do."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class WrongLength(ReturnedError):
    """The function returned another number of values than there are rows, whichever rows these are."""


@frozen
class Computed:
    """The new columns of some rows. `counts` has how many rows of `table` each one gives; None: one each."""

    table: pa.Table
    counts: tuple[int, ...] | None = None

    @property
    def nbytes(self) -> int:
        """The bytes of the values."""
        return int(self.table.nbytes)


def computed_by_type(value: Any, rows: int, *, explode: bool = False) -> list[tuple[list[int], Computed]]:
    """Return the new columns as `computed_rows` does, in parts: the indices of rows whose values have the same types.

    An empty list of indices stands for all rows. Raises ReturnedError.
    """
    if explode and isinstance(value, list | tuple):
        value = [_new_rows(each) for each in value]
    groups: dict[Hashable, list[int]] = {}
    if rows > 1 and _has_rows(value, rows):
        with suppress(pa.ArrowException, TypeError, ValueError, OverflowError):  # `computed_rows` tells it
            for i, kind in enumerate(_kinds(value, explode) or ()):
                groups.setdefault(kind, []).append(i)
    if len(groups) < 2:
        return [([], computed_rows(value, rows, explode=explode))]
    return [(group, computed_rows(only_rows(value, group), len(group), explode=explode)) for group in groups.values()]


def computed_rows(value: Any, rows: int, *, explode: bool = False) -> Computed:
    """Return the new columns that a row-wise function returned for some rows. That of a bare array is UNNAMED.

    Takes a mapping of columns, a list of mappings, an array or list of values, an array of two dimensions, and a table
    of any library. With `explode`, takes a list with a list of values or of mappings for each row.

    Raises ReturnedError.
    """
    try:
        if not explode:
            table = _columns(value, rows)
            return Computed(frozen_table(table))
        items, counts = _exploded(value, rows)
        return Computed(frozen_table(_columns(items, sum(counts))), tuple(counts))
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        why = re.sub(r" at 0x[0-9a-f]+", "", str(error))  # another one in each run
        raise ReturnedError(f"the function returned {_a(value)} that does not make columns: {why}") from None


def _has_rows(value: Any, rows: int) -> bool:
    """Return whether lists that a function returned have as many values as there are rows."""
    lists = value.values() if isinstance(value, Mapping) else [value]
    return all(len(values) == rows for values in lists if isinstance(values, list | tuple))


def _columns(value: Any, rows: int) -> pa.Table:
    if isinstance(value, Mapping):
        _check_names(value)
        return _table({str(name): _array(values, rows, str(name)) for name, values in value.items()}, rows)
    if isinstance(value, pa.Table | pa.RecordBatch) or _is_frame(value):
        table = _frame_table(value)
        _check_length(table.num_rows, rows, "row")
        return table
    if isinstance(value, list | tuple) and any(isinstance(row, Mapping) for row in value):
        return _mappings(value, rows)
    if isinstance(value, list | tuple) and not value and not rows:
        return pa.table({})
    return _table({UNNAMED: _array(value, rows, "")}, rows)


def _mappings(value: Sequence[Any], rows: int) -> pa.Table:
    _check_length(len(value), rows, "mapping")
    for row in value:
        if row is not None and not isinstance(row, Mapping):
            what = f"the function returned a mapping for one row and {_a(row)} for another"
            raise ReturnedError(what, "return a mapping for each row, or None for a row of nulls")
    found = [row or {} for row in value]
    names = dict.fromkeys(key for row in found for key in row)
    _check_names(names)
    return _table({str(name): _array([row.get(name) for row in found], rows, str(name)) for name in names}, rows)


def _array(value: Any, rows: int, column: str) -> pa.Array | pa.ChunkedArray:
    """Return the values of a column. An array of two dimensions becomes one of lists of a fixed size."""
    where = f" for the column '{column}'" if column else ""
    if isinstance(value, pa.Array | pa.ChunkedArray):
        found = value
    elif getattr(value, "ndim", 1) != 1:
        found = _matrix(value, where)
    elif hasattr(value, "__arrow_c_stream__"):
        found = pa.chunked_array(value)
    elif isinstance(value, list | tuple | range) or hasattr(value, "__array__") or hasattr(value, "__arrow_c_array__"):
        found = pa.array(value)
    else:
        raise ReturnedError(f"the function returned {_a(value)}{where}", _each(rows))
    _check_length(len(found), rows, "value", where)
    return found


def _matrix(value: Any, where: str) -> pa.Array:
    shape = tuple(value.shape)
    if len(shape) != 2:
        what = f"the function returned an array of {len(shape)} dimensions{where}"
        raise ReturnedError(what, "return one of two dimensions, or a list with one value for each row")
    flat = sys.modules["numpy"].ascontiguousarray(value).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), shape[1]) if shape[1] else pa.array([[]] * shape[0])


def _exploded(value: Any, rows: int) -> tuple[Any, list[int]]:
    """Return the values of all rows behind one another, and how many each row has."""
    if not isinstance(value, list | tuple):
        hint = f"'explode' needs a list with a list of new rows for each of the {rows} rows"
        raise ReturnedError(f"the function returned {_a(value)}", hint)
    _check_length(len(value), rows, "list")
    lists = [_new_rows(each) for each in value]
    return list(chain.from_iterable(lists)), [len(each) for each in lists]


def _new_rows(value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    if isinstance(value, list | tuple):
        return value
    what = f"the function returned {_a(value)} for a row"
    raise ReturnedError(what, "'explode' needs a list of new rows for each row: values or mappings")


def _table(columns: Mapping[str, pa.Array | pa.ChunkedArray], rows: int) -> pa.Table:
    if not columns and rows:
        raise ReturnedError("the function returned no columns", "return a value or a mapping for each row")
    return pa.table(dict(columns))


def _check_names(names: Iterable[Any]) -> None:
    if UNNAMED in names:
        raise ReturnedError("the function returned a column whose name is empty", "give it a name")


def _check_length(found: int, rows: int, what: str, where: str = "") -> None:
    if found != rows:
        given = f"{found:,} {what}{'s' * (found != 1)}{where} for {rows:,} row{'s' * (rows != 1)}"
        raise WrongLength(f"the function returned {given}", _each(rows))


def _each(rows: int) -> str:
    return "return one value for each row" if rows == 1 else f"return one value for each of the {rows:,} rows"


def _frame_table(value: Any) -> pa.Table:
    if isinstance(value, getattr(sys.modules.get("pandas"), "DataFrame", ())):
        return pa.Table.from_pandas(value, preserve_index=False)
    return pa.table(value) if not isinstance(value, pa.Table) else value


def _is_frame(value: Any) -> bool:
    return hasattr(value, "__arrow_c_stream__") and hasattr(value, "columns")


def _a(value: Any) -> str:
    """Return the name of the type of a value, with its article."""
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[:1].lower() in 'aeio' else 'a'} {name}"


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
    columns = _plain_columns(value, rows)
    if not columns:
        return None
    for name, values in columns.items():
        if type(name) is not str or type(values) not in (list, tuple) or len(values) != rows:
            return None
        kind = type(values[0])
        if kind not in _PLAIN or kind is type(None) or not all(type(each) is kind for each in values):
            return None
        try:  # Arrow takes neither text without a form in UTF-8 nor longer integers
            if kind is str:
                "".join(values).encode()
            elif kind is int:
                array("q", values)
        except (UnicodeEncodeError, OverflowError):
            return None
    kinds = tuple([(name, type(values[0])) for name, values in columns.items()])
    return PlainRows(kinds, tuple([(*values,) for values in columns.values()]))


def together(found: Sequence[PlainRows]) -> pa.Table:
    """Return a table of rows with the same columns."""
    columns = [[each for plain in found for each in plain.columns[i]] for i in range(len(found[0].kinds))]
    return pa.table({name: pa.array(values) for (name, _), values in zip(found[0].kinds, columns, strict=True)})


def _plain_columns(value: Any, rows: int) -> Mapping[Any, Any] | None:
    """Return the columns of a function's result, None if they are not plain."""
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
