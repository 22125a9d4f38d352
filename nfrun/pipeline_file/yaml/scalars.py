"""Converts plain scalars to values by the core schema of YAML 1.2, and finds parts of values in the text of scalars.

https://yaml.org/spec/1.2.2/#103-core-schema
"""

from __future__ import annotations

import re
from itertools import islice

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INT = re.compile("[-+]?[0-9]+")
_BASED = "0o[0-7]+|0x[0-9a-fA-F]+"
_FLOAT = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
_NOT_FINITE = r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
_NUMERIC = "-+.0123456789"
SUSPECT = f"{_NUMERIC}~nNtTfF"  # a plain scalar that starts with anything else is a string


def plain_scalar(text: str) -> bool | int | float | str | None:
    """Return the value of a plain scalar in the YAML 1.2 core schema.

    Raises ValueError(message, hint) for an integer beyond 64 bits, and for a float that is too large or not finite.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMERIC:
        return text
    if _INT.fullmatch(text):
        # Count the digits first: int() raises ValueError above 4,300 digits.
        if len(text.lstrip("+-0")) <= 19 and -(2**63) <= (number := int(text)) < 2**63:
            return number
    elif re.fullmatch(_BASED, text):
        if (number := int(text[2:], 8 if text[1] == "o" else 16)) < 2**63:
            return number
    elif re.fullmatch(_FLOAT, text):
        if abs(real := float(text)) != float("inf"):
            return real
        raise ValueError("this number is too large", "put it in quotes if it is text; the largest is about 1.8e308")
    elif re.fullmatch(_NOT_FINITE, text):
        raise ValueError(f"'{text}' is not a finite number", "put it in quotes if it is text")
    else:
        return text
    raise ValueError("this integer does not fit in 64 bits", "put it in quotes if it is text; the largest is 2^63 - 1")


# In double and in single quotes, what stands for one character; elsewhere each stands for itself.
_DOUBLE = r"(?s)\\(?:x(?P<x>.{2})|u(?P<u>.{4})|U(?P<U>.{8})|(?P<letter>.))|\S"
_SINGLE = r"''|\S"
_BLANKS = "0abtnvfreN_LP \r\n"  # escapes of white space, and those that no file may have


def place_in_scalar(written: str, value: str, start: int, length: int) -> tuple[int, int] | None:
    """Return the index and the length in a scalar's text of `length` characters of its value, from `start` on.

    A file folds, indents and escapes values, but all characters other than white space stay in their order. Returns
    None if this is not the text of the value.
    """
    style, begin, end, pattern = written[:1], 0, len(written), r"\S"
    if style in ("|", ">"):
        begin = written.find("\n") + 1 or end  # after the header, which may have a comment
    elif style in ('"', "'"):
        begin, end, pattern = 1, end - 1, _DOUBLE if style == '"' else _SINGLE
    units = re.compile(pattern)
    if _dense(units.sub(_meaning, written[begin:end])) != _dense(value):
        return None
    before, count = len(_dense(value[:start])), max(1, len(_dense(value[start : start + length])))
    before = max(0, min(before, len(_dense(value)) - 1))
    places = (unit.span() for unit in units.finditer(written, begin, end) if not _meaning(unit).isspace())
    found = list(islice(places, before, before + count))
    return (found[0][0], found[-1][1] - found[0][0]) if found else None


def _dense(text: str) -> str:
    return "".join(text.split())


def _meaning(unit: re.Match[str]) -> str:
    """Return the character that a part of a scalar's text stands for; a blank for any white space."""
    if unit[0] == "''":
        return "'"
    if unit[0][0] != "\\" or unit.lastgroup is None:
        return unit[0]
    escaped = unit[unit.lastgroup]
    if unit.lastgroup != "letter":
        return chr(int(escaped, 16))
    return " " if escaped in _BLANKS else escaped
