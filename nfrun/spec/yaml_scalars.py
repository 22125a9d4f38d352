"""Converts plain scalars to values by the core schema of YAML 1.2.

https://yaml.org/spec/1.2.2/#103-core-schema
"""

from __future__ import annotations

import re

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
