"""Reads the time zones that a file and its nodes name, and tells the date in them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from nfrun.core.pipeline import UTC
from nfrun.core.text import closest_match, ellipsize
from nfrun.pipeline_file.findings import Findings
from nfrun.pipeline_file.yaml.document import Keys

_OF_MACHINES = ("localtime", "posix", "right/")  # machines know these, DuckDB does not


def read_timezone(found: Findings, path: Keys, values: Mapping[str, Any]) -> str:
    """Return the time zone of the file, or of the node at `path`: that of the file if it has none of its own.

    `values` are those of the file or the node. Reports a zone that there is not.
    """
    where = (*path, "timezone")
    if where in found.bad or "timezone" not in values:
        return str(found.document.root.get("timezone", UTC))
    name = values["timezone"]
    if wrong := _problem(name):
        found.report(where, *wrong)
    return str(name)


def date_in(timezone: str) -> str:
    """Return the date of today in a time zone, such as 2026-01-31."""
    if timezone == UTC:
        return time.strftime("%Y-%m-%d", time.gmtime())
    from datetime import datetime
    from zoneinfo import ZoneInfo

    return datetime.now(ZoneInfo(timezone)).date().isoformat()


def _problem(name: str) -> tuple[str, str] | None:
    """Return what is wrong with the name of a time zone, and a hint; None if there is such a zone."""
    if name == UTC:
        return None
    from zoneinfo import ZoneInfo, available_timezones

    try:
        ZoneInfo(name)
        if not name.startswith(_OF_MACHINES):
            return None
    except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        pass
    # Etc/GMT+1 is an hour behind GMT: not what is meant by GMT+1.
    known = sorted(zone for zone in available_timezones() if "/" in zone and not zone.startswith("Etc/GMT"))
    what = f"there is no time zone '{ellipsize(name)}'"
    if not known:
        return f"{what} on this machine, which has none", "install the names of zones: pip install tzdata"
    place = f"/{name.rpartition('/')[2].replace(' ', '_').lower()}"
    guess = next((zone for zone in known if zone.lower().endswith(place)), None) or closest_match(name, known)
    return what, f"did you mean '{guess}'?" if guess else "write its name as in Europe/Berlin"
