"""Makes the table with the failed rows of a node that collects them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from nfrun.core.values import frozen
from nfrun.rows.take import take

_COLUMNS = {"error": pa.string(), "message": pa.string(), "attempts": pa.int64()}


@frozen
class CallError:
    """Why a call failed: the type of the error, its message, and how many attempts there were."""

    error: str
    message: str
    attempts: int


def failed_rows(given: pa.Table, failed: Mapping[int, CallError]) -> pa.Table:
    """Return a row for each failed row: its values in `given`, and why its call failed.

    `failed` has the numbers of the rows. A column of `given` that is named like one of those with the reasons gives
    way.
    """
    numbers = sorted(failed)
    kept = take(given.select(_others(given)), pa.array(numbers, pa.int64()))
    return _with_reasons(kept, [failed[number] for number in numbers])


def failed_slices(slices: Iterable[tuple[int, int, CallError]]) -> pa.Table:
    """Return a row for each failed piece: the number of its first row, from 1, how many rows it has, and why."""
    found = sorted(slices, key=lambda each: each[:2])
    columns = {"row": [row for row, _, _ in found], "rows": [rows for _, rows, _ in found]}
    table = pa.table(columns, schema=pa.schema({name: pa.int64() for name in columns}))
    return _with_reasons(table, [call for _, _, call in found])


def _others(given: pa.Table) -> list[str]:
    return [name for name in given.schema.names if name not in _COLUMNS]


def _with_reasons(table: pa.Table, calls: Sequence[CallError]) -> pa.Table:
    for name, kind in _COLUMNS.items():
        table = table.append_column(pa.field(name, kind), pa.array([getattr(call, name) for call in calls], kind))
    return table
