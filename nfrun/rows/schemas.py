"""Finds the columns that the results of several calls have together."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import pyarrow as pa
import pyarrow.types as pt

from nfrun.tables.formats import FormatError


class Conflict(Exception):
    """Two results have different types in one column. `one` and `other` are the indices of their schemas."""

    def __init__(self, what: str, one: int, other: int) -> None:
        super().__init__(what)
        self.one, self.other = one, other


def common_schema(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """Return all columns, in the order of their first appearance, with types that hold the values of each schema.

    A call may have given integers where another gave floats, or nothing but nulls: Python's values have no type, so
    they get that of a column with all of them. Raises Conflict if there is none.
    """
    fields: dict[str, pa.Field] = {}
    first: dict[str, int] = {}
    has_all = True
    for i, schema in enumerate(schemas):
        if i and schema.equals(schemas[i - 1]):
            continue
        has_all = has_all and (not i or fields.keys() == set(schema.names))
        for field in schema:
            known = fields.get(field.name)
            if known is None:
                fields[field.name], first[field.name] = field, i
                continue
            kind = common_type(known.type, field.type)
            if kind is None:
                what = f"'{field.name}' is {known.type} in the one and {field.type} in the other"
                raise Conflict(what, first[field.name], i)
            if pt.is_null(known.type) and not pt.is_null(kind):
                first[field.name] = i
            fields[field.name] = known.with_type(kind).with_nullable(known.nullable or field.nullable)
    metadata = schemas[0].metadata if schemas else None
    same = all(schema.metadata == metadata for schema in schemas)
    found = fields.values() if has_all else [field.with_nullable(True) for field in fields.values()]
    return pa.schema(list(found), metadata if same else None)


def common_type(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Return a type for the values of both types, None if there is none."""
    if one.equals(other):
        return one
    if pt.is_null(one) or pt.is_null(other):
        return other if pt.is_null(one) else one
    if pt.is_dictionary(one) and pt.is_dictionary(other) and one.ordered == other.ordered:
        index, value = (common_type(getattr(one, part), getattr(other, part)) for part in ("index_type", "value_type"))
        return None if value is None else pa.dictionary(index, value, one.ordered)
    if pt.is_dictionary(one) or pt.is_dictionary(other):
        return common_type(*(kind.value_type if pt.is_dictionary(kind) else kind for kind in (one, other)))
    if any(is_one(one) and is_one(other) for is_one in (_is_number, _is_nested, _is_text, pt.is_decimal)):
        try:
            fields = [pa.schema([pa.field("", kind)]) for kind in (one, other)]
            return pa.unify_schemas(fields, promote_options="permissive").field(0).type
        except (pa.ArrowTypeError, pa.ArrowInvalid):
            return None
    return None


def as_schema(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the table with the columns of a schema, and nulls for those that it lacks. Raises FormatError."""
    if table.schema.equals(schema):
        return table
    columns = []
    for field in schema:
        place = table.schema.get_field_index(field.name)
        if place < 0:
            columns.append(pa.chunked_array([pa.nulls(table.num_rows, field.type)], field.type))
            continue
        try:
            columns.append(table.column(place).cast(field.type))
        except pa.ArrowException as error:
            kind = table.schema.field(place).type
            raise FormatError(
                f"the values of '{field.name}' are {kind}, and do not fit {field.type}: {error}"
            ) from None
    return pa.Table.from_arrays(columns, schema=schema)


def without_dictionaries(schema: pa.Schema) -> pa.Schema:
    """Return the schema with the types of values in place of dictionaries, but for ordered ones."""
    return pa.schema([_decoded(field) for field in schema], schema.metadata)


def with_dictionaries(reader: pa.RecordBatchReader, encoded: pa.Schema) -> pa.RecordBatchReader:
    """Return the rows with the dictionaries that `encoded` has, if any: one a column, in the order of the values.

    So it does not depend on the calls. Reads all rows then.
    """
    fields = [field for field in encoded if not field.equals(_decoded(field))]
    if not fields:
        return reader
    table = pa.Table.from_batches([*reader], reader.schema)
    for field in fields:
        place = table.schema.get_field_index(field.name)
        column = table.column(place).dictionary_encode().unify_dictionaries()
        with suppress(pa.ArrowInvalid):  # more values than the type of the indices holds
            column = column.cast(field.type)
        table = table.set_column(place, field.with_type(column.type), column)
    return table.to_reader()


def _decoded(field: pa.Field) -> pa.Field:
    kind = field.type
    return field.with_type(kind.value_type) if pt.is_dictionary(kind) and not kind.ordered else field


def _is_number(kind: pa.DataType) -> bool:
    return bool(pt.is_integer(kind) or pt.is_floating(kind))


def _is_nested(kind: pa.DataType) -> bool:
    return bool(pt.is_list(kind) or pt.is_struct(kind) or pt.is_large_list(kind))


def _is_text(kind: pa.DataType) -> bool:
    return kind in (pa.string(), pa.large_string(), pa.string_view())
