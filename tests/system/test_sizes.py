"""Tests of parsing sizes such as 512MB."""

from __future__ import annotations

import pytest

from nfrun.system.units import parse_size

GOOD = {
    "1": 1,
    "2000000000": 2_000_000_000,
    "7B": 7,
    "7 b": 7,
    "512MB": 512_000_000,
    "512mb": 512_000_000,
    " 2 GB ": 2_000_000_000,
    "1.5GB": 1_500_000_000,
    "0.000001MB": 1,
    "1.999999999kB": 1_999,
    "1KiB": 1024,
    "1GiB": 2**30,
    "2TiB": 2**41,
    "3TB": 3 * 10**12,
    "999999999999999999TB": 999_999_999_999_999_999 * 10**12,
}
BAD = [
    *(
        "",
        " ",
        "B",
        "GB",
        "many",
        "0",
        "0MB",
        "0.1",
        "0.0000001kB",
        "-1",
        "-1GB",
        "+1GB",
        "1e9",
        "1_000",
        "1,5GB",
        "1,000",
    ),
    *(
        "512M",
        "1G",
        "1 g",
        "1PB",
        "1 GB x",
        "1  GB",
        "1G B",
        "1.GB",
        ".5GB",
        "1.5.5GB",
        "nan",
        "inf",
        "0x10",
        "50%",
        "1/2",
    ),
    *("\u0661GB", "\u00b2GB", "1\u212aB", "1GB\n1", "9" * 19, "1" * 5000, "1\x00GB"),
]


@pytest.mark.parametrize(("text", "size"), GOOD.items())
def test_valid_sizes_are_parsed(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", BAD)
def test_invalid_sizes_are_refused(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_size(text)
    assert caught.value.args == (text,)
