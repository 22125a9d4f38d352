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

# Names without arguments, by the name of the function of pyarrow that makes the type.
PLAIN = {
    "null": "null", "bool": "bool_",
    "int8": "int8", "int16": "int16", "int32": "int32", "int64": "int64",
    "uint8": "uint8", "uint16": "uint16", "uint32": "uint32", "uint64": "uint64",
    "halffloat": "float16", "float16": "float16", "float": "float32", "float32": "float32",
    "double": "float64", "float64": "float64",
    "utf8": "string", "large_string": "large_string", "string_view": "string_view",
    "large_binary": "large_binary", "binary_view": "binary_view",
    "date32": "date32", "date64": "date64", "month_day_nano_interval": "month_day_nano_interval",
}  # fmt: skip
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
    "fixed_size_list": "fixed_size_list<float>[3]", "fixed_size_binary": "fixed_size_binary[16]",
    "dictionary": "dictionary<values=string, indices=int32>",
    **{name: f"{name}(9, 2)" for name in DECIMALS},
    **{name: f"{name}<int64>" for name in ("large_list", "list_view", "large_list_view")},
}  # fmt: skip
_TOKEN = re.compile(r"\s*([\w.]+|.)", re.DOTALL)
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
    parser = _Parser(bare, text)
    found = parser.type()
    if parser.left:
        raise _wrong(text, bare)
    return found, bare != stripped


def _wrong(text: str, word: str) -> TypeNameError:
    name = re.match(r"\w*", word.strip())
    known = name[0] if name else ""
    if known in _EXAMPLES or known in UNITS or known in NESTED:
        example = _EXAMPLES.get(known) or {"timestamp": "timestamp[us]", "struct": "struct<a: int64>"}.get(known)
        return TypeNameError(f"there is no type '{text}'", f"for example {example or f'{known}<int64>'}")
    return unknown_type(text, known)


def unknown_type(text: str, word: str) -> TypeNameError:
    """Return the error for a word that names no type."""
    if meant := _MEANT.get(word.lower()):
        return TypeNameError(f"there is no type '{text}'", f"write {meant}")
    guess = closest_match(word, [*FAMILIES, *PLAIN, *UNITS, *DECIMALS, *NESTED])
    hint = f"did you mean '{guess}'?" if guess else f"Arrow's names, or {', '.join(FAMILIES)}"
    return TypeNameError(f"there is no type '{text}'", hint)


