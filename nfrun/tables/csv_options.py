"""Names the options of a CSV file and says what is wrong with their values. Imports nothing of Arrow."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from nfrun.core.text import ellipsize
from nfrun.core.values import frozen

FAIL, SKIP, ASIDE = BAD_ROWS = ("fail", "skip", "aside")
CSV_OPTIONS = (
    *("delimiter", "encoding", "null_values", "header", "skip", "comment", "quote", "escape"),
    *("decimal", "thousands", "dates", "bad_rows", "long_fields"),
)
REJECTED = "rejected"  # the output with the rows that are put aside
_DIRECTIVES = re.compile("%(.?)", re.DOTALL)
_KNOWN = set("aAbBcdDeFHImMnprRStTxXyYzZ%")
_TIMES = set("HIMSTRXpcsrf")  # directives that say a time of day
_YEARS = set("YyFDcx")  # without one, Arrow would take 1900


@frozen
class CsvOptions:
    """The layout of a CSV file; the fields are options of `read`. `delimiter` is "" if the name of the file says it.

    `header` is whether the first row has the names of the columns, or these names, for a file that has none.
    `null_values` is None for the usual ones. `dates` has formats of dates and times.
    """

    delimiter: str = ""
    encoding: str = ""
    null_values: Sequence[str] | None = None
    header: bool | Sequence[str] = True
    skip: int = 0
    comment: str = ""
    quote: str = '"'
    escape: str = ""
    decimal: str = "."
    thousands: str = ""
    dates: str | Sequence[str] = ()
    bad_rows: str = FAIL
    long_fields: bool = False

    @property
    def formats(self) -> list[str]:
        """The formats of dates and times, as a list."""
        return [self.dates] if isinstance(self.dates, str) else list(self.dates)

    @property
    def has_times(self) -> bool:
        """Whether a format has a time of day."""
        return any(directive in _TIMES for text in self.formats for directive in _DIRECTIVES.findall(text))


def wrong_option(name: str, value: Any, options: Mapping[str, Any], ending: str = "") -> tuple[str, str] | None:
    """Return why the value of an option is wrong beside the others, and what to do; None if it is right."""
    if name == "header" and isinstance(value, list):
        if not value or not _are_texts(value) or len(set(value)) < len(value):
            return "the names under 'header' must be different texts", "for example header: [id, name]"
    elif name in ("header", "long_fields") and not isinstance(value, bool):
        also = ", or the names of the columns" if name == "header" else ""
        return f"'{name}' must be true or false{also}", f"for example {name}: {'false' if also else 'true'}"
    elif name == "skip" and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 31):
        return "'skip' must be the number of lines before the header", "for example skip: 3"
    elif name == "bad_rows" and value not in BAD_ROWS:
        return f"'bad_rows' must be one of {', '.join(BAD_ROWS)}", "aside collects them in the output 'rejected'"
    elif name in _EXAMPLES:
        return _wrong_character(name, value) or _same_character(name, value, options, ending)
    elif name == "dates":
        return _wrong_dates(value)
    elif name == "null_values" and not (isinstance(value, list) and _are_texts(value)):
        return f"'{name}' must be a list of strings", f"for example {name}: [a, b]"
    elif name == "encoding" and not _is_encoding(value):
        what = f"there is no encoding '{ellipsize(str(value))}'"
        return what, "for example latin-1, cp1252 or utf-16, as Python names them"
    return None


# By option, an example; each is one character.
_EXAMPLES = {
    "delimiter": "delimiter: ';'",
    "comment": "comment: '#'",
    "quote": "quote: \"'\", or quote: '' where no field is quoted",
    "escape": "escape: '\\'",
    "decimal": "decimal: ','",
    "thousands": "thousands: '.'",
}
_MAY_BE_EMPTY = ("quote", "escape", "comment", "thousands")
_NUMBER = "0123456789+-"
_NEVER = {"delimiter": '"', "decimal": _NUMBER, "thousands": _NUMBER}


def _wrong_character(name: str, value: Any) -> tuple[str, str] | None:
    if value == "" and name in _MAY_BE_EMPTY:
        return None
    is_one = isinstance(value, str) and len(value) == 1 and (value.isascii() or name == "thousands")
    if is_one and value not in f"\r\n\0{_NEVER.get(name, '')}":
        return None
    return f"'{name}' must be one ASCII character", f"for example {_EXAMPLES[name]}"


def _same_character(name: str, value: str, options: Mapping[str, Any], ending: str) -> tuple[str, str] | None:
    usual = {"delimiter": "\t" if ending == ".tsv" else ",", "quote": '"', "decimal": ".", **options}
    in_quotes = {"thousands"} | ({"decimal"} if "delimiter" in options else set())  # where numbers may be quoted
    order = list(_EXAMPLES)
    for other in order:
        may_be_same = "delimiter" in (name, other) and not in_quotes.isdisjoint((name, other))
        is_told_there = other in options and order.index(other) > order.index(name)
        if value and other != name and usual.get(other) == value and not may_be_same and not is_told_there:
            hint = f"say which: {_EXAMPLES[other]}" if other not in options else "remove one, or say another"
            return f"'{name}' and '{other}' are both {value!r}", hint
    return None


def _wrong_dates(value: Any) -> tuple[str, str] | None:
    formats = [value] if isinstance(value, str) else value
    if not isinstance(formats, list) or not formats or not _are_texts(formats):
        return "'dates' must be a format, or a list of formats", "for example dates: '%d.%m.%Y'"
    for text in formats:
        found = set(_DIRECTIVES.findall(text))
        if not found <= _KNOWN or not found & _YEARS:
            what = f"'{ellipsize(text)}' is no format of a date with a year"
            return what, "for example dates: '%d.%m.%Y'; there are %Y %m %d %H %M %S %y %b %z"
    return None


def _are_texts(values: Sequence[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _is_encoding(name: object) -> bool:
    try:
        return isinstance(name, str) and bool("a".encode(name))
    except (LookupError, ValueError):  # LookupError also for what makes bytes of bytes, such as hex
        return False
