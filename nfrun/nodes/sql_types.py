"""Gives the result of a query types of Arrow that hold its values: DuckDB has some that Arrow lacks."""

from __future__ import annotations

import re
from typing import Any

from nfrun.nodes.base import NodeError

# What DuckDB would hand on as its own bytes, or as another number or time.
_CAST = {
    "BIT": "VARCHAR",
    "BIGNUM": "VARCHAR",
    "VARIANT": "VARCHAR",
    "TIME WITH TIME ZONE": "VARCHAR",
    "UHUGEINT": "HUGEINT",
}
# A type, also inside of another one, and no name of a field, which has a blank or a quote behind it.
_CAST_IN = re.compile(rf"\b({'|'.join(_CAST)})(?=[\[\]),]|$)")
_HUGE_IN = re.compile(r"\bU?HUGEINT(?=[\[\]),]|$)")


def arrow_table(result: Any) -> Any:
    """Return the table of a relation of DuckDB. Raises NodeError, `duckdb.Error`.

    Whole numbers of 128 bits, such as those of `sum`, are int64 if all of their column fit, otherwise decimals of 38
    digits.
    """
    names, types = result.columns, [str(type_) for type_ in result.types]
    wanted = [_CAST_IN.sub(lambda found: _CAST[found[1]], type_) for type_ in types]
    if wanted != types:
        pairs = enumerate(zip(wanted, types, strict=True), 1)
        columns = ", ".join([f"#{i}" if new == old else f"#{i}::{new}" for i, (new, old) in pairs])
        table = result.project(columns).to_arrow_table().rename_columns(names)
    else:
        table = result.to_arrow_table()
    for i, type_ in enumerate(types):
        if _HUGE_IN.search(type_) and "DECIMAL(38,0)" not in type_:  # which is the same in Arrow
            table = table.set_column(i, names[i], _narrowed(names[i], table.column(i)))
    return table


def _narrowed(name: str, column: Any) -> Any:
    import pyarrow as pa

    try:
        return column.cast(_with_int64(column.type))
    except pa.ArrowInvalid:  # a value is too large
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            what = f"the column '{name}' has a whole number of more than 38 digits, which tables do not have"
            raise NodeError(what, f'make texts of them: "{name}"::varchar') from None
        return column


def _with_int64(kind: Any) -> Any:
    """Return the type of a column of DuckDB's with int64 in place of whole numbers of 128 bits."""
    import pyarrow as pa
    import pyarrow.types as pt

    from nfrun.tables.plain_arrays import with_inner_types

    def narrow(kind: Any) -> Any:
        if pt.is_map(kind):
            return pa.map_(_with_int64(kind.key_type), _with_int64(kind.item_type))
        return pa.int64() if kind == pa.decimal128(38, 0) else kind

    return with_inner_types(kind, narrow)
