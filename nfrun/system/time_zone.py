"""Tells which time zone the local time of a process is in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from nfrun.system.checksums import bytes_checksum

_UTC = (
    "",
    "UTC",
    "UTC0",
    "Etc/UTC",
    "Etc/UCT",
    "UCT",
    "Universal",
    "Etc/Universal",
    "Zulu",
    "Etc/Zulu",
    "Etc/GMT",
    "GMT",
)
_FILE = "/etc/localtime"


def local_zone(environ: Mapping[str, str]) -> str:
    """Return the name of the local time zone of a process with these variables, UTC under one name.

    Where TZ says nothing and the machine has no name for its zone, it is a digest of the rules of the zone.
    """
    zone = environ["TZ"].removeprefix(":") if "TZ" in environ else _of_machine()
    zone = zone.rpartition("/zoneinfo/")[2] if zone.startswith("/") else zone
    return "UTC" if zone in _UTC else zone


@cache
def _of_machine() -> str:
    target = os.path.realpath(_FILE)
    if "/zoneinfo/" in target:
        return target
    try:
        return f"rules {bytes_checksum(Path(_FILE).read_bytes())}"
    except OSError:
        return "UTC"  # as the C library has it
