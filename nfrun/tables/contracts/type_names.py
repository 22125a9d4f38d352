"""Parses the types of columns as pipeline files name them: Arrow's names, and families that take several of them.

A family takes every width and encoding: `integer`, `number`, `string`, and so on. A `?` behind a type admits nulls.
Nothing here needs pyarrow: `validate` reads many files without it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from nfrun.core.text import closest_match
from nfrun.core.values import frozen

FAMILIES = ("integer", "number", "string", "boolean", "date", "timestamp", "binary", "list", "struct", "any")

# Names without arguments.
PLAIN = (
    *("null", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("halffloat", "float16", "float", "float32", "double", "float64", "utf8", "large_string", "string_view"),
    *("large_binary", "binary_view", "date32", "date64", "month_day_nano_interval"),
)
# The units that a type takes between brackets.
UNITS = {
    "date32": ("day",), "date64": ("ms",), "time32": ("s", "ms"), "time64": ("us", "ns"),
    "timestamp": ("s", "ms", "us", "ns"), "duration": ("s", "ms", "us", "ns"),
}  # fmt: skip
DECIMALS = {"decimal32": 9, "decimal64": 18, "decimal128": 38, "decimal256": 76}  # with their most digits
NESTED = ("list", "large_list", "list_view", "large_list_view", "fixed_size_list", "struct", "map", "dictionary")
# What people write for them in SQL, pandas, polars and Python.
_MEANT = {
    "int": "int64 or integer", "str": "string", "text": "string", "varchar": "string", "char": "string",
    "object": "string", "bigint": "int64", "smallint": "int16", "tinyint": "int8", "real": "float32",
    "datetime": "timestamp", "timestamptz": "timestamp[us, tz=UTC]", "decimal": "decimal128(10, 2)",
    "numeric": "decimal128(10, 2) or number", "array": "list", "dict": "struct", "bytes": "binary", "blob": "binary",
    "time": "time64[us]", "category": "dictionary<values=string, indices=int32>",
}  # fmt: skip
_EXAMPLES = {
    "time32": "time32[s]", "time64": "time64[us]", "duration": "duration[us]", "map": "map<string, int64>",
    "timestamp": "timestamp[us]", "struct": "struct<a: int64>",
    "fixed_size_list": "fixed_size_list<float>[3]", "fixed_size_binary": "fixed_size_binary[16]",
    "dictionary": "dictionary<values=string, indices=int32>",
    **{name: f"{name}(9, 2)" for name in DECIMALS},
    **{name: f"{name}<int64>" for name in ("large_list", "list_view", "large_list_view")},
}  # fmt: skip
# The name, the types inside, a unit or a length, and digits.
_TYPE = re.compile(r"\s*([\w.]+)\s*(?:<(.*)>)?\s*(?:\[([^\]]*)\])?\s*(?:\((.*)\))?\s*", re.DOTALL)
_LABEL = re.compile(r"\s*([\w.]+|[^\w\s<>\[\](),])\s*([:=])(?!:)")
_DEPTH = 32

OTHERS = "*"  # in a schema: columns that it does not name are admitted


@frozen
class TypeName:
    """A type as a file names it: its name, what stands between brackets, and the types inside, by their names.

    `arguments` are the unit and the time zone, the digits and the scale, or the length; `inner` has the types of the
    values, of the fields of a struct, or of the key and the value of a map.
    """

    name: str
    arguments: tuple[str | int, ...] = ()
    inner: tuple[tuple[str, TypeName], ...] = ()

    @property
    def is_family(self) -> bool:
        """Whether it takes several of Arrow's types."""
        return self.name in FAMILIES and not self.arguments and not self.inner

    @property
    def is_one_type(self) -> bool:
        """Whether it takes one of Arrow's types only, also inside."""
        return not self.is_family and all(inner.is_one_type for _, inner in self.inner)


