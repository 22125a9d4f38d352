"""Tells which time zone the local time of a process is in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from nfrun.system.checksums import bytes_checksum

_UTC = ("", "UTC", "UTC0", "UCT", "GMT", "Universal", "Zulu")  # also below Etc/
_FILE = "/etc/localtime"
_RULES = "rules "  # what begins the digest of a zone without a name


def local_zone(environ: Mapping[str, str]) -> str:
    """Return the name of the local time zone of a process with these variables, UTC under one name.

    Where TZ says nothing and the machine has no name for its zone, it is a digest of the rules of the zone.
    """
    zone = environ["TZ"].removeprefix(":") if "TZ" in environ else _of_machine()
    zone = zone.rpartition("/zoneinfo/")[2] if zone.startswith("/") else zone
    return "UTC" if zone.removeprefix("Etc/") in _UTC else zone


def zone_variable(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what gives another machine the local time zone of this one; nothing if the zone has no name."""
    zone = local_zone(environ)
    return {} if zone.startswith(_RULES) else {"TZ": zone}


@cache
def _of_machine() -> str:
    target = os.path.realpath(_FILE)
    if "/zoneinfo/" in target:
        return target
    try:
        return f"{_RULES}{bytes_checksum(Path(_FILE).read_bytes())}"
    except OSError:
        return "UTC"  # as the C library has it
