"""Compares a table with the schema of its output in the pipeline file: names and types of columns, and nulls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pyarrow as pa

from nfrun.core.text import closest_match, ellipsize
from nfrun.tables.contracts.column_types import matches
from nfrun.tables.contracts.columns import null_count
from nfrun.tables.contracts.type_names import OTHERS, parse_type


def schema_problems(schema: Mapping[str, str], table: pa.Table) -> Iterator[str]:
    """Yield what in a table is against the schema, one text for each column. The types must be valid.

    A column without rows may have the type null, whatever the schema says: what is made of no values has no other.
    """
    if not table.num_rows:
        untyped = {column.name for column in table.schema if pa.types.is_null(column.type)}
        schema = {name: "any" if name in untyped else text for name, text in schema.items()}
    return problems_of_columns(schema, table.schema, lambda name: null_count(table.column(name)))


def columns_without_nulls(schema: Mapping[str, str]) -> list[str]:
    """Return the columns of a schema that have no nulls."""
    return [name for name, text in schema.items() if name != OTHERS and not parse_type(text)[1]]


def problems_of_columns(schema: Mapping[str, str], columns: pa.Schema, nulls: Callable[[str], int]) -> Iterator[str]:
    """Yield the same of a table with these `columns`. `nulls` returns how many a column has that shall have none."""
    names = columns.names
    known = [name for name in schema if name != OTHERS]
    for name in known:
        count = names.count(name)
        if count == 0:
            guess = closest_match(name, [other for other in names if other not in known])
            yield f"there is no column '{ellipsize(name)}'" + (f" (but '{ellipsize(guess)}')" if guess else "")
        elif count > 1:
            yield f"there are {count} columns '{ellipsize(name)}'"
        else:
            yield from _column_problems(name, schema[name].strip(), columns.field(name).type, nulls)
    if OTHERS not in schema:
        for name in dict.fromkeys(names):
            if name not in known:
                yield f"the column '{ellipsize(name)}' is not in the schema"


def _column_problems(name: str, text: str, type_: pa.DataType, nulls: Callable[[str], int]) -> Iterator[str]:
    wanted, nullable = parse_type(text)
    if not matches(wanted, type_):
        yield f"'{ellipsize(name)}' is {ellipsize(str(type_))} and not {text.removesuffix('?')}"
    elif not nullable and (count := nulls(name)):
        yield f"'{ellipsize(name)}' has {count:,} null{'' if count == 1 else 's'} ('{text}?' admits them)"
