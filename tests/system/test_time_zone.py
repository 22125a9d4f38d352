"""Tests of the name of the local time zone, which is in keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from nfrun.system import time_zone
from nfrun.system.time_zone import local_zone, zone_variable

BERLIN = "/usr/share/zoneinfo/Europe/Berlin"


@pytest.mark.parametrize(
    ("environ", "zone"),
    [({"TZ": "Europe/Berlin"}, "Europe/Berlin"), ({"TZ": ":Europe/Berlin"}, "Europe/Berlin"),
     ({"TZ": BERLIN}, "Europe/Berlin"), ({"TZ": "CET-1CEST"}, "CET-1CEST"),
     *(({"TZ": name}, "UTC") for name in ("", "UTC", "UTC0", "Etc/UTC", ":/usr/share/zoneinfo/Etc/UTC", "Zulu"))],
)  # fmt: skip
def test_the_variable_names_the_zone_and_utc_has_one_name(environ: dict[str, str], zone: str) -> None:
    assert local_zone(environ) == zone
    assert zone_variable(environ) == {"TZ": zone}


def test_without_a_variable_the_zone_is_that_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "localtime"
    monkeypatch.setattr(time_zone, "_FILE", str(file))

    def zone() -> str:
        time_zone._of_machine.cache_clear()
        return local_zone({})

    assert zone() == "UTC"  # as the C library has it
    file.symlink_to(BERLIN)
    assert zone() == "Europe/Berlin"
    file.unlink()
    file.write_bytes(b"TZif of one zone")
    one = zone()
    assert one.startswith("rules ")
    assert zone_variable({}) == {}  # no other machine knows it
    file.write_bytes(b"TZif of another zone")
    assert zone() != one
    time_zone._of_machine.cache_clear()
