"""Parses durations and sizes as people write them: `200ms`, `1h`, `512MB`, `1GiB`."""

from __future__ import annotations

import re

_SIZE_UNITS: dict[str, int] = {
    **{"": 1, "b": 1},
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}
# The number of digits is limited: int() refuses thousands.
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?) ?([A-Za-z]*)")

LONGEST = 366 * 86400.0  # seconds; the system's waits allow at most about 290 years
_DURATION_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)?")


def to_seconds(value: str | float) -> float:
    """Return the seconds of a number, or of a text with ms, s, m, h or d, which must be valid."""
    if isinstance(value, str):
        number = value.rstrip("smhd")
        return float(number) * _DURATION_UNITS[value[len(number) :]]
    return float(value)


def parse_duration(text: str) -> float:
    """Return the seconds of `2`, `0.5s`, `200ms` or `1h`. Raises ValueError for other texts, and past a year."""
    if not _DURATION.fullmatch(text) or (found := to_seconds(text)) > LONGEST:
        raise ValueError(text)
    return found


def parse_size(text: str) -> int:
    """Return the bytes of `2000000000`, `512MB`, `1.5 GB` or `1GiB`: kB is 1,000 bytes, KiB is 1,024.

    Raises ValueError for other texts, for less than one byte, and for `512M`, which may mean either.
    """
    found = _SIZE.fullmatch(text.strip())
    unit = _SIZE_UNITS.get(found[2].lower()) if found else None
    if found is None or unit is None:
        raise ValueError(text)
    whole, _, fraction = found[1].partition(".")
    size = int(whole) * unit + int(fraction.ljust(9, "0")) * unit // 10**9
    if size < 1:
        raise ValueError(text)
    return size
