"""Compares a table with the schema of its output in the pipeline file: names and types of columns, and nulls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa

from nfrun.contracts.column_types import matches
from nfrun.contracts.columns import null_count
from nfrun.contracts.type_names import OTHERS, parse_type
from nfrun.core.text import closest_match, ellipsize


def schema_problems(schema: Mapping[str, str], table: pa.Table) -> Iterator[str]:
    """Yield what in a table is against the schema, one text for each column. The types must be valid."""
    names = table.schema.names
    known = [name for name in schema if name != OTHERS]
    for name in known:
        count = names.count(name)
        if count == 0:
            guess = closest_match(name, [other for other in names if other not in known])
            yield f"there is no column '{ellipsize(name)}'" + (f" (but '{ellipsize(guess)}')" if guess else "")
        elif count > 1:
            yield f"there are {count} columns '{ellipsize(name)}'"
        else:
            yield from _column_problems(name, schema[name].strip(), table.column(name))
    if OTHERS not in schema:
        for name in dict.fromkeys(names):
            if name not in known:
                yield f"the column '{ellipsize(name)}' is not in the schema"


def _column_problems(name: str, text: str, column: pa.ChunkedArray) -> Iterator[str]:
    type_, nullable = parse_type(text)
    if not matches(type_, column.type):
        yield f"'{ellipsize(name)}' is {ellipsize(str(column.type))} and not {text.removesuffix('?')}"
    elif not nullable and (nulls := null_count(column)):
        yield f"'{ellipsize(name)}' has {nulls:,} null{'' if nulls == 1 else 's'} ('{text}?' admits them)"
