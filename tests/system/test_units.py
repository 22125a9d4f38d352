"""Tests of parsing durations such as 200ms."""

from __future__ import annotations

import pytest

from nfrun.system.units import parse_duration, to_seconds

GOOD = {
    "0": 0.0,
    "0s": 0.0,
    "2": 2.0,
    "0.5": 0.5,
    "200ms": 0.2,
    "30s": 30.0,
    "1.5m": 90.0,
    "2h": 7200.0,
    "366d": 31622400.0,
}
BAD = [
    "",
    " ",
    "s",
    "-1",
    "+1",
    "1e3",
    "1 s",
    "1w",
    "1S",
    ".5",
    "1.",
    "367d",
    "9999999999",
    "1s2",
    "nan",
    "inf",
    "\u0661",
]


def test_valid_durations_are_parsed() -> None:
    assert {text: parse_duration(text) for text in GOOD} == GOOD
    assert {text: to_seconds(text) for text in GOOD} == GOOD


@pytest.mark.parametrize("text", BAD)
def test_invalid_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)
