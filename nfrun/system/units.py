"""How long something takes, as people write it. Knows no options and no file."""

from __future__ import annotations

import re

LONGEST = 366 * 86400.0  # waits of the operating system end at some 290 years; nobody means more than one
_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)?")


def seconds(value: str | float) -> float:
    """The seconds meant by a number of them, or by a number with ms, s, m, h or d. For what is known to be one."""
    if isinstance(value, str):
        number = value.rstrip("smhd")
        return float(number) * _UNITS[value[len(number) :]]
    return float(value)


def parse_seconds(text: str) -> float:
    """The seconds meant by `2`, `0.5s`, `200ms` or `1h`. Raises ValueError for anything else, and past a year."""
    if not _DURATION.fullmatch(text) or (found := seconds(text)) > LONGEST:
        raise ValueError(text)
    return found
