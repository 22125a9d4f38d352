"""Parses the types of columns as pipeline files name them: Arrow's names, and families that take several of them.

A family takes every width and encoding: `integer`, `number`, `string`, and so on. A `?` behind a type admits nulls.
Nothing here needs pyarrow: `validate` reads many files without it.
"""

from __future__ import annotations

import re

from nfrun.core.text import ellipsize
from nfrun.core.values import frozen

FAMILIES = ("integer", "number", "string", "boolean", "date", "timestamp", "binary", "list", "struct", "any")

# Names without arguments.
PLAIN = (
    *("null", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("halffloat", "float16", "float", "float32", "double", "float64", "utf8", "large_string", "string_view"),
    *("large_binary", "binary_view", "date32", "date64", "month_day_nano_interval"),
)
DECIMALS = {"decimal32": 9, "decimal64": 18, "decimal128": 38, "decimal256": 76}  # with their most digits
_NESTED = ("list", "large_list", "fixed_size_list", "struct", "map", "dictionary")
# A type without others inside: its name, and its unit and zone, its length, or its digits.
_FLAT = re.compile(
    rf"({'|'.join((*FAMILIES, *PLAIN))})|(date32)\[(day)]|(date64)\[(ms)]|(time32)\[(m?s)]|(time64)\[([un]s)]"
    r"|(duration)\[([mun]?s)]|(timestamp)\[([mun]?s)(?:,tz=([^]\s]+))?]|(fixed_size_binary)\[([0-9]{1,9})]"
    rf"|({'|'.join(DECIMALS)})\(([0-9]{{1,2}}),(-?[0-9]{{1,9}})\)"
)
_WITH_OTHERS = re.compile(rf"({'|'.join(_NESTED)})<(.*)>(?:\[([0-9]{{1,9}})])?", re.DOTALL)
_LABELLED = re.compile(r"(?:([\w.]+)[:=])?(.*)", re.DOTALL)
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
    """A text names no type."""

    hint = f"Arrow's names, such as int64, time64[us], decimal128(9, 2) and list<int64>, or {', '.join(FAMILIES)}"


def parse_type(text: str) -> tuple[TypeName, bool]:
    """Return the type that a text names, and whether it admits nulls. Raises TypeNameError."""
    stripped = text.strip()
    bare = stripped.removesuffix("?")
    if text.count("<") > _DEPTH:
        raise TypeNameError(f"the type '{text[:60]}…' is nested too deeply")
    return _type(re.sub(r"\s*([][<>(),:=])\s*", r"\1", bare), text), bare != stripped


def _wrong(whole: str) -> TypeNameError:
    return TypeNameError(f"there is no type '{ellipsize(whole, 200)}'")


def _type(text: str, whole: str) -> TypeName:
    """Return the type that `text` names, which is a part of the `whole`, without blanks around its signs."""
    if found := _FLAT.fullmatch(text):
        name, *others = filter(None, found.groups())
        numbers = [int(other) for other in others] if name in DECIMALS or name == "fixed_size_binary" else []
        if name in DECIMALS and not 1 <= numbers[0] <= DECIMALS[name]:
            raise _wrong(whole)
        return TypeName(name, (*(numbers or others),))
    found = _WITH_OTHERS.fullmatch(text)
    if found is None or (found[3] is not None) != (found[1] == "fixed_size_list"):
        raise _wrong(whole)
    parts = [_split(part) for part in _parts(found[2])]
    labels, arguments = [label for label, _ in parts], [int(found[3])] if found[3] else []
    if found[1] == "dictionary":
        fits = labels in (["values", "indices"], ["values", "indices", "ordered"])
        arguments = [int(part == "1") for _, part in parts[2:]] or [0]
    elif found[1] == "map":
        fits, labels = labels == ["", ""], ["key", "value"]
    else:
        fits = all(labels) if found[1] == "struct" else len(parts) == 1
    if not fits:
        raise _wrong(whole)
    named = zip(labels, [part for _, part in parts], strict=True)
    inner = [(label, _type(part, whole)) for label, part in named if label != "ordered" or found[1] == "struct"]
    return TypeName(found[1], tuple(arguments), tuple(inner))


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


def _split(part: str) -> tuple[str, str]:
    """Return the name in front of a type, which ends in `:` or `=`, "" without one, and the type."""
    found = _LABELLED.fullmatch(part)
    assert found is not None
    return found[1] or "", found[2]


# ------------------------------------------------------------------ text that is read

# Types as which text is not read, by format.
_NOT_READ = {
    "csv": (
        *("halffloat", "float16", "string_view", "binary_view", "decimal32", "decimal64", "decimal256"),
        *(*_NESTED, "month_day_nano_interval"),
    ),
    "jsonl": (
        *("halffloat", "float16", "duration", "fixed_size_binary", "month_day_nano_interval", "map", "dictionary"),
        *("large_list", "fixed_size_list"),
    ),
}


def is_read(type_: TypeName, format: str) -> bool:
    """Return whether text of this format is read as this type."""
    if type_.name == "dictionary" and format == "csv":
        return type_.inner[1][1].name == "int32"
    return type_.name not in _NOT_READ.get(format, ()) and all(is_read(inner, format) for _, inner in type_.inner)
