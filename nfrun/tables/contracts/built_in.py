"""Makes the built-in checks on a table, how many rows fail, which, and why; and compares it with its schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from nfrun.core.contracts import Check
from nfrun.core.text import closest_match, ellipsize, format_count, shortened
from nfrun.system.units import to_seconds
from nfrun.tables.contracts.check_values import reference_of
from nfrun.tables.contracts.column_types import matches
from nfrun.tables.contracts.finding import EVIDENCE_ROWS, Finding
from nfrun.tables.contracts.row_checks import (
    LiteralError,
    Mask,
    null_count,
    null_rows,
    per_second,
    rows_not_in,
    rows_outside,
    rows_that_agree,
    rows_unlike,
    rows_without_match,
    ticks,
)
from nfrun.tables.contracts.type_names import OTHERS, parse_type
from nfrun.tables.plain_arrays import held_type, plain_column

_MOST_LISTED = 8  # columns, in a message


_Others = Mapping[str, pa.Table | None]  # that `references` name, by column


def make_check(check: Check, table: pa.Table, others: _Others, started: float) -> Finding:
    """Make a built-in check. A check that cannot be made, since a column is missing or of another kind, does not hold.

    `others` has the tables that `references` name, by column, None for one that is absent: then no row fails.
    `started` is when the run started, in seconds since 1970.
    """
    try:
        if check.kind == "rows":
            return _rows(check.value, table)
        if check.kind == "fresh":
            return _fresh(check.value, table, started)
        mask = _CHECKS[check.kind](table, check.value, others)
        return rows_found(table, mask)
    except LiteralError as error:
        return Finding(False, reason=str(error))


def rows_found(table: pa.Table, mask: Mask | None) -> Finding:
    """Return the finding for the rows that fail, None if none does."""
    failing = 0 if mask is None else pc.sum(mask).as_py() or 0
    if mask is None or not failing:
        return Finding(True, 0)
    # Not by `take`: it has no kernel for some types, and puts the chunks of texts together first.
    rows = pc.indices_nonzero(mask).slice(0, EVIDENCE_ROWS).to_pylist()
    return Finding(False, failing, pa.concat_tables([table.slice(row, 1) for row in rows]))


def column_of(table: pa.Table, name: str) -> pa.ChunkedArray:
    """Return the column. Raises LiteralError if there is none, or several."""
    count = table.schema.names.count(name)
    if count == 1:
        return table.column(name)
    guess = closest_match(name, table.schema.names)
    there = shortened([ellipsize(other) for other in table.schema.names], _MOST_LISTED) or "none"
    hint = f" (did you mean '{ellipsize(guess)}'?)" if guess else f" (there is {there})"
    raise LiteralError(f"there is no column '{name}'{hint}" if not count else f"there are {count} columns '{name}'")


def _any_of(masks: Sequence[Mask]) -> Mask | None:
    found: Mask | None = None
    for mask in masks:
        found = mask if found is None else pc.or_(found, mask)
    return found


def _each(
    test: Callable[[pa.ChunkedArray, Any], Mask],
) -> Callable[[pa.Table, Mapping[str, Any], _Others], Mask | None]:
    """Return the check that a mapping of columns stands for: a row fails if a value fails in one of them."""

    def make(table: pa.Table, value: Mapping[str, Any], others: _Others) -> Mask | None:
        return _any_of([_named(test, name, table, wanted) for name, wanted in value.items()])

    return make


def _named(test: Callable[[pa.ChunkedArray, Any], Mask], name: str, table: pa.Table, wanted: Any) -> Mask:
    column = column_of(table, name)
    if pt.is_null(held_type(column.type)):  # of a file whose column is empty: nulls fail no check of values
        return pa.chunked_array([pa.repeat(False, len(column))])
    try:
        return test(column, wanted)
    except LiteralError as error:
        raise LiteralError(f"'{name}': {error}") from error


def _not_null(table: pa.Table, value: str | Sequence[str], others: _Others) -> Mask | None:
    columns = [column_of(table, name) for name in names_of(value)]
    return _any_of([null_rows(column) for column in columns if column.null_count or pt.is_dictionary(column.type)])


def _unique(table: pa.Table, value: str | Sequence[str], others: _Others) -> Mask | None:
    columns = [column_of(table, name) for name in names_of(value)]
    return rows_that_agree(columns)


def _references(table: pa.Table, value: Mapping[str, str], others: _Others) -> Mask | None:
    masks = []
    for name, wanted in value.items():
        other = others.get(name)
        if other is None:
            continue
        masks.append(_named(rows_without_match, name, table, column_of(other, reference_of(wanted)[1])))
    return _any_of(masks)


def names_of(value: str | Sequence[str]) -> list[str]:
    """Return the columns of a check that takes one or a list."""
    return [value] if isinstance(value, str) else list(value)


_CHECKS: Mapping[str, Callable[[pa.Table, Any, _Others], Mask | None]] = {
    "not_null": _not_null,
    "unique": _unique,
    "enum": _each(rows_not_in),
    "range": _each(rows_outside),
    "match": _each(rows_unlike),
    "references": _references,
}


def _rows(value: Any, table: pa.Table) -> Finding:
    count = table.num_rows
    least, most = (value, value) if isinstance(value, int) else (value.get("min", 0), value.get("max"))
    if least <= count and (most is None or count <= most):
        return Finding(True)
    side = f"at least {least:,}" if count < least else f"at most {most or 0:,}"
    wanted = f"exactly {least:,}" if least == most else side
    return Finding(False, reason=f"{format_count(count, 'row')}, and not {wanted}")


def _fresh(value: Mapping[str, Any], table: pa.Table, started: float) -> Finding:
    for name, age in value.items():
        column = plain_column(column_of(table, name))
        if pt.is_null(column.type):
            return Finding(False, reason=f"'{name}' has no value")
        if not (pt.is_timestamp(column.type) or pt.is_date(column.type)):
            raise LiteralError(f"'{name}': 'fresh' is for timestamps and dates, and not for {column.type}")
        latest = pc.max(ticks(column)).as_py()
        if latest is None:
            return Finding(False, reason=f"'{name}' has no value")
        seconds = latest / per_second(column.type)
        if started - seconds > to_seconds(age):
            shown = pa.scalar(int(seconds), pa.timestamp("s")).cast(pa.string()).as_py()
            what = f"the latest '{name}' is {shown} (UTC), more than {age} before the start of the run"
            return Finding(False, reason=what)
    return Finding(True)


# ------------------------------------------------------------------ schemas


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
        yield f"'{ellipsize(name)}' has {format_count(count, 'null')} ('{text}?' admits them)"
