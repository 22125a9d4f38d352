"""Compares the types of Arrow columns with those that pipeline files name, and makes Arrow types of the names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

import pyarrow as pa
import pyarrow.types as pt

from nfrun.tables.contracts.type_names import DECIMALS, OTHERS, TypeName, parse_type
from nfrun.tables.json_values import is_bytes
from nfrun.tables.plain_arrays import held_type, is_list, is_text

# Names of UTC. `Etc/` may stand in front.
_UTC = ("UTC", "Z", "ZULU", "UCT", "UNIVERSAL", "GMT", "GREENWICH", "+00:00", "-00:00", "+0000", "+00")

_FAMILIES: dict[str, Callable[[pa.DataType], bool]] = {
    "integer": pt.is_integer,
    "number": lambda type_: pt.is_integer(type_) or pt.is_floating(type_) or pt.is_decimal(type_),
    "string": lambda type_: is_text(type_) or pt.is_string_view(type_),
    "boolean": pt.is_boolean,
    "date": pt.is_date,
    "timestamp": pt.is_timestamp,
    "binary": is_bytes,
    "list": is_list,
    "struct": pt.is_struct,
    "any": lambda type_: True,
}
# What a family is where text is read.
_READ_AS = {
    "integer": "int64", "number": "double", "boolean": "bool", "date": "date32", "timestamp": "timestamp[us]",
}  # fmt: skip


def matches(name: TypeName, type_: pa.DataType) -> bool:
    """Return whether a column of an Arrow type has the type of this name.

    A family takes every encoding: dictionaries, runs and extension types count as what they hold. Types inside a list,
    a struct, a map or a dictionary are compared alike.
    """
    if name.is_family:
        return _FAMILIES[name.name](held_type(type_))
    if isinstance(type_, pa.BaseExtensionType):
        type_ = type_.storage_type
    if pt.is_timestamp(type_) and name.name == "timestamp" and len(name.arguments) == 2:
        unit, zone = name.arguments
        return type_.unit == unit and type_.tz is not None and is_same_zone(type_.tz, str(zone))
    if not name.inner:
        return bool(type_.equals(arrow_type(name)))
    if name.name == "dictionary":
        (_, values), (_, indices) = name.inner
        same = pt.is_dictionary(type_) and type_.ordered == bool(name.arguments[0])
        return same and matches(values, type_.value_type) and matches(indices, type_.index_type)
    if name.name == "struct":
        same = pt.is_struct(type_) and [field.name for field in type_] == [field for field, _ in name.inner]
        return same and all(matches(inner, type_.field(i).type) for i, (_, inner) in enumerate(name.inner))
    if name.name == "map":
        (_, key), (_, value) = name.inner
        return bool(pt.is_map(type_)) and matches(key, type_.key_type) and matches(value, type_.item_type)
    if not is_list(type_) or not matches(name.inner[0][1], type_.value_type):
        return False
    same_kind = str(type_).partition("<")[0] == name.name
    return same_kind and (name.name != "fixed_size_list" or type_.list_size == name.arguments[0])


def is_same_zone(one: str, other: str) -> bool:
    """Return whether two time zones are one under two names. Only UTC has several here."""
    return one == other or all(zone.upper().removeprefix("ETC/") in _UTC for zone in (one, other))


def with_columns_of(schema: Mapping[str, str], table: pa.Table) -> pa.Table:
    """Return a table without rows with those columns of a schema, too, which it lacks.

    Where the schema names no single type, it is that of which text is read, or null. The types must be valid.
    """
    for name, text in schema.items():
        if name != OTHERS and name not in table.schema.names:
            type_ = arrow_type(parse_type(text)[0]) or pa.null()
            table = table.append_column(name, pa.array([], type_))
    return table


def arrow_type(name: TypeName) -> pa.DataType | None:
    """Return the Arrow type of this name; of a family the one as which text is read, None if it has none."""
    if name.inner:
        return _nested_type(name)
    if name.name in DECIMALS:
        return getattr(pa, name.name)(*name.arguments)
    if name.name == "fixed_size_binary":
        return pa.binary(name.arguments[0])
    if len(name.arguments) > 1:
        return pa.timestamp(*name.arguments)
    alias = f"{name.name}[{name.arguments[0]}]" if name.arguments else _READ_AS.get(name.name, name.name)
    with suppress(ValueError):
        return pa.type_for_alias(alias)
    return None


def _nested_type(name: TypeName) -> pa.DataType | None:
    inner = [arrow_type(type_) for _, type_ in name.inner]
    if any(type_ is None for type_ in inner):
        return None
    if name.name == "struct":
        return pa.struct([(field, type_) for (field, _), type_ in zip(name.inner, inner, strict=True)])
    if name.name == "map":
        return pa.map_(*inner)
    if name.name == "dictionary":
        return pa.dictionary(inner[1], inner[0], bool(name.arguments[0]))
    if name.name == "fixed_size_list":
        return pa.list_(inner[0], name.arguments[0])
    return getattr(pa, "list_" if name.name == "list" else name.name)(inner[0])
