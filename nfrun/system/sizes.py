"""How a number of bytes is written, and how much memory there is. Knows no options."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

_UNITS: dict[str, int] = {
    **{"": 1, "b": 1},
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}
# Digits are counted: int() refuses thousands of them.
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?) ?([A-Za-z]*)")


def parse_size(text: str) -> int:
    """The bytes meant by `2000000000`, `512MB`, `1.5 GB` or `1GiB`: kB is 1,000 and KiB 1,024 of them.

    Raises ValueError for anything else, and for less than one byte. Not for `512M`, which is read in both ways.
    """
    found = _SIZE.fullmatch(text.strip())
    unit = _UNITS.get(found[2].lower()) if found else None
    if found is None or unit is None:
        raise ValueError(text)
    whole, _, part = found[1].partition(".")
    size = int(whole) * unit + int(part.ljust(9, "0")) * unit // 10**9
    if size < 1:
        raise ValueError(text)
    return size


def quarter_of_memory() -> int:
    """A quarter of the memory of the machine, or of the container, in bytes; 1 GiB where the system does not tell."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 1 << 30
    with suppress(OSError, ValueError):  # "max" where there is no limit
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return memory // 4