class _Parser:
    """Reads one type from its tokens."""

    def __init__(self, text: str, whole: str) -> None:
        self._whole = whole
        self.left: Sequence[str] = [token for token in _TOKEN.findall(text) if token.strip()]
        self._depth = 0

    def type(self) -> TypeName:
        self._depth += 1
        if self._depth > _DEPTH:
            raise TypeNameError(f"the type '{self._whole[:60]}…' is nested too deeply")
        name = self._take()
        found = self._type(name)
        self._depth -= 1
        return found

    def _type(self, name: str) -> TypeName:
        then = self.left[0] if self.left else ""
        if then == "[" and name in UNITS:
            return TypeName(name, self._unit(name))
        if then == "[" and name == "fixed_size_binary":
            return TypeName(name, (self._length(),))
        if then == "(" and name in DECIMALS:
            return TypeName(name, self._digits(DECIMALS[name]))
        if then == "<" and name in NESTED:
            return self._nested(name)
        if name in FAMILIES or name in PLAIN:
            return TypeName(name)
        raise _wrong(self._whole, name)

    def _nested(self, name: str) -> TypeName:
        self._expect("<")
        if name == "struct":
            fields = self._fields()
        elif name == "map":
            key = self.type()
            self._expect(",")
            fields = (("key", key), ("value", self.type()))
        elif name == "dictionary":
            return self._dictionary()
        else:
            if len(self.left) > 1 and self.left[1] == ":":  # as Arrow shows it: list<item: int64>
                self.left = self.left[2:]
            fields = (("item", self.type()),)
        self._expect(">")
        return TypeName(name, (self._length(),) if name == "fixed_size_list" else (), fields)

    def _fields(self) -> tuple[tuple[str, TypeName], ...]:
        fields = []
        while True:
            name = self._take()
            self._expect(":")
            fields.append((name, self.type()))
            if not self.left or self.left[0] != ",":
                return tuple(fields)
            self._expect(",")

    def _dictionary(self) -> TypeName:
        self._expect("values", "=")
        values = self.type()
        self._expect(",", "indices", "=")
        indices = self.type()
        ordered = 0
        if self.left and self.left[0] == ",":
            self._expect(",", "ordered", "=")
            ordered = self._number()
        self._expect(">")
        return TypeName("dictionary", (ordered,), (("values", values), ("indices", indices)))

    def _unit(self, name: str) -> tuple[str, ...]:
        self._expect("[")
        unit = self._take()
        if unit not in UNITS[name]:
            hint = f"it takes {' or '.join(f'{name}[{known}]' for known in UNITS[name])}"
            raise TypeNameError(f"there is no type '{self._whole}'", hint)
        zone = ""
        if name == "timestamp" and self.left and self.left[0] == ",":
            self._expect(",", "tz", "=")
            while self.left and self.left[0] != "]":
                zone += self._take()
            if not zone:
                raise _wrong(self._whole, name)
        self._expect("]")
        return (unit, zone) if zone else (unit,)

    def _digits(self, most: int) -> tuple[int, int]:
        self._expect("(")
        digits = self._number()
        self._expect(",")
        negative = bool(self.left) and self.left[0] == "-"
        if negative:
            self._expect("-")
        scale = -self._number() if negative else self._number()
        self._expect(")")
        if not 1 <= digits <= most:
            raise TypeNameError(f"there is no type '{self._whole}'", f"it has 1 to {most} digits")
        return digits, scale

    def _length(self) -> int:
        self._expect("[")
        length = self._number()
        self._expect("]")
        return length

    def _number(self) -> int:
        word = self._take()
        if not (word.isascii() and word.isdigit() and len(word) < 10):
            raise _wrong(self._whole, self._whole)
        return int(word)

    def _expect(self, *tokens: str) -> None:
        for token in tokens:
            if self._take() != token:
                raise _wrong(self._whole, self._whole)

    def _take(self) -> str:
        if not self.left:
            raise _wrong(self._whole, self._whole)
        token, self.left = self.left[0], self.left[1:]
        return token


# ------------------------------------------------------------------ text that is read

_TAKEN_APART = "a string, and take it apart in a query"
_INSTEAD = {  # by format and type: what it is read as
    "csv": {
        **{"halffloat": "float", "float16": "float", "string_view": "string", "binary_view": "binary"},
        **{"decimal32": "decimal128", "decimal64": "decimal128", "decimal256": "decimal128"},
        **dict.fromkeys((*NESTED, "month_day_nano_interval"), _TAKEN_APART),
    },
    "jsonl": {
        **{"halffloat": "float", "float16": "float", "duration": "int64", "fixed_size_binary": "binary"},
        **dict.fromkeys(("large_list", "list_view", "large_list_view", "fixed_size_list"), "list"),
        **{"map": "struct", "dictionary": "string", "month_day_nano_interval": "string"},
    },
}


def instead_of(type_: TypeName, format: str) -> str:
    """Return as what text of this format is read if not as this type, "" if it is read as it."""
    if type_.name == "dictionary" and format == "csv":
        (_, values), (_, indices) = type_.inner
        return "" if indices.name == "int32" else f"dictionary<values={values.name}, indices=int32>"
    instead = _INSTEAD.get(format, {}).get(type_.name, "")
    return instead or next(filter(None, (instead_of(inner, format) for _, inner in type_.inner)), "")
