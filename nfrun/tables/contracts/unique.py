"""Finds the rows that agree with another row in all of some columns."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from nfrun.tables.contracts.columns import plain_column, ticks
from nfrun.tables.contracts.literals import LiteralError
from nfrun.tables.contracts.row_checks import Mask, one_zero


def rows_that_agree(columns: Sequence[pa.ChunkedArray]) -> Mask:
    """Return the rows that agree with another one in all columns. Rows with a null are left out; NaN agrees with NaN.

    Raises LiteralError for columns of lists, structs and maps.
    """
    plain = [one_zero(ticks(plain_column(column))) for column in columns]
    for column in plain:
        if pt.is_nested(column.type):
            raise LiteralError(f"'unique' is not for {column.type}")
    if len(plain) == 1 and is_rising(plain[0]):
        return pa.chunked_array([pa.repeat(False, len(plain[0]))])
    keys = plain[0] if len(plain) == 1 else _numbered(plain)
    if pt.is_null(keys.type):
        return pa.chunked_array([pa.repeat(False, len(keys))])
    counts = pa.table({"key": keys}).group_by("key").aggregate([([], "count_all")])
    several = counts.filter(pc.greater(counts["count_all"], 1))["key"].drop_null()
    return pc.and_(pc.is_valid(keys), pc.is_in(keys, value_set=several))


def is_rising(column: pa.ChunkedArray) -> bool:
    """Return whether each value of a column of whole numbers is greater than the one before: then none is twice."""
    if not pt.is_integer(column.type) or column.null_count:
        return False
    before: pa.Scalar | None = None
    for chunk in column.chunks:
        if not len(chunk):
            continue
        if before is not None and not pc.less(before, chunk[0]).as_py():
            return False
        if not pc.all(pc.less(chunk[:-1], chunk[1:])).as_py() and len(chunk) > 1:
            return False
        before = chunk[-1]
    return True


def _numbered(columns: Sequence[pa.ChunkedArray]) -> pa.ChunkedArray:
    """Return one number a row, the same where the rows agree in all columns, null where one has a null."""
    whole = _codes(columns[0])
    for column in columns[1:]:
        codes = _codes(column)
        count = (pc.max(codes).as_py() or 0) + 1
        # Both numbers are below 2 ** 31, since a dictionary has no more values.
        whole = _codes(pa.chunked_array([pc.add(pc.multiply(whole, count), codes)]))
    return pa.chunked_array([whole])


def _codes(column: pa.ChunkedArray) -> pa.Array:
    """Return the numbers of the values in the order in which they appear."""
    encoded = column.combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):  # texts of more than 2 GB
        encoded = column.cast(pa.large_string() if pt.is_string(column.type) else pa.large_binary()).combine_chunks()
    return encoded.dictionary_encode().indices.cast(pa.int64())