class TypeNameError(ValueError):
    """A text names no type. `hint` says what may be meant, "" if that is unknown."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint


def parse_type(text: str) -> tuple[TypeName, bool]:
    """Return the type that a text names, and whether it admits nulls. Raises TypeNameError."""
    stripped = text.strip()
    bare = stripped.removesuffix("?")
    return _type(bare, text), bare != stripped


def _wrong(text: str, word: str) -> TypeNameError:
    """Return the error for a text in which this word names no type, or is not followed by what it takes."""
    found = re.match(r"\w*", word.strip())
    known = found[0] if found else ""
    if known in _EXAMPLES or known in UNITS or known in NESTED:
        hint = f"for example {_EXAMPLES.get(known, f'{known}<int64>')}"
    elif meant := _MEANT.get(known.lower()):
        hint = f"write {meant}"
    else:
        guess = closest_match(known, [*FAMILIES, *PLAIN, *UNITS, *DECIMALS, *NESTED])
        hint = f"did you mean '{guess}'?" if guess else f"Arrow's names, or {', '.join(FAMILIES)}"
    return TypeNameError(f"there is no type '{text}'", hint)


def _type(text: str, whole: str, depth: int = 0) -> TypeName:
    """Return the type that `text` names, which is a part of the `whole`."""
    found = _TYPE.fullmatch(text)
    if depth > _DEPTH or (found is None and text.count("<") > _DEPTH):
        raise TypeNameError(f"the type '{whole[:60]}…' is nested too deeply")
    if found is None:
        raise _wrong(whole, whole)
    name, inner, unit, digits = found.groups()
    if inner is not None and name in NESTED and digits is None and (unit is not None) == (name == "fixed_size_list"):
        length = () if unit is None else (_number(unit, whole),)
        return _nested(name, length, [*map(_labelled, _parts(inner))], whole, depth + 1)
    if inner is None and unit is not None and name in UNITS:
        return TypeName(name, _unit(name, unit, whole))
    if inner is None and unit is not None and name == "fixed_size_binary":
        return TypeName(name, (_number(unit, whole),))
    if inner is None and digits is not None and name in DECIMALS:
        return TypeName(name, _digits(digits, DECIMALS[name], whole))
    if inner is unit is digits is None and name in (*FAMILIES, *PLAIN):
        return TypeName(name)
    raise _wrong(whole, name)


def _parts(text: str) -> list[str]:
    """Return what stands between the commas that are in no brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "<[(") - (character in ">])")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _labelled(text: str) -> tuple[str, str, str]:
    """Return the name in front of a part, the `:` or `=` behind it, and the rest; both are "" without a name."""
    found = _LABEL.match(text)
    return (found[1], found[2], text[found.end() :]) if found else ("", "", text)


def _nested(
    name: str, length: tuple[int, ...], parts: Sequence[tuple[str, str, str]], whole: str, depth: int
) -> TypeName:
    """Return a type with types inside. Their names stand in front of those of structs and dictionaries."""
    signs = [f"{label}{sign}" for label, sign, _ in parts]
    labels = {"map": ["key", "value"], "struct": [label for label, sign, _ in parts if sign == ":"]}.get(name, ["item"])
    fits = len(labels) == len(parts) and (name != "map" or not any(signs)) and not any("=" in sign for sign in signs)
    if name == "dictionary":
        fits = signs in (["values=", "indices="], ["values=", "indices=", "ordered="])
        labels, length = ["values", "indices"], (_number(parts[2][2], whole) if len(parts) > 2 else 0,)
    if not fits:
        raise _wrong(whole, whole)
    types = [_type(text, whole, depth) for _, _, text in parts[: len(labels)]]
    return TypeName(name, length, tuple(zip(labels, types, strict=True)))


def _unit(name: str, text: str, whole: str) -> tuple[str, ...]:
    unit, comma, zone = text.partition(",")
    if unit.strip() not in UNITS[name]:
        hint = f"it takes {' or '.join(f'{name}[{known}]' for known in UNITS[name])}"
        raise TypeNameError(f"there is no type '{whole}'", hint)
    found = re.fullmatch(r"\s*tz\s*=([^\]]+)", zone)
    if comma and (found is None or name != "timestamp"):
        raise _wrong(whole, whole)
    return (unit.strip(), "".join(found[1].split())) if found else (unit.strip(),)


def _digits(text: str, most: int, whole: str) -> tuple[int, int]:
    first, _, second = text.partition(",")
    digits, scale = _number(first, whole), _number(second.strip().removeprefix("-"), whole)
    if not 1 <= digits <= most:
        raise TypeNameError(f"there is no type '{whole}'", f"it has 1 to {most} digits")
    return digits, -scale if second.strip().startswith("-") else scale


def _number(text: str, whole: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text.strip()):
        raise _wrong(whole, whole)
    return int(text)


# ------------------------------------------------------------------ text that is read

# Types as which text is not read, by format.
_NOT_READ = {
    "csv": (
        *("halffloat", "float16", "string_view", "binary_view", "decimal32", "decimal64", "decimal256"),
        *(*NESTED, "month_day_nano_interval"),
    ),
    "jsonl": (
        *("halffloat", "float16", "duration", "fixed_size_binary", "month_day_nano_interval", "map", "dictionary"),
        *("large_list", "list_view", "large_list_view", "fixed_size_list"),
    ),
}


def is_read(type_: TypeName, format: str) -> bool:
    """Return whether text of this format is read as this type."""
    if type_.name == "dictionary" and format == "csv":
        return type_.inner[1][1].name == "int32"
    return type_.name not in _NOT_READ.get(format, ()) and all(is_read(inner, format) for _, inner in type_.inner)
