"""How long something takes, as people write it. Knows no options and no file."""

from __future__ import annotations

import re

_SIZE_UNITS: dict[str, int] = {
    **{"": 1, "b": 1},
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}
# Digits are counted: int() refuses thousands of them.
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?) ?([A-Za-z]*)")

LONGEST = 366 * 86400.0  # waits of the operating system end at some 290 years; nobody means more than one
_DURATION_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)?")


def to_seconds(value: str | float) -> float:
    """The seconds meant by a number of them, or by a number with ms, s, m, h or d. For what is known to be one."""
    if isinstance(value, str):
        number = value.rstrip("smhd")
        return float(number) * _DURATION_UNITS[value[len(number) :]]
    return float(value)


def parse_duration(text: str) -> float:
    """The seconds meant by `2`, `0.5s`, `200ms` or `1h`. Raises ValueError for anything else, and past a year."""
    if not _DURATION.fullmatch(text) or (found := to_seconds(text)) > LONGEST:
        raise ValueError(text)
    return found


def parse_size(text: str) -> int:
    """The bytes meant by `2000000000`, `512MB`, `1.5 GB` or `1GiB`: kB is 1,000 and KiB 1,024 of them.

    Raises ValueError for anything else, and for less than one byte. Not for `512M`, which is read in both ways.
    """
    found = _SIZE.fullmatch(text.strip())
    unit = _SIZE_UNITS.get(found[2].lower()) if found else None
    if found is None or unit is None:
        raise ValueError(text)
    whole, _, part = found[1].partition(".")
    size = int(whole) * unit + int(part.ljust(9, "0")) * unit // 10**9
    if size < 1:
        raise ValueError(text)
    return size
