"""Asks DuckDB what Arrow answers slower: are the keys of a long table unique, or there.

Only a yes counts. After a no, or where DuckDB cannot tell, Arrow finds the rows, so that the answers are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import pyarrow as pa
import pyarrow.types as pt

from nfrun.tables.contracts.columns import plain_column, ticks
from nfrun.tables.contracts.literals import LiteralError
from nfrun.tables.contracts.row_checks import comparable, one_zero
from nfrun.tables.contracts.unique import is_rising

LARGE = 1_000_000  # rows
# Asks DuckDB whether a query over tables, given by name, gives no row; False if that is not known.
GivesNothing: TypeAlias = "Callable[[str, Mapping[str, pa.Table]], bool]"


def unknown(query: str, tables: Mapping[str, pa.Table]) -> bool:
    """Return False: there is no DuckDB to ask."""
    return False


def none_agree(columns: Sequence[pa.ChunkedArray], gives_nothing: GivesNothing, large: int = LARGE) -> bool:
    """Return whether no two rows agree in all columns, as far as that is known; False if it is not."""
    if len(columns[0]) < large:
        return False
    plain = [one_zero(ticks(plain_column(column))) for column in columns]
    if not all(_is_exact(column.type) for column in plain):
        return False
    if any(is_rising(column) for column in plain):
        return True
    names = [f"c{i}" for i in range(len(plain))]
    there = " and ".join(f"{name} is not null" for name in names)
    query = f"select 1 from this where {there} group by {', '.join(names)} having count(*) > 1 limit 1"
    return gives_nothing(query, {"this": pa.table(plain, names)})


def none_lacks_match(
    column: pa.ChunkedArray, other: pa.ChunkedArray, gives_nothing: GivesNothing, large: int = LARGE
) -> bool:
    """Return whether each value is null or in the other column, as far as that is known; False if it is not."""
    if len(column) + len(other) < large:
        return False
    try:
        mine, others = comparable(plain_column(column), plain_column(other))
    except LiteralError:
        return False
    mine, others = ticks(mine), ticks(others)
    if not _is_exact(mine.type):
        return False
    query = "select 1 from this anti join other using (c) where c is not null limit 1"
    return gives_nothing(query, {"this": pa.table([mine], ["c"]), "other": pa.table([others], ["c"])})


def _is_exact(type_: pa.DataType) -> bool:
    """Return whether DuckDB has a type for these values that keeps each of them as it is."""
    return bool(
        pt.is_integer(type_)
        or pt.is_float32(type_)
        or pt.is_float64(type_)
        or pt.is_boolean(type_)
        or pt.is_string(type_)
        or pt.is_large_string(type_)
    )
