"""Compares two tables and finds the rows that differ: by their position, or by the values of a key column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from nfrun.core.errors import HandoffError, NotRecorded
from nfrun.core.pipeline import TABLE
from nfrun.core.text import ellipsize
from nfrun.history.journal import FinishedOutput
from nfrun.lookback.reopen.opened_tables import RunTables
from nfrun.lookback.run_diff import Document
from nfrun.tables.python_values import values_of

_MAX_ROWS = 10  # shown of those that changed, are new, and are gone


class KeyColumnError(ValueError):
    """Rows cannot be told apart by this column. The message says why."""


def compare_output(
    before: FinishedOutput | None, after: FinishedOutput | None, runs: Iterable[RunTables], key: str | None
) -> Document | None:
    """Compare the tables of an output, as `Rows` in `run_diff.py` describes it."""
    if before is None or after is None or before.digest == after.digest or TABLE not in (before.type, after.type):
        return None
    if before.type != after.type:
        return {"error": "its rows are not compared: it is a table in one of the runs only"}
    try:
        tables = [run.tables([after.id])[after.id] for run in runs]
        return compare_rows(*tables, key=key, most=_MAX_ROWS)
    except (NotRecorded, HandoffError, KeyColumnError) as error:
        return {"error": f"its rows are not compared: {error}"}


def compare_rows(before: pa.Table, after: pa.Table, *, key: str | None, most: int) -> dict[str, Any]:
    """Compare two tables. `rows` of the result has `most` rows at most of those that changed, are new, and are gone.

    With `key`, rows with the same value in this column are compared; otherwise those at the same position. Raises
    KeyColumnError if a table has no such column, or a value twice in it.
    """
    if key is None:
        common = min(before.num_rows, after.num_rows)
        pairs = before.slice(0, common), after.slice(0, common)
        removed, added = before.slice(common), after.slice(common)
        labels = [pa.array(range(common, common + min(most, table.num_rows))) for table in (removed, added)]
        own: Sequence[Any] = [None, *labels]
    else:
        pairs, removed, added = _by_key(before, after, key)
        own = [table.column(key) for table in (pairs[1], removed, added)]
    differing = _differing(*pairs)
    rows = [
        *_changed_rows(*pairs, differing, own[0], most),
        *((label, values, None) for label, values in _whole_rows(removed, own[1], most)),
        *((label, None, values) for label, values in _whole_rows(added, own[2], most)),
    ]
    return {
        "changed": len(differing),
        "new": added.num_rows,
        "gone": removed.num_rows,
        "rows": [{"row": _plain(label), "before": _plain(old), "after": _plain(new)} for label, old, new in rows],
    }


def _plain(value: object) -> Any:
    """Return a value of a table as a JSON value: what JSON does not have is a text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, float):
        return value if value - value == 0 else str(value)  # NaN and infinity are texts
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _by_key(before: pa.Table, after: pa.Table, key: str) -> tuple[tuple[pa.Table, pa.Table], pa.Table, pa.Table]:
    """Return the rows of both tables that have a partner, in the same order, and those of each that have none."""
    for table, which in ((before, "earlier"), (after, "later")):
        _check_key(table, key, which)
    keys = [_comparable(table.column(key)) for table in (before, after)]
    try:
        partner = pc.index_in(keys[1], value_set=keys[0].combine_chunks())
        is_gone = pc.invert(pc.is_in(keys[0], value_set=keys[1].combine_chunks()))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        types = (
            f"{before.schema.field(key).type} in the earlier run and {after.schema.field(key).type} in the later one"
        )
        raise KeyColumnError(f"the column '{ellipsize(key)}' is no key: it is {types}") from None
    has_partner = pc.is_valid(partner)
    both = before.take(pc.drop_null(partner)), after.filter(has_partner)
    return both, before.filter(is_gone), after.filter(pc.invert(has_partner))


def _check_key(table: pa.Table, key: str, which: str) -> None:
    names = table.schema.names
    if names.count(key) != 1:
        what = (
            f"the table of the {which} run has {'several columns' if key in names else 'no column'} '{ellipsize(key)}'"
        )
        raise KeyColumnError(f"{what}: it has {ellipsize(', '.join(names), 120) or 'none'}")
    column = _comparable(table.column(key))
    try:
        counts = pc.value_counts(column)
    except pa.ArrowNotImplementedError:
        raise KeyColumnError(f"the column '{ellipsize(key)}' is {column.type}, which is no key") from None
    if len(counts) < table.num_rows:
        twice = counts.filter(pc.greater(pc.struct_field(counts, "counts"), 1))[0]["values"]
        what = f"{ellipsize(str(twice))} stands in several rows of the {which} run"
        raise KeyColumnError(f"the column '{ellipsize(key)}' is no key: {what}")


def _differing(before: pa.Table, after: pa.Table) -> pa.Array:
    """Return the positions of the rows that differ in a column that both tables have."""
    mask = None
    for name in _common_columns(before, after):
        column = _column_differs(before.column(name), after.column(name))
        mask = column if mask is None else pc.or_(mask, column)
    return pa.array([], pa.uint64()) if mask is None else pc.indices_nonzero(mask)


def _common_columns(before: pa.Table, after: pa.Table) -> list[str]:
    first, second = before.schema.names, after.schema.names
    return [name for name in dict.fromkeys(first) if first.count(name) == second.count(name) == 1]


def _column_differs(before: pa.ChunkedArray, after: pa.ChunkedArray) -> Any:
    """Return for each row whether the values differ. Nulls are equal to each other, and so are NaNs."""
    before, after = _comparable(before), _comparable(after)
    try:
        differs = pc.not_equal(before, after)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # nested values, or two types that do not compare
        pairs = zip(values_of(before), values_of(after), strict=True)
        return pa.array([one != other and repr(one) != repr(other) for one, other in pairs], pa.bool_())
    if pt.is_floating(before.type) and pt.is_floating(after.type):
        both_nan = pc.and_(pc.is_nan(before), pc.is_nan(after))
        differs = pc.and_not(differs, both_nan)
    return pc.coalesce(differs, pc.xor(pc.is_null(before), pc.is_null(after)))


def _comparable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the column without dictionary or extension type."""
    if isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
    return column.cast(column.type.value_type) if pt.is_dictionary(column.type) else column


def _changed_rows(
    before: pa.Table, after: pa.Table, positions: pa.Array, labels: pa.ChunkedArray | None, most: int
) -> list[tuple[object, dict[str, object], dict[str, object]]]:
    """Return the first rows at these positions, each with its label and the values that differ in both tables."""
    rows = positions.slice(0, most)
    names = _common_columns(before, after)
    old, new = (table.select(names).take(rows) for table in (before, after))
    differs = {name: _column_differs(old.column(name), new.column(name)).to_pylist() for name in names}
    values = [{name: values_of(table.column(name)) for name in names} for table in (old, new)]
    keys = rows.to_pylist() if labels is None else values_of(labels.take(rows))
    old_values, new_values = (
        [{name: side[name][i] for name in names if differs[name][i]} for i in range(len(keys))] for side in values
    )
    return list(zip(keys, old_values, new_values, strict=True))


def _whole_rows(table: pa.Table, labels: Any, most: int) -> list[tuple[object, dict[str, object]]]:
    """Return the first rows of a table, each with its label. Of columns with the same name, the last one counts."""
    head = table.slice(0, most)
    columns = [values_of(column) for column in head.columns]
    keys = values_of(labels.slice(0, most))
    names = head.schema.names
    return [(keys[i], {name: column[i] for name, column in zip(names, columns, strict=True)}) for i in range(len(keys))]
